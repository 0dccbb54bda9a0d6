# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices of a guest's domain: those that come, go and change, and those that an administrator attached."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import (
    DomainError,
    canonical,
    our_devices,
    parse,
    to_text,
)
from unit.domains import KEPT, MAC, PLC, at, changed, edited, made, meaning, merged


def test_disks_of_every_kind():
    disks = [{"path": "/dev/vg/a"}, {"path": "/b.iso", "bus": "scsi", "read_only": True}]
    tree = made(disks=disks, seed="/seed.iso", firmware="uefi")
    found = [
        (
            disk.get("type"),
            disk.get("device"),
            dict(disk.find("source").attrib),
            disk.find("target").get("dev"),
            disk.find("readonly") is None,
        )
        for disk in tree.findall("devices/disk")
    ]
    assert found == [
        ("block", "disk", {"dev": "/dev/vg/a"}, "vda", True),
        ("file", "disk", {"file": "/b.iso"}, "sda", False),
        ("file", "cdrom", {"file": "/seed.iso"}, "sdb", False),
    ]
    assert tree.find("os").get("firmware") == "efi"


def test_paths_come_back_whatever_they_hold():
    disks = [{"path": "/a b/<x>&'\".raw"}]
    tree = made(disks=disks)
    assert tree.find("devices/disk/source").get("file") == disks[0]["path"]
    assert changed(tree, merged(tree, disks=disks)) == []


def targets(tree):
    return [item.get("dev") for item in tree.findall("devices/disk/target")]


def test_a_disk_of_ours_goes_and_a_foreign_one_stays():
    old, new = KEPT["foreign disk"]
    tree = edited(old, new)
    after = merged(tree, disks=PLC["disks"][:1])
    assert targets(after) == ["vda", "vdq"]
    assert sorted(changed(tree, after)) == ["devices/disk[vdb]", "metadata"]
    assert our_devices(after) == {("disk", "vda"), ("interface", MAC)}
    assert targets(merged(after, disks=[])) == ["vdq"]


def test_an_interface_of_ours_goes_and_a_foreign_one_stays():
    tree = edited(*KEPT["foreign interface"])
    after = merged(tree, networks=[])
    assert [item.get("address") for item in after.findall("devices/interface/mac")] == ["52:54:00:99:99:99"]
    assert at(after, "memoryBacking/access") == {"mode": "shared"}, "harmless, and perhaps another device needs it"


def test_a_disk_that_somebody_attached_is_not_replaced():
    old, new = KEPT["foreign disk"]
    tree = edited(old, new.replace("vdq", "vdc"))
    disks = [*PLC["disks"], {"path": "/images/third.raw"}]
    with pytest.raises(
        DomainError, match=r"plc1: disk /images/third.raw would be vdc, but its domain has /x there, .* virsh edit plc1"
    ):
        merged(tree, disks=disks)
    assert targets(merged(tree, disks=[*PLC["disks"], {"path": "/x", "format": "raw"}])) == ["vda", "vdb", "vdc"], (
        "the same: taken over"
    )


def test_an_empty_drive_of_the_owner_becomes_no_hard_disk():
    tree = edited("</devices>", '<disk type="file" device="cdrom"><target dev="sda" bus="sata" /><readonly /></disk></devices>')
    message = "plc1: disk /images/third.raw would be sda, but its domain has an empty drive there, which is not in disks; move it to another target"
    with pytest.raises(DomainError, match=message):
        merged(tree, disks=[*PLC["disks"], {"path": "/images/third.raw", "bus": "sata"}])


def test_an_empty_drive_takes_the_seed():
    tree = edited("</devices>", '<disk type="file" device="cdrom"><target dev="sda" bus="sata" /><readonly /></disk></devices>')
    assert sorted(changed(tree, merged(tree, seed="/seed.iso"))) == ["devices/disk[sda]", "metadata"]


@pytest.mark.parametrize(
    "source",
    [
        '<source protocol="nbd" name="x"><host name="h" /></source>',
        '<source pool="p" volume="v" />',
        '<source dev="/dev/sdx" />',
        "",
    ],
)
def test_our_disk_made_something_else_by_hand_is_made_what_it_was(source):
    old = '<source file="/images/plc1.qcow2" />'
    text = to_text(made()).replace(old, source).replace('<disk type="file"', '<disk type="network"', 1)
    after = merged(parse(text))
    assert meaning(after.find("devices/disk")) == meaning(made().find("devices/disk"))


def test_a_network_that_becomes_real_time_and_back():
    on_switch, on_bridge = {}, {"networks": [{"network": "office", "mac": MAC}]}
    found = merged(made(**on_bridge), **on_switch).find("devices/interface")
    assert (at(found, "source")["path"], found.find("driver")) == ("/run/realtime-kvm/vhost/plc1.control", None), (
        "its queues stay as they are"
    )
    back = merged(made(**on_switch), **on_bridge)
    assert meaning(back.find("devices/interface")) == meaning(made(**on_bridge).find("devices/interface"))


