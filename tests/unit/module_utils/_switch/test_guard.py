# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices that the switch never takes: the node lives on them, DPDK needs their driver, or their group is used."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._devices.binding import resource_of
from ansible_collections.realtime.kvm.plugins.module_utils._devices.use import Use, read_use
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._switch.guard import BIFURCATED
from ansible_collections.realtime.kvm.plugins.module_utils._switch.nic import MODULES
from ansible_collections.realtime.kvm.plugins.module_utils._switch.plan import SwitchError
from unit.netns import run as netns_run
from unit.nics import ADDRESS, DEVICE, network
from unit.trees import fill, snapshot

COLLECTIONS = Path(__file__).resolve().parents[4] / "collections"
BOTH = pytest.mark.parametrize("driver", ["vfio-pci", "keep"])


def bind(machine, driver, **more):
    return machine.bind(network(device="ens1", driver=driver), **more)


def refused(machine, driver, said):
    before = snapshot(machine.root)
    for check in (True, False):
        with pytest.raises(SwitchError, match=f"^realtime_networks: control: device ens1 {said}"):
            bind(machine, driver, check=check)
    assert machine.commands == []
    assert snapshot(machine.root) == before


def default(dev, gateway="192.168.1.1", **more):
    return {"dst": "default", "gateway": gateway, "dev": dev, **more}


# -- what the node's own network uses --------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    "route",
    [
        default("ens1"),
        default("ens1", "fd00::1"),  # IPv6 alone
        default("ens1", table="100"),  # of a rule
        {"dst": "default", "nexthops": [{"gateway": "10.0.0.2", "dev": "ens9"}, {"gateway": "10.0.1.2", "dev": "ens1"}]},
    ],
)
def test_the_device_of_a_default_route_is_refused(machine, driver, route):
    machine.routes = [route]
    refused(machine, driver, "carries the default route; the switch would take it from the node; choose another device")


@pytest.mark.parametrize("kind", ["blackhole", "unreachable"])
def test_a_route_that_leads_nowhere_is_none(machine, kind):
    machine.routes = [default("ens1", type=kind), default("ens9")]
    assert bind(machine, "vfio-pci").changes


@BOTH
def test_a_device_below_the_default_route_is_refused(machine, driver):
    machine.upper("ens1", "bond0", "bond0.7")
    machine.routes = [default("bond0.7")]
    refused(machine, driver, r"carries the default route \(through bond0.7\)")


@BOTH
def test_a_device_with_an_address_is_refused(machine, driver):
    machine.addresses = {"ens1": ["fe80::1/64", "192.168.1.5/24"]}
    refused(machine, driver, "has the address 192.168.1.5/24; the switch would take it")


PPPOE = "Id       Address              Device\n00000001 00:11:22:33:44:55 {}\n"
PACKET = "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n0000000000000000 3      3    {}   7     1 0      0      100\n"


@BOTH
@pytest.mark.parametrize(
    ("files", "through"),
    [
        ({"/proc/net/pppoe": PPPOE.format("ens1")}, ""),
        ({"/proc/net/pppoe": PPPOE.format("ens1.7")}, r" \(through ens1.7\)"),
        ({"/proc/net/packet": PACKET.format("8864"), "/sys/class/net/ens1/ifindex": "7\n"}, ""),
    ],
)
def test_a_device_below_pppoe_is_refused(machine, driver, files, through):
    if through:
        machine.upper("ens1", "ens1.7")
    fill(machine.root, files)
    machine.routes, machine.addresses = [default("ppp0")], {"ppp0": ["192.0.2.9/32"]}
    refused(machine, driver, f"carries the node's PPPoE connection{through}; the switch would take it from the node")


@pytest.mark.parametrize(
    "files",
    [
        {"/proc/net/pppoe": PPPOE.format("ens9")},
        {"/proc/net/packet": PACKET.format("88cc"), "/sys/class/net/ens1/ifindex": "7\n"},  # LLDP
        {"/proc/net/packet": PACKET.format("8864"), "/sys/class/net/ens1/ifindex": "8\n"},
        {"/proc/net/pppoe": "\n\n", "/proc/net/packet": "\nx\n"},
    ],
)
def test_what_is_no_pppoe_of_the_device_stands_in_no_way(machine, files):
    fill(machine.root, files)
    assert bind(machine, "vfio-pci", check=True).changes


@BOTH
@pytest.mark.parametrize("inner", ["", "/virtio3"])
def test_a_device_whose_interface_is_in_another_network_namespace_is_refused(machine, driver, inner):
    shutil.rmtree(f"{machine.root}{DEVICE}/net")
    os.unlink(f"{machine.root}/sys/class/net/ens1")
    assert (
        machine.bind(network(device=ADDRESS, driver="keep")).changes == []
    )  # a driver without interface, such as one for storage
    fill(machine.root, {f"{DEVICE}{inner}/net/": None})
    with pytest.raises(
        SwitchError, match=f"^realtime_networks: control: device {ADDRESS} has its interface in another network namespace"
    ):
        machine.bind(network(device=ADDRESS, driver=driver))


