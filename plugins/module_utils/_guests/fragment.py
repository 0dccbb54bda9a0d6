# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of a domain's XML that the inventory writes itself (``xml``): read, checked and merged. Pure.

An element of the fragment is merged into the one of the domain that has its name and, where a domain may have several, its
identity; attributes, text and children that the fragment does not name stay. A device is known by its user-defined alias
(``ua-...``, libvirt's formatdomain, "Device name"), which libvirt keeps.
"""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterator

from .domain_xml import DomainError, canonical, clone, parse
from .guest import Guest, GuestError
from .hiding import clean
from .network import is_unicast

#: What tells elements of one name apart; others are there once, or are replaced together.
_IDENTITY = {
    "timer": ("name",),
    "feature": ("name",),
    "cachetune": ("vcpus",),
    "memorytune": ("vcpus",),
    "monitor": ("vcpus",),
    "controller": ("type", "index"),
    "sysinfo": ("type",),
    "entry": ("name",),
    "seclabel": ("model",),
    "parameter": ("name",),
}
#: Lists of which one element says nothing of another, also where there is one of each.
_LISTS = ("device",)  # of blkiotune
_PINS = "the list decides CPUs and policies (realtime_vcpus, emulator, io_threads)"
#: Elements that the inventory's other keys decide.
_MANAGED = {
    "name": "name",
    "uuid": "uuid",
    "metadata": "owner, project and class",
    "description": "description",
    "memory": "memory_mib",
    "currentMemory": "memory_mib",
    "vcpu": "vcpus",
    "vcpus": "vcpus",
    "iothreads": "io_threads",
    "iothreadids": "io_threads",
    "numatune": "numa and numa_node",
    "memoryBacking/hugepages": "hugepages",
    "memoryBacking/locked": "realtime_vcpus",
    "memoryBacking/nosharepages": "realtime_vcpus",
    "memoryBacking/access": "networks",
    "memoryBacking/source": "networks",
    **{f"cputune/{name}sched": _PINS for name in ("emulator", "vcpu", "iothread")},
    **{f"cputune/{name}pin": _PINS for name in ("emulator", "vcpu", "iothread")},
    "os/type": "machine",
    "os/loader": "firmware and secure_boot",
    "os/nvram": "firmware and secure_boot",
    "os/firmware": "firmware and secure_boot",
    "cpu/topology": "vcpus and siblings",
    "cpu/numa": "vcpus and memory_mib",
    "features/pmu": "realtime_vcpus",
    "features/vmport": "realtime_vcpus",
    "features/kvm/hint-dedicated": "dedicated_hint",
    "on_crash": "on_crash",
    "devices/memballoon": "realtime_vcpus",
    "devices/tpm": "tpm",
    "devices/watchdog": "watchdog",
}
_ATTRIBUTES = {
    ("", "type"): "the collection",
    ("os", "firmware"): "firmware",
    ("cpu", "mode"): "cpu_mode",
    ("cpu", "migratable"): "invariant_tsc",
    ("clock", "offset"): "clock",
}
#: Features of the CPU that keys decide.
_FEATURES = {"invtsc": "invariant_tsc", "tsc-deadline": "realtime_vcpus"}
_AGENT = "org.qemu.guest_agent.0"


def read_fragment(text: str, where: str) -> ET.Element:
    """Return the fragment's tree; ``GuestError`` names what is wrong with it, or what another key decides."""
    if "<!" in text.replace("<!--", ""):
        raise GuestError(f"{where}: xml has a document type, an entity or CDATA; write plain elements")
    try:
        tree = clone(parse(text))
    except DomainError as error:
        raise GuestError(
            f"{where}: xml cannot be read: {str(error).replace('libvirt gave XML that cannot be read: ', '')}"
        ) from None
    if tree.tag != "domain":
        raise GuestError(f"{where}: xml must be one <domain> element that holds what is added, not <{str(tree.tag)[:40]}>")
    for element in list(tree.iter()):
        for child in [item for item in element if not isinstance(item.tag, str)]:
            element.remove(child)  # comments
    for path, element in _paths(tree, ""):
        _check_element(path, element, where)
    for element in tree.iter():
        _check_twice(element, where)
    for device in tree.findall("devices/*"):
        _check_device(device, where)
    aliases = fragment_aliases(tree)
    if len(aliases) != len(set(aliases)):
        raise GuestError(f"{where}: xml has two devices with one alias")
    return tree


def _paths(element: ET.Element, path: str) -> Iterator[tuple[str, ET.Element]]:
    yield path, element
    if not path.startswith("devices/"):
        for child in element:
            yield from _paths(child, f"{path}/{child.tag}".lstrip("/"))


def _check_element(path: str, element: ET.Element, where: str) -> None:
    if path in _MANAGED:
        raise GuestError(f"{where}: xml holds {path}, which {_said(_MANAGED[path])}; remove it from xml")
    for name in element.attrib:
        if (path, name) in _ATTRIBUTES:
            place = f"{path or 'domain'} with {name}="
            raise GuestError(f"{where}: xml holds {place}, which {_said(_ATTRIBUTES[path, name])}; remove it from xml")
    key = _FEATURES.get(element.get("name", "")) if path == "cpu/feature" else None
    if key:
        raise GuestError(f"{where}: xml holds cpu/feature {element.get('name')}, which the key {key} decides; remove it from xml")


def _check_twice(parent: ET.Element, where: str) -> None:
    """Refuse two elements of one identity: the second would be merged into the first, at every run again."""
    seen: set[tuple[str, ...]] = set()
    for element in parent:
        tag = str(element.tag)
        keys = _IDENTITY.get(tag, ())
        identity = (tag, *(element.get(key, "") for key in keys))
        if (keys and all(identity)) or tag == "emulator":
            if identity in seen:
                which = " ".join([tag, *(f"{key}={clean(element.get(key, ''))}" for key in keys)])
                raise GuestError(f"{where}: xml has two elements {which} in {parent.tag}; keep one of them")
            seen.add(identity)


def _said(key: str) -> str:
    return f"is not free: {key}" if key == _PINS else f"{key} decides" if key == "the collection" else f"the key {key} decides"


def _check_device(device: ET.Element, where: str) -> None:
    kind, source = str(device.tag), device.get("type", "")
    if kind == "emulator":
        return
    if kind == "disk" and source in ("file", "block", "volume", ""):  # libvirt takes one without a type for a file
        hint = " with its pool, or by its path; one on the network is a disk of type network" if source == "volume" else ""
        raise GuestError(
            f"{where}: xml holds a disk {f'of type {source}' if source else 'without a type'}; list it in disks{hint}"
        )
    if kind == "interface" and source in ("vhostuser", "bridge"):
        raise GuestError(f"{where}: xml holds an interface of type {source}; list it in networks")
    mac = device.find("mac")
    if mac is not None and not is_unicast(address := mac.get("address", "").strip().lower()):
        raise GuestError(f"{where}: xml holds MAC {clean(address)[:40]!r}, which is not a unicast address like 52:54:00:12:34:56")
    target = device.find("target")
    if kind == "channel" and target is not None and target.get("name") == _AGENT:
        raise GuestError(f"{where}: xml holds the channel of the guest agent; set agent: true")
    if kind == "controller" and device.get("index") is not None:
        return
    alias = _alias(device)
    if not alias.startswith("ua-") or len(alias) > 80:
        raise GuestError(
            f"{where}: xml holds a device <{kind}> without an alias of its own, so it could not be told from others at the next run; "
            f'add <alias name="ua-NAME"/> to it'
        )


def _alias(device: ET.Element) -> str:
    alias = device.find("alias")
    return "" if alias is None else alias.get("name", "")


def fragment_of(guest: Guest) -> ET.Element | None:
    """Return a guest's fragment, None without one."""
    return read_fragment(guest.xml, f"realtime_guests: {guest.name}") if guest.xml else None


def fragment_aliases(fragment: ET.Element | None) -> list[str]:
    """Return the aliases of the fragment's devices."""
    return [] if fragment is None else [alias for device in fragment.findall("devices/*") for alias in [_alias(device)] if alias]


def fragment_tags(fragment: ET.Element | None) -> dict[str, str]:
    """Return the kinds of the fragment's devices by their aliases."""
    return {} if fragment is None else {_alias(device): str(device.tag) for device in fragment.findall("devices/*")}


def check_aliases(tree: ET.Element, fragment: ET.Element, previous: Collection[tuple[str, str]], where: str) -> None:
    """Refuse an alias by which the domain has a device that earlier runs did not add: it would be changed, and go with the fragment."""
    ours = {name for kind, name in previous if kind == "alias"}
    there = {_alias(device): str(device.tag) for device in tree.findall("devices/*")}
    for alias in fragment_aliases(fragment):
        if alias in there and alias not in ours:
            raise GuestError(
                f"{where}: xml names alias {clean(alias)}, by which its domain has a device <{there[alias]}> that xml did not add; choose another alias"
            )


def macs_of(guest: Guest) -> list[str]:
    """Return the addresses of a guest's interfaces, those in its fragment last."""
    fragment = fragment_of(guest)
    found = [] if fragment is None else fragment.findall("devices/*/mac")
    own = [attachment.mac for attachment in guest.networks] + [device.mac for device in guest.devices if device.mac]
    return own + [mac.get("address", "").strip().lower() for mac in found]


def merge_fragment(tree: ET.Element, fragment: ET.Element, *, live: bool = False) -> None:
    """Merge the fragment into a domain; a running guest shows its CPU model and its QEMU arguments in another form."""
    for tag in dict.fromkeys(str(wanted.tag) for wanted in fragment):
        if live and (tag == "cpu" or "}" in tag):
            continue
        if tag == "devices":
            for wanted in fragment.findall(tag):
                _merge_devices(tree, wanted)
        else:
            _merge_all(tree, tag, fragment.findall(tag))


def _merge_devices(tree: ET.Element, wanted: ET.Element) -> None:
    devices = tree.find("devices")
    devices = ET.SubElement(tree, "devices") if devices is None else devices
    for device in wanted:
        alias = _alias(device)
        found = next((item for item in devices if alias and _alias(item) == alias), None)
        if found is not None and found.tag != device.tag:
            devices.remove(found)
            found = None
        if found is not None:
            _merge_into(found, device)
        elif alias:
            devices.append(copy.deepcopy(device))
        else:
            _merge_all(devices, str(device.tag), [device])


def _merge_all(parent: ET.Element, tag: str, wanted: list[ET.Element]) -> None:
    """Merge a parent's elements of one name: each into the one of its identity; one into the only one; else the whole list is replaced."""
    there, keys = parent.findall(tag), _IDENTITY.get(tag, ())
    if keys and all(item.get(key) is not None for item in wanted for key in keys):
        for item in wanted:
            same = [old for old in parent.findall(tag) if all(old.get(key) == item.get(key) for key in keys)]
            if same:
                _merge_into(same[0], item)
            else:
                parent.append(copy.deepcopy(item))
    elif len(wanted) == 1 and len(there) == 1 and tag not in _LISTS:
        _merge_into(there[0], wanted[0])
    elif list(map(canonical, there)) != list(map(canonical, wanted)):
        for old in there:
            parent.remove(old)
        parent.extend(copy.deepcopy(item) for item in wanted)


def _merge_into(element: ET.Element, wanted: ET.Element) -> None:
    for name, value in wanted.attrib.items():
        element.set(name, value)
    if (wanted.text or "").strip() and (element.text or "").strip() != (wanted.text or "").strip():
        element.text = wanted.text
    for tag in dict.fromkeys(str(child.tag) for child in wanted):
        _merge_all(element, tag, wanted.findall(tag))
