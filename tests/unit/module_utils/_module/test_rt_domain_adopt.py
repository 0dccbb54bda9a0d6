# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains that somebody made are taken over: what the list does not name stays theirs, also when keys leave the list."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import parse_networks
from unit.domains import at, meaning
from unit.guests import NETWORKS, PLC, Node, Ports, resources
from unit.image_tools import put, qcow2
from unit.trees import fill

THEIRS = {"name": "theirs", "memory_mib": 64, "adopt": True}


@pytest.fixture(name="node")
def _node(tmp_path):
    return Node(tmp_path)


def device_changes(result):
    return [resource for resource in resources(result) if "devices/" in resource]


# -- vCPUs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("restart", [False, True])
def test_the_number_of_vcpus_stays(node, restart):
    node.foreign(more="<cpu mode='custom'><topology sockets='1' cores='8' threads='1'/></cpu>")
    node.edit("<vcpu>1</vcpu>", "<vcpu current='2'>8</vcpu>", name="theirs")
    node.libvirt.run("theirs")
    result = node.converge(THEIRS, restart=restart)
    tree = node.tree("theirs")
    assert (tree.findtext("vcpu"), tree.find("vcpu").get("current")) == ("8", "2")
    assert tree.find("cpu/topology").get("cores") == "8"
    assert result["domains"][0]["vcpu_count"] == 8


# -- disks -----------------------------------------------------------------------------------------

DISK = "<disk type='{kind}' device='{device}'><driver name='qemu' type='{format}'/><source {source}/><target dev='{target}' bus='{bus}'/>{more}</disk>"


def disk(source="file='/images/x.img'", target="vda", bus="virtio", more="", *, kind="file", device="disk", **rest):
    return DISK.format(
        kind=kind, device=device, source=source, target=target, bus=bus, more=more, format=rest.get("format", "qcow2")
    )


def images(node, *paths):
    for path in paths:
        put(node.root, path, qcow2())


def disks_of(node):
    found = node.tree("theirs").findall("devices/disk")
    return [(disk.find("target").get("dev"), disk.find("target").get("bus"), disk.find("driver").get("type")) for disk in found]


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize(
    ("theirs", "has"),
    [
        (disk(), ("vda", "virtio", "qcow2")),
        (disk(format="raw"), ("vda", "virtio", "raw")),
        (disk(format="vmdk"), ("vda", "virtio", "vmdk")),
        (disk(target="sda", bus="sata"), ("sda", "sata", "qcow2")),
        (disk(target="vdb"), ("vdb", "virtio", "qcow2")),
        (disk(target="hda", bus="ide"), ("hda", "ide", "qcow2")),
        (disk(more="<readonly/><shareable/>"), ("vda", "virtio", "qcow2")),
        (disk(device="lun", format="raw"), ("vda", "virtio", "raw")),
        (disk(device="cdrom", format="raw", target="sdc", bus="sata", more="<readonly/>"), ("sdc", "sata", "raw")),
        (disk("dev='/images/x.img'", kind="file").replace("dev='/images", "file='/images"), ("vda", "virtio", "qcow2")),
    ],
)
def test_an_image_that_the_domain_has_is_that_disk_and_stays_as_it_is(node, theirs, has, running):
    images(node, "/images/x.img")
    node.foreign(devices=theirs, running=running)
    before = meaning(node.tree("theirs").find("devices"))
    result = node.converge({**THEIRS, "disks": [{"path": "/images/x.img"}]})
    assert (device_changes(result), disks_of(node)) == ([], [has])
    assert result["restart_required"] == {}
    assert meaning(node.tree("theirs").find("devices")) == before
    assert result["domains"][0]["disks"] == {has[0]: "/images/x.img"}
    node.converge(THEIRS)
    assert disks_of(node) == [has], "it never goes with its key"


def test_what_the_list_names_of_a_disk_is_changed(node):
    images(node, "/images/x.img")
    node.foreign(devices=disk(more="<readonly/>"))
    node.converge({**THEIRS, "disks": [{"path": "/images/x.img", "read_only": False, "cache": "writeback"}]})
    assert (node.tree("theirs").find("devices/disk/readonly"), at(node.tree("theirs"), "devices/disk/driver")["cache"]) == (
        None,
        "writeback",
    )


def test_another_format_is_refused(node):
    images(node, "/images/x.img")
    node.foreign(devices=disk())
    assert "format raw for disk /images/x.img, which its domain has as qcow2" in node.refuse(
        {**THEIRS, "disks": [{"path": "/images/x.img", "format": "raw"}]}
    )
    fill(node.root, {"/var/lib/libvirt/images/": None})
    node.run({**PLC, "disks": [{"size_gib": 4}]})
    assert "format raw for disk /var/lib/libvirt/images/plc1-vda.qcow2" in node.refuse(
        {**PLC, "disks": [{"size_gib": 4, "format": "raw"}]}
    )


