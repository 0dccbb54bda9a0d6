# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells demo/run.py how far a playbook is: a JSON line per play, task and result, to the file that PROGRESS_EVENTS names."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: progress_events
type: notification
short_description: Report the progress of a playbook to make demo and make try
description: Private to them.
"""


class CallbackModule(CallbackBase):
    """See above."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "progress_events"

    def __init__(self):
        super().__init__()
        self.stream = open(os.environ["PROGRESS_EVENTS"], "a", encoding="utf-8")  # noqa: SIM115 (open as long as the run)

    def v2_playbook_on_start(self, playbook):
        self._write(event="playbook", name=Path(playbook._file_name).name)

    def v2_playbook_on_play_start(self, play):
        self._write(event="play", name=play.get_name().strip())

    def v2_playbook_on_task_start(self, task, is_conditional):
        self._write(event="task", name=task.name, role=task._role.get_name(include_role_fqcn=False) if task._role else "")

    def v2_runner_on_ok(self, result):
        self._result("ok", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._result("ignored" if ignore_errors else "failed", result)

    def v2_runner_on_unreachable(self, result):
        self._result("unreachable", result)

    def _result(self, event, result):
        data = result.result
        self._write(
            event=event,
            host=result.host.get_name(),
            name=result.task.name,
            action=result.task.action.rpartition(".")[2],
            changed=bool(data.get("changed")),
            msg=data.get("msg", ""),
            files=data.get("files") or [],
            stderr=str(data.get("stderr", ""))[-2000:],
        )

    def _write(self, **line):
        self.stream.write(json.dumps(line, default=str) + "\n")
        self.stream.flush()
