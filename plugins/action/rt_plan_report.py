# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_plan_report: shows the plan of all hosts and writes it to files on the controller. It runs there and makes no connection."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.realtime.kvm.plugins.plugin_utils._artefact import bounded_findings
from ansible_collections.realtime.kvm.plugins.plugin_utils._files import write_files
from ansible_collections.realtime.kvm.plugins.plugin_utils._hosts import plain_data, variables_of
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.known import PLACED
from ansible_collections.realtime.kvm.plugins.plugin_utils._limit import NAME, of_host
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.answer import summary
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.document import Fleet, Node, is_unchanged, plan_document
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.moved import states_of, still_elsewhere
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.page import plan_page
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.picture import planned_map
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.text import plan_lines
from ansible_collections.realtime.kvm.plugins.plugin_utils._project import results_folder
from ansible_collections.realtime.kvm.plugins.plugin_utils._show import show

SPEC = {
    "hosts": {"type": "list", "elements": "str", "required": True},
    "present": {"type": "list", "elements": "str", "required": True},
    "results": {"type": "dict", "required": True},
    "looked_variable": {"type": "str", "required": True},
    "refused_variable": {"type": "str", "required": True},
    "packages_variable": {"type": "str", "required": True},
    "audit_variable": {"type": "str"},
    "folder": {"type": "str"},
    "title": {"type": "str", "default": "Plan"},
}


class ActionModule(ActionBase):
    """The action."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Show the plan, write its files, also in check mode, and return what it comes to."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=SPEC)
        options = plain_data(options)
        given = task_vars or {}
        hostvars = given["hostvars"]
        nodes = {host: _node(hostvars, host, options, self._limit(given, host)) for host in options["hosts"]}
        for host, texts in _elsewhere(hostvars, nodes, given.get("groups", {}).get("realtime_nodes", ())).items():
            nodes[host] = replace(nodes[host], refused=[*nodes[host].refused, *texts])
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        folder = folder_of_files(options["folder"], given)
        document = plan_document(Fleet(nodes, now, options["title"]))
        files = _write(folder, document, nodes) if folder else []
        lines = [*plan_lines(document), "", *summary(document, files)]
        plans = document["nodes"]
        result.update(
            changed=False,
            files=files,
            disruption=document["disruption"],
            at_least=document["at_least"],
            refused=[host for host, plan in plans.items() if plan["refused"] or (plan["lost"] and not _unreachable(nodes[host]))],
            unchanged=[host for host, plan in plans.items() if is_unchanged(plan)],
            due={host: plan["due"] for host, plan in plans.items()},
            text=show(lines),
        )
        if sound := _sound(hostvars, result["unchanged"], options):
            result["ansible_stats"] = {"data": {"realtime_drift": sound}, "per_host": False, "aggregate": True}
        return result

    def _limit(self, given: Mapping[str, Any], host: str) -> str:
        try:
            return of_host(given, host, self._task, self._loader)
        except ValueError:
            return str(given["hostvars"][host].get(NAME))  # the plan refuses it, with those of the other nodes


def _node(hostvars: Any, host: str, options: Mapping[str, Any], limit: str) -> Node:
    """Return what a host has answered; what was not asked counts as skipped."""
    variables = variables_of(hostvars, host)
    results = {}
    for layer, name in options["results"].items():
        found = plain_data(variables.get(name))
        results[layer] = found if isinstance(found, Mapping) else {"skipped": True}
    refused = plain_data(variables.get(options["refused_variable"])) or []
    return Node(
        results,
        packages=plain_data(variables.get(options["packages_variable"])) or [],
        refused=[str(text) for text in refused],
        lost="" if host in options["present"] else _lost(plain_data(variables.get(options["looked_variable"]))),
        limit=limit,
        looked=variables.get("__realtime_looked") is True,
    )


def _sound(hostvars: Any, unchanged: Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the artefact's entries of nodes that the look has audited, and that nothing compares again: nothing is found on them."""
    found: dict[str, Any] = {}
    for host in unchanged if options["audit_variable"] else ():
        audit = plain_data(variables_of(hostvars, host).get(options["audit_variable"]))
        if isinstance(audit, Mapping) and audit.get("findings") == [] and not hostvars[host].get("openstack_cloud_name"):
            found.update(bounded_findings([], len(options["hosts"]), host))
    return found


def _elsewhere(hostvars: Any, nodes: Mapping[str, Node], everyone: Collection[str]) -> dict[str, list[str]]:
    """Return refusals of guests that place moves to a host while another one may have them."""
    results = {host: node.results.get("guests", {}).get("defined") for host, node in nodes.items() if not node.lost}
    defined = {host: [str(name) for name in found] for host, found in results.items() if isinstance(found, list)}
    placed = [host for host in defined if PLACED in variables_of(hostvars, host)]
    if not placed:
        return {}
    listed = {host: states_of(variables_of(hostvars, host).get("realtime_guests")) for host in {*everyone, *nodes}}
    return still_elsewhere(placed, listed, defined)


UNREACHABLE = "it cannot be reached, and nothing was planned"


def _lost(looked: Any) -> str:
    unreachable = isinstance(looked, Mapping) and looked.get("unreachable")
    return UNREACHABLE if unreachable else "it was lost while it was planned, see above"


def _unreachable(node: Node) -> bool:
    return node.lost == UNREACHABLE


def folder_of_files(given: str | None, variables: Mapping[str, Any]) -> str:
    """Return the folder of the files; an empty text, where it is given, means none."""
    if given == "":
        return ""
    try:
        return results_folder(os.path.expanduser(given or ""), variables, "plan", "realtime_plan_folder")
    except ValueError as error:
        raise AnsibleActionFail(f'{error}, or to "" to write no files. Nothing was changed on any node') from None


def _write(folder: str, document: Mapping[str, Any], nodes: Mapping[str, Node]) -> list[str]:
    """Write page and JSON, and return their paths; their names do not depend on any answer."""
    maps = {host: planned_map(host, node.results, document["nodes"][host]) for host, node in nodes.items()}
    texts = {"plan.html": plan_page(document, maps), "plan.json": json.dumps(document, indent=1) + "\n"}
    try:
        write_files(folder, texts)
    except OSError as error:
        raise AnsibleActionFail(
            f"realtime_plan_folder: {folder} cannot be written: {error.strerror or error}. Nothing was changed on any node; name another folder, "
            'or give "" to write no files'
        ) from None
    return [os.path.join(folder, name) for name in texts]
