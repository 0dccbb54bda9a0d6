# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Poll-mode threads and queues in a real ovs-vswitchd: upstream's own table (tests/pmd.at), the rules that our assignment relies on.

The table is of Open vSwitch's main branch of 2026; every expectation replayed here holds for 3.1 as well.
"""

from __future__ import annotations

import json
import re
import shlex

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._audit.switch import parse_placement
from captures import folder
from conformance.switches import DummySwitch, needs_switch, parse_queues

pytestmark = needs_switch

EXPECTATIONS = folder("ovs") / "pmd-tests.json"

P0 = "add-port br0 p0 -- set Interface p0 type=dummy-pmd"
P1 = "add-port br0 p1 -- set Interface p1 type=dummy-pmd"
P2 = "add-port br0 p2 -- set Interface p2"
MASK = "set Open_vSwitch . other_config:pmd-cpu-mask"
#: Of each of upstream's tests that our code relies on: processors and first ports (which the table leaves out), and before how many
#: of its commands each expectation is checked.
REPLAYS = {
    "creating a thread/add-port": ("0,0,0,0", P0, [0]),
    "multiqueue support": ("0,0,0,0", P0, [1]),
    "pmd-cpu-mask/distribution of rx queues": ("0,0,0,0", f"{P0} options:n_rxq=8", [0, 2, 3, 4, 5]),
    "pmd-cpu-mask - dual NUMA": (
        "1,1,0,0",
        f"{P0} options:n_rxq=8 options:numa_id=1 -- {MASK}=1",
        [0, 1, 2, 3, 4, 5, 6, 7, 8],
    ),
    "reconfigure n_rxq": ("0", f"{P1} options:n_rxq=2 -- {P2} type=dummy-pmd", [0, 1]),
    "change numa node": ("0,1,8", f"{P1} options:n_rxq=2 -- {P2} type=dummy-pmd options:n_rxq=2 -- {MASK}=7", [0, 1, 2]),
    "non pmd device": ("0,0", f"{P1} options:n_rxq=1 -- {P2} type=dummy -- {MASK}=1", [0, 1]),
    "add remove ports": ("0,0", "", [1]),
    "rxq affinity": ("0,0,0,0,0,0,0,0,0", "", [2, 3, 4, 5, 7]),
    "rxq affinity - non-isolate": ("0,0,0,0,0,0,0,0,0", "", [2, 3, 4, 7, 8, 9]),
    "rxq affinity - NUMA": ("0,0,0,1,1,8,8", "", [2, 3, 4, 5, 6, 7, 8]),
}
#: Upstream's tests that our code does not touch, and why.
NOT_REPLAYED = {
    "pmd-cpu-mask - multi NUMA": "has no expected queues in the table",
    "stats": "counters",
    "pmd-rxq-show pmd usage time": "usage figures, not the assignment",
    "same flow multiple threads": "flow installation",
    "monitor threads": "BFD",
    "dpctl": "another command",
    "pmd sleep": "log lines; the key is pmd-maxsleep before Open vSwitch 3.2",
    "per PMD sleep": "log lines; needs Open vSwitch 3.3",
    "revalidator modify overlapping flows": "flow installation",
}


def table():
    return {item["test"].removeprefix("PMD - "): item for item in json.loads(EXPECTATIONS.read_text())["tests"]}


def as_expected(expected: str, shown: str) -> str:
    """What the daemon shows, in the form of an expectation: as it is, or as upstream's awk and cut reduce it."""
    if expected.startswith("Displaying"):
        if "<cleared>" in expected:
            shown = re.sub(r"(numa_id )\d+( core_id )\d+:", r"\1<cleared>\2<cleared>:", shown)
        return shown.strip()
    rows = parse_queues(shown)
    if expected.startswith("port:"):
        threads: dict[int, list[str]] = {}
        for port, queue, _numa, core in rows:
            threads.setdefault(core, [f"port: {port} queue-id:"]).append(str(queue))
        return "\n".join(sorted(" ".join(words) for words in threads.values()))
    fields = len(expected.splitlines()[0].split())
    return "\n".join(" ".join(map(str, row[:fields])) for row in rows)


def test_every_test_of_upstream_is_replayed_or_not_for_a_reason():
    assert sorted(table()) == sorted([*REPLAYS, *NOT_REPLAYED])


@pytest.mark.parametrize("name", REPLAYS)
def test_upstream_expectations(short_folder, name):
    numa, setup, checks = REPLAYS[name]
    case = table()[name]
    assert case["dummy_numa"] in (None, numa)
    assert len(checks) == len(case["rxq_show_expected"])
    switch = DummySwitch(short_folder, numa).start()
    try:
        switch.vsctl(
            *shlex.split(f"add-br br0 -- set Bridge br0 datapath_type=dummy fail-mode=secure {'-- ' if setup else ''}{setup}")
        )
        done = 0
        for number, expected in zip(checks, case["rxq_show_expected"]):
            for command in case["vsctl"][done:number]:
                switch.vsctl(*shlex.split(command))
            done = number
            text = switch.appctl("dpif-netdev/pmd-rxq-show")
            assert as_expected(expected, text) == expected, f"after {case['vsctl'][:done]}"
            # the audit's reader, held against the tests' own
            assert parse_placement(text) == {(port, queue): core for port, queue, _numa, core in parse_queues(text)}
    finally:
        switch.stop_all()
