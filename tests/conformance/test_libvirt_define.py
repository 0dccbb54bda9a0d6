# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real libvirtd takes what is rendered, and what it shows of it afterwards is no difference.

Runs where a libvirtd answers at qemu:///system (apt-get install libvirt-daemon-system qemu-system-x86 python3-libvirt);
no guest is started, and domains that are there are left alone. What only a daemon shows is tested here, as libvirt
checks more when it defines than its schema does.
"""

from __future__ import annotations

import os
import uuid
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_merge import merge
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_new import new_domain
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import canonical, differences, parse, to_text
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import parse_guests
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import parse_networks
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Placement
from captures import need_whole
from conformance import test_libvirt_xml as fixtures
from conformance.libvirt_daemon import define, interpreter

REASON = interpreter()[1]
pytestmark = pytest.mark.skipif(bool(REASON), reason=f"no libvirtd to ask: {REASON}")

NAME = f"realtime-kvm-test-{os.getpid()}"
UUID = str(uuid.uuid4())
NETWORKS = parse_networks(
    [
        {"name": "control"},
        {"name": "office", "realtime": False, "bridge": "br0"},
        {"name": "cell", "datapath": "bridge", "bridge": "br1"},
        {"name": "field", "datapath": "macvtap", "device": "ens1"},
    ]
)
MAC = "52:54:00:00:00:01"
SWITCH = {"networks": [{"network": "control", "mac": MAC}]}
BRIDGE = {"networks": [{"network": "office", "mac": MAC, "queues": 2}]}
REALTIME = {"vcpus": 4, "realtime_vcpus": "1-3"}

FRAGMENT = """<domain xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
  <!-- half of the cache -->
  <cputune><shares>2048</shares></cputune>
  <features><kvm><hidden state="on"/></kvm></features>
  <clock><timer name="kvmclock" present="no"/></clock>
  <cpu><feature policy="disable" name="vmx"/><cache mode="passthrough"/></cpu>
  <devices>
    <rng model="virtio"><backend model="random">/dev/urandom</backend><alias name="ua-rng"/></rng>
    <hostdev mode="subsystem" type="pci" managed="yes"><source><address domain="0" bus="3" slot="0" function="1"/></source><alias name="ua-nic"/></hostdev>
  </devices>
  <qemu:commandline><qemu:arg value="-overcommit"/><qemu:arg value="cpu-pm=on"/></qemu:commandline>
