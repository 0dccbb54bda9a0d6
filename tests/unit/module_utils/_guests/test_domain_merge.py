# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests as XML: new ones, hand edits that are repaired, and what is nobody's business but the administrator's."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.cells import Cell
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_merge import merge
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_new import new_domain
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import (
    DomainError,
    accounting,
    canonical,
    differences,
    is_ours,
    kib,
    parse,
    read_pins,
    read_schedulers,
    to_text,
)
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import parse_guests
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Placement
from unit.domains import KEPT, MAC, ORDINARY, PLC, at, changed, edited, guest_of, made, merged, placement_of

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
    assert at(tree, "cpu") == {"mode": "host-passthrough", "migratable": "off"}
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


GUESTS = {
    "real-time": {},
    "ordinary": {**ORDINARY, "io_threads": 0},
    "ordinary-switch": ORDINARY,
    "ordinary-huge": {"realtime_vcpus": None, "hugepages": "1G", "memory_mib": 1024},
    "own-emulator": {"emulator": "own", "emulator_scheduler": {}, "io_threads": 2, "io_thread_scheduler": {}},
    "uefi": {"firmware": "uefi", "description": "x", "seed": "/seed.iso", "cpu_mode": "host-model"},
    "bare": {"disks": [], "networks": [], "io_threads": 0},
    "agent": {"agent": True},
    "cell": {"networks": [{"network": "cell"}]},
    "macvtap": {"networks": [{"network": "field", "queues": 2}]},
    "vhost": {**ORDINARY, "networks": [{"network": "office"}], "vhost": "emulator"},
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
    "a cell of another node": ("</numatune>", '<memnode cellid="0" mode="strict" nodeset="1" /></numatune>', ["numatune"]),
    "a cell that prefers its node": ("</numatune>", '<memnode cellid="0" mode="preferred" nodeset="0" /></numatune>', ["numatune"]),
    "restrictive": (
        '<memory nodeset="0" mode="strict" />',
        '<memory mode="restrictive" nodeset="0" /><memnode cellid="1" mode="restrictive" nodeset="0" />', ["numatune"],
    ),
    "a module of another node": (
        "</devices>",
        '<memory model="dimm"><source><nodemask>0-1</nodemask></source><target><size>1024</size><node>0</node></target></memory></devices>',
        ["devices/memory"],
    ),
    "pmu": ('<pmu state="off" />', '<pmu state="on" />', ["features"]),
    "cpu mode": ('<cpu mode="host-passthrough" migratable="off">', '<cpu mode="custom" match="exact"><model>Nehalem</model>', ["cpu"]),
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
    "nodes of a cell": ("</numatune>", '<memnode cellid="0" mode="strict" nodeset="0-0" /></numatune>'),
    "nodes of a module": (
        "</devices>",
        '<memory model="dimm"><source><nodemask>0</nodemask></source><target><size>1024</size><node>0</node></target></memory></devices>',
    ),
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


# -- from one kind of guest to another -------------------------------------------------------------


def test_real_time_to_ordinary():
    tree = made()
    after = merged(tree, **ORDINARY)
    assert [item.tag for item in after.find("memoryBacking")] == ["access", "source"]
    assert after.find("numatune") is None
    assert [item.tag for item in after.find("cputune")] == ["emulatorpin", "iothreadpin"]
    assert read_schedulers(after) == {}
    assert at(after, "vcpu")["cpuset"] == "0-3"


def test_an_ordinary_guest_s_memory_is_where_the_kernel_chooses_as_a_whole():
    """A restrictive memnode that stayed without memory would be refused by libvirt."""
    module = (
        '<memory model="dimm"><source><nodemask>0</nodemask></source><target><size>1024</size><node>0</node></target></memory>'
    )
    tree = parse(to_text(made()).replace("</numatune>", '<memnode cellid="0" mode="restrictive" nodeset="0" /></numatune>'))
    tree.find("devices").append(parse(module))
    after = merged(tree, **ORDINARY)
    assert after.find("numatune") is None
    assert [item.tag for item in after.find("devices/memory")] == ["target"]
    assert changed(after, merged(after, **ORDINARY)) == []


@pytest.mark.parametrize(("more", "current"), [(ORDINARY, "131072"), ({**ORDINARY, "memory_mib": 512}, "131072"), ({}, "262144")])
def test_a_balloon_s_target_stays(more, current):
    text = to_text(made(**ORDINARY))
    start = text.index("<currentMemory")
    tree = parse(text[:start] + '<currentMemory unit="KiB">131072</currentMemory>' + text[text.index("</currentMemory>") + 16 :])
    assert merged(tree, **more).findtext("currentMemory") == current


def test_a_spread_guest_s_cells_have_their_own_nodes():
    (guest,) = parse_guests([{"name": "plc1", "memory_mib": 256, "vcpus": 4, "realtime_vcpus": "1-3"}], {}, site="n")
    cells = {0: Cell(frozenset({0, 1}), 128, (0,)), 1: Cell(frozenset({2, 3}), 128)}
    placement = replace(placement_of(guest), nodes=(0, 1), cells=cells)
    memnodes = "".join(f'<memnode cellid="{cell}" mode="strict" nodeset="3" />' for cell in range(2))
    tree = merge(edited("</numatune>", f"{memnodes}</numatune>"), guest, placement)
    assert [item.get("nodeset") for item in tree.find("numatune")] == ["0-1", "0", "0-1"]


def test_a_guest_is_told_which_vcpus_share_a_core():
    """And no longer, once they have cores of their own; a second run changes nothing."""
    (guest,) = parse_guests([{"name": "plc1", "memory_mib": 64, "vcpus": 4, "realtime_vcpus": "2-3"}], {}, site="n")
    pins = {vcpu: frozenset({vcpu}) for vcpu in range(4)}
    apart, paired = (Placement("plc1", (0,), pins, frozenset({8}), threads=threads) for threads in (1, 2))
    tree = merge(new_domain(guest, "n", "x86_64"), guest, paired)
    assert at(tree, "cpu/topology") == {"sockets": "1", "cores": "2", "threads": "2"}
    assert differences(tree, merge(tree, guest, paired)) == []
    assert at(merge(tree, guest, apart), "cpu/topology") == {"sockets": "1", "cores": "4", "threads": "1"}


def test_a_topology_that_no_longer_adds_up_goes():
    assert merged(made(), **ORDINARY, vcpus=2).find("cpu/topology") is None
    assert merged(made(), **ORDINARY, vcpus=4).find("cpu/topology") is not None
    tree = edited("<cpu mode", '<cpu mode="x"><topology sockets="2" dies="1" cores="1" threads="2" /></cpu><cpu mode', **ORDINARY)
    assert at(merged(tree, **ORDINARY), "cpu/topology") == {"sockets": "2", "dies": "1", "cores": "1", "threads": "2"}


def test_another_cpu_mode_leaves_nothing_of_the_old():
    passthrough = '<cpu mode="host-passthrough" check="none" migratable="on">'
    assert at(merged(edited('<cpu mode="host-passthrough" migratable="off">', passthrough), cpu_mode="host-model"), "cpu") == {
        "mode": "host-model"
    }
    custom = '<cpu mode="custom" match="exact" check="full"><model fallback="forbid">Nehalem</model><vendor>Intel</vendor>'
    cpu = merged(edited('<cpu mode="host-passthrough" migratable="off">', custom)).find("cpu")
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
    assert changed(tree, merged(tree)) == [], "not named: as it is"
    back = merged(tree, firmware="bios").find("os")
    assert (back.attrib, [item.tag for item in back]) == ({}, ["type", "boot"])


def test_live_xml_in_libvirts_other_form_is_no_difference():
    live = edited(
        '<cpu mode="host-passthrough" migratable="off">', '<cpu mode="custom" match="exact" check="full"><model>Nehalem</model>'
    )
    live.find("currentMemory").text = "131072"
    live.find("cpu").remove(live.find("cpu/feature"))
    assert changed(live, merged(live, live=True)) == []
    found = differences(live, merged(live, live=True, priority=1, io_threads=2, disks=PLC["disks"][:1], owner="other"))
    assert {difference.element: difference.live for difference in found} == {
        "metadata": True, "iothreads": False, "cputune": True, "devices/disk[vdb]": False
    }  # fmt: skip


@pytest.mark.parametrize("cores", ["y", "9" * 5000])
def test_a_topology_of_no_numbers_is_replaced(cores):
    tree = merged(edited('cores="4"', f'cores="{cores}"'))
    assert at(tree, "cpu/topology") == {"sockets": "1", "cores": "4", "threads": "1"}
