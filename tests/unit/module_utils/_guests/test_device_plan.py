# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices of guests on a node: chosen, handed over, kept, given back; and every refusal."""

from __future__ import annotations

import errno
import json

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._devices.marks import ASSIGNED
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import OURS
from ansible_collections.realtime.kvm.plugins.module_utils._time.wanted import Wanted
from unit.devices import GUEST, DeviceNode, with_devices
from unit.functions import DISK, NIC, vf
from unit.guests import resources
from unit.libvirts import Killed
from unit.trees import fill, refuse_writes

OF_NIC = {"physical_function": "ens1f0"}
HOSTDEV = '<hostdev mode="subsystem" type="pci" managed="yes"><source><address domain="0" bus="{}" slot="{}" function="0"/></source></hostdev>'


@pytest.fixture(name="node")
def _node(tmp_path):
    return DeviceNode(tmp_path)


def has(node, name="plc1"):
    """The functions in a definition."""
    found = node.tree(name).findall("devices/*/source/address")
    return ["{}:{}.{}".format(*(item.get(key)[2:] for key in ("bus", "slot", "function"))) for item in found if item.get("bus")]


def test_a_function_is_bound_before_its_guest_starts_and_given_back(node):
    before = node.outcome()
    result = node.converge(with_devices(DISK))
    assert [name for name in resources(result) if "driver" in name] == [f"pci:{DISK}:driver"]
    assert has(node) == ["02:00.0"]
    assert node.tree().find("devices/hostdev").attrib == {"mode": "subsystem", "type": "pci", "managed": "no"}
    assert f"driverctl set-override {DISK} vfio-pci" in node.commands
    assert result["domains"][0]["devices"] == [{"address": DISK, "physical_function": "", "mac": ""}]
    node.converge({**GUEST, "state": "stopped"})
    assert (has(node), node.commands[-1]) == ([], f"driverctl unset-override {DISK}")
    node.converge(with_devices(DISK, state="stopped"))
    node.run(state="absent", stop_running=True)
    assert node.outcome() == before


def test_a_running_guest_keeps_a_function_until_it_is_off(node):
    node.converge(with_devices(DISK))
    node.commands.clear()
    node.run(GUEST)
    assert (has(node), node.commands) == ([], [])
    node.run(GUEST, restart=True)
    assert node.commands == [f"driverctl unset-override {DISK}"]


def test_virtual_functions_are_interfaces_and_stay(node):
    node.functions.make(4)
    node.converge(with_devices({**OF_NIC, "vlan": 7}), with_devices(OF_NIC, name="plc2"))
    assert (has(node), has(node, "plc2")) == (["01:10.0"], ["01:10.2"])
    (interface,) = node.tree().findall("devices/interface")
    assert (interface.get("type"), interface.find("vlan/tag").get("id")) == ("hostdev", "7")
    mac = interface.find("mac").get("address")
    assert not node.run(with_devices(OF_NIC, name="plc2"), with_devices({**OF_NIC, "vlan": 7}))["changed"]
    node.run(with_devices(OF_NIC, name="plc3"), with_devices(OF_NIC, name="plc2"), with_devices(OF_NIC))
    assert (has(node), has(node, "plc2"), has(node, "plc3")) == (["01:10.0"], ["01:10.2"], ["01:10.4"])
    assert node.tree().find("devices/interface/mac").get("address") == mac
    assert node.tree().find("devices/interface/vlan") is None


def interfaces(node):
    """Function, MAC and VLAN of each interface of a guest."""
    found = node.tree().findall("devices/interface")
    return sorted(
        (item.find("source/address").get("function"), item.find("mac").get("address"), item.find("vlan/tag").get("id"))
        for item in found
    )


def test_an_interface_keeps_its_vlan_when_entries_are_removed_reordered_and_added(node):
    node.functions.make(4)
    one, two, three = ({**OF_NIC, "vlan": vlan} for vlan in (100, 200, 300))
    node.converge(with_devices(one, two, state="stopped"))
    _first, second = interfaces(node)
    assert not node.run(with_devices(two, one, state="stopped"))["changed"]
    node.converge(with_devices(two, state="stopped"))
    assert interfaces(node) == [second]
    node.converge(with_devices(two, three, state="stopped"))
    new, kept = interfaces(node)
    assert (kept, new[2], new[1] != kept[1]) == (second, "300", True)
    node.converge(with_devices({**two, "vlan": 400}, three, state="stopped"))
    assert interfaces(node)[0] == new


