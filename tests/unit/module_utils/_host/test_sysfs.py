# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Topology files below a root: what is read of CPUs, nodes and network devices."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import TopologyError, build_topology
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.sysfs import read_topology, read_topology_files
from property.machines import regular


def plant(root, machine):
    for path, text in machine.files().items():
        target = root / path.lstrip("/")
        if path.endswith("/"):
            target.mkdir(parents=True, exist_ok=True)
        elif "/pci/" not in path:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)


@pytest.mark.parametrize("masks", [False, True])
def test_files_below_a_root_are_read(tmp_path, masks):
    machine = regular(nodes=2, cores=2, masks=masks, padded=True, offline=frozenset({7}), efficiency=frozenset({3}))
    plant(tmp_path, machine)
    for name in ("cpufreq", "cpuidle", "cpu_x"):  # neighbours that are not CPUs
        (tmp_path / "sys/devices/system/cpu" / name).mkdir()
    assert read_topology(Host(root=str(tmp_path))) == build_topology(machine.files())


def test_a_cpu_without_any_file_is_there_and_off(tmp_path):
    """As captures show it whose kernel lists no present CPUs."""
    plant(tmp_path, regular(nodes=1, cores=2, threads=1))
    cpus = tmp_path / "sys/devices/system/cpu"
    (cpus / "present").unlink()
    (cpus / "possible").unlink()
    (cpus / "cpu9").mkdir()
    topology = read_topology(Host(root=str(tmp_path)))
    assert topology.present == {0, 1, 9}
    assert topology.offline == {9}


def test_network_devices_are_found_by_class_and_by_interface(tmp_path):
    plant(tmp_path, regular(nodes=2, cores=2))
    sys = tmp_path / "sys"

    def pci(address, kind, node, *interfaces, below=""):
        device = sys / "devices/pci0000:00" / address
        device.mkdir(parents=True)
        (device / "class").write_text(f"{kind}\n")
        if node is not None:
            (device / "numa_node").write_text(f"{node}\n")
        for folder in (sys / "bus/pci/devices", sys / "class/net"):
            folder.mkdir(parents=True, exist_ok=True)
        (sys / "bus/pci/devices" / address).symlink_to(f"../../../devices/pci0000:00/{address}")
        for interface in interfaces:
            (device / below / "net" / interface).mkdir(parents=True)
            (sys / "class/net" / interface).symlink_to(
                f"../../devices/pci0000:00/{address}/{below}net/{interface}", target_is_directory=True
            )

    pci("0000:01:00.0", "0x020000", 1, "ens1f0")
    pci("0000:02:00.0", "0x020000", -1)  # owned by vfio: no interface
    pci("0000:03:00.0", "0x020000", None, "ens3", below="virtio0/")
    pci("0000:04:00.0", "0x010802", 0)  # no network device
    (sys / "devices/virtual/net/lo").mkdir(parents=True)
    (sys / "class/net/lo").symlink_to("../../devices/virtual/net/lo")

    devices = read_topology(Host(root=str(tmp_path))).devices
    assert [(device.name, device.address, device.node) for device in devices] == [
        ("ens1f0", "0000:01:00.0", 1),
        (None, "0000:02:00.0", None),
        ("ens3", "0000:03:00.0", None),
    ]


def test_an_empty_root_has_no_cpus(tmp_path):
    assert read_topology_files(Host(root=str(tmp_path))) == {}
    with pytest.raises(TopologyError):
        read_topology(Host(root=str(tmp_path)))
