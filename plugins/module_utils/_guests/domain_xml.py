# SPDX-License-Identifier: GPL-3.0-or-later
"""A domain's XML: read, edited and compared by meaning. Pure."""

from __future__ import annotations

import copy
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from .._cpus.cpulist import parse_or_empty
from .._cpus.errors import RefusalError
from .._devices.marks import NAMESPACE
from .cells import Cell
from .hiding import bare, hide
from .pinning import Existing

OURS = f"{{{NAMESPACE}}}guest"
DEVICE = f"{{{NAMESPACE}}}device"

UNITS = {"b": 1, "bytes": 1, "KB": 1000, "k": 1024, "KiB": 1024, "MB": 10**6, "M": 1 << 20, "MiB": 1 << 20}
UNITS.update({"GB": 10**9, "G": 1 << 30, "GiB": 1 << 30, "TB": 10**12, "T": 1 << 40, "TiB": 1 << 40})

#: Deeper metadata is no program's.
_LEVELS = 100
_DECLARATION = re.compile(r"\sxmlns:(?!realtime=)([\w.-]+)=[\"']([^\"'&<>]+)[\"']")

for _prefix, _uri in (
    ("realtime", NAMESPACE),
    ("qemu", "http://libvirt.org/schemas/domain/qemu/1.0"),
    ("xen", "http://libvirt.org/schemas/domain/xen/1.0"),
    ("bhyve", "http://libvirt.org/schemas/domain/bhyve/1.0"),
    ("ch", "http://libvirt.org/schemas/domain/cloud-hypervisor/1.0"),
    ("libosinfo", "http://libosinfo.org/xmlns/libvirt/domain/1.0"),
):
    ET.register_namespace(_prefix, _uri)


class DomainError(RefusalError):
    """A domain's XML cannot be read or changed as requested; the message names domain and element."""


@dataclass(frozen=True)
class Difference:
    """One element of a domain that differs."""

    element: str  # such as cputune, devices/disk[vda]
    before: str | None
    after: str | None

    @property
    def live(self) -> bool:
        """Whether a running guest takes the change without a restart."""
        return self.element in ("cputune", "metadata", "description")


def parse(text: str) -> ET.Element:
    """Return the tree of a domain's XML; comments and prefixes in other programs' metadata are kept."""
    if "<!DOCTYPE" in text:  # entities could expand to any size; libvirt writes none
        raise DomainError("libvirt gave XML that cannot be read: it has a document type")
    for prefix, uri in _DECLARATION.findall(text):
        if uri == NAMESPACE:
            continue  # our prefix stays, even if the file uses another one
        with suppress(ValueError):  # ns0 and the like, which ElementTree reserves
            ET.register_namespace(prefix, uri)
    try:
        return ET.fromstring(text, ET.XMLParser(target=ET.TreeBuilder(insert_comments=True)))
    except ET.ParseError as error:
        raise DomainError(f"libvirt gave XML that cannot be read: {error}") from None


def clone(tree: ET.Element) -> ET.Element:
    """Return a copy that functions which call themselves can work on."""
    _require_levels(tree)
    return copy.deepcopy(tree)


def _require_levels(tree: ET.Element) -> None:
    level = list(tree)
    for _depth in range(_LEVELS):
        level = [child for element in level for child in element]
    if level:
        name = tree.findtext("name") or tree.tag
        raise DomainError(f"domain {name}: its XML is nested more than {_LEVELS} levels deep; mend it with virsh edit {name}")


def to_text(tree: ET.Element) -> str:
    """Return XML for libvirt."""
    return ET.tostring(tree, encoding="unicode")


def canonical(element: ET.Element) -> str:
    """Return a form in which equal content has equal text (C14N 2.0, white space between elements dropped)."""
    return ET.canonicalize(to_text(element), strip_text=True)


def secrets_of(tree: ET.Element) -> set[str]:
    """Return the secrets in a domain's XML, each also as it is without the quotes and doubled commas around and in it."""
    return bare(hide(clone(tree)))


def pretty(element: ET.Element) -> str:
    """Return an element as indented text for a diff; people see that it holds a secret, not which."""
    shown = clone(element)
    hide(shown)
    return indented(shown)


def indented(element: ET.Element) -> str:
    """Return an element as indented text, secrets included."""
    shown = clone(element)
    for node in shown.iter():
        node.tail = None
        if len(node) and not (node.text or "").strip():
            node.text = None
    ET.indent(shown)
    return to_text(shown) + "\n"


# -- reading ---------------------------------------------------------------------------------------


def kib(element: ET.Element | None) -> int:
    """Return a memory element in KiB (libvirt's default unit)."""
    return 0 if element is None else kib_of(element.text, element.get("unit"))


