# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that stand for the inside of a guest: what is wrong with their place is known before anybody is asked."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import parse_guests
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.guest_os import DERIVED, Inside, Insides


def listed(*items):
    return parse_guests([{"memory_mib": 64, **item} for item in items], {}, site="", priority_limit=1)


GUESTS = {
    "node1": listed(
        {"name": "plc1", "vcpus": 4, "realtime_vcpus": "1-3"},
        {"name": "plain"},
        {"name": "win", "vcpus": 2, "realtime_vcpus": "1", "guest_os": "windows"},
        {"name": "all", "vcpus": 3, "realtime_vcpus": "0-1"},
        {"name": "moved", "state": "absent"},
    ),
    "node2": listed({"name": "moved", "vcpus": 2, "realtime_vcpus": "1"}),
}
MEMBERS = ("plc1", "plc2", "plain", "win", "all", "moved")


def wrong(host="plc1", node="node1", guest="", given=(), unknown=()):
    insides = Insides(("node1", "node2", "both"), MEMBERS, GUESTS, unknown)
    return list(insides.wrong(Inside(host, node, guest or host, given)))


@pytest.mark.parametrize(
    "inside",
    [
        {},
        {"given": ("guest_os_idle", "cpu_partition_isolation", "rt_kernel_nohz_full")},
        {"host": "other", "guest": "plc1"},
        {"host": "moved", "node": "node2"},
        {"host": "who", "unknown": ("node1",)},
    ],
)
def test_what_is_right_or_not_known_yet(inside):
    assert wrong(**inside) == []


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        (
            {"node": ""},
            "guest_os_node is not given: name the host of realtime_nodes on which guest plc1 runs; it is in the list of node1",
        ),
        ({"host": "who", "node": ""}, "on which guest who runs; no list of the inventory has it"),
        ({"node": "node9"}, "guest_os_node: node9 is no host of realtime_nodes; it is in the list of node1"),
        (
            {"node": "plc2"},
            "guest_os_node: plc2 is itself the inside of a guest (realtime_guest_os); guests of guests are not set up",
        ),
        ({"host": "both"}, "it is in realtime_nodes and in realtime_guest_os; a node has no definition in a list"),
        ({"node": "node2"}, "guest_os_node: the list of node2 has no guest plc1, but moved; set guest_os_node: node1"),
        (
            {"host": "who"},
            "guest_os_node: the list of node1 has no guest who, but all, moved, plain, plc1, win; correct guest_os_guest",
        ),
        ({"host": "moved"}, "guest_os_node: the list of node1 has it as absent; set guest_os_node: node2"),
        (
            {"host": "plain"},
            "realtime_guests of node1: plain has no real-time vCPU, so its inside needs no partition; give it realtime_vcpus there",
        ),
        ({"host": "win"}, "realtime_guests of node1: win: guest_os windows: only the inside of a Linux guest can be set up"),
        ({"host": "all"}, "realtime_guests of node1: all: realtime_vcpus 0-1 holds vCPU 0, which boots the guest's Linux"),
        (
            {"given": ("cpu_partition_cpus",)},
            "cpu_partition_cpus: the definition of guest plc1 in the list of its node decides the CPU sets",
        ),
        (
            {"given": ("realtime_guests",)},
            "realtime_guests: this host is the inside of a guest (realtime_guest_os), which has no guests of its own",
        ),
    ],
)
def test_each_mistake_is_told_with_what_would_work(inside, said):
    (text,) = wrong(**inside)
    assert said in text


def test_a_guest_has_one_host():
    insides = Insides(("node1",), MEMBERS, GUESTS)
    assert list(insides.wrong(Inside("plc1", "node1", "plc1"))) == []
    (text,) = insides.wrong(Inside("plc2", "node1", "plc1"))
    assert text == "guest_os_guest: plc1 of node1 is also what plc1 stands for; a guest has one host in realtime_guest_os"


def test_no_variable_that_lists_cpus_is_forgotten():
    assert "cpu_partition_cpus" in DERIVED
    assert len(set(DERIVED)) == len(DERIVED)