def test_what_belongs_to_the_old_kind_of_interface_goes_and_the_rest_stays():
    text = to_text(made(networks=[])).replace(
        "</devices>",
        f'<interface type="user" managed="yes" trustGuestRxFilters="yes"><mac address="{MAC}" /><driver name="vfio" />'
        '<source><address type="pci" domain="0" bus="0" slot="7" function="0" /></source><vlan><tag id="4" /></vlan>'
        '<boot order="1" /><address type="pci" bus="0x05" slot="0x00" /></interface></devices>',
    )
    found = merged(parse(text)).find("devices/interface")
    assert found.attrib == {"type": "vhostuser"}
    assert [item.tag for item in found] == ["mac", "boot", "address", "source", "model"]


def test_a_client_that_reconnects_becomes_the_server():
    tree = edited('mode="server" />', 'mode="client"><reconnect enabled="yes" timeout="5" /></source>')
    assert changed(tree, merged(tree)) == [f"devices/interface[{MAC}]"]
    assert merged(tree).find("devices/interface/source/reconnect") is None


def test_queues_come_and_go():
    many = {"networks": [{"network": "control", "mac": MAC, "queues": 4}]}
    tree = made(**many)
    driver = tree.find("devices/interface/driver")
    assert driver.attrib == {"queues": "4", "rx_queue_size": "1024", "tx_queue_size": "1024"}
    assert merged(tree).find("devices/interface/driver").attrib == {"rx_queue_size": "1024", "tx_queue_size": "1024"}
    del driver.attrib["rx_queue_size"], driver.attrib["tx_queue_size"]
    assert merged(tree).find("devices/interface/driver") is None


#: A channel of the agent as people write it, and as libvirt shows it of a definition and of a running guest.
CHANNEL = '<channel type="unix"><target type="virtio" name="org.qemu.guest_agent.0" /></channel>'
DEFINED = CHANNEL.replace("</channel>", '<address type="virtio-serial" controller="0" bus="0" port="1" /></channel>')
LIVE = (
    '<channel type="unix"><source mode="bind" path="/run/libvirt/qemu/channel/1-plc1/org.qemu.guest_agent.0" />'
    '<target type="virtio" name="org.qemu.guest_agent.0" state="connected" /><alias name="channel0" />'
    '<address type="virtio-serial" controller="0" bus="0" port="1" /></channel>'
)
CONTROLLER = '<controller type="virtio-serial" index="0"><address type="pci" bus="0x03" slot="0x00" /></controller>'


def test_the_agents_channel_comes_and_goes():
    tree = made()
    after = merged(tree, agent=True)
    assert changed(tree, after) == ["metadata", "devices/channel[org.qemu.guest_agent.0]"]
    assert canonical(after.find("devices/channel")) == ET.canonicalize(CHANNEL, strip_text=True)
    assert sorted(changed(after, merged(after))) == ["devices/channel[org.qemu.guest_agent.0]", "metadata"]
    assert canonical(merged(after)) == canonical(tree)


@pytest.mark.parametrize("shown", [DEFINED, LIVE], ids=["defined", "running"])
def test_what_libvirt_adds_to_the_agents_channel_is_no_difference(shown):
    tree = edited(CHANNEL, shown + CONTROLLER, agent=True)
    assert changed(tree, merged(tree, agent=True)) == []
    assert changed(tree, merged(tree, agent=True, live=True)) == []
    gone = merged(tree)
    assert gone.find("devices/channel") is None
    assert at(gone, "devices/controller[@type='virtio-serial']"), "libvirt's own, and perhaps another device needs it"


def test_an_agents_channel_of_an_administrator_stays_unless_the_inventory_has_taken_it_over():
    tree = edited("</devices>", f"{DEFINED}{CONTROLLER}</devices>")
    assert changed(tree, merged(tree)) == []
    taken = merged(tree, agent=True)
    assert changed(tree, taken) == ["metadata"]
    assert merged(taken).find("devices/channel") is None


def test_other_channels_stay():
    vdagent = '<channel type="spicevmc"><target type="virtio" name="com.redhat.spice.0" /></channel>'
    own = '<channel type="unix"><target type="virtio" name="org.example.plc" /></channel>'
    forward = '<channel type="pty"><target type="guestfwd" address="10.0.2.1" port="4600" /></channel>'
    tree = edited("</devices>", f"{vdagent}{own}{forward}</devices>", agent=True)
    for after in (merged(tree, agent=True), merged(tree)):
        names = {item.get("name") or item.get("type") for item in after.findall("devices/channel/target")}
        assert names - {"org.qemu.guest_agent.0"} == {"com.redhat.spice.0", "org.example.plc", "guestfwd"}


