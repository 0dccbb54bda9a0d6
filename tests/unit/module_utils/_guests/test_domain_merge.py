# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests as XML: new ones, hand edits that are repaired, and what is nobody's business but the administrator's."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_merge import merge, new_domain
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import (
    NAMESPACE,
    DomainError,
    accounting,
    canonical,
    describe,
    differences,
    is_ours,
    kib,
    our_devices,
    parse,
    pretty,
    read_pins,
    read_schedulers,
    to_text,
)
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import parse_guests
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import parse_networks
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Existing, Placement

NETWORKS = parse_networks([{"name": "control"}, {"name": "office", "realtime": False, "bridge": "br0"}])
MAC = "52:54:00:00:00:01"
PLC = {
    "name": "plc1", "memory_mib": 256, "vcpus": 4, "realtime_vcpus": "1-3", "io_threads": 1, "owner": "automation",
    "disks": [{"path": "/images/plc1.qcow2"}, {"path": "/images/data.raw"}], "networks": [{"network": "control", "mac": MAC}],
}  # fmt: skip
ORDINARY = {"realtime_vcpus": None, "hugepages": "none"}


def guest_of(**more):
    return parse_guests([{**PLC, **more}], NETWORKS, node="n", priority_limit=1)[0]


def placement_of(guest):
    if guest.realtime:
        pins = {vcpu: frozenset({4 + vcpu}) for vcpu in range(guest.vcpus)}
        return Placement(guest.name, (0,), pins, frozenset({12}) if guest.emulator == "own" else frozenset({0, 1}))
    return Placement(guest.name, (), {}, frozenset({0, 1}), frozenset({0, 1, 2, 3}))


def merged(current, live=False, **more):
    guest = guest_of(**more)
    return merge(current, guest, placement_of(guest), live=live)


def made(**more):
    """The domain as libvirt has it after a run: through text once."""
    return parse(to_text(merged(new_domain(guest_of(**more), "n", "x86_64"), **more)))


def edited(old, new, **more):
    text = to_text(made(**more))
    assert old in text, text
    return parse(text.replace(old, new))


def changed(before, after):
    return [difference.element for difference in differences(before, after)]


def meaning(element):
    """An element without the order of its children, which means nothing to libvirt here."""
    return element.tag, dict(element.attrib), (element.text or "").strip(), sorted((meaning(child) for child in element), key=str)


def at(tree, path):
    """The attributes of the one element there."""
    (element,) = tree.findall(path)
    return dict(element.attrib)


# -- a new guest -----------------------------------------------------------------------------------


def test_a_new_real_time_guest():
    tree = made(vcpu_schedulers={"3": {"policy": "rr"}})
    assert tree.get("type") == "kvm"
    assert kib(tree.find("memory")) == kib(tree.find("currentMemory")) == 256 * 1024
    assert [item.tag for item in tree.find("memoryBacking")] == ["hugepages", "nosharepages", "locked", "access"]
    assert at(tree, "memoryBacking/hugepages/page") == {"size": "2048", "unit": "KiB"}
    assert at(tree, "memoryBacking/access") == {"mode": "shared"}
    assert (tree.findtext("vcpu"), at(tree, "vcpu")) == ("4", {"placement": "static"})
    assert read_pins(tree) == {vcpu: {4 + vcpu} for vcpu in range(4)}
    assert read_schedulers(tree) == {1: "fifo 1", 2: "fifo 1", 3: "rr 1"}
    assert at(tree, "cputune/emulatorpin") == {"cpuset": "0-1"}
    assert at(tree, "cputune/iothreadpin") == {"iothread": "1", "cpuset": "0-1"}
    assert at(tree, "numatune/memory") == {"mode": "strict", "nodeset": "0"}
    assert at(tree, "cpu") == {"mode": "host-passthrough"}
    assert at(tree, "cpu/topology") == {"sockets": "1", "cores": "4", "threads": "1"}
    assert at(tree, "cpu/feature") == {"policy": "require", "name": "tsc-deadline"}
    assert at(tree, "features/pmu") == {"state": "off"}
    assert at(tree, "devices/memballoon") == {"model": "none"}
    assert at(tree, "devices/controller") == {"type": "usb", "index": "0", "model": "none"}
    assert at(tree, "devices/interface/source") == {
        "type": "unix",
        "path": "/run/realtime-kvm/vhost/plc1.control",
        "mode": "server",
    }
    assert [disk.find("driver").get("iothread") for disk in tree.findall("devices/disk")] == ["1", "1"]
    assert not [tag for tag in ("channel", "graphics", "video", "rng", "tpm", "sound") if tree.findall(f"devices/{tag}")]


