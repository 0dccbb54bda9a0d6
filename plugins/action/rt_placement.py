# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_placement: puts guests on hosts, as a plan for review, and a reviewed plan into an inventory. It runs on the controller and makes no connection."""

from __future__ import annotations

import gc
import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.action import ActionBase
from ansible.template import Templar
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import counted
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from ansible_collections.realtime.kvm.plugins.plugin_utils._hosts import plain_data, variables_of
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.known import PLACED_FILE, PLACED_LEAVE
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.templates import Worked, named_in
from ansible_collections.realtime.kvm.plugins.plugin_utils._natural import few, natural
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.answer import plan_lines
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.applied import (
    GROUP,
    file_of,
    guests_by_host,
    inventory_files,
    leaving,
)
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.entries import kept_in, written_entries
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.folder import (
    changed,
    host_files,
    read_text,
    remove_inventory,
    write_inventory,
    write_plan,
)
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.model import PlacementError
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.plan_file import (
    PLAN,
    check_current,
    check_decisions,
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
GUESTS, LEAVE = "guests", "leave"
_END = "Nothing was changed on any node, and nothing was written."
#: What holds for the whole run, so that hosts cannot differ in it.
_COMMON = ("rules", "drain", "strategy", "moves", "overcommit", "work", "what_if", "folder", "apply", "steps")
_BEYOND = "it is not in this run (--limit)"


class ActionModule(ActionBase):
    """The action."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Make a plan and write it, or write the lists of guests that a plan of the same inputs leads to."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        options = self._options()
        variables = task_vars or {}
        try:
            _refuse_unread(variables.get("ansible_inventory_sources") or (), self._loader)
            folder = results_folder(os.path.expanduser(options["folder"] or ""), variables, "place", "realtime_place_folder")
            gc.disable()  # it would look at the whole fleet again and again; this process ends soon
            hostvars = variables["hostvars"]
            _refuse_differing(hostvars, options)
            given = take_in(_given(hostvars, variables["groups"], options))
            _refuse_unseen(hostvars, variables["groups"], given, os.path.join(folder, GUESTS))
            if options["apply"]:
                result.update(self._apply(given, folder, options, hostvars))
            else:
                result.update(self._plan(given, folder))
        except (RefusalError, ValueError) as error:
            raise AnsibleActionFail(f"{error}\n{_END}") from None
        finally:
            gc.enable()
        return result

    def _options(self) -> dict[str, Any]:
        """Return the options; Ansible's own refusals name an argument of this action, not the operator's variable."""
        try:
            _validation, options = self.validate_argument_spec(argument_spec=SPEC)
        except AnsibleError as error:
            named = [f"realtime_place_{name}" for name in SPEC if f"'{name}'" in str(error)]
            raise AnsibleActionFail(f"{', '.join(named) or 'rt_placement'}: {error}\n{_END}") from None
        return dict(options)

    def _plan(self, given: Given, folder: str) -> dict[str, Any]:
        plan = make_plan(given)
        text, path = to_yaml(plan), os.path.join(folder, PLAN)
        before = read_text(path)
        if not self._task.check_mode:
            write_plan(folder, {PLAN: text})
        return {
            "changed": before != text,
            "plan": path,
            "digest": plan["digest"],
            "summary": plan["summary"],
            "unplaced": plan["unplaced"],
            "text": show(plan_lines(plan, "" if self._task.check_mode else path)),
        }

    def _apply(self, given: Given, folder: str, options: Mapping[str, Any], hostvars: Any) -> dict[str, Any]:
        path, steps = os.path.join(folder, PLAN), options["steps"]
        if given.what_if:
            raise PlacementError("realtime_place_what_if: a plan of what would be is not applied; run place without it first")
        text = read_text(path)
        if text is None:
            raise PlacementError(f"{path} does not exist or cannot be read; run place without realtime_place_apply first")
        plan = from_yaml(text, path)
        check_current(plan, given.digest, path)
        check_decisions(plan, make_plan(given), path)
        lists = {host: self._entries(hostvars, host, "realtime_guests", given.lists[host].guests) for host in given.lists}
        fleet = self._entries(hostvars, given.hosts[0], options["guests_variable"], given.fleet)
        guests = guests_by_host(plan, given.with_entries(fleet, lists), lists, steps)
        self._check_kept(hostvars, guests)
        target, first = os.path.join(folder, GUESTS), os.path.join(folder, LEAVE)
        present = host_files(target)
        kept = {host: present[name] for host, name in _files(hostvars) if host not in guests and name in present}
        written = inventory_files(guests, kept)
        gone = [name for name in present if name not in written]
        before, out = leaving(guests, {name: {domain.name for domain in host.existing} for name, host in given.read.items()})
        leave = inventory_files(before, kept, leave=True) if out else {}
        differs = changed(target, written, gone) or (changed(first, leave, ()) if out else bool(host_files(first)))
        if not self._task.check_mode:
            _write(first, leave, target, written, gone)
        lines = [f"The guests of {counted(len(guests), 'host')}, after {_after(plan, steps)}, are in {target}", *_stay(kept)]
        lines += _commands(out, first, target)
        found = {"changed": differs, "inventory": target, "leave": first if out else "", "digest": plan["digest"]}
        return {**found, "text": show(lines)}

    def _entries(self, hostvars: Any, host: str, name: str, read: Sequence[Any]) -> list[dict[str, Any]]:
        """Return a list of guests as it is written."""
        if not read:
            return []
        worker = self._worker(hostvars, host)
        found = written_entries(f"{host}: {name}", variables_of(hostvars, host).get(name), hostvars[host].get(name), worker)
        return [{**item, "name": entry["name"]} for item, entry in zip(found, read)]

    def _worker(self, hostvars: Any, host: str) -> Worked:
        raw = variables_of(hostvars, host)
        return Worked(cache(lambda: Templar(loader=self._loader, variables={**raw, "hostvars": hostvars})), raw)

    def _check_kept(self, hostvars: Any, guests: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Refuse templates that stay templates, for a vault is involved, and would be something else on the guest's host."""
        for host, entries in guests.items():
            kept = [(entry["name"], key, text) for entry in entries for key, text in kept_in(entry)]
            worker = self._worker(hostvars, host) if kept else None
            for name, key, text in kept:
                if worker and plain_data(getattr(worker.value(text.raw), "raw", worker.value(text.raw))) != text.value:
                    raise PlacementError(
                        f"{name}: {key} is a template in which a vault is involved, and it would be something else on {host} than where it was read; "
                        "write the vaulted value itself there (!vault), or set the variables that it names for all hosts alike"
                    )


def _write(first: str, leave: Mapping[str, str], target: str, written: Mapping[str, str], gone: Sequence[str]) -> None:
    """Write both folders; without the first, guests that have not left are refused on their new hosts."""
    remove_inventory(first)  # whatever it was: guests that were to leave with another plan
    write_inventory(target, written, gone)
    try:
        if leave:
            write_inventory(first, leave, ())
    except PlacementError as error:
        raise AnsibleActionFail(f"{error}\n{target} was written, {first} was not. Nothing was changed on any node.") from None


def _files(hostvars: Any) -> list[tuple[str, str]]:
    """Return all hosts of the inventory whose names can name a file, with these."""
    return [(str(host), file_of(str(host))) for host in hostvars if not str(host).startswith(".") and "/" not in str(host)]


def _stay(kept: Mapping[str, str]) -> list[str]:
    return [f"As they were, since they take no part: the files of {few(sorted(kept, key=natural), 200)}"] if kept else []


def _commands(out: Mapping[str, Sequence[str]], first: str, target: str) -> list[str]:
    """Return what to run: no guest enters a host before it is off the one that it leaves."""
    command = "ansible-playbook -i <inventory> -i {} realtime.kvm.guests"
    if not out:
        return [f"Next: {command.format(target)}"]
    names = [f"{name} ({host})" for host in sorted(out, key=natural) for name in out[host]]
    return [
        f"First, guests leave their hosts, {few(names, 300)}: {command.format(first)}",
        f"Then, with their images on the new hosts: {command.format(target)}",
    ]


def _after(plan: Mapping[str, Any], steps: int | None) -> str:
    total = len(plan["moves"])
    if steps in (None, total):
        return "its one move" if total == 1 else f"all {total} moves"
    return f"{steps} of {total} moves, without new guests"


def _given(hostvars: Any, groups: Mapping[str, Any], options: Mapping[str, Any]) -> Given:
    """Return what hosts have answered and the inventory says, as plain data."""
    hosts = [str(host) for host in options["hosts"]]
    answers: dict[str, Any] = {}
    lists, values = {}, {}
    for host in hosts:
        raw = variables_of(hostvars, host)
        if PLACED_LEAVE in raw:
            raise PlacementError(
                f"the folder {LEAVE} is no inventory for place, since guests that have left their hosts are on no list of it; give the folder {GUESTS}"
            )
        answer = plain_data(raw.get(options["node_variable"]))
        answers[host] = answer if isinstance(answer, Mapping) else {}
        worked = hostvars[host]
        lists[host] = Listed(_value(worked, host, "realtime_networks", []), _value(worked, host, "realtime_guests", []))
        values[host] = {name: _value(worked, host, name, default) for name, default in HOST_VARIABLES.items()}
        values[host]["realtime_site"] = str(_value(worked, host, "realtime_site", ""))
    sites = {values[host]["realtime_site"] for host in hosts}
    for host in sorted(set(map(str, groups.get(GROUP, ()))) - set(hosts), key=natural):
        # nodes beyond this run: their guests have a host, and must not get a second one
        worked = hostvars[host]
        guests = _value(worked, host, "realtime_guests", []) if variables_of(hostvars, host).get("realtime_guests") else []
        site = str(_value(worked, host, "realtime_site", "")) if guests else ""
        if guests and site in sites:
            answers[host], lists[host], values[host] = (
                {"msg": _BEYOND},
                Listed([], guests),
                {**HOST_VARIABLES, "realtime_site": site},
            )
    kept = {name: plain_data(options[name]) for name in ("rules", "drain", "strategy", "moves", "overcommit", "work", "what_if")}
    return Given(list(lists), answers, lists, values, plain_data(options["guests"]), **kept)


def _refuse_unseen(hostvars: Any, groups: Mapping[str, Any], given: Given, target: str) -> None:
    """Refuse a run without the inventory that place has written where a host takes no part: only there it stands which guests the host has."""
    out = [host for host in sorted(map(str, groups.get(GROUP, ())), key=natural) if host not in given.read]
    texts = host_files(target) if out else {}
    files = {
        host: texts.get(name, "")
        for host, name in _files(hostvars)
        if host in out and PLACED_FILE not in variables_of(hostvars, host)
    }
    if unseen := [host for host in out if files.get(host) and "realtime_guests: []" not in files[host]]:
        raise PlacementError(
            f"{few(unseen, 120)} {'takes' if len(unseen) == 1 else 'take'} no part in this run, and which guests are there stands only in {target}; "
            f"give it as the last inventory (-i {target}), so that they are not placed again"
        )


def _refuse_unread(sources: Sequence[Any], loader: DataLoader) -> None:
    """Refuse an inventory of which a file cannot be read: Ansible warns and goes on, and its guests would not be in the plan."""
    for source in sources:
        path = str(source)
        if os.path.isfile(path) and path.endswith((".yml", ".yaml", ".json")):
            try:
                loader.load_from_file(path, cache="none")
            except AnsibleError as error:
                raise PlacementError(
                    f"the inventory {path} cannot be read, so its hosts and guests would be missing: {error}"
                ) from None


def _refuse_differing(hostvars: Any, options: Mapping[str, Any]) -> None:
    """Refuse hosts that differ in what holds for the whole run: it would be that of one of them."""
    names = [options["guests_variable"], *(f"realtime_place_{name}" for name in _COMMON)]
    first, *others = [str(host) for host in options["hosts"]] or [""]
    one = variables_of(hostvars, first) if others else {}
    named = {name: named_in(one.get(name), one) for name in names}
    differing: dict[str, list[str]] = {}
    for host in others:
        raw = variables_of(hostvars, host)
        for name in names:
            if "vars" not in named[name] and all(_is_same(one.get(word), raw.get(word)) for word in (name, *named[name])):
                continue  # all that it is made from is the same
            mine, its = _value(hostvars[first], first, name, ""), _value(hostvars[host], host, name, "")
            if (mine or its) and mine != its:
                differing.setdefault(name, []).append(host)
    if differing:
        texts = [f"{name} of {few(hosts, 120)} is not that of {first}" for name, hosts in differing.items()]
        raise PlacementError(
            f"{'; '.join(texts)}. These are of the whole run: set them for all hosts alike, in the group {GROUP}, say"
        )


def _is_same(mine: Any, its: Any) -> bool:
    return mine is its or bool(mine == its)


def _value(worked: Any, host: str, name: str, default: Any) -> Any:
    """Return a host's variable, worked out."""
    try:
        found = worked.get(name, default)
        return plain_data(default if found is None else found)
    except AnsibleError as error:
        raise PlacementError(f"{host}: {name}: {error}") from None
