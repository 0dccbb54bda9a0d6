# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs programs and playbooks with a log for the curious, and turns the events of a playbook into steps and lines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import textwrap
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .progress import WIDTH, Progress

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
_INTERVAL_S = 0.5

BATCH = "Bring the nodes to their plan, a batch at a time"
#: Which step a playbook is in: by playbook, play, and the role or name of a task; an empty text fits all. The first that fits counts.
MARKS = (
    ("create.yml", "", "Unpack QEMU", "qemu"),
    ("create.yml", "", "Create a folder for the build", "image"),
    ("create.yml", "", "Boot the node for the first time", "boot"),
    ("create.yml", "", "Start the node unless it runs", "boot"),
    ("guests.yml", "", "", "disks"),
    ("site.yml", "Plan the nodes", "", "plan"),
    ("site.yml", BATCH, "cpu_partition", "sets"),
    ("site.yml", BATCH, "kvm_host", "host"),
    ("site.yml", BATCH, "Boot | Reboot", "reboot"),  # only where one is needed
    ("site.yml", BATCH, "rt_kernel", "kernel"),
    ("site.yml", BATCH, "ovs_dpdk", "switch"),
    ("site.yml", BATCH, "rt_guest", "guests"),
    ("site.yml", BATCH, "rt_verify", "verify"),
    ("site.yml", "Compare the nodes with their partition files", "", "verify"),
    ("report.yml", "", "", "report"),
)
#: The playbooks whose own words a person reads.
SPOKEN = ("site.yml", "try.yml")
#: The collection breaks its own lines at 120 columns.
SPOKEN_WIDTH = 123


class StopError(Exception):
    """The run ends here; the lines say why. ``log`` has more, if a program has failed."""

    def __init__(self, lines: Iterable[str], log: Path | None = None) -> None:
        super().__init__()
        self.lines = list(lines)
        self.log = log


def wrapped(text: str, indent: str = "   ", width: int = WIDTH) -> list[str]:
    """Return a text in lines of at most ``width`` columns; lines that are a table stay as they are."""
    lines: list[str] = []
    for line in text.splitlines() or [""]:
        if len(indent + line) <= width or "  " in line.strip():
            lines.append(indent + line)
        else:
            lines += textwrap.wrap(
                line, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
            )
    return lines


class Reader:
    """Follows the events of one playbook."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.playbook = self.play = ""
        self.failures: list[str] = []
        self.files: list[str] = []
        self.changed = 0

    def take(self, event: Mapping[str, Any]) -> None:
        """Take one event."""
        kind = event["event"]
        if kind == "playbook":
            self.playbook = event["name"]
        elif kind == "play":
            self.play = event["name"]
        elif kind == "task":
            self._move(event["name"], event["role"])
        elif kind == "ok":
            self._tell(event)
        elif kind in ("failed", "unreachable"):
            self.failures.append(failure(event))

    def _move(self, name: str, role: str) -> None:
        for playbook, play, task, step in MARKS:
            if playbook == self.playbook and play in ("", self.play) and task in ("", role, name):
                self.progress.begin(step)
                return

    def _tell(self, event: Mapping[str, Any]) -> None:
        self.changed += event["changed"] and self.playbook == "site.yml"
        if event["action"] == "rt_report":
            self.files = list(event["files"])
        if event["action"] == "debug" and self.playbook in SPOKEN and event["msg"]:
            message = event["msg"]
            text = "\n".join(map(str, message)) if isinstance(message, list) else str(message)
            self.progress.say(["", *wrapped(text, width=SPOKEN_WIDTH), ""])


def failure(event: Mapping[str, Any]) -> str:
    """Return what failed, in words."""
    message = event["msg"]
    text = "\n".join(map(str, message)) if isinstance(message, list) else str(message)
    errors = event["stderr"].strip()
    if errors and "non-zero return code" in text:
        text = ""
    return "\n".join(filter(None, [f"{event['host']}: {event['name']}:", text, errors]))


def run_playbook(progress: Progress, log: Path, path: Path, arguments: Sequence[str]) -> Reader:
    """Run a playbook; a failure raises ``StopError`` with the reason."""
    reader = Reader(progress)
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder) / "events"
        events.touch()
        environment = {
            **os.environ,
            "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback_plugins"),
            "ANSIBLE_CALLBACKS_ENABLED": "progress_events",
            "ANSIBLE_LOCALHOST_WARNING": "0",
            "ANSIBLE_NOCOLOR": "1",
            "PROGRESS_EVENTS": str(events),
        }
        with events.open(encoding="utf-8") as stream:
            rest = ""

            def look() -> None:
                nonlocal rest
                *lines, rest = (rest + stream.read()).split("\n")
                for line in lines:
                    reader.take(json.loads(line))

            code = run(progress, log, ["ansible-playbook", *arguments, str(path)], environment, look)
    if code:
        reasons = reader.failures[-3:] or log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        raise StopError([line for reason in reasons for line in wrapped(reason)], log)
    return reader


def run(
    progress: Progress, log: Path, command: Sequence[str], environment: Mapping[str, str] | None = None, look: Any = lambda: None
) -> int:
    """Run a program whose output goes to the log; return its exit status. Interrupted, it ends with all that it started."""
    with log.open("ab") as output:
        output.write(f"\n$ {' '.join(command)}\n".encode())
        output.flush()
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            try:
                while process.poll() is None:
                    time.sleep(_INTERVAL_S)
                    look()
                    progress.tick()
            except BaseException:
                os.killpg(process.pid, signal.SIGTERM)
                raise
            look()
            return process.returncode