@BOTH
def test_a_device_in_a_bridge_or_bond_is_refused(machine, driver):
    machine.upper("ens1", "br0")
    refused(machine, driver, "is part of br0; remove it there first")
    machine.addresses = {"br0": ["10.0.0.1/8"]}
    refused(machine, driver, r"has the address 10.0.0.1/8 \(through br0\)")


def test_the_name_of_an_interface_reaches_no_terminal(machine):
    machine.upper("ens1", "x\x1b[2J")
    machine.addresses = {"x\x1b[2J": ["10.0.0.1/8"]}
    refused(machine, "keep", r"has the address 10.0.0.1/8 \(through x\?\[2J\)")


def test_link_local_addresses_alone_are_no_use(machine):
    machine.addresses = {"ens1": ["fe80::1/64"], "lo": ["127.0.0.1/8"]}
    assert bind(machine, "keep").changes == []
    assert [change.resource for change in bind(machine, "vfio-pci").changes] == [MODULES, resource_of(ADDRESS)]


@pytest.mark.parametrize("answer", [(1, "", "no\n"), (0, "{", ""), (0, "{}", ""), (0, "[7]", "")])
def test_an_ip_that_does_not_answer_is_an_error(machine, answer):
    with pytest.raises(HostError, match=r"^ip -json address show (failed: no|printed what cannot be read: it)"):
        read_use(machine.host(), lambda _command: answer)


def test_a_captured_machine_is_not_asked(machine):
    assert read_use(Host(str(machine.root), captured=True), None) == Use()


# -- how Ansible came ------------------------------------------------------------------------------


def session(root, connection, *, sudo=True):
    """This process, below sudo, below the session's shell."""
    mine = os.getpid()
    chain = [mine, 801, 800, 1] if sudo else [mine, 1]
    for pid, parent in zip(chain, [*chain[1:], 0]):
        holds = pid == (800 if sudo else mine)
        environment = f"A=1\0SSH_CONNECTION={connection}\0" if holds else "PATH=/bin\0"
        fill(root, {f"/proc/{pid}/environ": environment, f"/proc/{pid}/stat": f"{pid} (a) b) S {parent} 0 0\n"})


@BOTH
@pytest.mark.parametrize("sudo", [True, False])
def test_the_device_of_the_session_is_refused(machine, driver, sudo):
    session(machine.root, "10.0.0.9 50022 10.0.0.1 22", sudo=sudo)
    machine.upper("ens1", "br0")
    machine.addresses = {"br0": ["10.0.0.1/24"]}
    refused(machine, driver, r"is how Ansible reached this node at 10.0.0.1 \(through br0\); the switch would take it")


@BOTH
def test_a_link_local_session_is_one_too(machine, driver):
    session(machine.root, "fe80::9%ens1 50022 fe80::1%ens1 22")
    machine.addresses = {"ens1": ["fe80::1/64"]}
    refused(machine, driver, "is how Ansible reached this node at fe80::")


@BOTH
def test_the_way_back_is_not_taken_either(machine, driver):
    session(machine.root, "::ffff:10.0.0.9 50022 10.9.9.1 22")
    machine.ways = {"10.0.0.9": "ens1"}
    refused(machine, driver, "is how Ansible reached this node at 10.0.0.9;")


@pytest.mark.parametrize(
    "connection",
    [
        "10.0.0.9 50022 10.9.9.1 22",
        "127.0.0.1 1 127.0.0.1 22",
        "",
        "a b",
        "$(reboot) 1 ../../etc 2",
        "--help 1 -j 2",
        "x" * 10000,
    ],
)
def test_another_session_or_none_stands_in_no_way(machine, connection):
    session(machine.root, connection)
    machine.addresses = {"lo": ["127.0.0.1/8"]}
    machine.ways = {"127.0.0.1": "lo"}
    assert bind(machine, "vfio-pci").changes


# -- what cannot be handed over --------------------------------------------------------------------


@pytest.mark.parametrize(("driver", "dpdk"), BIFURCATED.items())
def test_a_device_stays_with_the_driver_that_dpdk_works_through(machine, driver, dpdk):
    fill(machine.root, {f"/sys/bus/pci/drivers/{driver}/": None})
    os.unlink(f"{machine.root}{DEVICE}/driver")
    os.symlink(f"../../../bus/pci/drivers/{driver}", f"{machine.root}{DEVICE}/driver")
    refused(
        machine,
        "vfio-pci",
        f"must stay bound to {driver}, through which DPDK's driver {dpdk} works; give the network driver: keep",
    )
    assert bind(machine, "keep").changes == []


def test_a_device_with_virtual_functions_is_refused(machine):
    fill(machine.root, {f"{DEVICE}/sriov_numvfs": "2\n"})
    refused(machine, "vfio-pci", "has 2 virtual functions, which it would lose; name one of them")
    assert bind(machine, "keep").changes == []


