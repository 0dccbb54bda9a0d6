# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices of the switch: found by name and address, refused where the node lives on them, bound and given back."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import parse_networks
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import BOOT_ID
from ansible_collections.realtime.kvm.plugins.module_utils._switch import nic as _nic
from ansible_collections.realtime.kvm.plugins.module_utils._switch.nic import (
    MODULES,
    find_device,
    kernel_arguments,
    node_of,
    plan_binding,
    release_unused,
    resource_of,
)
from ansible_collections.realtime.kvm.plugins.module_utils._switch.plan import SwitchError
from ansible_collections.realtime.kvm.plugins.module_utils._switch.rows import Database, Row
from unit.trees import fill, writable

ADDRESS = "0000:41:00.0"
DEVICE = f"/sys/devices/pci0000:40/{ADDRESS}"
PCI = "/sys/bus/pci/devices"
NETWORK = parse_networks([{"name": "control", "device": "ens1"}])["control"]


class Machine:
    """A tree with network devices, and what the programs do to it."""

    def __init__(self, root):
        self.root, self.commands, self.addresses = root, [], {}
        fill(root, {BOOT_ID: "b", "/var/lib/": None})
        self.add(ADDRESS, "ens1", "igb")

    def add(self, address, name, driver, *, iommu=True, node="0", inner=""):
        device = f"/sys/devices/pci0000:40/{address}"
        files = {
            f"{device}/class": "0x020000\n",
            f"{device}/numa_node": f"{node}\n",
            f"{device}/sriov_numvfs": "0\n",
            f"/sys/bus/pci/drivers/{driver}/": None,
            f"{PCI}/{address}": ("link", f"../../../devices/pci0000:40/{address}"),
            f"{device}/driver": ("link", f"../../../bus/pci/drivers/{driver}"),
        }
        if name:
            files[f"{device}{inner}/net/{name}/"] = None
            files[f"/sys/class/net/{name}"] = ("link", f"../../devices/pci0000:40/{address}{inner}/net/{name}")
            files[f"{device}{inner}/net/{name}/device"] = ("link", f"../../../{address}" if not inner else "../..")
        if iommu:
            files[f"{device}/iommu_group/"] = None
        fill(self.root, files)

    def runner(self, command):
        self.commands.append(" ".join(command))
        if command[0] == "driverctl":
            address = command[2]
            override = Path(f"{self.root}/etc/driverctl.d/{address}")
            override.parent.mkdir(parents=True, exist_ok=True)
            driver = command[3] if command[1] == "set-override" else "igb"
            if command[1] == "set-override":
                override.write_text(f"{driver}\n")
            else:
                override.unlink()
            link = Path(f"{self.root}{DEVICE}/driver")
            link.unlink()
            link.symlink_to(f"../../../bus/pci/drivers/{driver}")
            if driver == "vfio-pci" and os.path.lexists(f"{self.root}/sys/class/net/ens1"):
                os.unlink(f"{self.root}/sys/class/net/ens1")
                os.unlink(f"{self.root}{DEVICE}/net/ens1/device")
                os.rmdir(f"{self.root}{DEVICE}/net/ens1")
        return 0, "", ""

    def host(self, *, check=False):
        return writable(self.root, "ovs_dpdk", check_mode=check)

    def run(self, planner, *, check=False):
        host = self.host(check=check)
        with host.locked():
            planner(host)
            host.commit()
        return host

    def bind(self, network=NETWORK, **more):
        return self.run(lambda host: plan_binding(host, self.runner, {ADDRESS: network}, "GenuineIntel"), **more)


@pytest.fixture(name="machine")
def _machine(tmp_path, monkeypatch):
    machine = Machine(tmp_path)
    monkeypatch.setattr(_nic, "_addresses", lambda _host, _runner: machine.addresses)
    return machine


def network(**more):
    return parse_networks([{"name": "control", **more}])["control"]


# -- which device ----------------------------------------------------------------------------------


def test_devices_are_found_by_name_and_address(machine):
    machine.add("0000:42:00.0", "ens2", "virtio-pci", inner="/virtio3")
    host = machine.host()
    assert find_device(host, NETWORK, Database()) == ADDRESS
    assert find_device(host, network(device="0000:41:00.0"), Database()) == ADDRESS
    assert find_device(host, network(device="ens2"), Database()) == "0000:42:00.0"
    assert node_of(host, ADDRESS) == 0