def test_functions_that_are_yet_to_be_made_are_planned(node):
    planned = node.run(with_devices(OF_NIC), check=True, virtual_functions={NIC: 2})
    assert f"pci:{vf(0)}:driver" in resources(planned)
    node.functions.make(2)
    made = node.run(with_devices(OF_NIC))
    assert made["domains"] == planned["domains"]


def test_what_an_adopted_guest_has_is_what_the_list_means(node):
    node.functions.make(4)
    mac, vlan = '<mac address="52:54:00:00:00:77"/>', '<vlan><tag id="9"/></vlan>'
    source = '<source><address type="pci" domain="0" bus="1" slot="0x10" function="4"/></source>'
    interface = f'<interface type="hostdev" managed="yes">{mac}{source}{vlan}</interface>'
    node.foreign("plc1", devices=interface)
    guest = {**with_devices(OF_NIC), "adopt": True}
    node.converge(guest)
    (found,) = node.tree().findall("devices/interface")
    assert (found.get("managed"), found.find("mac").get("address"), found.find("vlan/tag").get("id")) == (
        "yes",
        "52:54:00:00:00:77",
        "9",
    )
    node.run({**GUEST, "adopt": True})
    assert len(node.tree().findall("devices/interface")) == 1  # somebody else gave it


def test_a_function_that_a_boot_would_give_back_is_found_and_kept(node):
    node.converge(with_devices(DISK))
    before = node.outcome()
    (node.root / f"etc/driverctl.d/pci-{DISK}").unlink()
    node.commands.clear()
    assert resources(node.converge(with_devices(DISK))) == [f"pci:{DISK}:driver"]
    assert (node.outcome(), node.commands) == (before, [])


def test_without_iommu_a_plan_says_so_and_a_run_refuses(tmp_path):
    node = DeviceNode(tmp_path, iommu=False)
    assert node.run(with_devices(DISK), check=True)["changed"]
    with pytest.raises(RefusalError) as error:
        node.run(with_devices(DISK))
    assert str(error.value).startswith(
        f"realtime_guests: plc1: device {DISK} cannot be given to vfio-pci, since the node runs without IOMMU; switch it on in the firmware"
    )
    assert (node.libvirt.calls, node.commands) == ([], [])


def test_a_run_killed_anywhere_is_completed_by_the_next(tmp_path):
    whole = DeviceNode(tmp_path / "whole")
    whole.run(with_devices(DISK))
    steps = len(whole.libvirt.calls)
    for step in range(steps):
        node = DeviceNode(tmp_path / f"step{step}")
        before = node.outcome()
        node.libvirt.kill_at = step
        with pytest.raises(Killed):
            node.run(with_devices(DISK))
        node.libvirt.kill_at = -1
        node.converge(with_devices(DISK))
        assert (has(node), node.functions.commands.count(f"driverctl set-override {DISK} vfio-pci")) == (["02:00.0"], 1)
        node.run(state="absent", stop_running=True)
        assert node.outcome() == before


def test_a_driver_that_cannot_be_bound_ends_the_run_before_the_guest_is_touched(node):
    node.functions.refuse = {DISK: "driverctl: failed to bind device to driver vfio-pci\n"}
    with pytest.raises(RefusalError, match=f"driverctl set-override {DISK} vfio-pci failed: driverctl: failed to bind"):
        node.run(with_devices(DISK))
    assert node.libvirt.calls == []


# -- interrupts and settings -----------------------------------------------------------------------


def vectors(node, *numbers, cpus="0"):
    fill(node.root, {f"{node.functions.folder(DISK)}/msi_irqs/{number}": "msix\n" for number in numbers})
    fill(node.root, {f"/proc/irq/{number}/smp_affinity_list": f"{cpus}\n" for number in numbers})


def irq_changes(result):
    return [
        (change["resource"], change["before"], change["after"])
        for change in result["changes"]
        if change["resource"].startswith("/proc/irq/")
    ]