def test_a_bus_that_differs_is_refused_with_the_one_that_the_domain_has(node):
    images(node, "/images/x.img")
    node.foreign(devices=disk(target="sda", bus="scsi"))
    guest = {**THEIRS, "disks": [{"path": "/images/x.img", "bus": "sata"}]}
    assert "bus sata for disk /images/x.img, which its domain has as sda on bus scsi; leave bus out" in node.refuse(guest)
    guest["disks"][0]["bus"] = "scsi"
    assert device_changes(node.converge(guest)) == []


def test_the_order_of_the_list_moves_no_disk_of_somebody_else(node):
    images(node, "/images/x.img", "/images/y.qcow2")
    node.foreign(devices=disk("file='/images/y.qcow2'") + disk(target="vdb"))
    result = node.converge({**THEIRS, "disks": [{"path": "/images/x.img"}, {"path": "/images/y.qcow2"}]})
    assert (device_changes(result), [name for name, _bus, _format in disks_of(node)]) == ([], ["vda", "vdb"])


def test_another_disk_makes_room_for_theirs_and_keeps_its_place(node):
    images(node, "/images/x.img", "/images/y.qcow2")
    fill(node.root, {"/var/lib/libvirt/images/": None})
    node.foreign(devices=disk(target="vdb") + disk("file='/images/z'", target="vdc"))
    guest = {**THEIRS, "disks": [{"path": "/images/x.img"}, {"path": "/images/y.qcow2"}]}
    node.converge(guest)
    assert sorted(name for name, _bus, _format in disks_of(node)) == ["vdb", "vdc", "vdd"]
    guest["disks"].pop()
    node.converge(guest)
    node.converge({**guest, "disks": [*guest["disks"], {"size_gib": 4}]})
    assert sorted(name for name, _bus, _format in disks_of(node)) == ["vdb", "vdc", "vdd"]
    node.converge(THEIRS)
    assert sorted(name for name, _bus, _format in disks_of(node)) == ["vdb", "vdc"]


def test_a_drive_of_windows_makes_room_too(node):
    images(node, "/images/x.img")
    fill(node.root, {"/var/lib/libvirt/images/": None})
    node.foreign(devices=disk(target="sda", bus="sata"))
    result = node.converge({**THEIRS, "disks": [{"path": "/images/x.img"}], "guest_os": "windows", "cloud_init": {}})
    assert result["domains"][0]["disks"] == {"sda": "/images/x.img", "sdb": "/var/lib/libvirt/images/theirs-seed.iso"}


# -- interfaces and other devices ------------------------------------------------------------------

NIC = (
    "<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/><model type='e1000'/>"
    "<driver name='vhost' queues='4'/></interface>"
)


@pytest.mark.parametrize("mac", [{"mac": "52:54:00:00:00:01"}, {}])
def test_an_interface_stays_as_it_is(node, mac):
    node.foreign(devices=NIC)
    before = meaning(node.tree("theirs").find("devices"))
    result = node.converge({**THEIRS, "networks": [{"network": "office", **mac}]})
    assert (device_changes(result), result["domains"][0]["macs"]) == ([], {"office": "52:54:00:00:00:01"})
    node.converge(THEIRS)
    assert meaning(node.tree("theirs").find("devices")) == before, "it never goes with its key"


def network(bridge):
    """A network of libvirt; an empty bridge is one of NICs."""
    return f"<network><name>office</name>{f'<bridge name={bridge!r}/>' if bridge else ''}</network>"


def test_an_interface_of_libvirts_network_of_that_name_keeps_its_settings(node):
    node.foreign(devices=NIC.replace("type='bridge'", "type='network'").replace("bridge='br0'", "network='office'"))
    node.libvirt.networks = {"office": network("br0")}
    node.converge({**THEIRS, "networks": [{"network": "office"}]})
    interface = node.tree("theirs").find("devices/interface")
    assert (interface.get("type"), at(interface, "source"), at(interface, "driver")) == (
        "bridge",
        {"bridge": "br0"},
        {"name": "vhost", "queues": "4"},
    )
    assert at(interface, "model") == {"type": "e1000"}


