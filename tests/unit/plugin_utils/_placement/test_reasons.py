# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a guest has no host: what is true, and a change that helps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.model import Options
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.placing import place_guests
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.reasons import Reasons
from unit.placing import OFFICE, apart, host, together, wish

RACKS = [host(name, 1, 5, domains={"rack": "r1"}) for name in ("a", "b")]


def reasons(hosts, wishes, rules=(), **options):
    placed = place_guests(hosts, wishes, rules, Options(**options))
    found = Reasons(placed.fleet, placed.left)
    return {left.name: found.of(left) for left in placed.left}


@pytest.mark.parametrize(
    ("hosts", "asked", "text", "change"),
    [
        ([host("a", drained=True)], wish("g"), "no host can have it: a: the host is drained", "end the drain of a"),
        ([host("a")], wish("g", networks=[OFFICE]), "a: it has no network office", "give a the network that it lacks"),
        ([host("a"), host("b", drained=True)], wish("g", hosts=["b"]), "b: the host is drained", "end the drain of b"),
        ([host("a")], wish("g", devices=["fpga"]), "a: it has no device fpga", "realtime_place_devices of a"),
        ([], wish("g"), "no host can have it: there is none", "add a host"),
        ([host("a", 1, 5)], wish("g", 6), "asks for 6 realtime cores and 1024 MiB on one NUMA node, more than any host", "with vcpus 4 it fits on a node 0"),
        ([host("a", 2, 5)], wish("g", 6), "the most are 4 free realtime cores (a node 0)", "with numa: spread it fits on a"),
        ([host("a", 1, 5, memory=2048)], wish("g", 2, 4096), "the most are 4 free realtime cores", "with memory_mib 2048 it fits on a node 0"),
        ([host("a", 2, 5, memory=1024)], wish("g", 2, 1024, numa_node=7), "it has no NUMA node 7", "give the guest another numa_node"),
    ],
)  # fmt: skip
def test_guests_that_no_empty_host_could_have(hosts, asked, text, change):
    found = reasons(hosts, [asked])["g"]
    assert text in found.text
    assert change in found.change
    assert found.certain


def test_a_full_fleet_says_what_it_lacks():
    found = reasons([host("a", 1, 5), host("b", 1, 5)], [wish(f"g{number}", 3) for number in range(3)])
    (reason,) = found.values()
    assert (
        "nearest to that is a node 0, which lacks 2 cores. All guests without a host ask for 3 realtime cores, and 2 are free"
        in reason.text
    )
    assert reason.certain
    assert "2 cores more on a node 0" in reason.change


def test_pieces_that_are_too_small_are_counted_by_size():
    found = reasons([host("a", 2, 4), host("b", 2, 4)], [wish(f"g{number}", 2) for number in range(5)])
    (reason,) = found.values()
    assert "5 guests ask for 2 or more cores on one NUMA node, and all NUMA nodes together have room for 4" in reason.text
    assert reason.certain


def test_what_is_not_proven_is_not_called_so():
    one = replace(host("a", 1, 9), drained=False)
    found = reasons([one, host("b", 1, 5)], [wish("small", 2, home="a"), wish("big", 8)], moves="none")
    assert not found["big"].certain
    assert "none was found with the work" in found["big"].text
    assert "realtime_place_moves: needed" in found["big"].change


@pytest.mark.parametrize(
    ("hosts", "rule", "text", "certain"),
    [
        (RACKS, apart("x", "y", "z"), "allows 1 of its 3 guests in one host, and all 2 that could have it have one", True),
        (RACKS, apart("x", "y", "z", by="rack", most=2), "allows 2 of its 3 guests in one rack", True),
        ([host("a"), host("b")], apart("x", "y", "z", by="rack"), "no host that could have it has rack in realtime_place_domains", True),
    ],
)  # fmt: skip
def test_rules_that_keep_a_guest_out(hosts, rule, text, certain):
    found = reasons(hosts, [wish("x"), wish("y"), wish("z")], [rule])
    reason = found[min(found)]
    assert text in reason.text
    assert reason.certain is certain
    assert reason.change


def test_mates_that_do_not_fit_together():
    found = reasons([host("a", 1, 5), host("b", 1, 5)], [wish("x", 3), wish("y", 3)], [together("x", "y")])
    (reason,) = found.values()
    assert "keeps it with" in reason.text
    assert not reason.certain


def test_floating_guests_without_cpus_to_float_on():
    found = reasons([host("a", 1, 5)], [wish("v", 5, realtime=False)])
    assert "asks for 5 vCPUs on shared CPUs" in found["v"].text
    assert "with vcpus 4 it fits on a" in found["v"].change


@pytest.mark.parametrize(
    ("asked", "change"),
    [
        (wish("big", 12), "with vcpus 4 it fits on a node 0"),
        (wish("big", 4, 99999), "with memory_mib 8192 it fits on a node 0"),
        (wish("big", 5, numa_node=0), "with vcpus 4 it fits on a node 0"),
        (wish("big", 12, 10000), "add a larger host"),
    ],
)
def test_a_change_of_the_guest_is_tried_on_hosts_as_they_are(asked, change):
    found = reasons([host("a", 1, 9, memory=16384)], [wish("plc", 4, 8192, home="a", fixed=True), asked])
    assert found["big"].change.startswith(change)


def test_a_change_that_the_node_s_planner_refuses_is_not_named():
    found = reasons([host("a", 2, 5, memory=2048)], [wish("g", 6, 4096, home=""), wish("x", 2, 1024, home="a", fixed=True)])
    assert "spread" not in found["g"].change


def test_rules_are_named_as_they_hold():
    hosts = [host("a", 1, 9), host("b", 1, 5)]
    there = [wish("g1", 2, home="a"), wish("x", 4, home="b", fixed=True)]
    found = reasons(hosts, [*there, wish("g2", 2), wish("g3", 2)], [apart("g1", "g2", "g3")])
    for reason in found.values():
        assert reason.text == "rule apart keeps it from each host that has room for it"
        assert not reason.certain
    rules = [apart("g", "g1", name="one"), apart("g", "x", name="two")]
    there[1] = wish("x", 2, home="b", fixed=True)
    found = reasons(hosts, [*there, wish("g", 2)], rules, moves="none")
    assert found["g"].text == "rules one, two together keep it from each host that could have it now"