def test_vectors_of_a_running_guest_go_with_its_vcpu(node):
    node.converge(with_devices({"address": DISK, "interrupts": 1}))
    vectors(node, 30, 31)
    result = node.converge(with_devices({"address": DISK, "interrupts": 1}))
    pinned = result["domains"][0]["vcpus"]
    assert irq_changes(result) == [(f"/proc/irq/{number}/smp_affinity_list", "0", pinned["1"]) for number in (30, 31)]
    assert node.tree().find(f"metadata/{OURS}/{ASSIGNED}").attrib == {"address": DISK, "interrupts": "1"}
    node.edit(f'vcpu="1" cpuset="{pinned["1"]}"', 'vcpu="1" cpuset="9"')  # re-pinned in its definition
    result = node.converge(with_devices({"address": DISK, "interrupts": 1}))
    assert irq_changes(result) == [(f"/proc/irq/{number}/smp_affinity_list", pinned["1"], "9") for number in (30, 31)]
    result = node.converge(with_devices(DISK))  # to the ordinary vCPU
    assert irq_changes(result)[0] == ("/proc/irq/30/smp_affinity_list", "9", pinned["0"])
    assert not result["restart_required"]


def test_a_vector_that_is_refused_is_noted(node, monkeypatch):
    node.run(with_devices(DISK))
    vectors(node, 30)
    refuse_writes(monkeypatch, [f"{node.root}/proc/irq/30/smp_affinity_list"], errno.ENOSPC)
    assert irq_changes(node.run(with_devices(DISK))) == []


def test_settings_of_a_virtual_function_are_set_repeated_and_taken_back(node):
    node.functions.make(2)
    wish = {**OF_NIC, "trust": True, "rate": 100, "spoof_check": False, "vlan": 7}
    node.converge(with_devices(wish, state="stopped"))
    assert node.functions.vfs[0] == {"vf": 0, "trust": True, "spoofchk": False, "rate": {"max_tx": 100, "min_tx": 0}}
    mark = node.tree().find(f"metadata/{OURS}/{ASSIGNED}").attrib
    assert mark == {"address": vf(0), "interrupts": "0", "trust": "on", "rate": "100", "spoof_check": "off"}
    node.functions.vfs[0]["trust"] = False  # somebody changed it
    assert f"pci:{vf(0)}:trust" in resources(node.converge(with_devices(wish, state="stopped")))
    node.run(state="absent")
    assert node.functions.vfs[0] == {"vf": 0, "trust": False, "spoofchk": True, "rate": {"max_tx": 0, "min_tx": 0}}


def test_a_setting_that_the_list_names_no_more_goes_back_though_its_function_is_used(node):
    node.functions.make(1)
    node.converge(with_devices({**OF_NIC, "trust": True, "rate": 100}))
    result = node.converge(with_devices({**OF_NIC, "rate": 100}))
    assert (resources(result)[-1], result["disruption"]) == (f"pci:{vf(0)}:trust", "stall")
    assert (node.functions.vfs[0]["trust"], node.functions.vfs[0]["rate"]["max_tx"]) == (False, 100)
    node.converge({**GUEST, "state": "absent"}, with_devices(OF_NIC, name="plc2"), stop_running=True)
    assert (has(node, "plc2"), node.functions.vfs[0]["rate"]["max_tx"]) == (["01:10.0"], 0)


def test_an_entry_that_loses_its_vlan_keeps_its_function(node):
    """A function that was named by its address has no MAC of ours, so the next run could change its mind."""
    node.functions.make(2)
    node.converge(with_devices({**OF_NIC, "vlan": 5}, vf(1), state="stopped"))
    result = node.converge(with_devices(OF_NIC, {**OF_NIC, "trust": True}, state="stopped"))
    assert [device["address"] for device in result["domains"][0]["devices"]] == [vf(0), vf(1)]


def test_settings_stay_of_a_guest_that_a_run_does_not_list(node):
    node.functions.make(2)
    node.converge(with_devices({**OF_NIC, "trust": True}))
    node.converge(with_devices(OF_NIC, name="plc2"))
    assert node.functions.vfs[0]["trust"] is True


def test_mac_and_vlan_of_a_running_guest_are_put_right(node):
    node.functions.make(2)
    wish = {**OF_NIC, "vlan": 7, "mac": "52:54:00:00:00:01"}
    node.converge(with_devices(wish))
    assert not node.run(with_devices(wish))["changed"]
    node.functions.vfs[0]["vlan_list"] = []
    assert resources(node.converge(with_devices(wish))) == [f"pci:{vf(0)}:vlan"]


# -- refusals --------------------------------------------------------------------------------------