def kib_of(amount: str | None, unit: str | None) -> int:
    """Return an amount of memory in KiB; 0 where it cannot be read."""
    try:
        return int((amount or "0").strip()) * UNITS[unit or "KiB"] // 1024
    except (KeyError, ValueError):
        return 0


def is_ours(tree: ET.Element) -> bool:
    """Whether this collection made or adopted the domain."""
    return tree.find(f"metadata/{OURS}") is not None


def accounting(tree: ET.Element) -> dict[str, str]:
    """Return owner, project and class of a domain; empty for a foreign domain."""
    mark = tree.find(f"metadata/{OURS}")
    return {key: mark.get(key, "") for key in ("owner", "project", "class")} if mark is not None else {}


def our_devices(tree: ET.Element) -> set[tuple[str, str]]:
    """Return kind and identity of the devices that this collection gave the domain; an alias on a device of another kind is somebody's now."""
    mark = tree.find(f"metadata/{OURS}")
    if mark is None:
        return set()
    there = {alias.get("name", ""): device.tag for device in tree.findall("devices/*") for alias in device.findall("alias")}
    return {
        (item.get("kind", ""), item.get("id", ""))
        for item in mark.findall(DEVICE)
        if there.get(item.get("id", ""), item.get("tag")) == item.get("tag") or item.get("tag") is None
    }


def read_pins(tree: ET.Element) -> dict[int, frozenset[int]]:
    """Return the CPUs of each pinned vCPU."""
    pins = {whole(pin.get("vcpu")): parse_or_empty(pin.get("cpuset")) for pin in tree.findall("cputune/vcpupin")}
    return {vcpu: cpus for vcpu, cpus in pins.items() if vcpu is not None}


def whole(text: str | None) -> int | None:
    """Return a number of vCPUs, or of one, as libvirt allows them; None for anything else."""
    found = re.fullmatch(r"\s*([0-9]{1,5})\s*", text or "", re.ASCII)
    return int(found[1]) if found else None


def number_of(tree: ET.Element, element: ET.Element | None, key: str, default: int = 0) -> int:
    """Return a number of an element of a domain; one that libvirt would not accept is refused by name."""
    text = None if element is None else element.get(key)
    found = whole(text) if text else default
    if found is None:
        name, tag = tree.findtext("name"), "" if element is None else element.tag
        raise DomainError(
            f"domain {name}: its element {tag} has {key}={(text or '')[:40]!r}, which is no number; mend it with virsh edit {name}"
        )
    return found


def read_schedulers(tree: ET.Element) -> dict[int, str]:
    """Return policy and priority of each vCPU that has one, as ``fifo 1``."""
    found = {}
    for element in tree.findall("cputune/vcpusched"):
        for vcpu in parse_or_empty(element.get("vcpus")):
            found[vcpu] = f"{element.get('scheduler')} {element.get('priority', '')}".strip()
    return found


def shares_memory(tree: ET.Element) -> bool:
    """Whether another process, such as the switch, may see the guest's memory: by default, or in every cell."""
    access = tree.find("memoryBacking/access")
    if access is not None and access.get("mode") == "shared":
        return True
    cells = tree.findall("cpu/numa/cell")
    return bool(cells) and all(cell.get("memAccess") == "shared" for cell in cells)


def vhost_user_macs(tree: ET.Element) -> tuple[str, ...]:
    """Return the MACs of the interfaces that share memory with a switch."""
    found = tree.findall("devices/interface[@type='vhostuser']")
    return tuple("" if mac is None else mac.get("address", "") for item in found for mac in [item.find("mac")])


def describe(tree: ET.Element, *, running: bool = False) -> Existing:
    """Return the CPUs and memory of a domain."""
    vcpu = tree.find("vcpu")
    floating = parse_or_empty(vcpu.get("cpuset")) if vcpu is not None else frozenset()  # for all threads without a pin
    pins = read_pins(tree)
    if pins and floating:
        pins = {**dict.fromkeys(range(whole(tree.findtext("vcpu")) or 0), floating), **pins}
    emulator = tree.find("cputune/emulatorpin")
    pages = tree.find("memoryBacking/hugepages")
    cells = read_cells(tree)
    topology = tree.find("cpu/topology")
    return Existing(
        name=tree.findtext("name") or "",
        ours=is_ours(tree),
        running=running,
        vcpus=pins,
        emulator=parse_or_empty(emulator.get("cpuset")) if emulator is not None else floating,
        io_threads=frozenset().union(*(parse_or_empty(pin.get("cpuset")) for pin in tree.findall("cputune/iothreadpin"))),
        floating=floating,
        memory_mib=kib(tree.find("memory")) // 1024,
        hugepages="none" if pages is None else pages_of(pages),
        nodes=_nodes_of(tree.find("numatune/memory")) or tuple(sorted({node for cell in cells.values() for node in cell.nodes})),
        cells=cells,
        threads=number_of(tree, topology, "threads", 1),
        realtime=tree.find("cputune/vcpusched") is not None,
        vcpu_count=whole(tree.findtext("vcpu")) or 0,
    )


