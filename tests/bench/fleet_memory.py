# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fleet's results cost the control node: `python tests/bench/fleet_memory.py look.json 1000`.

`look.json` is what the module rt_plan has returned of a real node (a debug task with `to_json` shows it). The nodes of this bench are names:
an action in place of the module returns the same answer for each, so no connection is made and no node is needed. All else is the playbook site as it is.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: The most memory in MiB that 1,000 nodes may cost.
MOST = 1024
LOOK = """
import json
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        with open({path!r}) as stream:
            return json.load(stream)
"""


def main(look: str, count: int) -> None:
    """Run site on so many names; print seconds and the largest memory of a process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        collection = folder / "collections" / "ansible_collections" / "realtime" / "kvm"
        collection.mkdir(parents=True)
        for part in ("galaxy.yml", "extensions", "meta", "plugins", "playbooks", "roles"):
            (shutil.copytree if (ROOT / part).is_dir() else shutil.copy)(ROOT / part, collection / part)
        (collection / "plugins" / "action" / "rt_plan.py").write_text(LOOK.format(path=str(Path(look).resolve())))
        hosts = "".join(f"    kvm{number:04d}: {{}}\n" for number in range(count))
        (folder / "hosts.yml").write_text(f"realtime_nodes:\n  hosts:\n{hosts}  vars: {{ansible_connection: local}}\n")
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(folder / "collections"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        }
        command = ["ansible-playbook", "-i", str(folder / "hosts.yml"), "realtime.kvm.site", "-e", "ansible_become=false"]
        began = time.monotonic()
        process = os.spawnvpe(os.P_NOWAIT, command[0], [*command, "-e", f"realtime_plan_folder={folder}/plan"], environment)
        _pid, status, usage = os.wait4(process, 0)
        mib = usage.ru_maxrss // 1024
        print(
            f"{count} nodes: {time.monotonic() - began:.0f} s, {mib} MiB at most in one process, code {os.waitstatus_to_exitcode(status)}"
        )
        if mib > MOST:
            sys.exit(f"more than {MOST} MiB")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
