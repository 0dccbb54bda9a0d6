# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The traits of hosts and their physical networks."""

from __future__ import annotations

import re

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.traits import KVM_TRAIT, physnet_trait, physnet_traits


@pytest.mark.parametrize(
    ("name", "trait"),
    [
        ("rt0", "CUSTOM_REALTIME_PHYSNET_RT0"),
        ("Plant-North.2", "CUSTOM_REALTIME_PHYSNET_PLANT_NORTH_2"),
        ("rt_0", "CUSTOM_REALTIME_PHYSNET_RT_0"),
        ("über", "CUSTOM_REALTIME_PHYSNET__BER"),
    ],
)
def test_trait_of_a_physical_network(name, trait):
    assert physnet_trait(name) == trait


def test_traits_are_what_placement_accepts():
    for trait in (KVM_TRAIT, physnet_trait("a" * 64), physnet_trait("ß é\n1")):
        assert re.fullmatch(r"CUSTOM_[A-Z0-9_]+", trait)
        assert len(trait) <= 255


def test_traits_in_order_of_names():
    assert list(physnet_traits(["rt1", "rt0", "rt1"]).items()) == [
        ("rt0", "CUSTOM_REALTIME_PHYSNET_RT0"),
        ("rt1", "CUSTOM_REALTIME_PHYSNET_RT1"),
    ]
    assert physnet_traits([]) == {}


@pytest.mark.parametrize("names", [("rt-0", "rt_0"), ("rt0", "RT0"), ("a.b", "c", "a-b")])
def test_two_names_with_one_trait_are_refused_by_both_names(names):
    with pytest.raises(ValueError, match="have the same trait") as caught:
        physnet_traits(names)
    assert isinstance(caught.value, RefusalError)
    assert names[0] in str(caught.value)
    assert names[-1] in str(caught.value)
    assert "rename one" in str(caught.value)