@pytest.mark.parametrize(
    ("source", "more", "bridge", "words"),
    [
        ("network='office'", "", "virbr0", "bridge virbr0 there"),
        ("network='office'", "", "", "no bridge there"),
        ("network='office' portgroup='five'", "", "br0", "a VLAN, a port group or a port profile of its own there"),
        ("network='office'", "<vlan><tag id='5'/></vlan>", "br0", "a VLAN, a port group or a port profile of its own there"),
    ],
)
def test_an_interface_is_on_no_other_network_of_that_name(node, source, more, bridge, words):
    node.foreign(
        devices=NIC.replace("type='bridge'", "type='network'")
        .replace("bridge='br0'", source)
        .replace("</interface>", f"{more}</interface>")
    )
    node.libvirt.networks = {"office": network(bridge)}
    message = node.refuse({**THEIRS, "networks": [{"network": "office"}]})
    assert (
        "theirs: network office is bridge br0, but its domain's interface 52:54:00:00:00:01 is on libvirt's network of that name"
        in message
    )
    assert f"and has {words}; give mac" in message
    node.converge({**THEIRS, "networks": [{"network": "office", "mac": "52:54:00:00:00:01"}]})


def test_the_queues_that_the_list_names_are_set(node):
    node.foreign(devices=NIC)
    for queues, has in ((2, "2"), (None, "2"), (1, None)):
        node.converge({**THEIRS, "networks": [{"network": "office", "queues": queues}]})
        assert at(node.tree("theirs"), "devices/interface/driver").get("queues") == has


def test_an_interface_that_goes_to_the_switch_gets_what_that_needs(node):
    node.foreign(devices=NIC.replace("br0", parse_networks(NETWORKS)["control"].bridge))
    node.ports = Ports("theirs")
    node.converge({**THEIRS, "networks": [{"network": "control"}]})
    interface = node.tree("theirs").find("devices/interface")
    assert (interface.get("type"), interface.find("model").get("type"), interface.find("driver")) == ("vhostuser", "virtio", None)


def test_other_devices_never_go_with_their_keys(node):
    fill(node.root, {"/usr/bin/swtpm": ""})
    node.foreign(
        devices="<tpm model='tpm-tis'><backend type='emulator' version='2.0'/></tpm><watchdog model='i6300esb' action='reset'/><panic model='hyperv'/>"
    )
    node.converge({**THEIRS, "tpm": True, "watchdog": "reset", "on_crash": "restart"})
    assert device_changes(node.converge(THEIRS)) == []


# -- one file by two paths -------------------------------------------------------------------------

OTHER_PLC = {**PLC, "name": "plc2", "disks": [{"path": "/images/link.qcow2"}]}


@pytest.fixture(name="linked", params=["symbolic", "hard"])
def _linked(node, request):
    link, image = node.root / "images/link.qcow2", node.root / "images/plc1.qcow2"
    if request.param == "hard":
        link.hardlink_to(image)
    else:
        link.symlink_to("plc1.qcow2")
    return node


def test_one_file_is_not_the_disk_of_two_guests_that_write_it(linked):
    words = "disk /images/link.qcow2 is the same file as disk /images/plc1.qcow2 of plc1, and two cannot write one; give each"
    assert f"plc2: {words}" in linked.refuse(PLC, OTHER_PLC)
    assert f"plc1: {words}" in linked.refuse({**PLC, "disks": [*PLC["disks"], *OTHER_PLC["disks"]]})
    read = [{**disk, "read_only": True} for disk in (*PLC["disks"], *OTHER_PLC["disks"])]
    assert words in linked.refuse({**PLC, "disks": read[:1]}, OTHER_PLC)
    linked.converge({**PLC, "disks": read[:1]}, {**OTHER_PLC, "disks": read[1:]})


def test_one_file_is_not_attached_beside_what_the_domain_has(linked):
    linked.foreign(devices=disk("file='/images/plc1.qcow2'", target="sda", bus="sata"))
    guest = {**THEIRS, "disks": OTHER_PLC["disks"]}
    assert (
        "theirs: disk /images/link.qcow2 is the same file as /images/plc1.qcow2, which its domain has as sda, and two cannot write one; give that path"
    ) in linked.refuse(guest)
    linked.converge({**THEIRS, "disks": PLC["disks"]})


def test_a_file_of_a_running_domain_of_others_is_refused(linked):
    linked.foreign(devices=disk("file='/images/plc1.qcow2'"), running=True)
    words = "is the same file as /images/plc1.qcow2, which the running domain theirs has, and two cannot write one; give another image"
    assert f"plc1: disk /images/plc1.qcow2 {words}" in linked.refuse(PLC)
    assert f"plc2: disk /images/link.qcow2 {words}" in linked.refuse(OTHER_PLC)
    linked.libvirt.live.clear()
    linked.converge(PLC)


def test_what_all_read_may_have_many_users(node):
    node.foreign(devices=disk("file='/images/plc1.qcow2'", more="<readonly/>"), running=True)
    node.converge({**PLC, "disks": [{"path": "/images/plc1.qcow2", "read_only": True}]})
    assert "running domain theirs" in node.refuse({**PLC, "disks": [{"path": "/images/plc1.qcow2", "read_only": False}]})
