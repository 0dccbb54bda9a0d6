# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_latency_run: the controller's side of a measurement. Each state asks the machine at most once and never waits, so that it holds no fork."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import AnswerError, decode
from ansible_collections.realtime.kvm.plugins.module_utils._latency.verdict import LIMITS_US, PROFILES, LatencyError
from ansible_collections.realtime.kvm.plugins.plugin_utils._facts import refuse_facts_as_variables
from ansible_collections.realtime.kvm.plugins.plugin_utils._files import folder_of, free_name, write_files
from ansible_collections.realtime.kvm.plugins.plugin_utils._latency import (
    begun,
    check_given,
    complaints,
    lacking,
    over_ssh,
    plan_runs,
    progress,
    refused,
    result_of,
    to_install,
    verdicts,
)
from ansible_collections.realtime.kvm.plugins.plugin_utils._project import results_folder, why_unwritable

SPEC = {
    "state": {"type": "str", "choices": ["planned", "started", "polled", "kept", "absent", "judged"], "required": True},
    "tools": {"type": "list", "elements": "str", "choices": list(LIMITS_US), "default": ["cyclictest"]},
    "profile": {"type": "str", "choices": list(PROFILES), "default": "smoke"},
    "seconds": {"type": "int", "default": 0},
    "node": {"type": "bool", "default": True},
    "guests": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"name": {"type": "str", "required": True}, "cpus": {"type": "str"}},
    },
    "cpu_set": {"type": "str", "choices": ["housekeeping", "dataplane", "realtime", "shared"], "default": "realtime"},
    "cpus": {"type": "str"},
    "occupied": {"type": "bool", "default": False},
    "load": {"type": "str", "choices": ["stress-ng", "none"], "default": "stress-ng"},
    "limits_us": {"type": "dict", "default": {}},
    "lease": {"type": "int", "default": 300},
    "max_disruption": {"type": "str", "choices": ["none", "stall", "guest", "reboot"], "default": "reboot"},
    "run": {"type": "dict"},
    "seen": {"type": "dict"},
    "results": {"type": "list", "elements": "dict", "default": []},
    "folder": {"type": "path", "default": ""},
    "install": {"type": "bool", "default": False},
    "gate": {"type": "str", "choices": ["physical", "always", "never"], "default": "physical"},
}
REQUIRED = [
    ("state", "started", ["run"]),
    ("state", "polled", ["run", "seen"]),
    ("state", "kept", ["run", "seen"]),
    ("state", "absent", ["run"]),
]


class ActionModule(ActionBase):
    """The action."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Do what one state asks for."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, given = self.validate_argument_spec(argument_spec=SPEC, required_if=REQUIRED)
        options, variables = json.loads(json.dumps(given, default=str)), task_vars or {}  # without the tags that Ansible keeps
        act = {
            "planned": self._plan,
            "started": self._start,
            "polled": self._poll,
            "kept": self._keep,
            "absent": self._remove,
            "judged": self._judge,
        }[options["state"]]
        try:
            check_given(options)
            result.update({"changed": False, **act(options, variables)})
        except LatencyError as error:
            raise AnsibleActionFail(str(error)) from None
        return result

    def _plan(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        self._folder(options, variables)  # before hours of measurement rather than after
        host, inventory, check_mode = variables["inventory_hostname"], variables["groups"]["all"], self._task.check_mode
        platform = None
        if over_ssh(options["guests"], inventory):
            self._task.check_mode = True  # the question ends no measurement
            answer = self._ask({"host": host}, "absent", variables)
            self._task.check_mode = check_mode
            if answer.get("failed"):
                return refused(answer)
            platform = answer.get("platform")
            if not isinstance(platform, dict):
                raise LatencyError(f"{host} did not answer what its guests measure on: platform is {platform!r}")
        return {"runs": plan_runs(str(host), options, inventory, platform, check_mode=check_mode)}

    def _start(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        clock, stamp = time.monotonic(), datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        answer = self._ask(options["run"]["arguments"], "started", variables)
        if answer.get("failed"):
            lacks = lacking(options["run"], answer) if options["install"] else []
            return to_install(answer, lacks) if lacks else refused(answer)
        return {**begun(answer, clock, stamp, check_mode=self._task.check_mode), "lacks": []}

    def _poll(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Ask how far a run is; one that has ended is not asked again, and its result stays that of its end."""
        if options["seen"]["finished"]:
            return {key: options["seen"].get(key) for key in ("finished", "summary", "result", "own")}
        answer = self._ask(options["run"]["arguments"], "polled", variables)
        return refused(answer) if answer.get("failed") else progress(options["run"], options["seen"], answer, time.monotonic())

    def _keep(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Write a result below the host's folder; the name is the time at which the controller started the run."""
        refuse_facts_as_variables(variables, "rt_latency_results")
        found = result_of(options["run"], options["seen"])
        text = _text_of(found, options["run"])
        folder = self._folder(options, variables)
        name = free_name(folder, options["seen"]["own"]["stamp"], ".json")
        if not self._task.check_mode:
            try:
                write_files(folder, {name: text})
            except OSError as error:
                raise AnsibleActionFail(f"rt_latency_results: {folder} cannot be written: {error.strerror or error}") from None
        results = [*options["results"], found]
        return {
            "changed": True,
            "file": os.path.join(folder, name),
            "summary": options["seen"]["summary"],
            "results": results,
            "verdicts": verdicts(results),
        }

    def _folder(self, options: dict[str, Any], variables: dict[str, Any]) -> str:
        """Return the folder of the host's results; ``LatencyError`` where it cannot be found or written."""
        try:
            base = results_folder(options["folder"] or "", variables, "latency", "rt_latency_results")
        except ValueError as error:
            raise LatencyError(str(error)) from None
        try:
            folder = folder_of(base, variables["inventory_hostname"])
        except ValueError as error:
            raise LatencyError(f"rt_latency_results: {error}") from None
        if why := why_unwritable(folder):
            raise LatencyError(f"rt_latency_results: {folder} cannot be written: {why}")
        return folder

    def _remove(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        answer = self._ask(options["run"]["arguments"], "absent", variables)
        return refused(answer) if answer.get("failed") else {}

    def _judge(self, options: dict[str, Any], _variables: dict[str, Any]) -> dict[str, Any]:
        if reasons := complaints(options["results"], options["gate"]):
            raise LatencyError("; ".join(reasons))
        return {}

    def _ask(self, arguments: Mapping[str, Any], state: str, variables: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(
            module_name="realtime.kvm.rt_latency", module_args={**arguments, "state": state}, task_vars=variables
        )
        return answer


def _text_of(found: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """Return a result as its file holds it; ``LatencyError`` for one that the report could not read."""
    text = json.dumps(found, sort_keys=True) + "\n"
    try:
        decode(text)
    except AnswerError as error:
        raise LatencyError(f"{run['machine']} answered no result of {run['label']}: {error}") from None
    return text
