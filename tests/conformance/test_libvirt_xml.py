# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every domain that libvirt's own tests accept: read and written without a loss, and valid with a merged guest in it.

The domains and the two schemas are libvirt's (11.3.0, and the schema of 12.8.0). The inputs of its tests are what people
write, the outputs (``.x86_64-latest.xml``) what libvirt makes of it and shows.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import posixpath
import re
import xml.etree.ElementTree as ET
from collections import Counter

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_merge import merge
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_new import new_domain
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import (
    DomainError,
    canonical,
    describe,
    differences,
    is_ours,
    kib,
    our_devices,
    parse,
    read_pins,
    read_schedulers,
    to_text,
)
from ansible_collections.realtime.kvm.plugins.module_utils._guests.found import as_found, with_sizes
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import Disk, Guest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import parse_guests
from ansible_collections.realtime.kvm.plugins.module_utils._guests.known_disks import disks_by_path, with_known_disks
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import parse_networks
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Placement
from captures import absent, folder, need_whole

FOLDER = folder("libvirt")
DOMAINS = FOLDER / "qemuxmlconf"
INDEX = FOLDER / "qemuxmlconf-index.json"
VERSIONS = tuple(version for version in ("11.3.0", "12.8.0") if (FOLDER / f"schemas-{version}").is_dir())

NETWORKS = parse_networks([{"name": "control"}, {"name": "office", "realtime": False, "bridge": "br0"}])

AGENT = "org.qemu.guest_agent.0"
CHANNEL = f"devices/channel/target[@name='{AGENT}']"

#: libvirt reads them, its schema does not.
INVALID = {
    "disk-cdrom-empty-network-invalid.xml",
    "disk-network-iscsi-zero-hosts-invalid.xml",
    "disk-network-iscsi-zero-hosts-invalid.x86_64-latest.xml",
}
#: Written by hand in an order (clock between the events) in which libxml2 no longer takes numatune, which it takes in
#: libvirt's own order: the output of the same test.
ODD_ORDER = {"schema-reorder-domain-subelements.xml"}


@functools.cache
def index():
    return json.loads(INDEX.read_text())


def accepted():
    """The domains that libvirt reads, those that it refuses to start included."""
    return [name for name, facts in sorted(index().items()) if facts["outcome"] in ("ok", "start-failure")]


def each_accepted():
    """Parametrize a test by those domains."""
    here = {path.name for path in DOMAINS.iterdir()}
    return pytest.mark.parametrize(
        "name", [pytest.param(name, marks=() if f"{name}.xml" in here else (absent,)) for name in accepted()]
    )


def texts(name):
    """A domain's files, by name."""
    files = index()[name].get("files", [])
    wanted = {f"{name}.xml", *(file for file in files if file.endswith(".xml"))}
    found = {file: (DOMAINS / file).read_text() for file in sorted(wanted) if (DOMAINS / file).is_file()}
    assert found
    return found


@functools.cache
def schema(version):
    etree = pytest.importorskip("lxml.etree")
    return etree.RelaxNG(etree.parse(str(FOLDER / f"schemas-{version}" / "domain.rng")))


def faults(text):
    """What the schemas have against a domain, in words."""
    etree = pytest.importorskip("lxml.etree")
    document = etree.fromstring(text.encode())
    return [
        f"{version}: {schema(version).error_log.last_error}" for version in VERSIONS if not schema(version).validate(document)
    ]


# -- requests that suit a domain -------------------------------------------------------------------


def whole(tree):
    """Round the memory of NUMA cells to 2 MiB: an inventory cannot mean 219100 KiB, and a guest that does not fit is refused."""
    for cell in tree.findall("cpu/numa/cell"):
        size = ET.Element("memory", unit=cell.get("unit", "KiB"))
        size.text = cell.get("memory")
        cell.set("memory", str(2 * max(1, min(kib(size) >> 11, 1 << 14))))
        cell.set("unit", "MiB")
    return tree


def memory_of(tree):
    return sum(int(cell.get("memory")) for cell in tree.findall("cpu/numa/cell")) or 1024


def free_targets(tree):
    taken = {target.get("dev") for target in tree.findall("devices/disk/target")}
    return [min({f"{prefix}{letter}" for letter in "zyxwv"} - taken) for prefix in ("vd", "sd")]


def macs_of(tree):
    """The addresses that an inventory can name: those of one machine, each of one interface (of several it is refused)."""
    found = [(mac.get("address") or "").lower() for mac in tree.findall("devices/interface/mac")]
    return [mac for mac in found if not int(mac[:2], 16) & 1 and found.count(mac) == 1]


