# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_report: writes the nodes' results to files on the controller. It runs there and makes no connection."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import MOST_TEXT, AnswerError, decode
from ansible_collections.realtime.kvm.plugins.plugin_utils._facts import refuse_facts_as_variables
from ansible_collections.realtime.kvm.plugins.plugin_utils._hosts import plain_data, variables_of
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.model import PlacementError
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.plan_file import MOST_TEXT as MOST_PLAN
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.plan_file import PLAN, from_yaml
from ansible_collections.realtime.kvm.plugins.plugin_utils._project import lost_with_container, results_folder
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.answer import report_answer
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.aside import write_report
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.files import accounting_document, csv_rows
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.latency import check_result
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.page import render_page
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.view import (
    Books,
    Input,
    account_fleet,
    report_view,
)

SPEC = {
    "hosts": {"type": "list", "elements": "str", "required": True},
    "node_variable": {"type": "str", "required": True},
    "verify_variable": {"type": "str", "required": True},
    "firmware_variable": {"type": "str"},
    "folder": {"type": "path", "default": ""},
    "latency_folder": {"type": "path", "default": ""},
    "placement": {"type": "str", "default": ""},
    "placement_folder": {"type": "str", "default": ""},
    "title": {"type": "str", "default": "Real-time nodes"},
}
LOST = (
    "rt_report_folder: {folder} is inside the execution environment and vanishes with it. Set rt_report_folder to a folder below a path that AWX exposes to "
    "isolated jobs; the artefact realtime_report has the nodes' states"
)
ASIDE = (
    "rt_report_folder: {folder} held a report of nodes that this inventory does not have, as another slice of a job writes it; it is now {names}. Do not "
    "slice the report, so that one page shows all nodes"
)
#: Values of ``placement`` that are no file's name: not drawn, and drawn where place has written it.
_NOT_DRAWN, _AS_FOUND = ("none", "false", "no"), ("", "true", "yes")


class ActionModule(ActionBase):
    """The action."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Write the report's files and return their summary."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=SPEC)
        refuse_facts_as_variables(task_vars or {}, "rt_report_folder")
        try:
            folder = results_folder(options["folder"] or "", task_vars or {}, "report", "rt_report_folder")
            latency = results_folder(options["latency_folder"] or "", task_vars or {}, "latency", "rt_report_latency_folder")
            plan = plan_path(options["placement"] or "", options["placement_folder"] or "", task_vars or {})
        except ValueError as error:
            raise AnsibleActionFail(str(error)) from None
        hostvars = (task_vars or {})["hostvars"]
        nodes = {host: _node(hostvars, host, options) for host in plain_data(options["hosts"])}
        results, rejected = read_results(latency)
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        placement = read_plan(plan) if plan else None
        given = Input(nodes, now, results, rejected, options["title"], placement)
        books = account_fleet(nodes)
        view = report_view(given, books)
        texts = {"report.html": render_page(view), "accounting.json": _json(given, books), "accounting.csv": _csv(books)}
        files = [os.path.join(folder, name) for name in texts]
        warnings = [LOST.format(folder=folder)] if lost_with_container(folder) else []
        if not self._task.check_mode:
            try:
                if aside := write_report(folder, texts, (task_vars or {})["groups"]["all"]):
                    warnings.append(ASIDE.format(folder=folder, names=", ".join(aside)))
            except OSError as error:
                raise AnsibleActionFail(f"rt_report_folder: {folder} cannot be written: {error.strerror or error}") from None
        if warnings:
            result["warnings"] = warnings
        states = {node["host"]: {"state": node["state"], "reason": node["reason"]} for node in view["nodes"]}
        result.update(
            changed=True,
            files=files,
            nodes=states,
            summary=report_answer(view, files),
            findings=view["totals"]["findings"],
            rejected=view["rejected"],
            placement={key: view["placement"][key] for key in ("file", "refusal")} if view["placement"] else {},
        )
        return result


def _node(hostvars: Any, host: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a host's data; a host that was never read has none."""
    variables = variables_of(hostvars, host)
    read, verified = (plain_data(variables.get(options[name])) for name in ("node_variable", "verify_variable"))
    read = read if isinstance(read, Mapping) else {}
    node: dict[str, Any] = {"info": read.get("node"), "unreachable": bool(read.get("unreachable")), "error": _reason(read)}
    if options["firmware_variable"]:
        node["firmware"] = plain_data(variables.get(options["firmware_variable"]))
    if isinstance(verified, Mapping) and not verified.get("skipped"):
        node["verify"] = (
            verified if "findings" in verified else {"error": _reason(verified) or "it was not compared with its partition file"}
        )
    return node


def _reason(result: Mapping[str, Any]) -> str:
    return str(result.get("msg") or "").removeprefix("Task failed: ")


def read_results(folder: str) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Return the stored latency results below a folder, and the other files with the reason; no file is changed."""
    results: list[dict[str, Any]] = []
    rejected: list[dict[str, str]] = []
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if not name.endswith(".json") or name.startswith("."):
                continue
            path = os.path.join(parent, name)
            data, reason = _read(path)
            if reason:
                rejected.append({"file": os.path.relpath(path, folder), "reason": reason})
            else:
                results.append(data)
    return results, rejected


def plan_path(given: str, folder: str, variables: Mapping[str, Any]) -> str:
    """Return the file of the plan of place that is drawn, an empty text where none is: none was asked for, or place has written none.

    ``ValueError`` where a relative file is given and the project's folder cannot be found.
    """
    if given.lower() in _NOT_DRAWN:
        return ""
    if given.lower() not in _AS_FOUND:
        return results_folder(os.path.expanduser(given), variables, "place", "rt_report_placement")
    try:
        path = os.path.join(results_folder(os.path.expanduser(folder), variables, "place", "realtime_place_folder"), PLAN)
    except ValueError:
        return ""  # place could not have written there either
    return path if os.path.lexists(path) else ""


def read_plan(path: str) -> dict[str, Any]:
    """Return a plan with its file, or why it is not used; no file is changed."""
    found: dict[str, Any] = {"file": path, "plan": None, "refusal": ""}
    if not os.path.isfile(path):
        there = "it is no file" if os.path.lexists(path) else "it does not exist"
        return {**found, "refusal": f"{there}; run place, or set rt_report_placement"}
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read(MOST_PLAN + 1)
        if len(text) > MOST_PLAN:
            return {**found, "refusal": f"it has more than {MOST_PLAN} characters, as no plan has"}
        return {**found, "plan": from_yaml(text, os.path.basename(path))}
    except OSError as error:
        return {**found, "refusal": f"it cannot be read: {error.strerror}"}
    except UnicodeDecodeError:
        return {**found, "refusal": "it is no text in UTF-8; run place again"}
    except PlacementError as error:
        return {**found, "refusal": str(error)}


def _read(path: str) -> tuple[Any, str]:
    try:
        with open(path, "rb") as stream:
            data = decode(stream.read(MOST_TEXT + 1))
    except OSError as error:
        return None, f"it cannot be read: {error.strerror}"
    except AnswerError as error:
        return None, str(error)
    return data, check_result(data)


def _json(given: Input, books: Books) -> str:
    return json.dumps(accounting_document(given, books)) + "\n"


def _csv(books: Books) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\r\n").writerows(csv_rows(books))
    return stream.getvalue()