@pytest.mark.parametrize("device", ["ens9", "0000:99:00.0"])
def test_a_device_that_is_not_there(machine, device):
    machine.add("0000:43:00.0", "", "vfio-pci")
    with pytest.raises(SwitchError) as caught:
        find_device(machine.host(), network(device=device), Database())
    message = str(caught.value)
    assert message.startswith(
        f"realtime_networks: control: device {device} is not on this node; network devices are: ens1 (0000:41:00.0), 0000:43:00.0 (vfio-pci)"
    )


def test_a_device_that_is_no_pci_device(machine):
    fill(machine.root, {"/sys/devices/virtual/net/br0/": None, "/sys/class/net/br0": ("link", "../../devices/virtual/net/br0")})
    with pytest.raises(SwitchError, match="device br0 is no PCI device, so DPDK cannot drive it"):
        find_device(machine.host(), network(device="br0"), Database())


def test_a_bound_device_is_found_by_the_name_it_had(machine):
    machine.bind()
    assert not os.path.lexists(f"{machine.root}/sys/class/net/ens1")
    assert find_device(machine.host(), NETWORK, Database()) == ADDRESS  # from the journal: a run may be killed here
    marks = {"realtime-kvm": "control", "realtime-kvm-device": "ens7"}
    row = Row("p", {"name": "dpdk-control", "external_ids": marks, "interfaces": ("i",)})
    interface = Row("i", {"name": "dpdk-control", "options": {"dpdk-devargs": "0000:44:00.0"}})
    database = Database(ports={"dpdk-control": row}, interfaces={"dpdk-control": interface})
    assert find_device(machine.host(), network(device="ens7"), database) == "0000:44:00.0"


@pytest.mark.parametrize(("text", "node"), [("1\n", 1), ("-1\n", None), ("", None)])
def test_numa_node(machine, text, node):
    fill(machine.root, {f"{DEVICE}/numa_node": text})
    assert node_of(machine.host(), ADDRESS) == node


# -- refusals --------------------------------------------------------------------------------------

ROUTES = "Iface\tDestination\tGateway\n{}\t00000000\t0102\nens9\t0000A8C0\t0\n"


def upper(machine, *names):
    below = "ens1"
    for name in names:
        files = {f"/sys/devices/virtual/net/{name}/": None}
        if not os.path.lexists(f"{machine.root}/sys/class/net/{name}"):
            files[f"/sys/class/net/{name}"] = ("link", f"../../devices/virtual/net/{name}")
        fill(machine.root, {**files, f"/sys/class/net/{below}/upper_{name}/": None})
        below = name


def test_the_device_of_the_default_route_is_refused(machine):
    fill(machine.root, {"/proc/net/route": ROUTES.format("ens1")})
    with pytest.raises(
        SwitchError,
        match=r"^realtime_networks: control: device ens1 carries the default route; the switch would take it from the node",
    ):
        machine.bind()


def test_a_device_below_the_default_route_is_refused(machine):
    upper(machine, "bond0", "bond0.7")
    fill(machine.root, {"/proc/net/route": ROUTES.format("bond0.7")})
    with pytest.raises(SwitchError, match=r"device ens1 carries the default route \(through bond0.7\)"):
        machine.bind()


def test_a_device_with_an_address_is_refused(machine):
    machine.addresses = {"ens1": ["192.168.1.5/24"]}
    with pytest.raises(SwitchError, match=r"device ens1 has the address 192.168.1.5/24; the switch would take it"):
        machine.bind()


def test_a_device_in_a_bridge_is_refused(machine):
    upper(machine, "br0")
    with pytest.raises(SwitchError, match="device ens1 is part of br0; remove it there first"):
        machine.bind()
    machine.addresses = {"br0": ["10.0.0.1/8"]}
    with pytest.raises(SwitchError, match=r"device ens1 has the address 10.0.0.1/8 \(through br0\)"):
        machine.bind()


def test_a_device_with_virtual_functions_is_refused(machine):
    fill(machine.root, {f"{DEVICE}/sriov_numvfs": "2\n"})
    with pytest.raises(SwitchError, match="device ens1 has 2 virtual functions, which it would lose"):
        machine.bind()


def test_without_iommu_the_kernel_arguments_are_named(machine):
    os.rmdir(f"{machine.root}{DEVICE}/iommu_group")
    with pytest.raises(
        SwitchError,
        match=r"cannot be given to vfio-pci, since the node runs without IOMMU; .* intel_iommu=on iommu=pt \(rt_kernel_arguments\)",
    ):
        machine.bind()
    host = machine.bind(check=True)
    assert [change.resource for change in host.changes] == [MODULES, resource_of(ADDRESS)]
    assert "the real run refuses until then" in host.notes[0]


