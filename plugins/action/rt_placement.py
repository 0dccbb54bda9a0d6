# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_placement: puts guests on hosts, as a plan for review, and a reviewed plan into an inventory. It runs on the controller and makes no connection."""

from __future__ import annotations

import gc
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.parsing.vault import VaultHelper
from ansible.plugins.action import ActionBase
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from ansible_collections.realtime.kvm.plugins.plugin_utils._files import write_files
from ansible_collections.realtime.kvm.plugins.plugin_utils._hosts import plain_data, variables_of
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.answer import plan_lines
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.applied import (
    HEADER,
    HOST_VARS,
    guests_by_host,
    inventory_files,
)
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.model import PlacementError
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.plan_file import (
    PLAN,
    Vaulted,
    check_current,
    from_yaml,
    to_yaml,
)
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.read import HOST_VARIABLES
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.request import Listed
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.work import Given, make_plan, take_in
from ansible_collections.realtime.kvm.plugins.plugin_utils._project import results_folder
from ansible_collections.realtime.kvm.plugins.plugin_utils._show import show

SPEC = {
    "hosts": {"type": "list", "elements": "str", "required": True},
    "node_variable": {"type": "str", "required": True},
    "guests": {"type": "list", "elements": "raw", "default": []},
    "guests_variable": {"type": "str", "default": "realtime_place_guests"},
    "rules": {"type": "raw", "default": []},
    "drain": {"type": "raw", "default": []},
    "strategy": {"type": "str"},
    "moves": {"type": "str"},
    "overcommit": {"type": "raw"},
    "work": {"type": "raw"},
    "what_if": {"type": "dict", "default": {}},
    "folder": {"type": "str"},
    "apply": {"type": "bool", "default": False},
    "steps": {"type": "int"},
}
GUESTS = "guests"
_END = "Nothing was changed on any node, and nothing was written."


class ActionModule(ActionBase):
    """The action."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Make a plan and write it, or write the lists of guests that a plan of the same inputs leads to."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=SPEC)
        variables = task_vars or {}
        try:
            folder = results_folder(os.path.expanduser(options["folder"] or ""), variables, "place", "realtime_place_folder")
            gc.disable()  # it would look at the whole fleet again and again; this process ends soon
            given = take_in(_given(variables["hostvars"], options))
            if options["apply"]:
                result.update(self._apply(given, folder, options["steps"], variables["hostvars"], options))
            else:
                result.update(self._plan(given, folder))
        except (RefusalError, ValueError) as error:
            raise AnsibleActionFail(f"{error}\n{_END}") from None
        finally:
            gc.enable()
        return result

    def _plan(self, given: Given, folder: str) -> dict[str, Any]:
        plan = make_plan(given)
        text, path = to_yaml(plan), os.path.join(folder, PLAN)
        before = _read(path)
        if not self._task.check_mode:
            _write(folder, {PLAN: text})
        return {
            "changed": before != text,
            "plan": path,
            "digest": plan["digest"],
            "summary": plan["summary"],
            "unplaced": plan["unplaced"],
            "text": show(plan_lines(plan, "" if self._task.check_mode else path)),
        }

    def _apply(self, given: Given, folder: str, steps: int | None, hostvars: Any, options: Mapping[str, Any]) -> dict[str, Any]:
        path = os.path.join(folder, PLAN)
        if given.what_if:
            raise PlacementError("realtime_place_what_if: a plan of what would be is not applied; run place without it first")
        text = _read(path)
        if text is None:
            raise PlacementError(f"{path} does not exist or cannot be read; run place without realtime_place_apply first")
        plan = from_yaml(text, path)
        check_current(plan, given.digest, path)
        lists = {host: _raw_list(hostvars, host, "realtime_guests", given.lists[host].guests) for host in given.lists}
        fleet = _raw_list(hostvars, given.hosts[0], options["guests_variable"], given.fleet) if given.hosts else []
        guests = guests_by_host(plan, given.with_entries(fleet, lists), lists, steps)
        target = os.path.join(folder, GUESTS)
        written = inventory_files(guests)
        before = {name: _read(os.path.join(target, name)) for name in written}
        gone = _of_other_hosts(target, written)
        if not self._task.check_mode:
            _write_inventory(target, written, gone)
        lines = [
            f"The guests of {len(guests)} hosts, after {_after(plan, steps)}, are in {target}",
            f"Next: ansible-playbook -i <inventory> -i {target} realtime.kvm.guests",
        ]
        return {"changed": before != written or bool(gone), "inventory": target, "digest": plan["digest"], "text": show(lines)}


def _after(plan: Mapping[str, Any], steps: int | None) -> str:
    total = len(plan["moves"])
    return f"all {total} moves" if steps is None or steps == total else f"{steps} of {total} moves, without new guests"


def _given(hostvars: Any, options: Mapping[str, Any]) -> Given:
    """Return what hosts have answered and the inventory says, as plain data."""
    hosts = [str(host) for host in options["hosts"]]
    answers, lists, values = {}, {}, {}
    for host in hosts:
        raw = variables_of(hostvars, host)
        answer = plain_data(raw.get(options["node_variable"]))
        answers[host] = answer if isinstance(answer, Mapping) else {}
        worked = hostvars[host]
        lists[host] = Listed(_value(worked, host, "realtime_networks", []), _value(worked, host, "realtime_guests", []))
        values[host] = {name: _value(worked, host, name, default) for name, default in HOST_VARIABLES.items()}
        values[host]["realtime_site"] = str(_value(worked, host, "realtime_site", ""))
    kept = {name: plain_data(options[name]) for name in ("rules", "drain", "strategy", "moves", "overcommit", "work", "what_if")}
    return Given(hosts, answers, lists, values, plain_data(options["guests"]), **kept)


def _value(worked: Any, host: str, name: str, default: Any) -> Any:
    """Return a host's variable, worked out."""
    try:
        found = worked.get(name, default)
        return plain_data(default if found is None else found)
    except AnsibleError as error:
        raise PlacementError(f"{host}: {name}: {error}") from None


