# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables of Nova and Neutron that the controller knows to be wrong."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.guests import Later
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.openstack import Physnets, physnets_of, wrong_values


def wrong(limit=1, **given):
    return list(wrong_values(given.get, limit))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"nova_compute_priority": 1},
        {"nova_compute_priority": "1"},
        {"nova_compute_priority": Later("{{ x }}")},
        {"nova_compute_priority": "high"},
        {"nova_compute_hugepages_reserve": {"2M": 64, "1G": 1024}},
        {"nova_compute_hugepages_reserve": Later("{{ x }}")},
        {"nova_compute_hugepages_reserve": {"2M": "{{ x }}"}},
    ],
)
def test_what_is_right_or_not_known_yet(given):
    assert wrong(**given) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"nova_compute_priority": 0}, "nova_compute_priority: 0 is not in 1-99"),
        ({"nova_compute_priority": "2"}, "nova_compute_priority: 2 is not below the kernel's own threads"),
        ({"nova_compute_hugepages_reserve": {"4M": 4}}, "nova_compute_hugepages_reserve: '4M' is not a page size"),
        ({"nova_compute_hugepages_reserve": {"1G": 512}}, "nova_compute_hugepages_reserve: 1G: 512 is no multiple of 1024 MiB"),
    ],
)
def test_what_is_wrong(given, said):
    (text,) = wrong(**given)
    assert text.startswith(said)


def test_the_limit_counts():
    assert wrong(3, nova_compute_priority=3) == []


@pytest.mark.parametrize("networks", [None, "x", Later("{{ x }}"), [Later("{{ x }}")], [{"name": "N"}], [{"name": "a"}]])
def test_networks_that_are_none_or_not_known(networks):
    assert physnets_of(networks) == []


def test_a_trait_belongs_to_one_name_in_the_whole_inventory():
    names = physnets_of([{"name": "a", "physical_network": "rt-0"}, {"name": "b", "physical_network": "rt1", "state": "absent"}])
    assert names == ["rt-0"]
    physnets = Physnets()
    assert physnets.clash("kvm1", names) == ""
    assert physnets.clash("kvm2", names) == ""
    assert physnets.clash("kvm3", ["rt1", "rt_0"]).endswith("(rt-0 is of kvm1)")
    assert "rt_1 and rt-1" not in physnets.clash("kvm4", ["rt2"])


def test_two_names_of_one_host():
    said = Physnets().clash("kvm1", ["rt-0", "rt_0"])
    assert "have the same trait" in said
    assert "is of" not in said
