# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_progress: shows how far a run in batches is. It runs on the controller and makes no connection."""

from __future__ import annotations

import time
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.realtime.kvm.plugins.plugin_utils._hosts import plain_data
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.progress import progress_lines
from ansible_collections.realtime.kvm.plugins.plugin_utils._show import show

SPEC = {
    "nodes": {"type": "list", "elements": "str", "required": True},
    "batch": {"type": "list", "elements": "str", "required": True},
    "serial": {"type": "list", "elements": "str", "required": True},
    "forks": {"type": "int", "default": 5},
    "started": {"type": "float"},
}


class ActionModule(ActionBase):
    """The action."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Show the batch and what is left, and return when the first batch began."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=SPEC)
        options = plain_data(options)
        now = time.time()
        started = now if options["started"] is None else options["started"]
        try:
            lines = progress_lines(options["nodes"], options["batch"], options["serial"], options["forks"], now - started)
        except (ValueError, IndexError) as error:
            raise AnsibleActionFail(f"rt_progress: {error}") from None
        result.update(changed=False, started=started, batch=options["batch"], text=show(lines))
        return result
