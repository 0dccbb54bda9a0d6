# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts' lists after a plan, and after its first moves."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.applied import guests_by_host, inventory_files, leaving
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.model import PlacementError
from unit.placing import wish

MOVES = [
    {"step": 1, "guest": "ring", "from": "a", "to": "b", "node": 1, "how": "leaves now, and enters at a later step"},
    {"step": 2, "guest": "other", "from": "b", "to": "a", "node": 0, "how": "moves"},
    {"step": 3, "guest": "ring", "from": "a", "to": "b", "node": 1, "how": "enters; it left before"},
]
PLAN = {
    "moves": MOVES,
    "hosts": {"a": {}, "b": {}},
    "guests": [
        {"guest": "new", "host": "a", "node": 0, "change": "new"},
        {"guest": "other", "host": "a", "node": 0, "change": "moves"},
        {"guest": "ring", "host": "b", "node": 1, "change": "moves"},
        {"guest": "stays", "host": "b", "node": None, "change": "stays"},
    ],
}
WISHES = [
    wish("new"),
    wish("other", home="b"),
    wish("ring", home="a"),
    wish("stays", home="b", realtime=False),
    wish("far", home="c"),
]


def names(lists):
    return {
        host: [(entry["name"], entry.get("state"), entry.get("numa_node")) for entry in entries]
        for host, entries in lists.items()
    }


@pytest.mark.parametrize(
    ("steps", "on_a", "on_b"),
    [
        (0, [("ring", None, None)], [("other", None, None), ("stays", None, None)]),
        (3, [("new", None, 0), ("other", None, 0), ("ring", "absent", None)], [("ring", None, 1), ("stays", None, None), ("other", "absent", None)]),
        (None, [("new", None, 0), ("other", None, 0), ("ring", "absent", None)], [("ring", None, 1), ("stays", None, None), ("other", "absent", None)]),
    ],
)  # fmt: skip
def test_the_lists_after_so_many_moves(steps, on_a, on_b):
    assert names(guests_by_host(PLAN, WISHES, {}, steps)) == {"a": on_a, "b": on_b}


def test_entries_that_are_absent_stay_so():
    old = {"a": [{"name": "gone", "state": "absent"}, {"name": "ring", "state": "absent"}, {"name": "x"}]}
    assert ("gone", "absent", None) in names(guests_by_host(PLAN, WISHES, old))["a"]
    assert len([entry for entry in guests_by_host(PLAN, WISHES, old)["a"] if entry["name"] == "ring"]) == 1


@pytest.mark.parametrize("steps", [-1, 4])
def test_more_steps_than_there_are_are_refused(steps):
    with pytest.raises(PlacementError, match=r"realtime_place_steps: -?\d is not in 0-3, the moves of the plan"):
        guests_by_host(PLAN, WISHES, {}, steps)


@pytest.mark.parametrize("steps", [1, 2])
def test_no_plan_ends_while_a_guest_of_a_ring_is_nowhere(steps):
    """No list would have it, and the next plan would not know it."""
    with pytest.raises(PlacementError, match=f"after {steps} ring has left its host and is on no other; choose 0 or 3"):
        guests_by_host(PLAN, WISHES, {}, steps)


def test_a_guest_whose_entry_is_not_in_the_plan_enters_with_the_last_move():
    assert names(guests_by_host({**PLAN, "moves": MOVES[:2]}, WISHES, {}))["b"][0] == ("ring", None, 1)


def test_guests_leave_their_hosts_before_any_enters_one():
    """A chain, a guest that was never on its old host, and one that is on both."""
    lists = {
        "a": [{"name": "one", "state": "absent"}, {"name": "stays"}, {"name": "unborn", "state": "absent"}],
        "b": [{"name": "one"}, {"name": "two", "state": "absent"}, {"name": "gone", "state": "absent"}],
        "c": [{"name": "two"}, {"name": "unborn"}, {"name": "new"}],
    }
    first, out = leaving(lists, {"a": {"one", "stays"}, "b": {"one", "two", "gone"}})
    assert out == {"a": ["one"], "b": ["two"]}
    assert {host: [entry["name"] for entry in entries] for host, entries in first.items()} == {
        "a": ["one", "stays", "unborn"],
        "b": ["two", "gone"],
        "c": [],
    }


def test_files_of_hosts_that_take_no_part_stay():
    old = inventory_files({"far": [{"name": "g"}]})
    files = inventory_files({"a": []}, {"far": old["host_vars/far.yml"]})
    assert files["host_vars/far.yml"] == old["host_vars/far.yml"]
    states = yaml.safe_load(files["hosts.yml"])["realtime_nodes"]["vars"]["realtime_placed_files"]
    assert {host: yaml.safe_load(files[f"host_vars/{host}.yml"])["realtime_placed_file"] for host in states} == states
    assert "realtime_placed_leave: true" in inventory_files({"a": []}, leave=True)["host_vars/a.yml"]


@pytest.mark.parametrize("end", [".yml", ".yaml", ".json"])
def test_hosts_that_share_a_file_are_refused(end):
    with pytest.raises(PlacementError, match=f"hosts b and b{end}: the file of one would be read for both"):
        inventory_files({"a": [], f"b{end}": []}, {"b": ""})


def test_the_inventory_has_a_file_for_each_host():
    """In host_vars, which beat what a hosts.yml says of a host, and those of the inventories before."""
    files = inventory_files({"b": [], "a.example.com": [{"name": "g", "networks": [{"network": "control"}]}]})
    read = {name: yaml.safe_load(text) for name, text in files.items()}
    states = read["hosts.yml"]["realtime_nodes"]["vars"]["realtime_placed_files"]
    assert len(set(states.values())) == 2
    assert {name: text for name, text in read.items() if name != "hosts.yml"} == {
        "host_vars/a.example.com.yml": {
            "realtime_placed_file": states["a.example.com"],
            "realtime_placed": ["g"],
            "realtime_guests": [{"name": "g", "networks": [{"network": "control"}]}],
        },
        "host_vars/b.yml": {"realtime_placed_file": states["b"], "realtime_placed": [], "realtime_guests": []},
    }
    assert yaml.safe_load(inventory_files({})["hosts.yml"]) == {"realtime_nodes": {"vars": {"realtime_placed_files": {}}}}


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", ""])
def test_a_name_that_is_no_files_is_refused(name):
    with pytest.raises(PlacementError, match="cannot name a file of host_vars"):
        inventory_files({name: []})