def test_a_new_ordinary_guest():
    tree = made(**ORDINARY, networks=[{"network": "office", "queues": 2}], io_threads=0)
    assert tree.find("memoryBacking") is None
    assert tree.find("numatune") is None
    assert at(tree, "vcpu") == {"placement": "static", "cpuset": "0-3"}
    assert [item.tag for item in tree.find("cputune")] == ["emulatorpin"]
    assert at(tree, "devices/interface") == {"type": "bridge"}
    assert at(tree, "devices/interface/source") == {"bridge": "br0"}
    assert at(tree, "devices/interface/driver") == {"queues": "2"}
    assert tree.find("devices/disk/driver").get("iothread") is None


def test_memory_that_the_switch_must_see_is_shared_with_and_without_huge_pages():
    tree = made(**ORDINARY)
    assert [(item.tag, dict(item.attrib)) for item in tree.find("memoryBacking")] == [
        ("source", {"type": "memfd"}),
        ("access", {"mode": "shared"}),
    ]


def test_threads_of_device_emulation_in_the_loop():
    tree = made(emulator="own", emulator_scheduler={}, io_threads=2, io_thread_scheduler={"policy": "rr"})
    assert at(tree, "cputune/emulatorpin") == {"cpuset": "12"}
    assert at(tree, "cputune/emulatorsched") == {"scheduler": "fifo", "priority": "1"}
    assert [item.attrib for item in tree.findall("cputune/iothreadsched")] == [
        {"iothreads": thread, "scheduler": "rr", "priority": "1"} for thread in "12"
    ]
    assert [disk.find("driver").get("iothread") for disk in tree.findall("devices/disk")] == ["1", "2"]


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


def test_a_uuid_follows_from_node_and_name():
    uuids = {
        new_domain(guest_of(name=name), node, "x86_64").findtext("uuid") for node in "ab" for name in "ab" for _again in "ab"
    }
    assert len(uuids) == 4


def test_texts_come_back_whatever_they_hold():
    texts = {"owner": "a & <b>", "project": "\"'\u00e4", "class": "]]>", "description": "<&amp;>  two  blanks"}
    tree = made(**texts)
    assert accounting(tree) == {key: texts[key] for key in ("owner", "project", "class")}
    assert tree.findtext("description") == texts["description"]
    assert changed(tree, merged(tree, **texts)) == []


def test_paths_come_back_whatever_they_hold():
    disks = [{"path": "/a b/<x>&'\".raw"}]
    tree = made(disks=disks)
    assert tree.find("devices/disk/source").get("file") == disks[0]["path"]
    assert changed(tree, merged(tree, disks=disks)) == []


GUESTS = {
    "real-time": {},
    "ordinary": {**ORDINARY, "io_threads": 0},
    "ordinary-switch": ORDINARY,
    "ordinary-huge": {"realtime_vcpus": None, "hugepages": "1G", "memory_mib": 1024},
    "own-emulator": {"emulator": "own", "emulator_scheduler": {}, "io_threads": 2, "io_thread_scheduler": {}},
    "uefi": {"firmware": "uefi", "description": "x", "seed": "/seed.iso", "cpu_mode": "host-model"},
    "bare": {"disks": [], "networks": [], "io_threads": 0},
    "agent": {"agent": True},
}


@pytest.mark.parametrize("more", GUESTS.values(), ids=GUESTS)
def test_a_second_run_changes_nothing(more):
    tree = made(**more)
    assert differences(tree, merged(tree, **more)) == []
    assert differences(tree, merged(tree, live=True, **more)) == []
    assert canonical(tree) == canonical(merged(tree, **more))