@pytest.mark.parametrize(
    ("vendor", "arguments"),
    [("GenuineIntel", "intel_iommu=on iommu=pt"), ("AuthenticAMD", "iommu=pt"), ("", "iommu.passthrough=1")],
)
def test_kernel_arguments(vendor, arguments):
    assert " ".join(kernel_arguments(vendor)) == arguments


# -- hand-over -------------------------------------------------------------------------------------


def test_a_device_is_bound_once_and_given_back(machine):
    host = machine.bind()
    assert [(change.resource, change.before, change.after, change.disruption) for change in host.changes][1:] == [
        (resource_of(ADDRESS), "igb", "vfio-pci", "stall")
    ]
    assert machine.commands == ["modprobe vfio-pci", "modprobe vfio_iommu_type1", f"driverctl set-override {ADDRESS} vfio-pci"]
    assert machine.bind().changes == []
    assert machine.run(lambda host: release_unused(host, machine.runner, {ADDRESS})).changes == []
    host = machine.run(lambda host: release_unused(host, machine.runner, ()))
    assert [(change.before, change.after) for change in host.changes] == [("vfio-pci", "igb")]
    assert machine.commands[-2:] == [
        f"ovs-appctl --timeout=10 netdev-dpdk/detach {ADDRESS}",
        f"driverctl unset-override {ADDRESS}",
    ]
    assert machine.run(lambda host: release_unused(host, machine.runner, ())).changes == []


def test_an_administrators_override_comes_back(machine):
    fill(machine.root, {f"/etc/driverctl.d/{ADDRESS}": "igb_uio\n"})
    machine.bind()
    machine.run(lambda host: release_unused(host, machine.runner, ()))
    assert machine.commands[-1] == f"driverctl set-override {ADDRESS} igb_uio"


def test_a_device_that_has_gone_is_forgotten(machine):
    machine.bind()
    os.unlink(f"{machine.root}{PCI}/{ADDRESS}")
    assert machine.run(lambda host: release_unused(host, machine.runner, ())).changes == []
    assert machine.host().entries("driver") == {}


def test_a_device_whose_driver_is_kept_is_left_alone(machine):
    fill(machine.root, {"/proc/net/route": ROUTES.format("ens1")})
    assert machine.bind(network(device="ens1", driver="keep")).changes == []
    assert machine.commands == []


def test_the_modules_file_goes_with_the_last_device(machine):
    machine.bind()
    assert os.path.exists(f"{machine.root}{MODULES}")
    machine.run(lambda host: plan_binding(host, machine.runner, {}, ""))
    assert not os.path.exists(f"{machine.root}{MODULES}")


def test_a_driverctl_that_fails_is_told(machine):
    def failing(command):
        return (1, "", "driverctl: no such device\n") if command[0] == "driverctl" else (0, "", "")

    with pytest.raises(HostError, match=rf"^driverctl set-override {ADDRESS} vfio-pci failed: driverctl: no such device"):
        machine.run(lambda host: plan_binding(host, failing, {ADDRESS: NETWORK}, ""))
    with pytest.raises(HostError, match="driverctl reported no error, but the device is bound to igb, not vfio-pci"):
        machine.run(lambda host: plan_binding(host, lambda _command: (0, "", ""), {ADDRESS: NETWORK}, ""))


def test_addresses_without_link_local_ones(monkeypatch):
    monkeypatch.undo()
    shown = [
        {"ifname": "lo", "addr_info": [{"local": "127.0.0.1", "prefixlen": 8, "scope": "host"}]},
        {"ifname": "ens1", "addr_info": [{"local": "fe80::1", "prefixlen": 64, "scope": "link"}]},
        {"ifname": "ens2", "addr_info": [{"local": "10.0.0.1", "prefixlen": 8, "scope": "global"}, {}]},
        {},
    ]
    host = writable("/")
    assert _nic._addresses(host, lambda _command: (0, json.dumps(shown), "")) == {
        "lo": ["127.0.0.1/8"],
        "ens1": [],
        "ens2": ["10.0.0.1/8"],
    }
    with pytest.raises(HostError, match="ip address show failed: no"):
        _nic._addresses(host, lambda _command: (1, "", "no\n"))
