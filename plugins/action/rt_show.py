# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_show: shows lines of text as they are. It runs on the controller and makes no connection."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.realtime.kvm.plugins.module_utils._tables import bounded, paragraph
from ansible_collections.realtime.kvm.plugins.plugin_utils._hosts import plain_data
from ansible_collections.realtime.kvm.plugins.plugin_utils._show import show

SPEC = {"lines": {"type": "list", "elements": "str", "required": True}}


class ActionModule(ActionBase):
    """The action."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Show the lines and return them."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=SPEC)
        lines = [part for line in bounded(plain_data(options["lines"])) for part in paragraph(line)]
        result.update(changed=False, text=show(lines))
        return result