@pytest.mark.parametrize("one", GUESTS.values(), ids=GUESTS)
@pytest.mark.parametrize("other", GUESTS.values(), ids=GUESTS)
def test_from_any_guest_to_any_other_in_one_run(one, other):
    """Nothing of the one stays that the other must not have, and all that it wants is there."""
    tree = parse(to_text(merged(made(**one), **other)))
    assert differences(tree, merged(tree, **other)) == []
    fresh = made(**other)
    for path in ("vcpu", "iothreads", "cputune", "numatune", "memory", "currentMemory", "metadata"):
        assert [canonical(item) for item in tree.findall(path)] == [canonical(item) for item in fresh.findall(path)], path
    for path in (
        "memoryBacking/locked",
        "memoryBacking/nosharepages",
        "memoryBacking/hugepages/page",
        "devices/disk",
        "devices/interface",
        "devices/channel",
    ):
        ours, theirs = ([canonical(item) for item in each.findall(path)] for each in (tree, fresh))
        assert sorted(ours) == sorted(theirs), path


def test_merging_leaves_what_it_was_given():
    tree = made()
    before = to_text(tree)
    merged(tree, vcpus=3, realtime_vcpus="1", disks=[], networks=[])
    assert to_text(tree) == before


# -- hand edits ------------------------------------------------------------------------------------


REPAIRED = {
    "priority": ('scheduler="fifo" priority="1"', 'scheduler="fifo" priority="50"', ["cputune"]),
    "policy": ('scheduler="fifo"', 'scheduler="rr"', ["cputune"]),
    "pin": ('vcpu="1" cpuset="5"', 'vcpu="1" cpuset="0-15"', ["cputune"]),
    "no emulatorpin": ('<emulatorpin cpuset="0-1" />', "", ["cputune"]),
    "emulator elsewhere": ('<emulatorpin cpuset="0-1" />', '<emulatorpin cpuset="4" />', ["cputune"]),
    "ordinary vCPU real-time": ("</cputune>", '<vcpusched vcpus="0" scheduler="fifo" priority="1" /></cputune>', ["cputune"]),
    "memory": ('<memory unit="KiB">262144<', '<memory unit="KiB">524288<', ["memory"]),
    "vcpus": (">4</vcpu>", ">6</vcpu>", ["vcpu"]),
    "vcpus off": ('<vcpu placement="static">4<', '<vcpu placement="static" current="2">4<', ["vcpu"]),
    "placement": ('<vcpu placement="static"', '<vcpu placement="static" cpuset="0-3"', ["vcpu"]),
    "not locked": ("<locked />", "", ["memoryBacking"]),
    "private": ('<access mode="shared" />', '<access mode="private" />', ["memoryBacking"]),
    "pages": ('size="2048"', 'size="1048576"', ["memoryBacking"]),
    "pages of a guest node": ('size="2048"', 'size="2048" nodeset="0"', ["memoryBacking"]),
    "anonymous": ("<nosharepages />", '<nosharepages /><source type="anonymous" />', ["memoryBacking"]),
    "other node": ('nodeset="0"', 'nodeset="1"', ["numatune"]),
    "preferred": ('mode="strict"', 'mode="preferred"', ["numatune"]),
    "pmu": ('<pmu state="off" />', '<pmu state="on" />', ["features"]),
    "cpu mode": ('<cpu mode="host-passthrough">', '<cpu mode="custom" match="exact"><model>Nehalem</model>', ["cpu"]),
    "topology": ('cores="4"', 'cores="2"', ["cpu"]),
    "no deadline timer": ('<feature policy="require" name="tsc-deadline" />', "", ["cpu"]),
    "balloon": ('<memballoon model="none" />', '<memballoon model="virtio" />', ["devices/memballoon"]),
    "disk path": ("/images/plc1.qcow2", "/images/other.qcow2", ["devices/disk[vda]"]),
    "disk format": ('type="qcow2"', 'type="raw"', ["devices/disk[vda]"]),
    "disk read only": ('<target dev="vda" bus="virtio" />', '<target dev="vda" bus="virtio" /><readonly />', ["devices/disk[vda]"]),
    "socket": ("plc1.control", "x", [f"devices/interface[{MAC}]"]),
    "socket's client": ('mode="server"', 'mode="client"', [f"devices/interface[{MAC}]"]),
    "kind of interface": ('type="vhostuser"', 'type="user"', [f"devices/interface[{MAC}]"]),
    "network card": ('<model type="virtio" />', '<model type="e1000" />', [f"devices/interface[{MAC}]"]),
    "owner": ('owner="automation"', 'owner="me"', ["metadata"]),
    "I/O threads": ("<iothreads>1<", "<iothreads>3<", ["iothreads"]),
    "I/O thread's number": ("<iothreads>1</iothreads>", '<iothreads>1</iothreads><iothreadids><iothread id="7" /></iothreadids>', ["iothreadids"]),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "elements"), REPAIRED.values(), ids=REPAIRED)
