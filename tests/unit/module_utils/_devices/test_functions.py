# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PCI functions: their addresses, and what they are."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._devices.functions import Function, is_address, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0000:41:00.0", "0000:41:00.0"), ("41:00.0", "0000:41:00.0"), (" 0000:AF:1F.7 ", "0000:af:1f.7"), ("10000:01:00.0", "10000:01:00.0"),
        ("ens1f0", ""), ("0000:41:00.8", ""), ("0000:41:20.0", ""), ("0000:41:00", ""), ("../0000:41:00.0", ""), ("", ""), ("0000:41:00.0\n/", ""),
    ],
)  # fmt: skip
def test_addresses(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["41:00.0", "0000:41:00.0/..", "*", "0000:4?:00.0"])
def test_what_is_no_address_of_sys(text):
    assert not is_address(text)


@pytest.mark.parametrize(
    ("address", "offset", "stride", "wanted"),
    [
        ("0000:01:00.0", 128, 2, ["0000:01:10.0", "0000:01:10.2", "0000:01:10.4", "0000:01:10.6", "0000:01:11.0"]),  # igb (82576)
        ("0000:01:00.1", 128, 2, ["0000:01:10.1", "0000:01:10.3"]),
        ("0000:3b:00.0", 16, 1, ["0000:3b:02.0", "0000:3b:02.1"]),  # i40e
        ("0000:3b:00.0", 256, 1, ["0000:3c:00.0"]),  # on the next bus
    ],
)
def test_where_virtual_functions_will_be(address, offset, stride, wanted):
    function = Function(address, offset=offset, stride=stride)
    assert [function.virtual_address(number) for number in range(len(wanted))] == wanted


def test_virtual_functions_that_are_there_have_their_own_address():
    function = Function("0000:01:00.0", offset=128, stride=2, virtual=("0000:01:12.0",))
    assert [function.virtual_address(0), function.virtual_address(1)] == ["0000:01:12.0", "0000:01:10.2"]


def test_kinds():
    assert (Function("a", "0x060400").bridge, Function("a", "0x020000").network, Function("a", "0x010802").network) == (
        True,
        True,
        False,
    )