def _raw_list(hostvars: Any, host: str, name: str, worked: Any) -> list[dict[str, Any]]:
    """Return a list of a host as it is written, templates and vaults kept; as it is worked out where it is no list of its own."""
    raw = variables_of(hostvars, host).get(name)
    if isinstance(raw, (list, tuple)) and len(raw) == len(worked) and all(isinstance(item, Mapping) for item in raw):
        return [_kept(item) | {"name": entry["name"]} for item, entry in zip(raw, worked)]
    return [dict(item) for item in worked]


def _kept(value: Any) -> Any:
    """Return a value without the tags of Ansible; what comes from a vault stays in it."""
    ciphertext = VaultHelper.get_ciphertext(value, with_tags=False)
    if ciphertext:
        return Vaulted(ciphertext)
    if isinstance(value, Mapping):
        return {str(key): _kept(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_kept(item) for item in value]
    return plain_data(value)


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except (OSError, UnicodeDecodeError):
        return None


def _of_other_hosts(target: str, written: Mapping[str, str]) -> list[str]:
    """Return the files of hosts that an earlier plan has written and this one has not."""
    try:
        names = [os.path.join(HOST_VARS, name) for name in sorted(os.listdir(os.path.join(target, HOST_VARS)))]
    except OSError:
        return []
    paths = [os.path.join(target, name) for name in names if name not in written]
    return [path for path in paths if (_read(path) or "").startswith(HEADER)]


def _write_inventory(target: str, written: Mapping[str, str], gone: Sequence[str]) -> None:
    """Write the files of an inventory, readable only for their owner: what guests are told at their first boot may be secret."""
    mask = os.umask(0o077)
    try:
        for part in sorted({os.path.dirname(name) for name in written}):
            texts = {os.path.basename(name): text for name, text in written.items() if os.path.dirname(name) == part}
            _write(os.path.join(target, part), texts)
        for path in gone:
            os.unlink(path)
    finally:
        os.umask(mask)


def _write(folder: str, texts: Mapping[str, str]) -> None:
    try:
        write_files(folder, texts)
    except OSError as error:
        raise PlacementError(
            f"realtime_place_folder: {folder} cannot be written: {error.strerror or error}; name another folder"
        ) from None