def test_a_hand_edit_is_exactly_the_difference_and_is_repaired(old, new, elements):
    tree = edited(old, new)
    after = merged(tree)
    assert changed(tree, after) == elements
    assert changed(after, merged(after)) == []
    assert sorted(map(canonical, after.iter("cputune"))) == sorted(map(canonical, made().iter("cputune")))


SAME = {
    "unit": ('<memory unit="KiB">262144<', '<memory unit="MiB">256<'),
    "no unit": ('<memory unit="KiB">262144<', "<memory>262144<"),
    "bytes": ('<memory unit="KiB">262144<', '<memory unit="bytes">268435456<'),
    "blanks": (">4</vcpu>", ">\n 4 </vcpu>"),
    "list": ('cpuset="0-1"', 'cpuset="0,1"'),
    "page's unit": ('size="2048" unit="KiB"', 'size="2" unit="MiB"'),
    "nodes": ('nodeset="0"', 'nodeset="0-0"'),
    "schedulers apart": (
        '<vcpusched vcpus="1" scheduler="fifo" priority="1" />',
        '<vcpusched scheduler="fifo" vcpus="1" priority="1" />',
    ),
    "upper case": (MAC, MAC.upper()),
    "dies": ('sockets="1"', 'sockets="1" dies="1" clusters="1"'),
    "I/O threads by number": ("</iothreads>", '</iothreads><iothreadids><iothread id="1" thread_pool_max="8" /></iothreadids>'),
}


@pytest.mark.parametrize(("old", "new"), SAME.values(), ids=SAME)
def test_what_is_only_written_otherwise_is_no_difference(old, new):
    tree = edited(old, new) if old != MAC else edited(f'address="{old}"', f'address="{new}"')
    assert changed(tree, merged(tree)) == []


def test_schedulers_as_libvirt_groups_them():
    text = re.sub(r"(<vcpusched [^>]*>)+", '<vcpusched vcpus="1-3" scheduler="fifo" priority="1" />', to_text(made()))
    assert text.count("<vcpusched") == 1
    assert changed(parse(text), merged(parse(text))) == []


