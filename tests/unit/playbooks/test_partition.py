# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/partition.yml refuses what it cannot do before it looks at any node."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("isolation", [None, "boot"])
def test_isolation_that_needs_a_boot_is_refused(tmp_path, isolation):
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("realtime_nodes:\n  hosts: {node1: {ansible_host: 192.0.2.1}, node2: {ansible_host: 192.0.2.1}}\n")
    command = [sys.executable, "-m", "ansible.cli.playbook", "-i", str(inventory), str(ROOT / "playbooks" / "partition.yml")]
    if isolation:
        command += ["-e", f"cpu_partition_isolation={isolation}"]
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_HOME": str(tmp_path),
    }
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2
    assert "node1: cpu_partition_isolation is boot, which takes effect at a boot; set it to runtime" in said
    assert "unreachable=0" in said
    assert "Traceback" not in said
