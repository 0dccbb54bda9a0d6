# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains of libvirt as a run leaves them, and as people edit them by hand."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_merge import merge
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_new import new_domain
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import differences, parse, to_text
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import parse_guests
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import parse_networks
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Placement

NETWORKS = parse_networks(
    [
        {"name": "control"},
        {"name": "office", "realtime": False, "bridge": "br0"},
        {"name": "cell", "datapath": "bridge", "bridge": "br1"},
        {"name": "field", "datapath": "macvtap", "device": "ens1"},
    ]
)
MAC = "52:54:00:00:00:01"
PLC = {
    "name": "plc1", "memory_mib": 256, "vcpus": 4, "realtime_vcpus": "1-3", "io_threads": 1, "owner": "automation",
    "hugepages": "2M", "cpu_mode": "host-passthrough",
    "disks": [{"path": "/images/plc1.qcow2"}, {"path": "/images/data.raw"}], "networks": [{"network": "control", "mac": MAC}],
}  # fmt: skip
ORDINARY = {"realtime_vcpus": None, "hugepages": "none"}


def guest_of(**more):
    return parse_guests([{**PLC, **more}], NETWORKS, site="n", priority_limit=1)[0]


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
    "disk cache": ('cache="none"', 'cache="writethrough"'),
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
