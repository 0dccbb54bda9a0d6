# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interfaces that carry a clock and those that cannot; the kernel's own answer for a pair of cables."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._time import nic
from ansible_collections.realtime.kvm.plugins.module_utils._time.nic import Nic, find_nic, read_nic, stamped
from ansible_collections.realtime.kvm.plugins.module_utils._time.wanted import TimeSyncError, Wanted
from unit.clocks import NICS
from unit.trees import fill, writable

NET, PCI = "/sys/class/net", "/sys/bus/pci/devices/0000:41:00.0"


def find(root, interface, used=None, **more):
    return find_nic(writable(root, "time_sync"), Wanted("ptp", interface=interface, **more), used or {})


def card(name="ens1"):
    """A NIC with its PCI device."""
    return {
        f"{PCI}/net/{name}/address": "x\n",
        f"{NET}/{name}": ("link", f"../../bus/pci/devices/0000:41:00.0/net/{name}"),
        f"{PCI}/net/{name}/device": ("link", "../.."),
        f"{PCI}/ptp/ptp0/": None,
    }


def test_a_nic_by_name_or_address(tmp_path):
    fill(tmp_path, {**NICS, **card()})
    wanted = Nic("ens1", True, True, 0)
    assert find(tmp_path, "ens1") == find(tmp_path, "0000:41:00.0") == wanted
    assert (stamped(Wanted("ptp"), wanted), stamped(Wanted("ptp", stamping="software"), wanted)) == ("hardware", "software")


@pytest.mark.parametrize("used", ["ens1", "0000:41:00.0"])
@pytest.mark.parametrize("given", ["ens1", "0000:41:00.0"])
def test_one_nic_has_no_two_roles(tmp_path, used, given):
    fill(tmp_path, card())
    with pytest.raises(TimeSyncError, match=f"{given} is the switch's, for network control"):
        find(tmp_path, given, {used: "control"})


def test_a_name_that_the_switch_has_taken(tmp_path):
    fill(tmp_path, NICS)
    with pytest.raises(TimeSyncError, match="ens9 is the switch's, for network control"):
        find(tmp_path, "ens9", {"ens9": "control"})
    host = writable(tmp_path, "ovs_dpdk")
    host.journal.entries["driver:0000:41:00.0"] = {
        "kind": "driver",
        "owner": "ovs_dpdk",
        "before": {"driver": "ice", "name": "ens9"},
    }
    with pytest.raises(TimeSyncError, match=r"ens9 is bound to the switch \(DPDK\)"):
        find_nic(host, Wanted("ptp", interface="ens9"), {})
    host.journal.entries["driver:0000:41:00.0"]["owner"] = "rt_domain"
    with pytest.raises(TimeSyncError, match=r"ens9 is given to a guest \(devices\)"):
        find_nic(host, Wanted("ptp", interface="ens9"), {})


def test_a_device_without_an_interface(tmp_path):
    fill(tmp_path, {f"{PCI}/vendor": "x"})
    with pytest.raises(TimeSyncError, match=r"PCI device 0000:41:00.0 has 0 network interfaces \(driver none\)"):
        find(tmp_path, "0000:41:00.0")


def test_ports_of_bridges_and_bonds(tmp_path):
    ports = {
        "p0/address": "x",
        "p0/master": ("link", "../br0"),
        "p1/address": "x",
        "p1/master": ("link", "../bond0"),
        "p1/bonding_slave/": None,
    }
    fill(tmp_path, {**NICS, **{f"{NET}/{path}": content for path, content in ports.items()}})
    with pytest.raises(TimeSyncError, match="p0 is a port of br0, a bridge or switch"):
        find(tmp_path, "p0", transport="L2")
    with pytest.raises(TimeSyncError, match=r"p1 is a port of bond0, a bond, .*or set time_sync_transport: L2"):
        find(tmp_path, "p1")
    assert find(tmp_path, "p1", transport="L2").software


def test_a_driver_that_stamps_nothing(tmp_path, monkeypatch):
    fill(tmp_path, NICS)
    monkeypatch.setattr(nic, "read_nic", lambda _host, name: Nic(name))
    with pytest.raises(TimeSyncError, match="eth1 stamps packets neither in hardware nor in software"):
        find(tmp_path, "eth1")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((0x5F, 2), Nic("e", True, True, 2)),
        ((0x1A, -1), Nic("e", False, True, -1)),
        ((0x45, -1), Nic("e", False, False, -1)),
        ((0x18, 0), Nic("e", False, False, 0)),
    ],
)
def test_what_the_driver_answers(monkeypatch, answer, expected):
    monkeypatch.setattr(nic, "_ask", lambda _name: answer)
    assert read_nic(Host(), "e") == expected


def test_the_kernel_answers_for_its_loopback_and_not_for_an_interface_that_is_none():
    assert read_nic(Host(), "lo").hardware is False
    assert read_nic(Host(), "no-such-if") == Nic("no-such-if")