def _nodes_of(element: ET.Element | None) -> tuple[int, ...]:
    return tuple(sorted(parse_or_empty(element.get("nodeset")))) if element is not None else ()


def read_cells(tree: ET.Element) -> dict[int, Cell]:
    """Return the NUMA cells by number, each with the nodes that numatune binds it to; a cell without an id has its place's."""
    bound = {whole(item.get("cellid")): _nodes_of(item) for item in tree.findall("numatune/memnode")}
    found = {}
    for place, item in enumerate(tree.findall("cpu/numa/cell")):
        number = whole(item.get("id"))
        number = place if number is None else number
        size = kib_of(item.get("memory"), item.get("unit"))
        found[number] = Cell(parse_or_empty(item.get("cpus")), size // 1024, bound.get(number, ()))
    return found


def pages_of(pages: ET.Element) -> str:
    """Return the page size of a hugepages element as the inventory writes it."""
    return "1G" if kib_of_page(pages) >= 1 << 20 else "2M"


def kib_of_page(pages: ET.Element) -> int:
    """Return the page size in KiB of a hugepages element; 2048, the x86 default, if it names none."""
    page = pages.find("page")
    if page is None:
        return 2048
    try:
        return int(page.get("size", "2048")) * UNITS[page.get("unit", "KiB")] // 1024
    except (KeyError, ValueError):
        return 2048


# -- editing ---------------------------------------------------------------------------------------


def ensure(parent: ET.Element, tag: str) -> ET.Element:
    """Return the first child with a name; it is made if missing."""
    found = parent.find(tag)
    return found if found is not None else ET.SubElement(parent, tag)


def drop(parent: ET.Element | None, *tags: str) -> None:
    """Remove all children of the names."""
    for tag in tags:
        for element in parent.findall(tag) if parent is not None else ():
            parent.remove(element)  # type: ignore[union-attr]


def drop_empty(tree: ET.Element, tag: str) -> None:
    """Remove an empty child."""
    element = tree.find(tag)
    if element is not None and not len(element) and not element.attrib:
        tree.remove(element)


def set_text(parent: ET.Element, tag: str, text: str) -> None:
    """Set a child's text."""
    element = ensure(parent, tag)
    if (element.text or "") != text:
        element.text = text


def set_attributes(element: ET.Element, **wanted: str | None) -> None:
    """Set attributes; None removes one."""
    for key, value in wanted.items():
        if value is None:
            element.attrib.pop(key, None)
        elif element.get(key) != value:
            element.set(key, value)


def shape(tree: ET.Element) -> str:
    """Return the elements and attributes of a tree without values, the part that a schema checks first."""
    inner = "".join(shape(child) for child in tree)
    return f"<{tree.tag} {' '.join(sorted(tree.attrib))}>{inner}"


# -- comparing -------------------------------------------------------------------------------------


def _units(tree: ET.Element) -> dict[str, ET.Element]:
    """Return the elements that are compared one by one, by name."""
    units: dict[str, ET.Element] = {}
    for element in tree:
        if element.tag != "devices":
            units[_unique(units, element.tag)] = element
            continue
        for device in element:
            target, mac = device.find("target"), device.find("mac")
            name = None
            if device.tag in ("disk", "channel") and target is not None:
                name = target.get("dev") or target.get("name")
            elif device.tag == "interface" and mac is not None:
                name = mac.get("address")
            units[_unique(units, f"devices/{device.tag}" + (f"[{name}]" if name else ""))] = device
    return units


def _unique(units: Mapping[str, ET.Element], name: str) -> str:
    number, unique = 1, name
    while unique in units:
        number += 1
        unique = f"{name}#{number}"
    return unique


def differences(before: ET.Element | None, after: ET.Element) -> list[Difference]:
    """Return the elements that differ, each with its text before and after."""
    if before is None:
        return [Difference("domain", None, pretty(after))]
    for tree in (before, after):
        _require_levels(tree)
    old, new = _units(before), _units(after)
    found = []
    for name in [*old, *(name for name in new if name not in old)]:
        one, other = old.get(name), new.get(name)
        if one is not None and other is not None and _same(one, other):
            continue
        found.append(Difference(name, None if one is None else pretty(one), None if other is None else pretty(other)))
    return found


def _same(one: ET.Element, other: ET.Element) -> bool:
    """Whether two elements have the same canonical form; compared as trees, which is much faster than as texts."""
    return (
        one.tag == other.tag
        and one.attrib == other.attrib
        and (one.text or "").strip() == (other.text or "").strip()
        and len(one) == len(other)
        and all(map(_same, one, other))
    )
