# SPDX-License-Identifier: GPL-3.0-or-later
"""Merges the inventory's description of a guest into its domain's XML. Pure.

``merge`` changes only what the inventory decides, and only where the meaning differs; everything that libvirt or an
administrator has added (addresses, controllers, other devices, tuning) stays. The shape follows libvirt's knowledge base
page on real-time KVM and formatdomain, without the two errors there (a scheduler for a vCPU that does not exist, and host
node numbers where guest nodes are meant).
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping

from .._cpus.cpulist import format_cpulist, parse_or_empty
from .._cpus.pages import PAGE_MIB
from .domain_devices import given_devices, merge_devices
from .domain_platform import drop_bare_cpu, merge_platform
from .domain_xml import (
    DEVICE,
    OURS,
    DomainError,
    clone,
    drop,
    drop_empty,
    ensure,
    kib,
    kib_of,
    kib_of_page,
    our_devices,
    pages_of,
    set_attributes,
    set_text,
    whole,
)
from .fragment import check_aliases, fragment_of, fragment_tags, merge_fragment
from .guest import Guest
from .hostdevs import assigned_marks
from .limits import check_limits
from .pinning import Placement
from .vhost import vhost_marks


def merge(current: ET.Element, guest: Guest, placement: Placement, *, live: bool = False) -> ET.Element:
    """Return ``current`` with the inventory's requests merged in; ``current`` itself if nothing differs in meaning.

    ``live`` merges into the XML of a running guest, to find what it lacks: it leaves out what libvirt shows there in
    another form (an expanded CPU model, a balloon's size), and the CPUs of its threads, which /proc shows.
    """
    tree = clone(current)
    fragment = fragment_of(guest)
    if fragment is not None and not live:
        check_aliases(current, fragment, our_devices(current), f"realtime_guests: {guest.name}")
    _merge_metadata(tree, guest, given_devices(guest, current), fragment_tags(fragment))
    if guest.description:
        set_text(tree, "description", guest.description)
    _merge_memory(tree, guest, live)
    _merge_vcpus(tree, guest, placement, live)
    demoted = not guest.realtime and tree.find("cputune/vcpusched") is not None  # real-time until now
    _merge_cputune(tree, guest, placement)
    _merge_numatune(tree, placement)
    merge_platform(tree, guest, placement.threads, live=live, demoted=demoted)
    drop_bare_cpu(tree)
    merge_devices(tree, guest, previous=our_devices(current))
    if fragment is not None:
        merge_fragment(tree, fragment, live=live)
    if not live:
        check_limits(tree, guest)
    return tree


def _merge_metadata(tree: ET.Element, guest: Guest, given: list[tuple[str, str]], tags: Mapping[str, str]) -> None:
    """Mark the domain as ours; ``tags`` are the kinds of devices by alias, without which an alias would not tell whose device it is."""
    mark = ET.Element(OURS, owner=guest.owner, project=guest.project)
    mark.set("class", guest.guest_class)
    mark.attrib.update(vhost_marks(guest))
    for device, name in given:
        item = ET.SubElement(mark, DEVICE, kind=device, id=name)
        if device == "alias" and name in tags:
            item.set("tag", tags[name])
    mark.extend(assigned_marks(guest))
    old = tree.find(f"metadata/{OURS}")
    if old is not None and _same_mark(old, mark):
        return
    metadata = ensure(tree, "metadata")
    drop(metadata, OURS)
    metadata.append(mark)


def _same_mark(old: ET.Element, new: ET.Element) -> bool:
    def devices(mark: ET.Element) -> list[tuple[str, dict[str, str]]]:
        return [(item.tag, item.attrib) for item in mark]

    return old.attrib == new.attrib and devices(old) == devices(new)


def _merge_memory(tree: ET.Element, guest: Guest, live: bool) -> None:
    wanted = guest.memory_mib * 1024
    cells = tree.findall("cpu/numa/cell")
    _check_cells(cells, guest)
    for cell in cells:
        if guest.shared_memory and cell.get("memAccess") == "private":
            set_attributes(cell, memAccess=None)
    balloon = _balloon(tree, guest, wanted)
    for tag in () if cells else ("memory",) if live else ("memory", "currentMemory"):  # libvirt itself sums up cells and modules
        element, size = ensure(tree, tag), wanted if tag == "memory" else balloon
        if kib(element) != size:
            element.text = str(size)
            element.set("unit", "KiB")
    backing = tree.find("memoryBacking")
    backing = backing if backing is not None else ET.SubElement(tree, "memoryBacking")
    _merge_hugepages(backing, guest)
    for tag in ("nosharepages", "locked"):
        if not guest.realtime and tree.find("cputune/vcpusched") is not None:  # it was real-time until now
            drop(backing, tag)
        elif guest.realtime and backing.find(tag) is None:
            ET.SubElement(backing, tag)
    if guest.shared_memory:
        if guest.hugepages == "none":  # anonymous memory cannot be shared with the switch
            set_attributes(ensure(backing, "source"), type="memfd")
        set_attributes(ensure(backing, "access"), mode="shared")
    # otherwise it stays: another device of the guest (virtiofs) may need it
    drop_empty(tree, "memoryBacking")


def _balloon(tree: ET.Element, guest: Guest, wanted: int) -> int:
    """Return the memory in KiB that a guest has after its start: all of it, unless somebody lets an ordinary one begin with less."""
    memory, current = kib(tree.find("memory")), kib(tree.find("currentMemory"))
    return min(current, wanted) if 0 < current < memory and not guest.realtime else wanted


def _check_cells(cells: list[ET.Element], guest: Guest) -> None:
    """Refuse memory and vCPUs that contradict the guest's NUMA cells, which an administrator has made."""
    if not cells:
        return
    hint = f"change them with virsh edit {guest.name}"
    if sum(kib_of(cell.get("memory"), cell.get("unit")) for cell in cells) != guest.memory_mib * 1024:
        raise DomainError(
            f"realtime_guests: {guest.name}: memory_mib {guest.memory_mib} differs from the sum of the NUMA cells that its "
            "domain has; "
            f"{hint}, or give memory_mib their sum"
        )
    beyond = sorted(vcpu for cell in cells for vcpu in parse_or_empty(cell.get("cpus")) if vcpu >= guest.vcpus)
    if beyond:
        raise DomainError(
            f"realtime_guests: {guest.name}: the NUMA cells that its domain has hold vCPU {format_cpulist(beyond)}, "
            f"but vcpus is {guest.vcpus}; "
            f"{hint}, or give more vcpus"
        )


def _merge_hugepages(backing: ET.Element, guest: Guest) -> None:
    pages = backing.find("hugepages")
    if guest.hugepages == "none":
        drop(backing, "hugepages")
        return
    allocation = backing.find("allocation")
    if allocation is not None and allocation.get("mode") == "ondemand":  # libvirt refuses it beside huge pages
        set_attributes(allocation, mode=None)
        drop_empty(backing, "allocation")
    source = backing.find("source")
    if source is not None and source.get("type") == "anonymous":  # libvirt refuses this beside huge pages
        backing.remove(source)
    if pages is not None and not guest.hugepages_given and pages_of(pages) == guest.hugepages:
        return  # perhaps with pages for single cells
    wanted = PAGE_MIB[guest.hugepages] * 1024
    items = pages.findall("page") if pages is not None else []
    if len(items) == 1 and kib_of_page(pages) == wanted and items[0].get("nodeset") is None:  # type: ignore[arg-type]
        return
    drop(backing, "hugepages")
    ET.SubElement(ET.SubElement(backing, "hugepages"), "page", size=str(wanted), unit="KiB")


def _merge_vcpus(tree: ET.Element, guest: Guest, placement: Placement, live: bool) -> None:
    element = ensure(tree, "vcpu")
    if (element.text or "").strip() != str(guest.vcpus):
        element.text = str(guest.vcpus)
        drop(tree, "vcpus")
    current = element.get("current") if not guest.vcpus_given and not guest.realtime else None
    if element.get("current") != current:  # some are switched off, one by one
        drop(tree, "vcpus")
    cpuset = format_cpulist(placement.floating) if not placement.vcpus else None
    if cpuset is not None and parse_or_empty(element.get("cpuset")) == placement.floating:
        cpuset = element.get("cpuset")
    set_attributes(element, current=current)
    if not live:  # where new threads begin; those of a running guest are compared one by one
        set_attributes(element, placement="static", cpuset=cpuset)
    _merge_io_threads(tree, guest)


def _merge_io_threads(tree: ET.Element, guest: Guest) -> None:
    threads = {str(number) for number in guest.io_thread_ids}
    if guest.io_threads is None:
        return
    if not threads:
        drop(tree, "iothreads", "iothreadids")
    elif (tree.findtext("iothreads") or "").strip() != str(guest.io_threads):
        set_text(tree, "iothreads", str(guest.io_threads))
        drop(tree, "iothreadids")
    elif any(item.get("id") not in threads for item in tree.findall("iothreadids/iothread")):
        drop(tree, "iothreadids")


_TUNED = ("vcpupin", "emulatorpin", "iothreadpin", "emulatorsched", "vcpusched", "iothreadsched")


def _wanted_cputune(guest: Guest, placement: Placement) -> list[ET.Element]:
    elements = [
        ET.Element("vcpupin", vcpu=str(vcpu), cpuset=format_cpulist(cpus)) for vcpu, cpus in sorted(placement.vcpus.items())
    ]
    emulator = format_cpulist(placement.emulator)
    elements.append(ET.Element("emulatorpin", cpuset=emulator))
    elements += [ET.Element("iothreadpin", iothread=str(thread), cpuset=emulator) for thread in guest.io_thread_ids]
    if guest.emulator_scheduler:
        scheduler = guest.emulator_scheduler
        elements.append(ET.Element("emulatorsched", scheduler=scheduler.policy, priority=str(scheduler.priority)))
    for vcpu, scheduler in sorted(guest.schedulers.items()):
        elements.append(ET.Element("vcpusched", vcpus=str(vcpu), scheduler=scheduler.policy, priority=str(scheduler.priority)))
    if guest.io_thread_scheduler:
        scheduler = guest.io_thread_scheduler
        elements += [
            ET.Element("iothreadsched", iothreads=str(thread), scheduler=scheduler.policy, priority=str(scheduler.priority))
            for thread in guest.io_thread_ids
        ]
    return elements


def _tuning(elements: Iterator[ET.Element] | list[ET.Element]) -> dict[tuple[str, str], object]:
    """Return the meaning of cputune's elements, however their CPU lists are written."""
    meaning: dict[tuple[str, str], object] = {}
    for element in elements:
        if element.tag in ("vcpusched", "iothreadsched"):
            for number in parse_or_empty(element.get("vcpus") or element.get("iothreads")):
                meaning[element.tag, str(number)] = (element.get("scheduler"), element.get("priority"))
        elif element.tag == "emulatorsched":
            meaning[element.tag, ""] = (element.get("scheduler"), element.get("priority"))
        elif element.tag in _TUNED:
            meaning[element.tag, element.get("vcpu") or element.get("iothread") or ""] = parse_or_empty(element.get("cpuset"))
    return meaning


def _merge_cputune(tree: ET.Element, guest: Guest, placement: Placement) -> None:
    wanted = _wanted_cputune(guest, placement)
    cputune = tree.find("cputune")
    if cputune is not None and _tuning(list(cputune)) == _tuning(wanted):
        return
    cputune = ensure(tree, "cputune")
    drop(cputune, *_TUNED)
    cputune.extend(wanted)


def _merge_numatune(tree: ET.Element, placement: Placement) -> None:
    """Bind the guest's memory, and each part that names nodes itself: NUMA cells (memnode) and memory modules (nodemask).

    The mode of a memnode must be that of memory if one of them is restrictive (libvirt, numa_conf.c,
    virDomainNumaDefValidate), and a memnode that merely prefers its node does not keep a guest's memory there.
    """
    if placement.memory_stays:
        return
    numatune = tree.find("numatune")
    if not placement.nodes:
        drop(numatune, "memory", "memnode")
        drop_empty(tree, "numatune")
    else:
        memory = ensure(ensure(tree, "numatune"), "memory")
        _bind(memory, placement.nodes)
        set_attributes(memory, placement=None)
        for memnode in tree.findall("numatune/memnode"):
            cell = placement.cells.get(-1 if (number := whole(memnode.get("cellid"))) is None else number)
            _bind(memnode, (cell.nodes if cell else ()) or placement.nodes)
    for module in tree.findall("devices/memory"):
        source = ensure(module, "source") if module.find("source/nodemask") is not None else None
        if source is not None and not placement.nodes:
            drop(source, "nodemask")
            drop_empty(module, "source")
        elif source is not None and not parse_or_empty(source.findtext("nodemask")) <= frozenset(placement.nodes):
            set_text(source, "nodemask", format_cpulist(placement.nodes))


def _bind(element: ET.Element, nodes: tuple[int, ...]) -> None:
    """Bind memory to nodes; a list of the same nodes that is written otherwise stays."""
    if parse_or_empty(element.get("nodeset")) != frozenset(nodes):
        element.set("nodeset", format_cpulist(nodes))
    set_attributes(element, mode="strict")