def mounted(node):
    node.functions.disk("nvme0n1")
    fill(node.root, {"/proc/1/mountinfo": "25 1 259:0 / /srv rw - ext4 /dev/nvme0n1 rw\n"})


def member(node):
    node.functions.disk("nvme0n1", **{"holders/dm-0/": None})
    fill(node.root, {"/sys/class/block/dm-0/dm/name": "vg0-root\n"})


def swap(node):
    node.functions.disk("nvme0n1p2")
    (node.root / "proc/swaps").write_text("Filename Type Size Used Priority\n/dev/nvme0n1p2 partition 1 0 -2\n")


def by_udev(node):
    node.functions.disk("nvme0n1")
    fill(node.root, {"/run/udev/data/b259:0": "E:ID_FS_TYPE=LVM2_member\n"})


def multipath(node):
    node.functions.disk("nvme0c0n1")
    fill(
        node.root,
        {"/sys/class/block/nvme0n1/dev": "259:9\n", "/proc/1/mountinfo": "25 1 259:9 / /srv rw - ext4 /dev/nvme0n1 rw\n"},
    )


def routed(node):
    node.functions.routes = [{"dst": "default", "dev": "ens1f0"}]


def addressed(node):
    node.functions.addresses = {"ens1f0": ["192.0.2.1"]}


def on_a_field_bus(node):
    rows = "sk RefCnt Type Proto Iface R Rmem User Inode\nbad\n0000 3 3 88cc 2 1 0 0 1\n0000 3 3 88A4 2 1 0 0 2\n"
    fill(node.root, {"/proc/net/packet": rows, f"{node.functions.folder(NIC)}/net/ens1f0/ifindex": "2\n"})


def bonded(node):
    fill(node.root, {f"{node.functions.folder(NIC)}/net/ens1f0/upper_bond0/": None, "/sys/class/net/bond0/": None})


def second(node):
    node.functions.add("0000:02:00.1", "nvme", above="0000:00:1d.0", kind="0x010802", group=DISK)


def bridge(node):
    node.functions.add("0000:02:01.0", "", above="0000:00:1d.0", kind="0x060400", group=DISK)


def foreign(node):
    node.foreign("theirs", devices=HOSTDEV.format("2", "0"))


def by_switch(node):
    fill(node.root, {"/var/lib/realtime-kvm/": None})
    entry = {"owner": "ovs_dpdk", "kind": "driver", "before": {"driver": "nvme", "override": "", "name": "x"}, "boot_id": "b"}
    text = json.dumps({"schema": 1, "directories": [], "kernels": [], "entries": {f"pci:{DISK}:driver": entry}})
    (node.root / "var/lib/realtime-kvm/journal.json").write_text(text)


def with_vfs(node):
    node.functions.make(2)


def pf_at_vfio(node):
    node.functions.make(2)
    node.functions.bind(NIC, "vfio-pci")


def down(node):
    node.functions.make(2)
    (node.root / node.functions.folder(NIC).lstrip("/") / "net/ens1f0/flags").write_text("0x1002\n")


def nothing(_node):
    pass


def group_of_another(node):
    node.functions.add("0000:02:00.1", "vfio-pci", above="0000:00:1d.0", kind="0x010802", group=DISK)
    node.foreign("theirs", devices=HOSTDEV.format("2", "0").replace('function="0"', 'function="1"'))


def disk_of_a_domain(node):
    node.functions.disk("nvme0n1p1")
    fill(node.root, {"/dev/nvme0n1p1": "x", "/dev/disk/by-id/nvme-x": ("link", "../../nvme0n1p1")})
    node.foreign("theirs", devices='<disk type="block"><source dev="/dev/disk/by-id/nvme-x"/><target dev="vda"/></disk>')


def by_a_link(node):
    node.functions.disk("nvme0n1p1")
    fill(node.root, {"/dev/nvme0n1p1": "x", "/images/theirs.raw": ("link", "../dev/nvme0n1p1")})
    node.foreign("theirs", devices='<disk type="file"><source file="/images/theirs.raw"/><target dev="vda"/></disk>')


def below_an_overlay(node):
    node.functions.disk("nvme0n1")
    fill(node.root, {"/dev/nvme0n1": "x"})
    base = '<backingStore type="block"><format type="raw"/><source dev="/dev/nvme0n1"/></backingStore>'
    node.foreign("theirs", devices=f'<disk type="file"><source file="/images/o.qcow2"/>{base}<target dev="vda"/></disk>')