KEPT = {
    "device": ("</devices>", '<rng model="virtio"><backend model="random">/dev/urandom</backend></rng></devices>'),
    "graphics": ("</devices>", '<graphics type="vnc" port="-1" passwd="x" /></devices>'),
    "controller": ("</devices>", '<controller type="scsi" index="0" model="virtio-scsi" /></devices>'),
    "foreign disk": (
        "</devices>",
        '<disk type="file" device="disk"><driver name="qemu" type="raw" /><source file="/x" /><target dev="vdq" bus="virtio" /></disk></devices>',
    ),
    "foreign interface": (
        "</devices>",
        '<interface type="network"><mac address="52:54:00:99:99:99" /><source network="default" /><mtu size="9000" /></interface></devices>',
    ),
    "address": ('<target dev="vda" bus="virtio" />', '<target dev="vda" bus="virtio" /><address type="pci" bus="0x07" slot="0x00" />'),
    "disk tuning": ('<target dev="vda" bus="virtio" />', '<target dev="vda" bus="virtio" /><iotune><read_iops_sec>9</read_iops_sec></iotune>'),
    "disk cache": ('type="qcow2"', 'type="qcow2" cache="none" discard="unmap"'),
    "interface tuning": ('<model type="virtio" />', '<model type="virtio" /><link state="down" /><mtu size="9000" />'),
    "driver options": ('<model type="virtio" />', '<model type="virtio" /><driver rx_queue_size="1024" packed="on" />'),
    "shares": ("<cputune>", "<cputune><shares>2048</shares><period>100000</period>"),
    "cache": ("</cputune>", '<cachetune vcpus="1-3"><cache id="0" level="3" type="both" size="3" unit="MiB" /></cachetune></cputune>'),
    "limit": ("<numatune>", '<memtune><hard_limit unit="GiB">4</hard_limit></memtune><numatune>'),
    "timers": ("<devices>", '<clock offset="utc"><timer name="tsc" mode="native" /></clock><devices>'),
    "boot": ('<boot dev="hd" />', '<boot dev="network" /><bootmenu enable="yes" />'),
    "features": ("<acpi />", '<acpi /><smm state="on" /><ioapic driver="qemu" />'),
    "cpu": ("<topology", '<cache mode="passthrough" /><maxphysaddr mode="passthrough" /><feature policy="disable" name="vmx" /><topology'),
    "seclabel": ("</domain>", '<seclabel type="dynamic" model="apparmor" relabel="yes" /></domain>'),
    "title": ("<metadata", "<title>A &amp; B</title><description>mine</description><metadata"),
    "lifecycle": ("<devices>", "<on_crash>coredump-restart</on_crash><devices>"),
    "commandline": (
        "</domain>",
        '<q:commandline xmlns:q="http://libvirt.org/schemas/domain/qemu/1.0"><q:arg value="-overcommit" /><q:arg value="cpu-pm=on" /></q:commandline></domain>',
    ),
    "metadata": ("<metadata>", '<metadata><app:a xmlns:app="http://example.com/app" app:x="1">text<app:b /></app:a>'),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new"), KEPT.values(), ids=KEPT)
def test_what_an_administrator_adds_stays(old, new):
    tree = edited(old, new)
    after = merged(tree)
    assert changed(tree, after) == []
    assert canonical(after) == canonical(tree)
    other = merged(tree, memory_mib=512, vcpus=6, owner="other", io_threads=2, policy="rr", disks=PLC["disks"][:1])
    tags = {item.tag for item in tree.iter()} - {item.tag for item in made().iter()}
    assert {tag: len(list(tree.iter(tag))) for tag in tags} == {tag: len(list(other.iter(tag))) for tag in tags}


def test_comments_and_prefixes_in_foreign_metadata_stay():
    inner = '<app:a xmlns:app="http://example.com/app"><!-- note & <x> --><app:b /></app:a>'
    tree = parse(to_text(made()).replace("<metadata>", f"<metadata>{inner}"))
    text = to_text(merged(tree, owner="other"))
    assert "<!-- note & <x> -->" in text
    assert "<app:b />" in text
    assert "xmlns:app=" in text
    assert is_ours(parse(text))


def test_a_foreign_prefix_named_like_ours_does_no_harm():
    tree = parse(to_text(made()).replace("<metadata>", '<metadata><realtime:a xmlns:realtime="http://example.com/other" />', 1))
    after = parse(to_text(merged(tree)))
    assert is_ours(after)
    assert changed(tree, after) == []
    assert after.find("metadata/{http://example.com/other}a") is not None


# -- devices that come, go and change --------------------------------------------------------------


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
    assert meaning(merged(made(**on_bridge), **on_switch).find("devices/interface")) == meaning(made().find("devices/interface"))
    back = merged(made(**on_switch), **on_bridge)
    assert meaning(back.find("devices/interface")) == meaning(made(**on_bridge).find("devices/interface"))


def test_what_belongs_to_the_old_kind_of_interface_goes_and_the_rest_stays():
    text = to_text(made(networks=[])).replace(
        "</devices>",
        f'<interface type="hostdev" managed="yes" trustGuestRxFilters="yes"><mac address="{MAC}" /><driver name="vfio" />'
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
    assert tree.find("devices/interface/driver").attrib == {"queues": "4"}
    assert merged(tree).find("devices/interface/driver") is None
    tree.find("devices/interface/driver").set("rx_queue_size", "1024")
    assert merged(tree).find("devices/interface/driver").attrib == {"rx_queue_size": "1024"}


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


# -- from one kind of guest to another -------------------------------------------------------------


def test_real_time_to_ordinary():
    tree = made()
    after = merged(tree, **ORDINARY)
    assert [item.tag for item in after.find("memoryBacking")] == ["access", "source"]
    assert after.find("numatune") is None
    assert [item.tag for item in after.find("cputune")] == ["emulatorpin", "iothreadpin"]
    assert read_schedulers(after) == {}
    assert at(after, "vcpu")["cpuset"] == "0-3"


def test_a_topology_that_no_longer_adds_up_goes():
    assert merged(made(), **ORDINARY, vcpus=2).find("cpu/topology") is None
    assert merged(made(), **ORDINARY, vcpus=4).find("cpu/topology") is not None
    tree = edited("<cpu mode", '<cpu mode="x"><topology sockets="2" dies="1" cores="1" threads="2" /></cpu><cpu mode', **ORDINARY)
    assert at(merged(tree, **ORDINARY), "cpu/topology") == {"sockets": "2", "dies": "1", "cores": "1", "threads": "2"}


def test_another_cpu_mode_leaves_nothing_of_the_old():
    passthrough = '<cpu mode="host-passthrough" check="none" migratable="on">'
    assert at(merged(edited('<cpu mode="host-passthrough">', passthrough), cpu_mode="host-model"), "cpu") == {
        "mode": "host-model"
    }
    custom = '<cpu mode="custom" match="exact" check="full"><model fallback="forbid">Nehalem</model><vendor>Intel</vendor>'
    cpu = merged(edited('<cpu mode="host-passthrough">', custom)).find("cpu")
    assert (cpu.attrib, [item.tag for item in cpu]) == ({"mode": "host-passthrough"}, ["topology", "feature"])


def test_shared_memory_that_another_device_needs_stays():
    backing = '<memoryBacking><source type="memfd" /><access mode="shared" /></memoryBacking><vcpu'
    more = {**ORDINARY, "networks": [], "io_threads": 0}
    tree = edited("<vcpu", backing, **more)
    assert changed(tree, merged(tree, **more)) == []


CELLS = '<numa><cell id="0" cpus="0-1" memory="131072" /><cell id="1" cpus="2-3" memory="128" unit="MiB" memAccess="private" /></numa>'


def test_numa_cells_of_an_administrator_stay_as_they_are():
    tree = edited("<topology", f"{CELLS}<topology")
    after = merged(tree)
    assert changed(tree, after) == ["cpu"]
    assert [cell.get("memAccess") for cell in after.iter("cell")] == [None, None], "the switch must see all of the memory"
    assert changed(after, merged(after)) == []


def test_memory_modules_are_libvirts_to_count():
    tree = edited("<topology", f"{CELLS}<topology")
    tree.find("memory").text = str(512 * 1024)
    assert "memory" not in changed(tree, merged(tree))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"memory_mib": 512},
            "plc1: memory_mib 512 differs from the sum of the NUMA cells that its domain has; change them with virsh edit plc1",
        ),
        ({"vcpus": 3, "realtime_vcpus": "1"}, "plc1: the NUMA cells that its domain has hold vCPU 3, but vcpus is 3"),
    ],
)
def test_numa_cells_that_contradict_the_inventory(more, said):
    with pytest.raises(DomainError, match=said):
        merged(edited("<topology", f"{CELLS}<topology"), **more)


