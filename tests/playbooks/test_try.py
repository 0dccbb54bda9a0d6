# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make try` on this machine: plans, a refusal and the report of captured servers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_make_try_plans_refuses_and_reports():
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
    }
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    command = [sys.executable, "-m", "demo.run", "try"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for words in (
        "Five modules of a real run plan CPU sets, interrupts, huge pages, kernel arguments and guests",
        "xeon: CPU sets, interrupts, huge pages, kernel arguments and guests",
        "made it real-time already",
        "not counted: the boot loader's files and the kernel that boots next",
        "running kernel and arguments",
        "2M on node 0",
        "80 CPUs, 40 cores, 2 packages, 2 NUMA nodes",
        "isolcpus=managed_irq,domain,",
        "domain plc1",
        "opteron: the CPU sets (no guest is asked for)",
        "hybrid: the CPU sets (no guest is asked for)",
        "plc3 asks for 20 realtime CPUs",
        "results/try/report.html",
        "make demo",
    ):
        assert words in " ".join(done.stdout.split()), words
    assert not re.search(r"^ *none +\d+ +", done.stdout, re.MULTILINE), "a plain none, although the boot is not counted"
    assert "TASK [" not in done.stdout
    accounting = json.loads((ROOT / "results" / "try" / "accounting.json").read_text(encoding="utf-8"))
    assert {name: node["state"] for name, node in accounting["nodes"].items()} == dict.fromkeys(
        ("hybrid", "opteron", "xeon"), "captured"
    )
    assert (ROOT / "results" / "try" / "report.html").stat().st_size > 100_000