def by_loop(node):
    node.functions.disk("nvme0n1p1")
    fill(node.root, {"/dev/nvme0n1p1": "x", "/sys/class/block/loop7/loop/backing_file": "/dev/nvme0n1p1\n"})


def exported(node):
    node.functions.disk("nvme0n1")
    for name, enabled in (("nqn.a", "0"), ("nqn.b", "1")):
        base = f"/sys/kernel/config/nvmet/subsystems/{name}/namespaces/1"
        fill(node.root, {"/dev/nvme0n1": "x", f"{base}/device_path": "/dev/nvme0n1\n", f"{base}/enable": f"{enabled}\n"})


def opened(node):
    node.functions.disk("nvme0n1")
    fill(node.root, {"/dev/nvme0n1": "x"})
    for number, name in enumerate(("(udev-worker)", "tg\x1btd")):
        fill(node.root, {f"/proc/{70 + number}/comm": f"{name}\n", f"/proc/{70 + number}/fd/5": ("link", "/dev/nvme0n1")})


def in_a_raid_of_the_firmware(node):
    node.functions.disk("nvme0n1")
    fill(node.root, {"/run/udev/data/b259:0": "E:ID_FS_TYPE=isw_raid_member\n"})


def nvme_of_a_domain(node):
    address = '<address domain="0x0000" bus="0x02" slot="0x00" function="0x0"/>'
    node.foreign(
        "theirs", devices=f'<disk type="nvme"><source type="pci" namespace="1">{address}</source><target dev="vda"/></disk>'
    )


def of_node(node):
    node.functions.add("0000:00:1f.0", "lpc_ich", kind="0x060100")


def clock(node):
    fill(node.root, {"/etc/realtime-kvm/time_sync.json": Wanted("ptp", interface="ens1f0", transport="L2").text})


