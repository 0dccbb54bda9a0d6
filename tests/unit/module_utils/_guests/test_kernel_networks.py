# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bridges and devices of the node that guests are attached to without the switch: which ones are refused, and why."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import GuestError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import parse_guests
from ansible_collections.realtime.kvm.plugins.module_utils._guests.kernel_networks import check_kernel_networks
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import parse_networks
from unit.trees import fill, writable

NET = "/sys/class/net"
CELL = {"name": "n", "datapath": "bridge", "bridge": "br1"}
OFFICE = {"name": "n", "realtime": False, "bridge": "br1"}
FIELD = {"name": "n", "datapath": "macvtap", "device": "ens1"}
WIRED = {f"{NET}/ens1/type": "1\n", f"{NET}/lo/type": "772\n", f"{NET}/ens2/type": "1\n"}


def check(root, network, *others, check_mode=False):
    networks = parse_networks([network, *others])
    guest = parse_guests([{"name": "plc1", "memory_mib": 64, "networks": [{"network": "n"}]}], networks)[0]
    host = writable(root, check_mode=check_mode)
    check_kernel_networks(host, guest, networks)
    return host


@pytest.mark.parametrize(
    ("network", "dep", "builtin", "lacks"),
    [
        (CELL, "kernel/drivers/net/tun.ko.zst:\n", "", True),
        (CELL, "kernel/drivers/vhost/vhost_net.ko.zst: kernel/drivers/vhost/vhost.ko.zst\n", "", False),
        (CELL, "", "kernel/drivers/vhost/vhost_net.ko\n", False),
        (OFFICE, "kernel/drivers/net/tun.ko.zst:\n", "", False),
    ],
)
def test_a_kernel_without_vhost_is_told_in_the_plan_and_refused_by_the_run(tmp_path, network, dep, builtin, lacks):
    """linux-image-kvm of Ubuntu has none; the run may boot another kernel first."""
    modules = {"/lib/modules/5.4.0-1070-kvm/modules.dep": dep, "/lib/modules/5.4.0-1070-kvm/modules.builtin": builtin}
    root = fill(tmp_path, {"/proc/sys/kernel/osrelease": "5.4.0-1070-kvm\n", f"{NET}/br1/bridge/": None, **modules})
    notes = check(root, network, check_mode=True).notes
    assert ["the module vhost_net, which kernel 5.4.0-1070-kvm does not have" in note for note in notes] == [True] * lacks
    if lacks:
        with pytest.raises(GuestError, match="run a kernel that has it"):
            check(root, network)


@pytest.mark.parametrize(
    ("network", "files"),
    [
        (CELL, {f"{NET}/br1/bridge/": None}),
        (OFFICE, {f"{NET}/br1/bridge/": None}),
        (FIELD, WIRED),
        ({"name": "n"}, {}),  # the switch makes its own
    ],
)
def test_what_is_there(tmp_path, network, files):
    check(fill(tmp_path, files), network)


@pytest.mark.parametrize(
    ("network", "files", "said"),
    [
        (CELL, {}, "is the ordinary bridge br1, which this node does not have; .* realtime: true without datapath$"),
        (OFFICE, {}, "is the ordinary bridge br1, which this node does not have; .* realtime: true$"),
        (
            CELL,
            {f"{NET}/br1/type": "1"},
            "an interface of another kind on this node; name a bridge of the kernel, or give datapath: macvtap and device",
        ),
        (
            CELL,
            {f"{NET}/br1/type": "1", "/run/openvswitch/br1.mgmt": ""},
            "the bridge br1, which is Open vSwitch's and not the kernel's; give the network realtime: true without datapath",
        ),
        (FIELD, {f"{NET}/lo/type": "772"}, r"macvtap on ens1, which this node does not have .*; it has no network device"),
        (
            FIELD,
            {f"{NET}/ens2/type": "1"},
            r"macvtap on ens1, which this node does not have \(a port of the switch has no interface\); it has ens2",
        ),
        (
            {**FIELD, "device": "bonding_masters"},
            {**WIRED, f"{NET}/bonding_masters": "bond0\n"},
            "macvtap on bonding_masters, which this node does not have .*; it has ens1, ens2$",
        ),
        ({**FIELD, "device": "lo"}, WIRED, "macvtap on lo, the node's loopback; it has ens1, ens2"),
        (
            FIELD,
            {**WIRED, f"{NET}/ens1/wireless/": None},
            "macvtap on ens1, a wireless device, which takes frames of its own address only",
        ),
        (FIELD, {**WIRED, f"{NET}/ens1/phy80211/": None}, "macvtap on ens1, a wireless device"),
    ],
)
def test_what_is_refused(tmp_path, network, files, said):
    with pytest.raises(GuestError, match=f"^realtime_guests: plc1: network n is .*{said}" if "macvtap on" in said else said):
        check(fill(tmp_path, files), network)


def test_a_device_that_is_part_of_a_bridge_or_bond(tmp_path):
    root = fill(tmp_path, {**WIRED, f"{NET}/bond0/type": "1"})
    (root / "sys/class/net/ens1/master").symlink_to("../bond0")
    with pytest.raises(GuestError, match="macvtap on ens1, which is part of bond0; give datapath: bridge and bridge"):
        check(root, FIELD)


@pytest.mark.parametrize(
    ("other", "refused"),
    [
        ({"name": "control", "device": "0000:41:00.0"}, True),
        ({"name": "control", "device": "0000:41:00.0", "state": "absent"}, False),
        ({"name": "control", "device": "0000:41:00.1"}, False),
        ({"name": "control"}, False),
    ],
)
def test_a_device_that_is_a_port_of_the_switch_by_its_address(tmp_path, other, refused):
    root = fill(tmp_path, {**WIRED, "/sys/devices/pci0000:40/0000:41:00.0/vendor": "0x8086"})
    (root / "sys/class/net/ens1/device").symlink_to("../../../devices/pci0000:40/0000:41:00.0")
    if not refused:
        check(root, FIELD, other)
        return
    with pytest.raises(
        GuestError, match=r"macvtap on ens1, which is the port 0000:41:00\.0 of the switch's network control; name another device"
    ):
        check(root, FIELD, other)
