# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which guest gets which function: what it has stays, the lowest free one is new, and what cannot be is said."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._devices.choice import DeviceError, Held, Wish, choose
from ansible_collections.realtime.kvm.plugins.module_utils._devices.functions import Function
from unit.functions import NIC, vf

PF = Function(NIC, "0x020000", "igb", interfaces=("ens1f0",), total=7, offset=128, stride=2)


def wish(guest, address="", mac=""):
    return Wish(guest, address, "" if address else NIC, address or "a VF of ens1f0", mac)


def chosen(*wishes, present=None, taken=None, count=4):
    return choose(wishes, present or {}, taken or {}, {NIC: PF}, {NIC: count})


def test_new_guests_get_the_lowest_free_functions():
    assert chosen(wish("a"), wish("b"), wish("a")) == [vf(0), vf(1), vf(2)]
    assert chosen(wish("a"), wish("b"), taken={vf(0): "domain theirs"}) == [vf(1), vf(2)]
    assert chosen(wish("a"), wish("b", vf(0))) == [vf(1), vf(0)]


def test_guests_keep_what_they_have():
    present = {"b": [Held(vf(0), "52:54:00:00:00:0b")], "a": [Held(vf(3), "52:54:00:00:00:0a")]}
    for order in itertools.permutations([wish("a"), wish("b"), wish("c")]):
        found = dict(zip([item.guest for item in order], chosen(*order, present=present)))
        assert found == {"a": vf(3), "b": vf(0), "c": vf(1)}


def test_a_function_stays_with_the_entry_of_its_mac():
    one, two = "52:54:00:00:00:01", "52:54:00:00:00:02"
    present = {"a": [Held(vf(1), one), Held(vf(2), two)]}
    assert chosen(wish("a", mac=two), wish("a", mac=one), present=present) == [vf(2), vf(1)]
    assert chosen(wish("a", mac=two), present=present) == [vf(2)]
    assert chosen(wish("a", mac="52:54:00:00:00:09"), present=present) == [vf(1)]  # with another MAC


def test_a_function_that_is_there_no_more_is_replaced():
    assert chosen(wish("a"), present={"a": [Held(vf(3))]}, count=2) == [vf(0)]


def test_of_two_guests_with_one_function_the_first_keeps_it():
    assert chosen(wish("a"), wish("b"), present={"a": [Held(vf(2))], "b": [Held(vf(2))]}) == [vf(2), vf(0)]


def test_a_function_that_its_guest_has_from_somebody_else_is_the_one_of_its_list():
    assert chosen(wish("a"), wish("b"), present={"a": [Held(vf(0))]}, taken={vf(0): "a"}) == [vf(0), vf(1)]


@pytest.mark.parametrize(
    ("wishes", "more", "said"),
    [
        ([wish("a", "0000:02:00.0"), wish("b", "0000:02:00.0")], {}, "realtime_guests: b: device 0000:02:00.0 is that of a; a device has one guest"),
        ([wish("a", "0000:02:00.0")], {"taken": {"0000:02:00.0": "domain theirs"}}, "realtime_guests: a: device 0000:02:00.0 is that of domain theirs;"),
        ([wish("a")] * 3, {"count": 2}, "a: a VF of ens1f0: ens1f0 has 2 virtual functions, which a use; set kvm_host_virtual_functions: {ens1f0: 3},"),
        ([wish("a")], {"count": 0}, "ens1f0 has 0 virtual functions; set kvm_host_virtual_functions: {ens1f0: 1}, and run the kvm_host role"),
        ([wish("a")] * 2, {"count": 2, "taken": {vf(0): "domain x"}}, "which a, domain x use; set kvm_host_virtual_functions: {ens1f0: 3},"),
        ([wish("a")] * 8, {"count": 7}, "8 virtual functions of ens1f0 are asked for, and it can have at most 7; take it from a guest"),
    ],
)  # fmt: skip
def test_refusals(wishes, more, said):
    with pytest.raises(DeviceError) as error:
        chosen(*wishes, **more)
    assert said in str(error.value)


def test_a_function_without_sr_iov():
    with pytest.raises(DeviceError, match=r"ens1f0 has no virtual functions .no SR-IOV.; give the guest the function itself"):
        choose([wish("a")], {}, {}, {NIC: Function(NIC, interfaces=("ens1f0",))}, {NIC: 0})
