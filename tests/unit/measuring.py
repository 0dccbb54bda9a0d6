# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-ins for what cannot be relied on here: tools that print what real ones printed, and an agent that runs commands on this machine."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._latency import job as _latency_job
from ansible_collections.realtime.kvm.plugins.module_utils._latency import machine as _latency_machine

#: Takes as long as requested (or until FAKE_END exists), ends at once when asked to, and prints what cyclictest 2.4 prints (CPU 0, calm unless FAKE_MAX).
CYCLICTEST = r"""#!/bin/sh
[ "$1" = --help ] && { echo 'cyclictest V 2.40'; [ -n "$FAKE_TEXT" ] || echo '--json=FILENAME'; exit 0; }
[ -n "$FAKE_ERROR" ] && { echo "$FAKE_ERROR" >&2; exit 1; }
while [ $# -gt 0 ]; do
  case $1 in -D) duration=$2;; --json=*) record=${1#*=};; esac
  shift
done
if [ -n "$FAKE_END" ]; then
  while [ ! -e "$FAKE_END" ]; do sleep 0.1; done & child=$!
else
  sleep "$duration" & child=$!
fi
trap 'kill $child; exit 130' INT TERM
wait $child
cycles=$((duration * 5000 - 10)) max=${FAKE_MAX:-9}
if [ -n "$record" ]; then
  echo '{"thread": {"0": {"histogram": {"3": '$cycles'}, "cycles": '$cycles', "min": 3, "avg": 3.5, "max": '$max', "cpu": 0}}}' >"$record"
else
  printf '000003 %06d\n# Total: %09d\n# Min Latencies: 00003\n' $cycles $cycles
  printf '# Avg Latencies: 00003\n# Max Latencies: %05d\n# Histogram Overflows: 00000\n' $max
fi
"""

STRESS = """#!/bin/sh
[ -n "$FAKE_LOAD_ENDS" ] && exit 1
exec sleep 300
"""


def install(folder: Path, **programs: str) -> None:
    """Write programs into a folder of the search path."""
    folder.mkdir(exist_ok=True)
    for name, text in programs.items():
        path = folder / name.replace("_", "-")
        path.write_text(text)
        path.chmod(0o755)


def use_folder(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let measurements keep their files below a folder instead of /run."""
    for module in (_latency_job, _latency_machine):
        monkeypatch.setattr(module, "DIRECTORY", str(folder))


def processes(folder: Path) -> list[str]:
    """The command lines of processes whose working directory is the measurement's: all that belongs to it."""
    return [line for entry in Path("/proc").glob("[0-9]*") if (line := _command_line(entry, folder))]


def _command_line(entry: Path, folder: Path) -> str:
    try:
        inside = os.readlink(entry / "cwd").partition(" ")[0] == str(folder)
        return (entry / "cmdline").read_text().replace("\0", " ").strip() if inside else ""
    except OSError:  # it has ended meanwhile
        return ""


class FakeAgent:
    """The QEMU guest agent as libvirt passes it on; it runs commands on this machine."""

    def __init__(self, disabled=()):
        self.disabled = disabled
        self.done = {}
        self.commands = []

    def __call__(self, question: str) -> str:
        question = json.loads(question)
        name, arguments = question["execute"], question.get("arguments", {})
        return json.dumps({"return": getattr(self, name.replace("-", "_"))(arguments)})

    def guest_ping(self, _arguments):
        return {}

    def guest_info(self, _arguments):
        known = ("guest-ping", "guest-exec", "guest-exec-status")
        return {
            "version": "8.2.0",
            "supported_commands": [{"name": name, "enabled": name not in self.disabled} for name in known],
        }

    def guest_exec(self, arguments):
        command = [arguments["path"], *arguments["arg"]]
        self.commands.append(command)
        stdin = base64.b64decode(arguments.get("input-data", ""))
        self.done[len(self.commands)] = subprocess.run(command, input=stdin, capture_output=True, timeout=30, check=False)
        return {"pid": len(self.commands)}

    def guest_exec_status(self, arguments):
        done = self.done.pop(arguments["pid"])
        told = {"out-data": done.stdout, "err-data": done.stderr}
        encoded = {key: base64.b64encode(value).decode() for key, value in told.items() if value}
        return {"exited": True, "exitcode": done.returncode, **encoded}
