# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the list does not name stays as the domain has it."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_merge import merge
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import DomainError, describe, kib, parse, to_text
from ansible_collections.realtime.kvm.plugins.module_utils._guests.found import as_found, io_thread_ids, with_sizes
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import GuestError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import place
from unit.domains import MAC, changed, guest_of, made, merged, placement_of
from unit.trees import machine_files, plan

NETS = {
    "office": "<network><name>office</name><forward mode='bridge'/><bridge name='br0'/></network>",
    "lan": "<network><name>lan</name><forward mode='bridge'/><bridge name='br0'/><portgroup name='x'><vlan><tag id='5'/></vlan></portgroup></network>",
    "nat": "<network><name>nat</name><forward mode='nat'/><bridge name='virbr0'/></network>",
    "tagged": "<network><name>t</name><forward mode='bridge'/><bridge name='br0'/><vlan><tag id='5'/></vlan></network>",
    "grouped": "<network><name>g</name><bridge name='br0'/><portgroup name='x' default='yes'><virtualport type='openvswitch'/></portgroup></network>",
    "pool": "<network><name>p</name><forward mode='passthrough'><interface dev='eth1'/></forward></network>",
}


def nets(**more):
    """The definitions of libvirt's networks; a name may be given another one's."""
    known = {**NETS, **{name: NETS[other] for name, other in more.items()}}
    return lambda name: parse(known[name]) if name in known else None


def found_in(tree, networks_of_libvirt=nets(), **more):  # noqa: B008
    guest = as_found(with_sizes([guest_of(**more)], [describe(tree)])[0], tree, networks_of_libvirt)
    return guest, merge(tree, guest, placement_of(guest))


@pytest.mark.parametrize("size", ["1G", "none"])
def test_pages_that_are_not_named_stay(size):
    more = {"memory_mib": 1024, "realtime_vcpus": None, "hugepages": size, "networks": [], "io_threads": None}
    tree = made(**more)
    guest, after = found_in(tree, **{**more, "hugepages": None})
    assert (guest.hugepages, changed(tree, after)) == (size, [])


SOME_OFF = '<vcpu placement="static" current="2" cpuset="0-3">4</vcpu><vcpus><vcpu id="0" enabled="yes" /></vcpus>'


@pytest.mark.parametrize(
    ("vcpu", "count"),
    [
        ('<vcpu placement="static" cpuset="0-3">4</vcpu>', 4),
        ('<vcpu placement="static" cpuset="0-3">8</vcpu><cpu><topology sockets="1" cores="8" threads="1" /></cpu>', 8),
        (SOME_OFF, 4),
    ],
)
def test_vcpus_that_are_not_named_stay(vcpu, count):
    more = {"realtime_vcpus": None, "hugepages": None, "networks": [], "io_threads": None, "cpu_mode": None, "vcpus": None}
    text = to_text(made(**{**more, "vcpus": 1})).replace('<cpu mode="host-passthrough" />', "")
    tree = parse(text.replace('<vcpu placement="static" cpuset="0-3">1</vcpu>', vcpu))
    guest, after = found_in(tree, **more)
    assert (guest.vcpus, changed(tree, after)) == (count, [])
    assert "vcpu" in changed(tree, found_in(tree, **{**more, "vcpus": count + 1})[1])


def test_vcpus_that_are_named_are_all_switched_on():
    more = {"realtime_vcpus": None, "hugepages": None, "networks": [], "io_threads": None, "cpu_mode": None}
    tree = parse(to_text(made(**more)).replace('<vcpu placement="static" cpuset="0-3">4</vcpu>', SOME_OFF))
    after = found_in(tree, **more)[1]
    assert (after.find("vcpu").get("current"), after.find("vcpus")) == (None, None)


def test_pages_of_single_cells_stay():
    tree = parse(to_text(made(hugepages="2M")).replace('unit="KiB" />', 'unit="KiB" nodeset="0" />'))
    _guest, after = found_in(tree, hugepages=None)
    assert changed(tree, after) == []
    assert changed(tree, found_in(tree, hugepages="2M")[1]) == ["memoryBacking"]


def test_a_real_time_guest_gets_huge_pages_and_gives_them_back():
    ordinary = made(realtime_vcpus=None, hugepages="none", networks=[])
    guest, after = found_in(ordinary, hugepages=None, networks=[])
    assert (guest.hugepages, after.find("memoryBacking/hugepages") is not None) == ("2M", True)
    guest, after = found_in(made(), realtime_vcpus=None, hugepages=None, networks=[])
    assert (guest.hugepages, [item.tag for item in after.find("memoryBacking")]) == ("none", ["access"])


