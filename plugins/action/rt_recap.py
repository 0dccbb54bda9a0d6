# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_recap: shows what a run has come to. It runs on the controller and makes no connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.realtime.kvm.plugins.module_utils._tables import bounded
from ansible_collections.realtime.kvm.plugins.plugin_utils._hosts import plain_data, variables_of
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.answer import answer
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.document import Fleet, Node, plan_document
from ansible_collections.realtime.kvm.plugins.plugin_utils._show import show

SPEC = {
    "states": {"type": "dict", "required": True},
    "results": {"type": "dict", "default": {}},
    "planned": {"type": "bool", "default": True},
}


class ActionModule(ActionBase):
    """The action."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Show the answer and return it."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=SPEC)
        options = plain_data(options)
        if not options["planned"]:
            raise AnsibleActionFail(
                "This run has planned no node, since --start-at-task, --step, --tags or --skip-tags has left that out. Run the playbook from its beginning"
            )
        hostvars = (task_vars or {})["hostvars"]
        nodes = {host: Node(_results(variables_of(hostvars, host), options["results"])) for host in options["states"]}
        lines = answer({host: bounded([text])[0] for host, text in options["states"].items()}, plan_document(Fleet(nodes)))
        result.update(changed=False, text=show(lines))
        return result


def _results(variables: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    found = {layer: plain_data(variables.get(name)) for layer, name in names.items()}
    return {layer: value for layer, value in found.items() if isinstance(value, Mapping)}
