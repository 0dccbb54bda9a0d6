# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices of the switch: found by name and address, bound and given back."""

from __future__ import annotations

import os

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._devices.binding import kernel_arguments, resource_of
from ansible_collections.realtime.kvm.plugins.module_utils._switch.nic import MODULES, find_device, plan_binding, release_devices
from ansible_collections.realtime.kvm.plugins.module_utils._switch.plan import SwitchError
from ansible_collections.realtime.kvm.plugins.module_utils._switch.rows import Database, Row
from unit.nics import ADDRESS, DEVICE, NETWORK, PCI, network
from unit.trees import fill

# -- which device ----------------------------------------------------------------------------------


def test_devices_are_found_by_name_and_address(machine):
    machine.add("0000:42:00.0", "ens2", "virtio-pci", inner="/virtio3")
    host = machine.host()
    assert find_device(host, NETWORK, Database()) == ADDRESS
    assert find_device(host, network(device="0000:41:00.0"), Database()) == ADDRESS
    assert find_device(host, network(device="ens2"), Database()) == "0000:42:00.0"


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
    assert machine.run(lambda host: release_devices(host, machine.runner, {ADDRESS})).changes == []
    host = machine.run(lambda host: release_devices(host, machine.runner, ()))
    assert [(change.before, change.after) for change in host.changes] == [("vfio-pci", "igb")]
    assert machine.commands[-2:] == [
        f"ovs-appctl --timeout=10 netdev-dpdk/detach {ADDRESS}",
        f"driverctl unset-override {ADDRESS}",
    ]
    assert machine.run(lambda host: release_devices(host, machine.runner, ())).changes == []


def test_an_administrators_override_comes_back(machine):
    os.unlink(f"{machine.root}{DEVICE}/driver")
    fill(
        machine.root,
        {
            f"/etc/driverctl.d/pci-{ADDRESS}": "igb_uio\n",
            "/sys/bus/pci/drivers/igb_uio/": None,
            f"{DEVICE}/driver": ("link", "../../../bus/pci/drivers/igb_uio"),
        },
    )
    machine.bind()
    machine.run(lambda host: release_devices(host, machine.runner, ()))
    assert machine.commands[-1] == f"driverctl set-override {ADDRESS} igb_uio"


def test_a_device_that_has_gone_is_forgotten(machine):
    machine.bind()
    os.unlink(f"{machine.root}{PCI}/{ADDRESS}")
    (change,) = machine.run(lambda host: release_devices(host, machine.runner, ())).changes
    assert (change.before, change.after, machine.host().entries("driver")) == ("vfio-pci", None, {})
    assert os.listdir(f"{machine.root}/etc/driverctl.d") == []  # a device that comes back has its driver


def test_a_device_whose_driver_is_kept_is_left_alone(machine):
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