</domain>"""

VF = {"physical_function": "ens1f0"}

GUESTS = {
    "real-time": {**REALTIME, **SWITCH, "disks": [{"path": "/images/a.qcow2"}], "io_threads": 1, "owner": "o&<x>\"'"},
    "real-time, everything": {
        **REALTIME,
        "vcpu_schedulers": {"3": {"policy": "rr"}},
        "emulator": "own",
        "emulator_scheduler": {},
        "io_threads": 2,
        "io_thread_scheduler": {"policy": "rr"},
        "networks": [{"network": "control", "mac": MAC, "queues": 4}, {"network": "office"}],
        "disks": [
            {"path": "/images/b.qcow2"},
            {"path": "/dev/vdz"},
            {"path": "/c.raw", "bus": "scsi"},
            {"path": "/d.raw", "bus": "sata"},
            {"path": "/e.iso", "bus": "scsi", "read_only": True},
        ],
        "seed": "/seed.iso",
        "firmware": "uefi",
        "description": "d <&> ]]>  ü",
    },
    "real-time, 1 GiB pages": {**REALTIME, "hugepages": "1G", "memory_mib": 1024},
    "real-time, no huge pages": {**REALTIME, **SWITCH, "hugepages": "none"},
    "host-model": {**REALTIME, "cpu_mode": "host-model"},
    "ordinary": {**BRIDGE, "disks": [{"path": "/images/a.qcow2"}]},
    "ordinary on the switch": {**SWITCH, "vcpus": 2},
    "ordinary in huge pages": {"vcpus": 2, "hugepages": "2M", "io_threads": 1, "disks": [{"path": "/images/a.qcow2"}]},
    "ordinary with UEFI": {"firmware": "uefi", "vcpus": 3},
    "real-time with an agent": {**REALTIME, **SWITCH, "agent": True},
    "ordinary with an agent": {**BRIDGE, "agent": True},
    "other system": {"vcpus": 1, "realtime_vcpus": "0", "guest_os": "other", **SWITCH},
    "windows": {**REALTIME, **SWITCH, "guest_os": "windows", "tpm": True, "firmware": "uefi", "secure_boot": True},
    "secure boot": {"firmware": "uefi", "secure_boot": True},
    "no secure boot": {"firmware": "uefi", "secure_boot": False},
    "devices": {"watchdog": "reset", "tpm": True, "serial_log": True, "on_crash": "restart", "uuid": UUID},
    "kernel bridge": {**REALTIME, "networks": [{"network": "cell", "mac": MAC}], "vhost_scheduler": {"policy": "rr"}},
    "macvtap": {**REALTIME, "networks": [{"network": "field", "mac": MAC, "queues": 2}], "vhost": "emulator", "emulator": "own"},
    "ordinary on macvtap": {"networks": [{"network": "field", "mac": MAC}]},
    "named": {
        **REALTIME,
        "invariant_tsc": True,
        "dedicated_hint": False,
        "hyperv": True,
        "clock": "localtime",
        "networks": [{"network": "control", "mac": MAC, "rx_queue_size": 512, "tx_queue_size": 256}],
        "disks": [
            {"path": "/a", "cache": "directsync", "io": "native", "discard": "ignore"},
            {"path": "/dev/vdz", "io": "io_uring"},
        ],
    },
    "assigned functions": {**REALTIME, **SWITCH, "devices": ["0000:41:00.0", "0000:42:1f.7"]},
    "assigned virtual functions": {**REALTIME, "devices": [{**VF, "vlan": 100, "trust": True}, VF]},
    "fragment": {**REALTIME, **SWITCH, "xml": FRAGMENT},
    "made disk and seed": {"disks": [{"size_gib": 1}], "cloud_init": {}},
    "made disk and seed of Windows": {"disks": [{"size_gib": 1, "bus": "sata"}], "cloud_init": {}, "guest_os": "windows"},
    "odd paths": {"disks": [{"path": "/a b/<x>&'\",=\u00e4.raw"}]},
}


def guest_of(wishes):
    guest = parse_guests([{"name": NAME, "memory_mib": 256, **wishes}], NETWORKS, site=NAME, priority_limit=1)[0]
    chosen = (
        replace(item, address=item.address or f"0000:01:10.{place}", network=not item.address)
        for place, item in enumerate(guest.devices)
    )
    return replace(guest, devices=tuple(chosen))


def placement_of(guest):
    if guest.realtime:
        pins = {vcpu: frozenset({4 + vcpu}) for vcpu in range(guest.vcpus)}
        return Placement(NAME, (0,), pins, frozenset({12}) if guest.emulator == "own" else frozenset({0, 1}))
    nodes = (0,) if guest.hugepages != "none" else ()
    return Placement(NAME, nodes, {}, frozenset({0, 1}), frozenset({0, 1, 2, 3}))


def wished(tree, wishes):
    guest = guest_of(wishes)
    return merge(tree, guest, placement_of(guest))


def defined(trees):
    """What libvirt makes of each; one that it refuses is an error in words."""
    answers = define([(NAME, to_text(tree)) for tree in trees])
    refused = [error for _text, error in answers if error]
    assert refused == []
    return [parse(text) for text, _error in answers]


@pytest.fixture(name="new", scope="module")
def _new():
    """Each of the guests as libvirt has it after the first run."""
    return dict(zip(GUESTS, defined([wished(new_domain(guest_of(item), NAME, "x86_64"), item) for item in GUESTS.values()])))


@pytest.mark.parametrize("name", GUESTS)
def test_a_second_run_changes_nothing(new, name):
    assert differences(new[name], wished(new[name], GUESTS[name])) == []


@pytest.mark.parametrize("one", GUESTS)
def test_any_guest_becomes_any_other_in_one_run(new, one):
    others = [name for name in GUESTS if name != one]
    found = defined([wished(new[one], GUESTS[name]) for name in others])
    for name, tree in zip(others, found):
        assert differences(tree, wished(tree, GUESTS[name])) == [], f"{one} to {name}"


#: Domains that other users have made or changed, which libvirt takes with a merged guest but not unchanged.
DOMAIN = """
<domain type='kvm'><name>{name}</name><uuid>{uuid}</uuid>{top}<memory unit='MiB'>256</memory><vcpu{attributes}>{vcpus}</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os>{middle}<devices>{devices}</devices></domain>
"""
CUSTOM = "<cpu mode='custom' match='exact' check='partial'><model fallback='allow'>Nehalem</model><vendor>Intel</vendor></cpu>"
CELL = "<cpu><numa><cell id='0' cpus='0-{last}' memory='256' unit='MiB' memAccess='private'/></numa></cpu>"
VIRTIOFS = "<filesystem type='mount'><driver type='virtiofs'/><source dir='/x'/><target dir='x'/></filesystem>"
FOUR = {"vcpus": 4}
EDITED = {
    "another CPU model": ({"middle": CUSTOM}, {}),
    "another CPU model, real-time": ({"middle": CUSTOM, **FOUR}, REALTIME),
    "host-model": ({"middle": "<cpu mode='host-passthrough' migratable='on'/>"}, {"cpu_mode": "host-model"}),
    "topology": ({"middle": "<cpu><topology sockets='2' cores='1' threads='2'/></cpu>", **FOUR}, {"vcpus": 2}),
    "virtiofs": ({"top": "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>", "devices": VIRTIOFS}, {}),
    "I/O thread numbers": ({"top": "<iothreads>2</iothreads><iothreadids><iothread id='2'/><iothread id='4'/></iothreadids>"}, {"io_threads": 2}),
    "memnode": (
        {"top": "<numatune><memnode cellid='0' mode='preferred' nodeset='0'/></numatune>", "middle": CELL.format(last=3), **FOUR},
        {**REALTIME, **SWITCH},
    ),
    "restrictive": (
        {
            "top": "<numatune><memory mode='restrictive' nodeset='0'/><memnode cellid='0' mode='restrictive' nodeset='0'/></numatune>",
            "middle": CELL.format(last=3),
            **FOUR,
        },
        {**REALTIME, **SWITCH},
    ),
    "restrictive, ordinary": (
        {
            "top": "<numatune><memory mode='restrictive' nodeset='0'/><memnode cellid='0' mode='restrictive' nodeset='0'/></numatune>",
            "middle": CELL.format(last=0),
        },
        {},
    ),
    "automatic placement": (
        {"top": "<numatune><memory mode='strict' placement='auto'/></numatune>", "attributes": " placement='auto'"},
        {},
    ),
    "memory module": (
        {
            "top": "<maxMemory slots='2' unit='MiB'>512</maxMemory>",
            "middle": CELL.format(last=0),
            "devices": "<memory model='dimm'><target><size unit='MiB'>128</size><node>0</node></target></memory>",
        },
        {},
    ),
    "memory module of a node": (
        {
            "top": "<maxMemory slots='2' unit='MiB'>512</maxMemory>",
            "middle": CELL.format(last=0),
            "devices": "<memory model='dimm'><source><nodemask>0</nodemask></source>"
            "<target><size unit='MiB'>128</size><node>0</node></target></memory>",
        },
        {},
    ),
    "anonymous memory": (
        {"top": "<memoryBacking><source type='anonymous'/></memoryBacking>", **FOUR},
        {**REALTIME, **SWITCH},
    ),
    "vCPUs off": (
        {
            "attributes": " current='1'",
            "vcpus": 2,
            "top": "<vcpus><vcpu id='0' enabled='yes' hotpluggable='no'/><vcpu id='1' enabled='no' hotpluggable='yes'/></vcpus>",
        },
        {"vcpus": 2},
    ),
    "a client that reconnects": (
        {
            "devices": f"<interface type='vhostuser'><mac address='{MAC}'/><source type='unix' path='/x' mode='client'>"
            "<reconnect enabled='yes' timeout='5'/></source><model type='virtio'/></interface>"
        },
        SWITCH,
    ),
    "a passed-through NIC": (
        {
            "devices": f"<interface type='hostdev' managed='yes'><mac address='{MAC}'/><driver name='vfio'/>"
            "<source><address type='pci' domain='0' bus='0' slot='7' function='0'/></source></interface>"
        },
        SWITCH,
    ),
    "an empty drive": (
        {"devices": "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>"},
        {"seed": "/seed.iso"},
    ),
    "USB, balloon, graphics": (
        {"devices": "<input type='tablet' bus='usb'/><graphics type='vnc'/><video><model type='virtio'/></video>", **FOUR},
        REALTIME,
    ),
    "an agent's channel": (
        {"devices": "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"},
        {"agent": True},
    ),
    "an agent's channel of another kind": (
        {
            "devices": "<channel type='tcp'><source mode='bind' host='127.0.0.1' service='7777'/><protocol type='telnet'/>"
            "<target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
        },
        {**REALTIME, "agent": True},
    ),
    "a serial port in the agent's place": (
        {
            "devices": "<controller type='virtio-serial' index='0' ports='2'/><channel type='pty'><target type='virtio' name='x'/>"
            "<address type='virtio-serial' controller='0' bus='0' port='1'/></channel>"
        },
        {"agent": True},
    ),
    "metadata": (
        {"top": "<metadata><a:a xmlns:a='http://example.com/a'><!-- note --><a:b/></a:a></metadata><title>t</title>"},
        {"description": "x"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITED)
def test_domains_of_others_take_a_guest_of_ours(name):
    parts, wishes = EDITED[name]
    parts = {"top": "", "middle": "", "devices": "", "attributes": "", "vcpus": 1, **parts}
    (theirs,) = defined([parse(DOMAIN.format(name=NAME, uuid=UUID, **parts))])
    (tree,) = defined([wished(theirs, wishes)])
    assert differences(tree, wished(tree, wishes)) == []


def test_an_agents_channel_goes_with_the_option_unless_it_is_another_s():
    def channels(tree):
        return [item.get("name") for item in tree.findall("devices/channel/target")]

    (ours,) = defined([wished(new_domain(guest_of({}), NAME, "x86_64"), {"agent": True})])
    parts = {"top": "", "middle": "", "attributes": "", "vcpus": 1, "devices": EDITED["an agent's channel"][0]["devices"]}
    (theirs,) = defined([parse(DOMAIN.format(name=NAME, uuid=UUID, **parts))])
    assert channels(ours) == channels(theirs) == ["org.qemu.guest_agent.0"]
    found = defined([wished(ours, {}), wished(theirs, {})])
    assert [channels(tree) for tree in found] == [[], ["org.qemu.guest_agent.0"]]
    assert [differences(tree, wished(tree, {})) for tree in found] == [[], []]


def test_foreign_metadata_comes_back_as_it_was():
    inner = '<a:a xmlns:a="http://example.com/a"><!-- note --><a:b c="&lt;"/>text</a:a>'
    parts = {"top": f"<metadata>{inner}</metadata>", "middle": "", "devices": "", "attributes": "", "vcpus": 1}
    (theirs,) = defined([parse(DOMAIN.format(name=NAME, uuid=UUID, **parts))])
    ((text, error),) = define([(NAME, to_text(wished(theirs, {"owner": "me"})))])
    assert error == ""
    assert "<!-- note -->" in text
    (theirs,) = ET.fromstring(text).findall("metadata/{http://example.com/a}a")
    assert "a:a" in text
    assert canonical(theirs) == ET.canonicalize(inner, strip_text=True)


# -- libvirt's own test domains --------------------------------------------------------------------

#: Machines without PCI, which no device can be attached to.
NO_PCI = {"usb-controller-implicit-isapc.xml"}


def test_every_domain_of_libvirts_tests_that_this_one_takes_also_takes_a_guest_of_ours():
    """About half a minute of a daemon's time; what it shows but would not accept itself is left out."""
    need_whole("libvirt")
    inputs = {}
    for name in fixtures.accepted():
        file, text = max(fixtures.texts(name).items())  # what people write: libvirt shows its own form of it
        if file not in NO_PCI:
            inputs[file] = renamed(fixtures.whole(parse(text)))
    once = define([(NAME, to_text(tree)) for tree in inputs.values()])
    shown = {file: text for file, (text, error) in zip(inputs, once) if not error}
    twice = define([(NAME, text) for text in shown.values()])
    theirs = {file: fixtures.whole(parse(text)) for (file, text), (_text, error) in zip(shown.items(), twice) if not error}
    assert len(theirs) > 150
    cases = [
        (f"{file}, {what}", guest, placement, merge(tree, guest, placement))
        for file, original in theirs.items()
        for what, tree, guest, placement in fixtures.wishes(original)
        if ("real-time" in what) == ("control" in what)
    ]
    answers = define([(NAME, to_text(tree)) for *_case, tree in cases])
    refused = [f"{what}: {error}" for (what, *_case), (_text, error) in zip(cases, answers) if error]
    assert refused == []
    for (what, guest, placement, _tree), (text, _error) in zip(cases, answers):
        assert differences(parse(text), merge(parse(text), guest, placement)) == [], what


def renamed(tree):
    tree.find("name").text = NAME
    for element in tree.findall("uuid"):
        element.text = UUID
    return tree
