# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a whole inventory may have once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import Attachment, Guest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import derive_uuid
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import Network
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.identities import Identities, Owner

CONTROL = Network("control", "br-control")


def guest(name, *macs, state="running", uuid=None, adopt=False, xml=""):
    return SimpleNamespace(
        name=name,
        state=state,
        uuid=uuid,
        adopt=adopt,
        xml=xml,
        devices=(),
        networks=tuple(Attachment(CONTROL, mac, 1) for mac in macs),
    )


def clashes(*owners):
    identities = Identities()
    return [found for owner in owners for found in identities.clashes(owner)]


def owner(host, *guests, **options):
    return Owner(host, guests, **options)


NAME = (
    "so both would have the same UUID and MACs; give one another name, or, where it has moved, state: absent on the old node "
    "(realtime_site tells guests of two plants apart)"
)
UUID = "4c4b2f5e-8d0c-4d0e-9a53-6f2d1f3c7a10"


def test_different_guests_are_fine():
    assert clashes(owner("a", guest("x", "52:54:00:00:00:01")), owner("b", guest("y", "52:54:00:00:00:02", uuid=UUID))) == []


def test_guests_as_they_are_now_are_accepted():
    assert clashes(owner("a", Guest("x")), owner("b", Guest("y"))) == []


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (guest("plc1"), guest("plc1"), f"realtime_guests: plc1: a has a guest of this name too, {NAME}"),
        (
            guest("x", "52:54:00:00:00:0a"),
            guest("y", "52:54:00:00:00:0a"),
            "realtime_guests: y: MAC 52:54:00:00:00:0a is also that of x on a",
        ),
        (
            guest("x", "52:54:00:00:00:0a"),
            guest("y", "52:54:00:00:00:0A"),
            "realtime_guests: y: MAC 52:54:00:00:00:0A is also that of x on a",
        ),
        (guest("x", uuid=UUID), guest("y", uuid=UUID.upper()), f"realtime_guests: y: uuid {UUID.upper()} is also that of x on a"),
    ],
)
def test_the_later_host_is_told(first, second, said):
    assert clashes(owner("a", first), owner("b", second)) == [("b", said)]


@pytest.mark.parametrize("both", [False, True])
def test_macs_in_xml_count(both):
    xml = "<domain><devices><interface type='network'><mac address='52:54:00:00:00:0A'/><alias name='ua-a'/></interface></devices></domain>"
    first = guest("x", xml=xml) if both else guest("x", "52:54:00:00:00:0a")
    said = "realtime_guests: y: MAC 52:54:00:00:00:0a is also that of x on a"
    assert clashes(owner("a", first), owner("b", guest("y", xml=xml))) == [("b", said)]


def test_a_given_uuid_may_not_be_one_that_is_derived_from_a_name():
    derived = derive_uuid("n", "plc1")
    new, other = guest("plc1"), guest("other", uuid=derived)
    said = f"realtime_guests: other: uuid {derived} is also that of plc1 on a"
    assert clashes(owner("a", new, site="n"), owner("b", other, site="n")) == [("b", said)]
    said = f"realtime_guests: plc1: uuid {derived}, derived from its name, is also that of other on a"
    assert clashes(owner("a", other, site="s"), owner("b", new, site="n")) == [("b", said)]
    assert clashes(owner("a", guest("plc1", adopt=True), site="n"), owner("b", other, site="n")) == [], "it keeps its domain's"
    assert clashes(owner("a", new, site="s"), owner("b", other, site="n")) == []


def test_one_name_is_told_once_though_all_else_is_the_same_too():
    twin = guest("plc1", "52:54:00:00:00:01", uuid=UUID)
    assert [host for host, _text in clashes(owner("a", twin), owner("b", twin), owner("c", twin))] == ["b", "c"]


def test_a_guest_that_has_moved_is_absent_on_its_old_node():
    here, gone = guest("plc1", "52:54:00:00:00:01", uuid=UUID), guest("plc1", state="absent")
    for owners in (
        [owner("a", gone), owner("b", here)],
        [owner("a", here), owner("b", gone)],
        [owner("a", gone), owner("b", gone)],
    ):
        assert clashes(*owners) == []


def test_two_sites_have_names_of_their_own_but_no_uuid_or_mac():
    assert clashes(owner("a", guest("plc1"), site="north"), owner("b", guest("plc1"), site="south")) == []
    north, south = (guest("plc1", "52:54:00:00:00:01", uuid=UUID) for _site in range(2))
    found = clashes(owner("a", north, site="north"), owner("b", south, site="south"))
    assert [text.split(" ")[2] for _host, text in found] == ["uuid", "MAC"]


@pytest.mark.parametrize(
    ("first", "second", "told"), [(True, True, "b"), (False, True, "b"), (True, False, "a"), (False, False, None)]
)
def test_a_host_of_the_run_is_told(first, second, told):
    found = clashes(owner("a", guest("plc1"), asked=first), owner("b", guest("plc1"), asked=second))
    assert [host for host, _text in found] == ([told] if told else [])
    assert all({"a": "b has", "b": "a has"}[told] in text for _host, text in found)


def test_guests_of_one_host_are_compared_elsewhere():
    assert clashes(owner("a", guest("x", "52:54:00:00:00:01"), guest("y", "52:54:00:00:00:01"))) == []