REFUSED = [
    (clock, NIC, f"device {NIC}: ens1f0 keeps the node's clock (time_sync_interface); choose another device, or another interface for the clock"),
    (disk_of_a_domain, DISK, f"device {DISK}: nvme0n1p1 is a disk of theirs (/dev/disk/by-id/nvme-x); take it from theirs first"),
    (by_a_link, DISK, f"device {DISK}: nvme0n1p1 is a disk of theirs (/images/theirs.raw); take it from theirs first"),
    (below_an_overlay, DISK, f"device {DISK}: nvme0n1 is a disk of theirs (/dev/nvme0n1); take it from theirs first"),
    (by_loop, DISK, f"device {DISK}: nvme0n1p1 is behind the loop device loop7; end that first"),
    (exported, DISK, f"device {DISK}: nvme0n1 is exported by NVMe over Fabrics as nqn.b; end that first"),
    (opened, DISK, f"device {DISK}: nvme0n1 is open in tg\\x1btd (process 71); end that first"),
    (in_a_raid_of_the_firmware, DISK, f"device {DISK}: nvme0n1 is a member of a RAID of the firmware; remove it there first"),
    (nvme_of_a_domain, DISK, f"device {DISK} is that of domain theirs; a device has one guest"),
    (of_node, "0000:00:1f.0", "device 0000:00:1f.0: it is a bridge, which no guest can have"),
    (group_of_another, DISK, f"device {DISK}: its IOMMU group, which one guest must have as a whole, holds 0000:02:00.1 of domain theirs; give both"),
    (mounted, DISK, f"device {DISK}: nvme0n1 is mounted at /srv; unmount it first"),
    (multipath, DISK, f"device {DISK}: nvme0n1 is mounted at /srv; unmount it first"),
    (member, DISK, f"device {DISK}: nvme0n1 belongs to vg0-root; remove it there first"),
    (swap, DISK, f"device {DISK}: nvme0n1p2 is swap space; switch it off first"),
    (by_udev, DISK, f"device {DISK}: nvme0n1 is a member of an LVM volume group; remove it there first"),
    (routed, NIC, f"device {NIC}: ens1f0 carries the default route; the guest would take it from the node"),
    (addressed, NIC, f"device {NIC}: ens1f0 has the address 192.0.2.1/24; the guest would take it"),
    (on_a_field_bus, NIC, f"device {NIC}: ens1f0 carries the frames of a program of the node (EtherCAT); end that program first, or choose another device"),
    (bonded, NIC, f"device {NIC}: ens1f0 is part of bond0; remove it there first"),
    (second, DISK, f"device {DISK} cannot be given to vfio-pci: the kernel uses other members of its IOMMU group, which can only be given as a whole: 0"),
    (bridge, DISK, f"device {DISK} cannot be given to vfio-pci: its IOMMU group holds the bridge 0000:02:01.0 (bridge), behind which"),
    (foreign, DISK, f"device {DISK} is that of domain theirs; a device has one guest"),
    (by_switch, DISK, f"device {DISK} is that of the switch; a device has one guest"),
    (with_vfs, NIC, f"device {NIC}: it has 2 virtual functions, which it would lose; give the guest one of them"),
    (pf_at_vfio, {"physical_function": NIC}, f"a VF of {NIC}: its physical function {NIC} is bound to vfio-pci, so nobody can set it up"),
    (pf_at_vfio, vf(0), f"{vf(0)}: its physical function {NIC} is bound to vfio-pci"),
    (down, OF_NIC, "a VF of ens1f0: ens1f0 is down, and libvirt sets MAC and VLAN only through an interface that is up"),
    (nothing, "0000:09:00.0", "device 0000:09:00.0 is not on this node: it is unplugged, switched off, or has another address"),
    (nothing, "0000:00:1c.0", "device 0000:00:1c.0: it is a bridge, which no guest can have"),
    (nothing, OF_NIC, "a VF of ens1f0: ens1f0 has 0 virtual functions; set kvm_host_virtual_functions: {ens1f0: 1}"),
    (nothing, {"physical_function": "ens9"}, "physical_function ens9 is not on this node; functions that can have virtual ones are: 0000:01:00.0 (ens1f0 igb)"),
    (nothing, {"physical_function": DISK}, f"a VF of {DISK}: {DISK} has no virtual functions (no SR-IOV)"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("prepare", "device", "said"), REFUSED, ids=[f"{item[0].__name__}-{number}" for number, item in enumerate(REFUSED)]
)
def test_refusals(node, prepare, device, said):
    prepare(node)
    assert f"realtime_guests: plc1: {said}" in node.refuse(with_devices(device))


def test_virtual_functions_that_are_yet_to_be_made_are_not_lost_either(node):
    with pytest.raises(RefusalError, match=f"device {NIC}: it has 2 virtual functions, which it would lose"):
        node.run(with_devices(NIC), check=True, virtual_functions={NIC: 2})


def test_two_guests_with_one_group(node):
    node.functions.add("0000:02:00.1", "", above="0000:00:1d.0", kind="0x010802", group=DISK)
    said = node.refuse(with_devices(DISK), with_devices("0000:02:00.1", name="plc2"))
    assert said.startswith(
        f"realtime_guests: plc1: device {DISK}: its IOMMU group, which one guest must have as a whole, holds 0000:02:00.1 of plc2"
    )
    node.converge(with_devices(DISK, "0000:02:00.1"))


def test_a_device_with_which_another_guest_still_runs(node):
    node.converge(with_devices(DISK), with_devices(name="plc2"))
    said = node.refuse(with_devices(), with_devices(DISK, name="plc2"))
    assert f"realtime_guests: plc2: plc1 runs with device {DISK} until it is restarted or off" in said
    node.converge(with_devices(state="stopped"), with_devices(DISK, name="plc2"), restart=True)
    assert (has(node), has(node, "plc2")) == ([], ["02:00.0"])


@pytest.mark.parametrize("number", ["1", "5"])
def test_a_device_of_another_node_than_any_free_cpu(node, number):
    (node.root / node.functions.folder(DISK).lstrip("/") / "numa_node").write_text(f"{number}\n")
    said = node.refuse(with_devices(DISK))
    assert (
        f"realtime_guests: plc1 asks for 2 realtime CPUs and 256 MiB of memory on NUMA node {number}, where its device {DISK} is"
        in said
    )
    assert "numa: spread lets it use several nodes" in said
    node.run(with_devices(DISK, numa="spread"))


def test_driverctl_is_missing(node):
    (node.root / "usr/sbin/driverctl").unlink()
    with pytest.raises(
        RefusalError, match=f"/usr/sbin/driverctl is missing, by which {DISK} is bound to vfio-pci; run the kvm_host role"
    ):
        node.run(with_devices(DISK))