def test_vcpus_that_are_switched_off_one_by_one():
    tree = edited(
        '<vcpu placement="static">4</vcpu>',
        '<vcpu placement="static" current="1">4</vcpu><vcpus><vcpu id="0" enabled="yes" /><vcpu id="1" enabled="no" /></vcpus>',
    )
    assert changed(tree, merged(tree)) == ["vcpu", "vcpus"]


def test_firmware_and_back():
    tree = edited(
        '<os firmware="efi">', '<os firmware="efi"><loader readonly="yes">/x</loader><nvram>/y</nvram>', firmware="uefi"
    )
    assert changed(tree, merged(tree, firmware="uefi")) == []
    back = merged(tree).find("os")
    assert (back.attrib, [item.tag for item in back]) == ({}, ["type", "boot"])


def test_live_xml_in_libvirts_other_form_is_no_difference():
    live = edited('<cpu mode="host-passthrough">', '<cpu mode="custom" match="exact" check="full"><model>Nehalem</model>')
    live.find("currentMemory").text = "131072"
    live.find("cpu").remove(live.find("cpu/feature"))
    assert changed(live, merged(live, live=True)) == []
    found = differences(live, merged(live, live=True, priority=1, io_threads=2, disks=PLC["disks"][:1], owner="other"))
    assert {difference.element: difference.live for difference in found} == {
        "metadata": True, "iothreads": False, "cputune": True, "devices/disk[vdb]": False
    }  # fmt: skip