def guest_for(tree, *, realtime, network, disks, macs):
    cells = tree.findall("cpu/numa/cell")
    vcpus = max(int((tree.findtext("vcpu") or "1").strip()), 2)
    used = [driver.get("iothread") for driver in tree.findall("devices/*/driver[@iothread]")]
    used += [item.get("id") for item in tree.findall("devices/*/driver/iothreads/iothread")]
    item = {
        "name": "guest",
        "memory_mib": memory_of(tree),
        "vcpus": vcpus,
        "io_threads": max([1, *map(int, used)]),
        "agent": realtime,
        "owner": "<a href=\"x\">&amp; 'b'",
        "description": "]]>",
        "firmware": "uefi" if len(cells) % 2 else "bios",
        "networks": [{"network": network, "queues": 2, **({"mac": macs[0]} if macs else {})}],
    }
    if realtime:
        item.update(realtime_vcpus=f"1-{vcpus - 1}", emulator="own", emulator_scheduler={}, io_thread_scheduler={"policy": "rr"})
    guest = dataclasses.replace(parse_guests([item], NETWORKS)[0], disks=tuple(disks))
    pins = {vcpu: frozenset({8 + vcpu}) for vcpu in range(vcpus)} if realtime else {}
    nodes, floating = ((0,), frozenset()) if realtime else ((), frozenset({0, 1, 2}))
    return guest, Placement("guest", nodes, pins, frozenset({0, 1}), floating)


def own(tree):
    """Mark every disk and interface of a domain as ours, as if a person had turned ours into them."""
    tree = parse(to_text(tree))
    guest = Guest("x", memory_mib=64)
    ours = merge(new_domain(guest, "n", "x86_64"), guest, Placement("x", (), {}, frozenset({0}))).find("metadata")[0]
    for kind, names in (
        ("disk", [item.get("dev") for item in tree.findall("devices/disk/target")]),
        ("interface", macs_of(tree)),
        ("channel", [AGENT] if tree.findall(CHANNEL) else []),
    ):
        for name in names:
            ET.SubElement(ours, ours.tag.replace("}guest", "}device"), kind=kind, id=name)
    metadata = tree.find("metadata")
    if metadata is None:
        metadata = ET.SubElement(tree, "metadata")
    metadata.append(ours)
    return tree


def turned_into_ours(tree):
    """A disk of the inventory in the place of each, of every kind in turn."""
    disks = []
    for target in tree.findall("devices/disk/target"):
        name, number = target.get("dev"), len(disks)
        path = f"/images/{name}.raw" if number % 2 else f"/dev/vg/{name}"
        if name[:2] in ("vd", "sd"):
            bus = "virtio" if name.startswith("vd") else "sata"
            drive = bus == "sata" and number % 2 == 1
            disks.append(Disk(path, "raw", bus, name, read_only=drive or number % 3 == 2, cdrom=drive))
    return disks


def wishes(tree):
    """(what, domain, guest, placement): guests added to a domain as it is, and guests whose devices were edited by hand."""
    added = [
        Disk(f"/images/{target}.qcow2", "qcow2", "virtio" if target[0] == "v" else "scsi", target)
        for target in free_targets(tree)
    ]
    mine = own(tree)
    for realtime in (True, False):
        for network in ("control", "office"):
            what = f"{'real-time' if realtime else 'ordinary'} guest on {network}"
            yield (what, tree, *guest_for(tree, realtime=realtime, network=network, disks=added, macs=[]))
            edited = guest_for(tree, realtime=realtime, network=network, disks=turned_into_ours(tree), macs=macs_of(tree))
            yield (f"{what}, edited", mine, *edited)


def cases(name):
    for file, text in texts(name).items():
        for what, tree, guest, placement in wishes(whole(parse(text))):
            yield f"{file}, {what}", file, tree, guest, placement


# -- what holds ------------------------------------------------------------------------------------


@each_accepted()
def test_a_domain_is_read_and_written_without_a_loss(name):
    for text in texts(name).values():
        tree = parse(text)
        assert canonical(tree) == ET.canonicalize(text, strip_text=True)
        assert canonical(parse(to_text(tree))) == canonical(tree)
        assert differences(parse(text), tree) == []
        describe(tree)
        assert not is_ours(tree)


@each_accepted()
def test_a_guest_of_ours_in_it_is_valid(name):
    schema(VERSIONS[0])
    found = [
        f"{what}: {fault}"
        for what, file, tree, guest, placement in cases(name)
        if file not in INVALID | ODD_ORDER
        for fault in faults(to_text(merge(tree, guest, placement)))
    ]
    assert found == []


@each_accepted()
def test_all_that_is_asked_for_is_there_and_asked_again_it_changes_nothing(name):
    for what, _file, tree, guest, placement in cases(name):
        once = parse(to_text(merge(tree, guest, placement)))
        assert differences(once, merge(once, guest, placement)) == [], what
        found = describe(once)
        cells = once.findall("cpu/numa/cell")
        assert found.memory_mib == guest.memory_mib or cells, what
        assert (found.hugepages, found.nodes, found.floating) == (guest.hugepages, placement.nodes, placement.floating), what
        assert read_pins(once) == placement.vcpus, what
        assert read_schedulers(once) == {vcpu: f"{item.policy} {item.priority}" for vcpu, item in guest.schedulers.items()}, what
        assert found.emulator == placement.emulator, what
        wanted = {("disk", disk.target) for disk in guest.disks} | {("interface", item.mac) for item in guest.networks}
        assert our_devices(once) == wanted | ({("channel", AGENT)} if guest.agent else set()), what
        kept = bool(tree.findall(CHANNEL)) and not what.endswith("edited")
        assert len(once.findall(CHANNEL)) == (guest.agent or kept), what
        if guest.shared_memory:
            assert once.find("memoryBacking/access").get("mode") == "shared", what
            assert {cell.get("memAccess", "shared") for cell in cells} <= {"shared"}, what


