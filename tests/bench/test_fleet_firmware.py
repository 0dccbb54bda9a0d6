# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a report of the firmware of two hundred nodes takes, whose BMCs need 200 ms for each answer.

The BMCs are stand-ins in this process (bmc/replay.py): they take their part of the machine's CPUs, real ones would not. They serve
the largest capture there is, or a small made machine where the captures are not here.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import yaml
from bmc.captures import load
from bmc.replay import PASSWORD, USER, Bmc, make_certificate

ROOT = Path(__file__).resolve().parents[2]
NODES, DELAY, LIMIT = 200, 0.2, 60


def test_fleet_report(tmp_path):
    addresses = [f"127.0.1.{number}" for number in range(1, NODES + 1)]
    certificate = make_certificate(tmp_path, addresses=addresses)
    bmc = Bmc(load("hpe"), certificate, "0.0.0.0")
    bmc.machine.delay = DELAY
    inventory = tmp_path / "hosts.yml"
    hosts = {f"node{number}": {"bios_address": f"{address}:{bmc.port}"} for number, address in enumerate(addresses, 1)}
    shared = {"bios_username": USER, "bios_password": PASSWORD, "bios_ca_file": str(certificate), "ansible_host": "192.0.2.1"}
    inventory.write_text(yaml.safe_dump({"realtime_nodes": {"hosts": hosts, "vars": shared}}))
    begin = time.monotonic()
    command = [sys.executable, "-m", "ansible.cli.playbook", "-i", str(inventory), "playbooks/bios.yml"]
    environment = {**os.environ, "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false", "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections")}
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - begin
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    bmc.close()
    assert answer.returncode == 0, answer.stdout[-4000:]
    assert len(re.findall(r"^node\d+ .*failed=0", answer.stdout, re.MULTILINE)) == NODES
    print(
        f"\n{NODES} BMCs, {DELAY * 1000:.0f} ms an answer, {len(bmc.machine.requests) / NODES:.1f} requests each: {seconds:.0f} s, "
        f"{spent.ru_utime + spent.ru_stime:.0f} s of CPU"
    )
    assert seconds < LIMIT
