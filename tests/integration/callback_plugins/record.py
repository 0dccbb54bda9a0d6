# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what a playbook run did, a JSON line per task and host; can end the run like a power cut between two tasks.

RECORD_FILE names the file. RECORD_KILL_AT=N sends SIGKILL to the whole run when its Nth task is about to start.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: record
type: notification
short_description: Record task results for the integration tests
description: Private to the tests.
"""


class CallbackModule(CallbackBase):
    """See above."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "record"

    def __init__(self):
        super().__init__()
        self.record = Path(os.environ["RECORD_FILE"])
        self.kill_at = int(os.environ.get("RECORD_KILL_AT", "0"))
        self.started = 0

    def v2_playbook_on_task_start(self, task, is_conditional):
        self.started += 1
        self._write({"event": "start", "task": task.get_name(), "number": self.started})
        if self.started == self.kill_at:
            os.killpg(0, signal.SIGKILL)

    def v2_runner_on_ok(self, result):
        self._result("ok", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._result("failed", result)

    def v2_runner_on_unreachable(self, result):
        self._result("unreachable", result)

    def _result(self, event, result):
        data = result.result
        self._write(
            {
                "event": event,
                "host": result.host.get_name(),
                "task": result.task.get_name(),
                "action": result.task.action,
                "changed": bool(data.get("changed")),
                "changes": data.get("changes", []),
                "msg": str(data.get("msg", "")),
                **({"result": data} if os.environ.get("RECORD_RESULTS") else {}),
            }
        )

    def _write(self, line):
        with self.record.open("a") as stream:
            stream.write(json.dumps(line, default=str) + "\n")