# -- reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<memory>1024</memory>", 1024),
        ("<memory unit='KiB'> 1024 </memory>", 1024),
        ("<memory unit='b'>2048</memory>", 2),
        ("<memory unit='KB'>1024</memory>", 1000),
        ("<memory unit='G'>1</memory>", 1 << 20),
        ("<memory unit='TiB'>1</memory>", 1 << 30),
        ("<memory unit='furlong'>1</memory>", 0),
        ("<memory>many</memory>", 0),
        ("<memory/>", 0),
    ],
)
def test_memory(text, value):
    assert kib(ET.fromstring(text)) == value
    assert kib(None) == 0


def test_what_a_domain_occupies():
    assert describe(made()) == Existing(
        name="plc1", ours=True, vcpus={vcpu: frozenset({4 + vcpu}) for vcpu in range(4)}, emulator=frozenset({0, 1}),
        io_threads=frozenset({0, 1}), memory_mib=256, hugepages="2M", nodes=(0,),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("xml", "cpus"),
    [
        ("<domain><name>x</name></domain>", set()),
        ("<domain><vcpu>2</vcpu></domain>", set()),
        ("<domain><vcpu cpuset='4-7,^6'>2</vcpu></domain>", {4, 5, 7}),
        ("<domain><vcpu>2</vcpu><cputune><vcpupin vcpu='1' cpuset='9'/></cputune></domain>", {9}),
        ("<domain><vcpu cpuset='4-5'>2</vcpu><cputune><vcpupin vcpu='1' cpuset='9'/></cputune></domain>", {4, 5, 9}),
        (
            "<domain><vcpu cpuset='4-5'>1</vcpu><cputune><vcpupin vcpu='0' cpuset='9'/><emulatorpin cpuset='1'/></cputune></domain>",
            {1, 9},
        ),
        ("<domain><cputune><iothreadpin iothread='1' cpuset='3'/><vcpupin vcpu='0' cpuset='junk'/></cputune></domain>", {3}),
    ],
)
def test_every_cpu_that_a_foreign_domain_may_use(xml, cpus):
    existing = describe(parse(xml), running=True)
    assert existing.cpus == cpus
    assert (existing.ours, existing.running) == (False, True)


@pytest.mark.parametrize(
    ("page", "size"),
    [("", "2M"), ("<page size='2048'/>", "2M"), ("<page size='1' unit='G'/>", "1G"), ("<page size='x'/>", "2M")],
)
def test_page_sizes(page, size):
    xml = f"<domain><memoryBacking><hugepages>{page}</hugepages></memoryBacking></domain>"
    assert describe(parse(xml)).hugepages == size


def test_xml_that_cannot_be_read():
    with pytest.raises(DomainError, match="libvirt gave XML that cannot be read"):
        parse("<domain>")


# -- comparing -------------------------------------------------------------------------------------


def test_our_namespace_keeps_its_prefix_whatever_a_person_calls_it():
    tree = parse(f'<domain><metadata><mine:guest xmlns:mine="{NAMESPACE}"/></metadata></domain>')
    assert f'<domain xmlns:realtime="{NAMESPACE}"><metadata><realtime:guest />' in to_text(tree)


def test_a_domain_that_is_not_there_differs_as_a_whole():
    (found,) = differences(None, made())
    assert (found.element, found.before, found.live) == ("domain", None, False)
    assert found.after.startswith(
        '<domain xmlns:realtime="https://github.com/realtime-kvm/realtime.kvm/guest" type="kvm">\n  <name>plc1</name>'
    )


def test_a_difference_shows_the_element_before_and_after():
    tree = edited('priority="1"', 'priority="7"')
    (found,) = differences(tree, merged(tree))
    assert '  <vcpusched vcpus="1" scheduler="fifo" priority="7" />\n' in found.before
    assert '  <vcpusched vcpus="1" scheduler="fifo" priority="1" />\n' in found.after


def test_white_space_is_no_difference():
    tree = made()
    assert differences(parse(pretty(tree)), tree) == []
    assert differences(tree, parse(pretty(tree))) == []


def test_elements_of_one_name_are_told_apart():
    old, new = KEPT["controller"]
    tree = edited(old, new)
    other = parse(to_text(tree).replace('model="virtio-scsi"', 'model="lsilogic"'))
    assert changed(tree, other) == ["devices/controller#2"]