def test_without_iommu_the_kernel_arguments_are_named(machine):
    shutil.rmtree(f"{machine.root}{DEVICE}/iommu_group")
    with pytest.raises(
        SwitchError,
        match=r"cannot be given to vfio-pci, since the node runs without IOMMU; .* intel_iommu=on iommu=pt \(rt_kernel_arguments\)",
    ):
        bind(machine, "vfio-pci")
    host = bind(machine, "vfio-pci", check=True)
    assert [change.resource for change in host.changes] == [MODULES, resource_of(ADDRESS)]
    assert "the real run refuses until then" in host.notes[0]
    assert bind(machine, "keep").changes == []


def grouped(machine, address, name, driver, **more):
    """Another device in the group of the first."""
    machine.add(address, name, driver, **more)
    fill(machine.root, {f"{DEVICE}/iommu_group/devices/{address}/": None})


def test_a_group_that_the_kernel_uses_is_refused_with_its_members(machine):
    grouped(machine, "0000:41:00.1", "ens2", "igb")
    grouped(machine, "0000:41:00.2", "", "xhci_hcd", kind="0x0c0330")
    refused(
        machine,
        "vfio-pci",
        "cannot be given to vfio-pci: the kernel uses other members of its IOMMU group, which can only be given as a whole: "
        r"0000:41:00.1 \(ens2 igb\), 0000:41:00.2 \(xhci_hcd\); unbind them",
    )
    assert bind(machine, "keep").changes == []


@pytest.mark.parametrize(
    ("driver", "kind"),
    [
        ("", "0x020000"),
        ("vfio-pci", "0x020000"),
        ("mlx5_vfio_pci", "0x020000"),
        ("pci-stub", "0x020000"),
        ("pcieport", "0x060400"),
    ],
)
def test_members_that_stand_in_no_way(machine, driver, kind):
    grouped(machine, "0000:41:00.1", "", driver, kind=kind)
    assert [change.resource for change in bind(machine, "vfio-pci").changes] == [MODULES, resource_of(ADDRESS)]


def test_members_that_are_given_in_the_same_run_stand_in_no_way(machine):
    grouped(machine, "0000:41:00.1", "ens2", "igb")
    fill(machine.root, {f"/sys/devices/pci0000:40/0000:41:00.1/iommu_group/devices/{ADDRESS}/": None})
    both = {ADDRESS: network(device="ens1"), "0000:41:00.1": network(device="ens2")}
    host = machine.run(lambda host: machine.plan(host, both), check=True)
    assert [change.resource for change in host.changes][1:] == [resource_of(ADDRESS), resource_of("0000:41:00.1")]


def test_ip_shows_what_the_guard_reads(machine):
    """The answers of ip that were seen on a machine, for what the stand-in serves."""
    shown = {
        "address show": '[{"ifname":"v0","addr_info":[{"family":"inet","local":"10.0.0.1","prefixlen":24,"scope":"global"},'
        '{"family":"inet6","local":"fe80::1","prefixlen":64,"scope":"link"}]},{"ifname":"v1","addr_info":[]},{}]',
        "-4 route show table all default": '[{"type":"blackhole","dst":"default","table":"7","flags":[]},{"dst":"default","gateway":"10.0.0.3",'
        '"dev":"v0","table":"100","flags":[]},{"dst":"default","flags":[],"nexthops":[{"gateway":"10.0.0.2","dev":"v2","weight":1,"flags":[]}]}]',
        "-6 route show table all default": "",
    }
    found = read_use(machine.host(), lambda command: (0, shown[" ".join(command[2:])], ""))
    assert found.routed == {"v0", "v2"}
    assert found.addresses["v0"] == ["10.0.0.1/24"]


_ASK = """\
import json, os, subprocess, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._devices.use import read_use
for line in (
    "link add v0 type veth peer name v1", "link add v2 type veth peer name v3", "address add 10.0.0.1/24 dev v0", "address add 10.0.1.1/24 dev v2",
    "link set v0 up", "link set v1 up", "link set v2 up", "link set v3 up", "route add default via 10.0.1.2 table 100", "route add blackhole default table 7",
    "-6 address add fd00::1/64 dev v0 nodad", "-6 route add default via fd00::2 dev v0",
):
    subprocess.run(["ip", *line.split()], check=True)
def runner(command):
    ran = subprocess.run(command, capture_output=True, text=True)
    return ran.returncode, ran.stdout, ran.stderr
root = sys.argv[2]
os.makedirs(f"{root}/proc/{os.getpid()}")
with open(f"{root}/proc/{os.getpid()}/environ", "w") as stream:
    stream.write("SSH_CONNECTION=10.0.1.77 5 10.0.0.1 22\\0")
use = read_use(Host(root), runner)
print(json.dumps([use.reached, sorted(use.routed), use.addresses["v0"], use.addresses["v1"]]))
"""


def test_the_node_is_asked_for_real(tmp_path):
    (answer,) = netns_run(_ASK, COLLECTIONS, tmp_path)
    assert json.loads(answer) == [{"v0": "10.0.0.1", "v2": "10.0.1.77"}, ["v0", "v2"], ["10.0.0.1/24", "fd00::1/64"], []]
