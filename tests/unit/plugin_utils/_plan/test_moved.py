# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No guest enters a host while the one that it leaves may have it."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.moved import states_of, still_elsewhere

LISTED = {"old": {"plc1": "absent"}, "new": {"plc1": "", "plc2": "running"}}


@pytest.mark.parametrize(
    ("defined", "why"),
    [
        ({"old": ["plc1"], "new": []}, "old, which it leaves, still has it"),
        ({"old": ["plc1"], "new": ["plc1"]}, "old, which it leaves, still has it"),
        ({"new": []}, "it may still be on old, which it leaves: this run has not asked old"),
        ({"new": ["plc1"]}, ""),
        ({"old": [], "new": []}, ""),
        ({"old": ["plc1"]}, ""),
    ],
)
def test_a_guest_that_may_be_on_its_old_host(defined, why):
    found = still_elsewhere(["new", "old"], LISTED, defined)
    assert list(found) == (["new"] if why else [])
    assert all(text.startswith(f"realtime_guests: plc1: {why}") for texts in found.values() for text in texts)


def test_only_lists_that_place_has_written_and_hosts_of_the_inventory_count():
    assert not still_elsewhere(["old"], LISTED, {"new": []})
    assert not still_elsewhere(["new"], {"new": LISTED["new"]}, {"new": []})


def test_a_list_is_read_as_far_as_it_is_written_out():
    assert states_of([{"name": "a"}, {"name": "b", "state": "absent"}, "{{ x }}", {}]) == {"a": "", "b": "absent"}
    assert states_of("{{ x }}") == {}