#: What a guest decides below the top of a domain, and what of it goes with a setting that is no longer there.
DECIDED = {"metadata", "description", "memory", "currentMemory", "memoryBacking", "vcpu", "vcpus", "iothreads", "iothreadids"}
DECIDED |= {"cputune", "numatune", "os", "features", "cpu", "devices"}
DECIDED_BELOW = {
    "vcpupin", "emulatorpin", "iothreadpin", "emulatorsched", "vcpusched", "iothreadsched", "memballoon", "topology", "model", "vendor", "pmu",
    "vmport", "hugepages", "locked", "nosharepages", "source", "access", "firmware", "loader", "nvram",
}  # fmt: skip


@each_accepted()
def test_what_is_not_ours_is_all_still_there(name):
    for what, _file, tree, guest, placement in cases(name):
        if what.endswith("edited"):
            continue
        after = merge(tree, guest, placement)
        assert _foreign(tree, DECIDED) - _foreign(after, DECIDED) == Counter(), what
        for path in ("metadata", "cputune", "features", "cpu", "os", "memoryBacking", "devices"):
            before, now = (_foreign(each.find(path), DECIDED_BELOW) for each in (tree, after))
            if path == "cpu":  # cells are shared now
                before, now = (Counter({text.replace(' memAccess="private"', ""): 1 for text in each}) for each in (before, now))
            if path == "devices":  # memory modules follow the guest to its NUMA nodes
                before, now = (
                    Counter(re.sub("<nodemask>[^<]*</nodemask>", "", text) for text in each.elements()) for each in (before, now)
                )
            if path == "memoryBacking" and guest.hugepages == "none":
                continue
            assert before - now == Counter(), f"{what}: {path}"


@each_accepted()
def test_adopting_changes_what_the_list_names_alone(name):
    """Memory, images and addresses as they are, and nothing else named: only owner, CPUs' places and memory's nodes change."""
    for file, text in texts(name).items():
        tree = whole(parse(text))
        if (tree.findtext("vcpu") or "1").strip() not in map(str, range(1, 513)):
            continue
        disks = [{"path": path} for path in disks_by_path(tree) if posixpath.normpath(path) == path and path[0] == "/" != path[1]]
        item = {"name": "guest", "memory_mib": memory_of(tree), "disks": disks}
        guest = as_found(with_sizes(parse_guests([item], NETWORKS), [dataclasses.replace(describe(tree), name="guest")])[0], tree)
        guest = with_known_disks(guest, tree)
        assert guest.vcpus == int((tree.findtext("vcpu") or "1").strip()), file
        after = merge(tree, guest, Placement("guest", (), {}, frozenset({0, 1}), frozenset({0, 1, 2})))
        found = {item.element for item in differences(tree, after)}
        found -= {"metadata", "vcpu", "vcpus", "cputune", "numatune", "memory", "currentMemory"}
        found = {item for item in found if not item.startswith("devices/memory")}  # modules, bound to nodes
        if tree.find("cputune/vcpusched") is not None:
            found -= {"memoryBacking"}  # it is real-time no more
        if tree.find("cpu/topology") is not None:
            found -= {"cpu"}  # a topology of another number of vCPUs
        assert found == set(), file


def _foreign(element, decided):
    """The children, as text, that are nothing of the inventory's."""
    children = [] if element is None else [child for child in element if isinstance(child.tag, str)]  # else a comment
    return Counter(canonical(child) for child in children if child.tag not in decided)


def test_a_disk_of_another_is_never_replaced():
    """Wherever a domain has a disk, a guest that comes with another for the same place is refused."""
    need_whole("libvirt")
    seen = 0
    for name in accepted():
        for text in texts(name).values():
            tree = whole(parse(text))
            targets = {item.get("dev"): disk for disk in tree.findall("devices/disk") for item in disk.findall("target")}
            if "vda" not in targets or targets["vda"].find("source") is None:
                continue
            disk = Disk("/images/new.qcow2", "qcow2", "virtio", "vda")
            guest, placement = guest_for(tree, realtime=False, network="office", disks=[disk], macs=[])
            with pytest.raises(DomainError, match=r"guest: disk /images/new\.qcow2 would be vda, but its domain has"):
                merge(tree, guest, placement)
            seen += 1
    assert seen > 40


def test_the_tables_name_files_that_exist():
    need_whole("libvirt")
    assert {file for file in INVALID | ODD_ORDER if not (DOMAINS / file).is_file()} == set()
    schema(VERSIONS[0])
    assert {file for name in accepted() for file, text in texts(name).items() if faults(text)} == INVALID
