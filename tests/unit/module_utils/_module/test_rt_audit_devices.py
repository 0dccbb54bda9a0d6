# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each sabotage of a guest's devices gives its finding alone, and a run repairs what is ours."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._audit.drift import interrupt_findings
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._host.document import read_partition
from ansible_collections.realtime.kvm.plugins.module_utils._module._dry_runs import Specs, guest_outcome
from ansible_collections.realtime.kvm.plugins.module_utils._module._switch_edges import SwitchEdges
from unit.devices import DeviceNode, running_guest, with_devices
from unit.functions import DISK, NIC, vf
from unit.irqs import irq
from unit.trees import fill, writable

GUESTS = [with_devices(DISK), with_devices({"physical_function": "ens1f0", "vlan": 7, "trust": False, "rate": 100}, name="plc2")]
HOST = {"virtual_functions": {NIC: 2}, "pages": {}}


@pytest.fixture(name="node")
def _node(tmp_path):
    node = DeviceNode(tmp_path)
    node.functions.make(2)
    node.run(*GUESTS)
    return node


def rules(node):
    edges = SwitchEdges(writable(node.root, "rt_audit", True), node.tools, node.edge, node.ports)
    found = guest_outcome(edges, Specs([{"name": "control"}], GUESTS, {}, {}, 1), HOST, {}).findings
    found += interrupt_findings(edges.host, read_partition(edges.host))
    return [item.rule for item in found]


def trust(node):
    node.functions.vfs[0]["trust"] = True


def rate(node):
    node.functions.vfs[0]["rate"]["max_tx"] = 5


def mac(node):
    node.functions.vfs[0]["address"] = "52:54:00:99:99:99"


def vlan(node):
    node.functions.vfs[0]["vlan_list"] = [{"vlan": 8}]


def no_vlan(node):
    node.functions.vfs[0]["vlan_list"] = []


def rebound(node):
    node.functions.bind(DISK, "nvme")


def unbound(node):
    node.functions.bind(DISK, "")


def vf_rebound(node):
    node.functions.bind(vf(0), "igbvf")


def no_module(node):
    (node.root / "etc/modules-load.d/realtime-kvm-guests.conf").unlink()


def no_element(node):
    tree = node.libvirt.definitions["plc1"]
    start, end = tree.index("<hostdev"), tree.index("</hostdev>") + len("</hostdev>")
    node.libvirt.definitions["plc1"] = tree[:start] + tree[end:]


def no_mark(node):
    node.edit(f'address="{DISK}" interrupts="0"', f'address="{DISK}" interrupts="1"')


@pytest.mark.parametrize(
    ("sabotage", "rule"),
    [
        (trust, "device-settings"), (rate, "device-settings"), (mac, "device-settings"), (vlan, "device-settings"), (no_vlan, "device-settings"),
        (rebound, "device-driver"), (unbound, "device-driver"), (vf_rebound, "device-driver"), (no_module, "host-file"),
        (no_element, "guest-definition"), (no_mark, "guest-definition"),
    ],
)  # fmt: skip
def test_each_sabotage_is_one_finding_and_is_repaired(node, sabotage, rule):
    assert rules(node) == []
    sabotage(node)
    assert rules(node) == [rule]
    node.run(*GUESTS)
    assert rules(node) == []


def test_virtual_functions_that_are_gone_are_no_matter_of_the_guests(node):
    node.functions.make(0)  # kvm_host plans them again: device-functions
    assert rules(node) == []


def unplugged(node):
    (node.root / f"sys/bus/pci/devices/{DISK}").unlink()


def member_in_use(node):
    node.functions.add("0000:02:00.1", "nvme", above="0000:00:1d.0", kind="0x010802", group=DISK)


def taken(node):
    node.foreign(
        "theirs",
        devices=f"<hostdev type='pci'><source><address domain='0' bus='0x{DISK[5:7]}' slot='0' function='0'/></source></hostdev>",
    )


def pf_at_vfio(node):
    node.functions.bind(NIC, "vfio-pci")


@pytest.mark.parametrize(
    ("sabotage", "said"),
    [(unplugged, "is not on this node"), (member_in_use, "the kernel uses other members"), (taken, "is that of domain theirs"), (pf_at_vfio, "bound to vfio")],
)  # fmt: skip
def test_what_no_run_can_repair_is_refused_by_name(node, sabotage, said):
    sabotage(node)
    with pytest.raises(RefusalError, match=said):
        rules(node)


@pytest.mark.parametrize("cpus", ["0", "5", "0-9"])
def test_a_vector_elsewhere(node, cpus):
    vcpu = node.run(*GUESTS)["domains"][0]["vcpus"]["0"]
    fill(node.root, irq(30, vcpu, vcpu, f"vfio-msix[0]({DISK})"))
    pid = int((node.root / "run/libvirt/qemu/plc1.pid").read_text())
    running_guest(node.root, "plc1", DISK, vcpus=(vcpu,), vectors=(30,), pid=pid)
    assert rules(node) == []
    fill(node.root, {"/proc/irq/30/smp_affinity_list": cpus})
    assert rules(node) == ["device-interrupt"]
