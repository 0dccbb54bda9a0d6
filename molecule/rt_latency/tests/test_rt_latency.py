# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A measurement ends in a result on the controller and leaves nothing on the node. The figures of an emulated node mean nothing."""

import json
import os
from pathlib import Path

from integration.machine import cpus

ROOT = Path(__file__).resolve().parents[3]
FOLDER = Path(os.environ.get("LAB_DIR") or ROOT / ".lab") / "latency"
NODE = os.environ.get("LAB_NODES", "node1")


def test_the_real_time_cpus_were_measured(host):
    (path,) = (FOLDER / NODE).iterdir()  # check mode wrote none
    run = json.loads(path.read_text())
    partition = json.loads(host.file("/etc/ansible/facts.d/realtime_partition.fact").content_string)
    realtime = sorted(cpus(partition["sets"]["realtime"]["cpus"]))
    assert (run["host"], run["guest"], run["tool"], run["profile"], run["seconds"]) == (NODE, None, "cyclictest", "custom", 5)
    assert run["cpus"] == [row["cpu"] for row in run["per_cpu"]] == realtime
    assert all(row["samples"] > 0 for row in run["per_cpu"])


def test_nothing_is_left_on_the_node(host):
    assert not host.file("/run/realtime-kvm/latency").exists
    assert host.run("pgrep -x 'cyclictest|stress-ng'").rc == 1
