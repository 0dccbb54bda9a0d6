# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long each change keeps a real-time thread on an isolated CPU from running; makes the table of docs/disruption.md.

    DISRUPTION_TABLE=write python -m pytest tests/integration/test_disruption.py

writes the table again. The node is emulated: its CPUs are threads of this machine and stall whenever this machine is busy. So the figures show
changes apart from one another and from no change, not what hardware would show.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import DISRUPTIONS
from integration.conftest import NODES
from integration.lab import HERE, ROOT, lab, playbook, ssh
from integration.test_guests import GUESTS

NODE = "node1"
pytestmark = pytest.mark.skipif(NODE not in NODES, reason="the guests are those of node1 of the lab (LAB_NODES)")

PAGE = ROOT / "docs" / "disruption.md"
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"
#: Realtime CPUs that no guest has: one to watch on, its neighbour to change.
WATCHED, OTHER = 10, 11
SCRIPT, GAPS = "/run/disturbances.py", "/run/watched"
MODE = {"cpu_partition_isolation": "runtime"}
#: A change of class none may not be told from no change: at most so many times the longest gap without any, or so many ms.
TIMES, LEAST_MS = 4, 100


@pytest.fixture(scope="module", autouse=True)
def _hosting() -> None:
    lab("guests", NODE)
    playbook("site.yml", nodes=NODE, timeout=1500, extra=MODE)
    ssh(NODE, f"cat > {SCRIPT}", stdin=(HERE / "disturbances.py").read_text())


@contextmanager
def watching() -> Iterator[None]:
    """Have the thread wake up on the node."""
    ssh(
        NODE,
        f"setsid rtpart run realtime --cpu {WATCHED} -f 10 -- python3 {SCRIPT} watch {WATCHED} {GAPS} >/dev/null 2>&1 & sleep 3",
    )
    try:
        yield
    finally:
        ssh(NODE, f"pkill -f '[w]atch {WATCHED}'; true")


def gap_of(**extra: object) -> tuple[list[dict], float]:
    """Make a change with the guests playbook; return what changed and the longest gap meanwhile, in ms."""
    since = ssh(NODE, "python3 -c 'import time; print(time.monotonic())'").strip()
    done = playbook("guests.yml", nodes=NODE, extra={**MODE, **extra})
    changes = [change for event in done.events if event.get("changed") for change in event["changes"] or []]
    return changes, float(ssh(NODE, f"python3 {SCRIPT} gap {GAPS} {since}"))


def whole_runs() -> list[list]:
    """Rows of changes that another program makes (libvirt, Open vSwitch): the longest gap while the whole playbook ran."""
    guest = next(item for item in GUESTS if item["name"] == "plc2")
    others = [item for item in GUESTS if item["name"] != "plc2"]
    rows = []

    def row(name: str, expected: str, **extra: object) -> None:
        changes, gap = gap_of(**extra)
        assert any(expected in change["resource"] for change in changes), (name, changes)
        rows.append([name, max((change["disruption"] for change in changes), key=DISRUPTIONS.index), 1, gap])

    with watching():
        changes, gap = gap_of()
        assert changes == []
        rows.append(["a run without changes", "", 1, gap])
        row("a vCPU's policy, on the running guest", "vcpu1 scheduler", realtime_guests=[*others, {**guest, "policy": "rr"}])
        row("and back", "vcpu1 scheduler")
        ssh(NODE, f"virsh vcpupin plc2 1 {OTHER} --config")
        row("a vCPU moves to another CPU", "vcpu1")
        stopped = {**guest, "state": "stopped"}
        row(
            "another guest is switched off",
            "plc2",
            realtime_guests=[*others, stopped],
            rt_guest_force_off=True,
            rt_guest_shutdown_timeout=5,
        )
        row("and starts", "plc2")
        row("poll-mode threads sleep less", "pmd-sleep-max", ovs_dpdk_pmd_sleep_max_us=5000)
        row("and as before", "pmd-sleep-max")
    return rows


def table(rows: list[list]) -> str:
    """Return rows as a table of the page."""
    lines = ["| change | class | times | longest gap, ms |", "|---|---|---|---|"]
    lines += [f"| {name} | {disruption or '-'} | {times} | {gap:.1f} |" for name, disruption, times, gap in rows]
    return "\n".join(lines) + "\n"


def test_no_change_of_class_none_can_be_told_from_no_change() -> None:
    rows = json.loads(ssh(NODE, f"python3 {SCRIPT} measure {WATCHED} {OTHER}", timeout=900))
    runs = whole_runs()
    if os.environ.get("DISRUPTION_TABLE") == "write":
        head, _begin, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(head + BEGIN + table(rows) + "\n" + table(runs) + END + rest.partition(END)[2], encoding="utf-8")
    print(table(rows) + table(runs))
    idle = next(gap for name, _class, _times, gap in rows if name == "nothing")
    assert [row for row in rows if row[1] == "none" and row[3] > max(TIMES * idle, LEAST_MS)] == []