def test_an_agents_channel_that_libvirt_could_not_ask_through_is_repaired():
    tcp = '<channel type="tcp"><source mode="bind" host="::" service="7" /><protocol type="raw" />'
    tree = edited('<channel type="unix">', tcp, agent=True)
    assert changed(tree, merged(tree, agent=True)) == ["devices/channel[org.qemu.guest_agent.0]"]
    assert meaning(merged(tree, agent=True).find("devices/channel")) == meaning(parse(CHANNEL))


def test_an_io_thread_that_a_foreign_disk_uses():
    old, new = KEPT["foreign disk"]
    tree = edited(old, new.replace('type="raw" />', 'type="raw" iothread="2" />'), io_threads=2)
    assert changed(tree, merged(tree, io_threads=2)) == []
    with pytest.raises(
        DomainError, match="plc1: a device of its domain uses I/O thread 2, but io_threads is 1; give io_threads: 2, or"
    ):
        merged(tree, io_threads=1)


@pytest.mark.parametrize("driver", ["<driver iothread='x'/>", "<driver><iothreads><iothread id='x'/></iothreads></driver>"])
def test_an_io_thread_that_is_no_number_is_refused_by_name(driver):
    tree = edited("</devices>", f"<disk type='file'>{driver}<target dev='vdq'/></disk></devices>")
    with pytest.raises(
        DomainError, match=r"^domain plc1: its element (driver|iothread) has (iothread|id)='x', which is no number"
    ):
        merged(tree)


@pytest.mark.parametrize("bridge", ["br-int", "br0"])
def test_a_port_of_open_vswitch_that_moves_to_an_ordinary_bridge_is_none_any_more(bridge):
    port = "<virtualport type='openvswitch'><parameters interfaceid='x'/></virtualport><vlan><tag id='7'/></vlan>"
    theirs = f"<interface type='bridge'><mac address='{MAC}'/><source bridge='{bridge}'/>{port}<mtu size='9000'/></interface>"
    tree = merged(edited("</devices>", f"{theirs}</devices>", networks=[]), networks=[{"network": "office", "mac": MAC}])
    found = tree.find("devices/interface")
    assert at(found, "source") == {"bridge": "br0"}
    assert [found.find(tag) is None for tag in ("virtualport", "vlan", "mtu")] == [bridge == "br-int", bridge == "br-int", False]


@pytest.mark.parametrize(
    ("network", "kind", "source"),
    [("cell", "bridge", {"bridge": "br1"}), ("field", "direct", {"dev": "ens1", "mode": "bridge"})],
)
def test_an_interface_that_the_kernels_vhost_must_serve(network, kind, source):
    found = made(networks=[{"network": network, "mac": MAC}]).find("devices/interface")
    assert (found.get("type"), at(found, "source"), at(found, "model"), at(found, "driver")) == (
        kind, source, {"type": "virtio"}, {"name": "vhost"},
    )  # fmt: skip


def test_an_emulated_card_becomes_virtio_where_vhost_must_serve_it():
    theirs = f"<interface type='bridge'><mac address='{MAC}'/><source bridge='br1'/><model type='e1000'/></interface>"
    tree = edited("</devices>", f"{theirs}</devices>", networks=[])
    assert at(merged(tree, networks=[{"network": "cell", "mac": MAC}]).find("devices/interface"), "model") == {"type": "virtio"}


def test_macvtap_keeps_the_mode_that_somebody_chose():
    theirs = (
        f"<interface type='direct'><mac address='{MAC}'/><source dev='ens1' mode='private'/><model type='virtio'/></interface>"
    )
    tree = merged(edited("</devices>", f"{theirs}</devices>", networks=[]), networks=[{"network": "field", "mac": MAC}])
    assert at(tree.find("devices/interface"), "source") == {"dev": "ens1", "mode": "private"}


def test_macvtap_of_somebody_is_not_made_a_port_of_a_bridge():
    theirs = f"<interface type='direct'><mac address='{MAC}'/><source dev='ens1' mode='bridge'/></interface>"
    with pytest.raises(DomainError, match=r"which its domain has as direct \(macvtap on a device of the node\)"):
        merged(edited("</devices>", f"{theirs}</devices>", networks=[]), networks=[{"network": "cell", "mac": MAC}])


def test_what_was_on_the_switch_moves_to_the_kernel_and_back():
    for one, other in (("control", "cell"), ("cell", "field"), ("field", "control"), ("office", "field")):
        wish, before = {"networks": [{"network": other, "mac": MAC}]}, {"networks": [{"network": one, "mac": MAC}]}
        after = merged(made(**before), **wish)
        assert at(after.find("devices/interface"), "source") == at(made(**wish).find("devices/interface"), "source")
        assert changed(after, merged(after, **wish)) == []
