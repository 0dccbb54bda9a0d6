# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts a guest could be on, and why not on the others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import Scheduler
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import Network
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Existing
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.reach import kind_of, obstacle
from unit.placing import OFFICE, host, wish

CONTROL = Network("control", "br-control")
CELL = Network("cell", "br-cell", datapath="bridge")


@pytest.mark.parametrize(
    ("asked", "one", "text"),
    [
        (wish("g"), host("h"), ""),
        (wish("g"), host("h", refusal="broken"), "broken"),
        (wish("g"), host("h", drained=True), "the host is drained"),
        (wish("g", home="k", fixed=True), host("h"), "it stays where it is (placement.movable: false)"),
        (wish("g", hosts=["k"]), host("h"), "it is not among the guest's hosts"),
        (wish("g", devices=["fpga", "card"]), host("h", devices={"card": 1}), "it has no device fpga"),
        (wish("g", networks=[OFFICE]), host("h"), "it has no network office"),
        (wish("g", networks=[OFFICE]), host("h", networks={"office": OFFICE}), ""),
        (wish("g", networks=[OFFICE]), host("h", networks={"office": replace(OFFICE, state="absent")}), "it has no network office"),
        (wish("g", networks=[CONTROL]), host("h", networks={"control": CONTROL}), "it has no dataplane CPUs to poll real-time network control"),
        (wish("g", networks=[CONTROL]), host("h", dataplane=1, networks={"control": CONTROL}), ""),
        (wish("g", networks=[CELL]), host("h", networks={"cell": CELL}), ""),  # the kernel serves it
        (wish("g", schedulers={1: Scheduler("fifo", 5)}), host("h"), "its realtime_priority_limit 1 is below the guest's priority 5"),
        (wish("g", 3, siblings="realtime"), host("h", 1, 5, 2), "its cores have 2 threads, which siblings: realtime"),
        (wish("g", numa_node=1), host("h"), "it has no NUMA node 1"),
        (wish("g", realtime=False, numa_node=1), host("h", 2, 5), ""),
        (wish("g"), host("h", existing=(Existing("g", False),)), "a domain of its name is there that this collection did not make"),
        (wish("g", adopt=True), host("h", existing=(Existing("g", False),)), ""),
    ],
)  # fmt: skip
def test_obstacles(asked, one, text):
    found = obstacle(asked, one)
    assert found.startswith(text)
    assert bool(found) == bool(text)


def test_guests_of_one_kind_share_their_hosts():
    assert kind_of(wish("a", 2, networks=[OFFICE])) == kind_of(wish("b", 8, networks=[OFFICE]))
    assert kind_of(wish("a", hosts=["h"])) != kind_of(wish("a"))
    assert kind_of(wish("a", home="h", fixed=True)) != kind_of(wish("a", home="h"))
