# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""bios_baseline_info on the controller without a separate process, which would be most of its cost in a large fleet.

Elsewhere the module of the same name runs. Both are the same code.
"""

from __future__ import annotations

from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.plugins.action import ActionBase
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import printed
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import Planner
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import carry_out, failure
from ansible_collections.realtime.kvm.plugins.module_utils._module.bios_baseline import (
    INFO_ARGUMENTS,
    FirmwareEdges,
    run_info,
    secrets_of,
    shown,
)


class ActionModule(ActionBase):
    """See the module's docstring."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        if self._connection.transport != "local" or self._play_context.become:
            result.update(self._execute_module(task_vars=task_vars))
            return result
        validated = ArgumentSpecValidator(INFO_ARGUMENTS).validate(self._task.args)
        secrets = secrets_of(validated.validated_parameters)
        if validated.error_messages:
            found = {"failed": True, "changed": False, "msg": "; ".join(validated.error_messages)}
        else:
            found = _look(validated.validated_parameters)
        result.update(remove_values(found, secrets))
        return result


def _look(parameters: dict[str, Any]) -> dict[str, Any]:
    edges = FirmwareEdges(Planner(check_mode=True))
    try:
        found = carry_out(edges, run_info, parameters)
    except RefusalError as error:
        found = {"failed": True, **failure(edges.planner, "bios", error)}
    return {**shown(parameters), **found, "warnings": [printed(note) for note in edges.planner.notes]}