def test_memory_that_its_pages_do_not_divide_is_refused_by_name():
    tree = made(memory_mib=1024, hugepages="1G")
    with pytest.raises(
        GuestError, match=r"realtime_guests: plc1: its domain has pages of 1G, .* 1500 is no multiple; give 2048, or"
    ):
        found_in(tree, memory_mib=1500, hugepages=None)


@pytest.mark.parametrize(
    ("threads", "ids"),
    [
        ("", ()), ("<iothreads>2</iothreads>", (1, 2)), ("<iothreads>0</iothreads>", ()), ("<iothreads>x</iothreads>", ()),
        ("<iothreads>2</iothreads><iothreadids><iothread id='5'/><iothread id='9'/></iothreadids>", (5, 9)),
        ("<iothreads>3</iothreads><iothreadids><iothread id='2'/></iothreadids>", (1, 2, 3)),
        ("<iothreads>99999</iothreads>", tuple(range(1, 1025))),
    ],
)  # fmt: skip
def test_the_numbers_of_io_threads(threads, ids):
    assert io_thread_ids(parse(f"<domain>{threads}</domain>")) == ids


def test_io_threads_that_are_not_named_stay_and_are_pinned():
    sparse = "<iothreads>2</iothreads><iothreadids><iothread id='4'/><iothread id='7'/></iothreadids><cputune>"
    tree = parse(to_text(made(io_threads=None)).replace("<cputune>", sparse).replace("<driver ", "<driver iothread='7' ", 1))
    _guest, after = found_in(tree, io_threads=None)
    assert [pin.get("iothread") for pin in after.findall("cputune/iothreadpin")] == ["4", "7"]
    assert changed(tree, after) == ["cputune"]
    again = found_in(after, io_threads=None)[1]
    assert changed(after, again) == []


def test_a_scheduler_for_io_threads_that_nobody_has_is_refused():
    more = {"io_threads": None, "emulator": "own", "io_thread_scheduler": {}}
    for tree in (None, made(io_threads=None)):
        with pytest.raises(GuestError, match="io_thread_scheduler, but neither the list nor its domain has io_threads"):
            as_found(guest_of(**more), tree)


def test_an_address_that_was_derived_otherwise_stays():
    tree = made()
    guest, after = found_in(tree, networks=[{"network": "control"}])
    assert (guest.networks[0].mac, changed(tree, after)) == (MAC, [])
    assert found_in(tree, networks=[{"network": "control", "mac": "52:54:00:00:00:09"}])[0].networks[0].mac == "52:54:00:00:00:09"


OFFICE = [{"network": "office"}]
NIC = "<interface type='{}'><mac address='52:54:00:00:00:{}'/><source {}/><model type='e1000'/></interface>"


def with_nics(*nics):
    more = {"networks": [], "disks": []}
    return more, parse(to_text(made(**more)).replace("</devices>", "".join(NIC.format(*nic) for nic in nics) + "</devices>"))


@pytest.mark.parametrize(
    ("kind", "source", "mac"),
    [
        ("bridge", "bridge='br0'", True),
        ("network", "network='office'", True),
        ("network", "network='lan'", True),
        ("network", "network='tagged'", False),
        ("network", "network='grouped'", False),
        ("network", "network='lan' portgroup='x'", False),
        ("network", "network='pool'", False),
        ("bridge", "bridge='br1'", False),
        ("bridge", "network='office'", False),
        ("network", "network='default'", False),
    ],
)
def test_an_interface_of_somebody_else_on_the_network_is_the_one_that_is_meant(kind, source, mac):
    more, tree = with_nics((kind, "07", source))
    guest, after = found_in(tree, **{**more, "networks": OFFICE})
    assert (guest.networks[0].mac == "52:54:00:00:00:07") is mac
    assert len(after.findall("devices/interface")) == (1 if mac else 2)
    again, twice = found_in(after, **{**more, "networks": OFFICE})
    assert (again.networks, changed(after, twice)) == (guest.networks, [])
    assert len(found_in(after, **more)[1].findall("devices/interface")) == 1, "theirs stays, ours goes"


