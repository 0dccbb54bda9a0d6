# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The map of a node: its sets, guests and poll-mode threads, each on its CPU."""

from __future__ import annotations

import re

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.accounting import Account
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.map import CELL, WIDTH, cpu_map, segments, short
from unit.fleets import foreign, node_info
from unit.pages import SPECS, page_of


def test_guests_and_sets_are_drawn_on_their_cpus_with_letters():
    info = node_info("n1", SPECS)
    info["guests"].append(foreign("legacy", [3]))
    text = page_of({"n1": {"info": info, "verify": {"findings": []}}})
    assert "<title>CPU 3: realtime; plc1, vCPU 0; legacy, vCPU 0; per second" in text
    assert "2 users!" in text
    assert "<title>CPU 1: dataplane; PMD, pmd-c01/id:1;" in text
    for letter in "HDRS":
        assert re.search(rf'class="letter" x="10" y="[\d.]+">{letter}</text>', text)


def drawn(info):
    """The threads of a map by CPU."""
    sockets = cpu_map(Account("n1", info))
    return {
        thread["cpu"]: thread
        for socket in sockets
        for node in socket["nodes"]
        for core in node["cores"]
        for thread in core["threads"]
    }


def test_every_cpu_is_drawn_once_in_its_node():
    info = node_info("n1", SPECS)
    sockets = cpu_map(Account("n1", info))
    assert [[node["cpus"] for node in socket["nodes"]] for socket in sockets] == [
        [cpus] for cpus in info["topology"]["nodes"].values()
    ]
    threads = drawn(info)
    assert sorted(threads) == [int(cpu) for cpu in sorted(info["topology"]["cpus"], key=int)]
    assert {thread["y"] for thread in threads.values()} == {0, CELL}
    assert cpu_map(Account("n1", {**info, "topology": None})) == []


@pytest.mark.parametrize(
    ("load", "rate", "words"),
    [
        (None, "", "interrupts unknown"),
        ({"devices": 12, "ticks": 3, "others": 4}, "", "since boot 12 device interrupts, 3 timer ticks, 4 others"),
        (
            {"devices_per_s": 0, "ticks_per_s": 250, "others_per_s": 0},
            "",
            "per second 0 device interrupts, 250 timer ticks, 0 others",
        ),
        ({"devices_per_s": 1, "ticks_per_s": 0, "others_per_s": 0.5}, "1.5/s", "per second 1 device interrupts"),
        ({"devices_per_s": 40, "ticks_per_s": 0, "others_per_s": 2}, "42/s", "2 others"),
        ({"devices_per_s": 2000, "ticks_per_s": 0, "others_per_s": 0}, "2.0k/s", "per second 2000 device interrupts"),
    ],
)
def test_the_load_of_a_cpu(load, rate, words):
    info = node_info("n1", [])
    info["interrupts"] = {"load": {} if load is None else {"3": load}}
    thread = drawn(info)[3]
    assert (thread["rate"], bool(thread["bar"])) == (rate, bool(rate))
    assert words in thread["title"]


def test_no_load_is_wider_than_its_cell():
    info = node_info("n1", [])
    info["interrupts"] = {"load": {"3": {"devices_per_s": 10**9, "ticks_per_s": 0, "others_per_s": 0}}}
    assert drawn(info)[3]["bar"] == WIDTH - 22


@pytest.mark.parametrize(("text", "shown"), [("plc1", "plc1"), ("a" * 15, "a" * 15), ("a" * 16, "a" * 14 + "\u2026")])
def test_long_names_are_cut(text, shown):
    assert short(text) == shown


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        ([], []),
        ([("a", 0)], []),
        ([("a", 1), ("b", 0), ("c", 3)], [("a", 0, 75.0), ("c", 75.0, 225.0)]),
    ],
)
def test_a_bar_is_filled_from_left_to_right(parts, found):
    assert [(one["name"], one["x"], one["width"]) for one in segments(parts)] == found