def test_of_two_interfaces_on_the_network_one_must_be_named():
    more, tree = with_nics(("bridge", "07", "bridge='br0'"), ("bridge", "08", "bridge='br0'"))
    with pytest.raises(
        GuestError,
        match=r"^realtime_guests: plc1: its domain has 2 interfaces on network office \(52:54:00:00:00:07, 52:54:00:00:00:08\), .*; give mac",
    ):
        found_in(tree, **{**more, "networks": OFFICE})
    for mac, count in (("52:54:00:00:00:08", 2), ("52:54:00:00:00:09", 3)):
        after = found_in(tree, **{**more, "networks": [{"network": "office", "mac": mac}]})[1]
        assert len(after.findall("devices/interface")) == count
    own = made(**{**more, "networks": OFFICE}).find("devices/interface/mac").get("address")
    more, tree = with_nics(("bridge", "07", "bridge='br0'"), ("bridge", "08", "bridge='br0'"))
    tree.findall("devices/interface/mac")[1].set("address", own)
    assert found_in(tree, **{**more, "networks": OFFICE})[0].networks[0].mac == own, "the derived address is there already"


MOVED = [{"network": "office", "mac": "52:54:00:00:00:07"}]


@pytest.mark.parametrize(
    ("source", "more", "definition", "has"),
    [
        ("network='office'", "", "nat", "bridge virbr0 there"),
        ("network='office' portgroup='x'", "", "office", "a VLAN, a port group"),
        ("network='office'", "<vlan><tag id='5'/></vlan>", "office", "a VLAN, a port group"),
        ("network='office'", "<virtualport type='openvswitch'/>", "office", "a VLAN, a port group"),
        ("network='office'", "", "tagged", "a VLAN, a port group"),
        ("network='office'", "", "pool", "no bridge there"),
        ("network='office'", "", None, "no bridge there"),
    ],
)
def test_an_interface_on_libvirts_network_of_that_name_alone_is_not_moved_unasked(source, more, definition, has):
    bare, tree = with_nics(("network", "07", f"{source}/>{more}<boot order='1'"))
    known = nets(office=definition) if definition else (lambda _name: None)
    with pytest.raises(
        GuestError, match=rf"52:54:00:00:00:07 is on libvirt's network of that name, and has {has}.*give mac: 52:54:00:00:00:07"
    ):
        found_in(tree, known, **{**bare, "networks": OFFICE})
    after = found_in(tree, known, **{**bare, "networks": MOVED})[1]
    assert [item.get("bridge") for item in after.findall("devices/interface/source")] == ["br0"]
    other = {"network": "office", "mac": "52:54:00:00:00:09"}
    after = found_in(tree, known, **{**bare, "networks": [other]})[1]
    assert [item.get("type") for item in after.findall("devices/interface")] == ["network", "bridge"]
    assert found_in(after, known, **{**bare, "networks": [other]})[0].networks[0].mac == "52:54:00:00:00:09"


@pytest.mark.parametrize("kind", ["hostdev", "direct", "vdpa", "ethernet", "udp"])
def test_an_interface_of_another_kind_is_not_made_one_on_a_bridge(kind):
    more, tree = with_nics((kind, "07", "dev='eth0'"))
    with pytest.raises(
        DomainError, match=rf"names the interface 52:54:00:00:00:07, which its domain has as {kind}.*virsh edit plc1"
    ):
        found_in(tree, **{**more, "networks": MOVED})
    after = found_in(tree, **{**more, "networks": OFFICE})[1]
    assert [item.get("type") for item in after.findall("devices/interface")] == [kind, "bridge"]


@pytest.mark.parametrize("networks", [OFFICE, MOVED])
def test_of_two_interfaces_with_one_address_the_one_on_the_bridge_is_meant(networks):
    more, tree = with_nics(("bridge", "07", "bridge='br0'"), ("bridge", "07", "bridge='br1'"))
    after = found_in(tree, **{**more, "networks": networks})[1]
    assert [item.get("bridge") for item in after.findall("devices/interface/source")] == ["br0", "br1"]
    assert changed(after, found_in(after, **{**more, "networks": networks})[1]) == []
    with pytest.raises(
        DomainError, match=r"has 2 interfaces with the MAC 52:54:00:00:00:07; give each its own with virsh edit plc1"
    ):
        found_in(with_nics(("bridge", "07", "bridge='br1'"), ("bridge", "07", "bridge='br1'"))[1], **{**more, "networks": MOVED})


ADOPTED = {
    "preferred": ("<os>", "<numatune><memory mode='preferred' nodeset='0'/></numatune><os>"),
    "interleave": ("<os>", "<numatune><memory mode='interleave' nodeset='0'/></numatune><os>"),
    "restrictive": (
        "<os>",
        "<numatune><memory mode='restrictive' nodeset='0'/><memnode cellid='0' mode='restrictive' nodeset='0'/></numatune><os>",
    ),
    "numad": ("<os>", "<numatune><memory mode='strict' placement='auto'/></numatune><os>"),
    "nodes that are not here": ("<os>", "<numatune><memory mode='strict' nodeset='0-7'/></numatune><os>"),
    "less at first": ('<currentMemory unit="KiB">262144</currentMemory>', "<currentMemory unit='MiB'>64</currentMemory>"),
    "uefi": (
        "<os>",
        "<os firmware='efi'><loader readonly='yes' secure='yes' type='pflash'>/x</loader><nvram template='/t'>/y</nvram>",
    ),
    "no acpi": ("<acpi />", ""),
    "locked": ("<vcpu ", "<memoryBacking><locked /><nosharepages /></memoryBacking><vcpu "),
    "cpu": ('<cpu mode="host-passthrough" />', "<cpu mode='custom' match='exact'><model>Nehalem</model></cpu>"),
    "no cpu": ('<cpu mode="host-passthrough" />', ""),
    "tpm": ("</devices>", "<tpm model='tpm-tis'><backend type='emulator' version='2.0'/></tpm></devices>"),
    "watchdog": ("</devices>", "<watchdog model='itco' action='none'/></devices>"),
    "hyperv": ("<acpi />", "<acpi /><hyperv mode='custom'><relaxed state='on'/></hyperv><kvm><hidden state='on'/></kvm>"),
    "clock": ('offset="utc"', "offset='timezone' timezone='Europe/Berlin'"),
    "crash": ("<devices>", "<on_crash>preserve</on_crash><devices>"),
    "balloon": ("</devices>", "<memballoon model='virtio'><stats period='5'/></memballoon></devices>"),
}


@pytest.mark.parametrize("name", ADOPTED)
def test_of_an_adopted_guest_nothing_changes_but_what_the_list_names(name):
    more = {"realtime_vcpus": None, "hugepages": None, "networks": [], "disks": [], "io_threads": None, "cpu_mode": None}
    old, new = ADOPTED[name]
    text = to_text(made(**{**more, "hugepages": "none"}))
    assert old in text, text
    tree = parse(text.replace(old, new))
    mark = tree.find("metadata")
    tree.remove(mark)
    guest = as_found(with_sizes([guest_of(**more)], [describe(tree)])[0], tree)
    placement = place(plan(), build_topology(machine_files()), [guest], [describe(tree)])["plc1"]
    after = merge(tree, guest, placement)
    tuned = {"vcpu", "cputune"}  # the node's own CPUs
    assert [name for name in changed(tree, after) if name not in tuned] == ["metadata"]


@pytest.mark.parametrize(("mib", "first"), [(512, 64), (64, 64), (32, 32), (256, 64)])
def test_a_guest_that_begins_with_less_memory_does_so_with_another_size(mib, first):
    more = {"realtime_vcpus": None, "hugepages": "none", "networks": [], "disks": []}
    old, new = ADOPTED["less at first"]
    tree = parse(to_text(made(**more)).replace(old, new))
    after = merged(tree, **{**more, "memory_mib": mib})
    assert [kib(after.find(tag)) // 1024 for tag in ("memory", "currentMemory")] == [mib, first]
    assert kib(merged(tree, memory_mib=mib).find("currentMemory")) == mib * 1024, "a real-time guest has all"


def test_an_adopted_guest_that_becomes_real_time_gets_what_that_needs_alone():
    more = {"networks": [], "disks": [], "io_threads": None, "cpu_mode": None, "hugepages": None}
    tree = made(**{**more, "realtime_vcpus": None, "hugepages": "none"})
    assert sorted(changed(tree, merged(tree, **more))) == [
        "cpu", "cputune", "devices/memballoon", "features", "memoryBacking", "numatune", "vcpu"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "source", "mac"),
    [("direct", "dev='ens1' mode='vepa'", True), ("direct", "dev='ens2'", False), ("bridge", "bridge='br0'", False)],
)
def test_macvtap_of_somebody_else_on_the_device_is_the_one_that_is_meant(kind, source, mac):
    more, tree = with_nics((kind, "07", source))
    guest, after = found_in(tree, **{**more, "networks": [{"network": "field"}]})
    assert (guest.networks[0].mac == "52:54:00:00:00:07") is mac
    assert len(after.findall("devices/interface")) == (1 if mac else 2)
