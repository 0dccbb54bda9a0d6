# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest's disks, interfaces and agent's channel in its domain's XML. Pure."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from .._devices.marks import functions_of
from .domain_xml import DomainError, drop, drop_empty, ensure, number_of, our_devices, set_attributes
from .extras import extra_devices, has_extra, merge_extras
from .fragment import fragment_aliases, fragment_of
from .guest import QUEUE_SIZES, Attachment, Disk, Guest
from .hiding import clean
from .hostdevs import PCI_DEVICE, merge_functions, wanted_functions
from .known_disks import leads_to, path_of
from .network import DEFAULT_MTU, port_name, socket_path
from .volumes import volume_of

#: The serial port that QEMU's guest agent listens on, and libvirt looks for, by this name.
AGENT_CHANNEL = "org.qemu.guest_agent.0"
#: Kinds of interfaces that may move to a bridge or the switch when the list names their address. Others have hardware, or a program, behind them.
_MOVABLE = ("bridge", "network", "vhostuser", "user")
_KINDS = {
    "hostdev": " (a PCI device of the node)",
    "direct": " (macvtap on a device of the node)",
    "vdpa": " (a device of the node)",
}


def wanted_devices(guest: Guest) -> list[tuple[str, str]]:
    """Return kind and identity of the devices that the inventory gives a guest."""
    channels = [("channel", AGENT_CHANNEL)] if guest.agent else []
    aliases = [("alias", alias) for alias in fragment_aliases(fragment_of(guest))]
    disks = [("disk", disk.target) for disk in guest.disks]
    interfaces = [("interface", item.mac) for item in guest.networks]
    return disks + interfaces + wanted_functions(guest) + channels + extra_devices(guest) + aliases


def given_devices(guest: Guest, current: ET.Element) -> list[tuple[str, str]]:
    """Return the devices that the list gives a domain, without those that somebody else gave it: these never go with their keys.

    The channel of an agent holds nothing of a guest, so the key agent takes it over.
    """
    previous = our_devices(current)
    return [device for device in wanted_devices(guest) if device in previous or not _has(guest, current, device)]


def _has(guest: Guest, tree: ET.Element, device: tuple[str, str]) -> bool:
    """Whether a domain has a device as it is wanted."""
    kind, name = device
    if kind == "disk":
        old = next(
            (disk for disk in tree.findall("devices/disk") for item in disk.findall("target") if item.get("dev") == name), None
        )
        return old is not None and any(leads_to(old, disk) for disk in guest.disks if disk.target == name)
    if kind == "interface":
        return any((mac.get("address") or "").lower() == name for mac in tree.findall("devices/interface/mac"))
    if kind == PCI_DEVICE:
        return name in functions_of(tree)
    return has_extra(guest, tree, device)


def merge_devices(tree: ET.Element, guest: Guest, previous: set[tuple[str, str]]) -> None:
    """Merge disks, interfaces and other devices; ``previous`` are those that earlier runs gave the domain, which may be removed."""
    devices = ensure(tree, "devices")
    disks = {target.get("dev", ""): disk for disk in devices.findall("disk") for target in disk.findall("target")}
    interfaces = _by_mac(devices)
    channels = {
        target.get("name", ""): item for item in devices.findall("channel") for target in item.findall("target[@type='virtio']")
    }
    aliases = {alias.get("name", ""): item for item in devices for alias in item.findall("alias")}
    present = {"disk": disks, "channel": channels, "alias": aliases}
    gone = previous.difference(wanted_devices(guest))
    for kind, name in sorted(gone):
        device = present.get(kind, {}).get(name) if kind != "interface" else _only(interfaces.get(name, []), guest, name)
        if device is not None:
            devices.remove(device)
    for number, disk in enumerate(guest.disks):
        old = disks.get(disk.target)
        foreign = old is not None and ("disk", disk.target) not in previous
        if old is not None and foreign:
            _check_foreign_disk(old, disk, guest)
        kept = old is not None and foreign and leads_to(old, disk)
        element = old if old is not None else _new_disk(devices, disk)
        _merge_disk(element, disk, kept=kept)
        if guest.io_threads is not None:
            set_attributes(ensure(element, "driver"), iothread=_io_thread(guest, number, disk))
    for attachment in guest.networks:
        there = interfaces.get(attachment.mac, [])
        old = _only([item for item in there if _is_there(item, guest, attachment)] or there, guest, attachment.mac)
        if old is not None and ("interface", attachment.mac) not in previous:
            _check_kind(old, guest, attachment)
        _merge_interface(old if old is not None else _new_interface(devices, attachment), guest, attachment)
    merge_functions(devices, guest, previous, gone)
    if guest.agent:
        _merge_channel(devices, channels.get(AGENT_CHANNEL))
    merge_extras(devices, guest, gone)
    if guest.io_threads is not None:
        _check_io_threads(tree, guest)
    if guest.realtime:  # ballooning would reclaim locked memory
        balloons = devices.findall("memballoon")
        if len(balloons) != 1 or balloons[0].get("model") != "none":
            drop(devices, "memballoon")
            ET.SubElement(devices, "memballoon", model="none")


def _by_mac(devices: ET.Element) -> dict[str, list[ET.Element]]:
    found: dict[str, list[ET.Element]] = {}
    for item in devices.findall("interface"):
        for mac in item.findall("mac"):
            found.setdefault((mac.get("address") or "").lower(), []).append(item)
    return found


def _only(interfaces: list[ET.Element], guest: Guest, mac: str) -> ET.Element | None:
    """Return the interface with an address; libvirt allows several, of which it cannot be known which one is meant."""
    if len(interfaces) > 1:
        raise DomainError(
            f"realtime_guests: {guest.name}: its domain has {len(interfaces)} interfaces with the MAC {clean(mac)}; "
            f"give each its own with virsh edit {guest.name}"
        )
    return interfaces[0] if interfaces else None


def _check_kind(element: ET.Element, guest: Guest, attachment: Attachment) -> None:
    """Refuse to make somebody's interface, which has hardware or a program behind it, one on a bridge or the switch."""
    was = element.get("type", "bridge")
    if was not in _MOVABLE and not (was == "direct" and attachment.network.macvtap):
        raise DomainError(
            f"realtime_guests: {guest.name}: networks names the interface {attachment.mac}, which its domain has as {clean(was)}"
            f"{_KINDS.get(was, '')} and not on a bridge or switch; leave that network out of the list, give it another mac, or remove that interface "
            f"with virsh edit {guest.name}"
        )


def _is_there(interface: ET.Element, guest: Guest, attachment: Attachment) -> bool:
    """Whether an interface is on the bridge or socket of an attachment already."""
    source, network = interface.find("source"), attachment.network
    if source is None or network.macvtap:
        return source is not None and interface.get("type") == "direct" and source.get("dev") == network.device
    return source.get("path") == socket_path(port_name(guest.name, network.name)) or source.get("bridge") == network.bridge


def _new_disk(devices: ET.Element, disk: Disk) -> ET.Element:
    """Return a new disk past the host's page cache, whose writing back would come in bursts; a block device needs no thread for that."""
    element = ET.SubElement(devices, "disk")
    if not disk.cdrom:
        driver = ET.SubElement(element, "driver", cache="none", discard="unmap")
        if disk.block:
            driver.set("io", "native")
    return element


def _new_interface(devices: ET.Element, attachment: Attachment) -> ET.Element:
    """Return a new interface; no boot from it, so the firmware need not run its ROM, which takes seconds.

    On the switch it has QEMU's longest queues, which hold what arrives while the guest's cycle runs, and the network's MTU.
    """
    interface = ET.SubElement(devices, "interface")
    ET.SubElement(interface, "rom", enabled="no")
    if attachment.vhost_user:
        ET.SubElement(interface, "driver", rx_queue_size=str(QUEUE_SIZES[-1]), tx_queue_size=str(QUEUE_SIZES[-1]))
        if attachment.network.mtu != DEFAULT_MTU:
            ET.SubElement(interface, "mtu", size=str(attachment.network.mtu))
    return interface


def _io_thread(guest: Guest, number: int, disk: Disk) -> str | None:
    """Return the I/O thread of a virtio disk; the disks take turns."""
    return str(number % guest.io_threads + 1) if guest.io_threads and disk.bus == "virtio" else None


def _check_io_threads(tree: ET.Element, guest: Guest) -> None:
    """Refuse fewer I/O threads than other devices of the guest use."""
    used = [number_of(tree, item, "iothread") for item in tree.findall("devices/*/driver[@iothread]")]
    used += [number_of(tree, item, "id") for item in tree.findall("devices/*/driver/iothreads/iothread")]
    most = max(used, default=0)
    if most > (guest.io_threads or 0):
        raise DomainError(
            f"realtime_guests: {guest.name}: a device of its domain uses I/O thread {most}, "
            f"but io_threads is {guest.io_threads}; "
            f"give io_threads: {most}, or remove the thread from the device with virsh edit {guest.name}"
        )


def _check_foreign_disk(old: ET.Element, disk: Disk, guest: Guest) -> None:
    """Refuse to replace a disk that another user has attached by one of the inventory."""
    source, volume = old.find("source"), volume_of(old)
    empty = source is None and (old.get("device") == "cdrom") == disk.cdrom
    if empty or leads_to(old, disk):
        return
    add = "add that to disks, or " if path_of(old) or volume else ""
    what = (
        "an empty drive"
        if source is None
        else f"volume {volume[1]} of pool {volume[0]}"
        if volume
        else path_of(old) or source.get("name")
    )
    raise DomainError(
        f"realtime_guests: {guest.name}: disk {disk.path} would be {disk.target}, but its domain has {clean(what or 'a disk of another kind')} "
        f"there, which is not in disks; {add}move it to another target with virsh edit {guest.name}"
    )


def _merge_disk(element: ET.Element, disk: Disk, *, kept: bool) -> None:
    """Merge a disk; one that somebody else attached (``kept``) stays the kind of device that it is."""
    volume = volume_of(element) is not None and leads_to(element, disk)  # stays one
    kind = "volume" if volume else "block" if disk.block else "file"
    if element.get("type") != kind:
        drop(element, "source")
    set_attributes(element, type=kind)
    if not kept:
        set_attributes(element, device="cdrom" if disk.cdrom else "disk")
    driver = ensure(element, "driver")
    if not kept or disk.format != driver.get("type", "raw"):
        set_attributes(driver, name="qemu", type=disk.format)
    _set_given(driver, cache=disk.cache, io=disk.io, discard=disk.discard)
    drop_empty(element, "driver")
    source = ensure(element, "source")
    if not volume:
        set_attributes(source, **({"dev": disk.path, "file": None} if disk.block else {"file": disk.path, "dev": None}))
    target = ensure(element, "target")
    if target.get("bus") != disk.bus:  # its address belongs to the old bus
        drop(element, "address")
    set_attributes(target, dev=disk.target, bus=disk.bus)
    if disk.read_only or (disk.cdrom and not kept):
        ensure(element, "readonly")
    elif not disk.cdrom:
        drop(element, "readonly")


def _set_given(element: ET.Element, **wanted: str | int | None) -> None:
    """Set the attributes that the inventory names; others stay."""
    set_attributes(element, **{key: str(value) for key, value in wanted.items() if value is not None})


def _become(element: ET.Element, kind: str) -> None:
    """Make an interface one of a kind."""
    if element.get("type") == "network" and kind == "bridge":  # one of libvirt's on a bridge: the same settings
        element.set("type", kind)
        set_attributes(ensure(element, "source"), network=None, portgroup=None, portid=None)
    if element.get("type") not in (kind, None):  # libvirt refuses settings of the old kind beside another kind
        for child in [item for item in element if item.tag not in ("mac", "model", "boot", "address", "alias", "link", "rom")]:
            element.remove(child)
    if element.get("type") != kind:
        element.attrib.clear()
        element.set("type", kind)


def _merge_interface(element: ET.Element, guest: Guest, attachment: Attachment) -> None:
    network = attachment.network
    kind = "vhostuser" if attachment.vhost_user else "direct" if network.macvtap else "bridge"
    _become(element, kind)
    mac = ensure(element, "mac")
    if (mac.get("address") or "").lower() != attachment.mac:
        mac.set("address", attachment.mac)
    source = ensure(element, "source")
    if attachment.vhost_user:  # QEMU listens, the switch connects: either can restart without the other
        set_attributes(source, type="unix", path=socket_path(port_name(guest.name, network.name)), mode="server")
        drop(source, "reconnect")  # for clients only
    elif network.macvtap:  # "bridge": the guests on a device also reach each other; the node does not reach them
        set_attributes(source, dev=network.device, mode=source.get("mode") or "bridge")
    else:
        if source.get("bridge") != network.bridge and element.find("virtualport") is not None:
            drop(element, "virtualport", "vlan")  # they make it a port of the old bridge's switch
        set_attributes(source, bridge=network.bridge)
    model = ensure(element, "model")
    if model.get("type") is None or (network.realtime and not model.get("type", "").startswith("virtio")):
        set_attributes(model, type="virtio")  # the only one whose memory a switch or the kernel's vhost uses
    if network.by_vhost:  # otherwise libvirt starts a guest without vhost too, and QEMU's main thread then does the work
        set_attributes(ensure(element, "driver"), name="vhost")
    if attachment.rx_queue_size or attachment.tx_queue_size:
        _set_given(ensure(element, "driver"), rx_queue_size=attachment.rx_queue_size, tx_queue_size=attachment.tx_queue_size)
    driver, queues = element.find("driver"), attachment.switch_queues if attachment.vhost_user else attachment.queues
    if queues is not None and queues > 1:
        set_attributes(ensure(element, "driver"), queues=str(queues))
    elif driver is not None and queues is not None:
        set_attributes(driver, queues=None)
        if not len(driver) and not driver.attrib:
            element.remove(driver)


def _merge_channel(devices: ET.Element, element: ET.Element | None) -> None:
    """Add the agent's channel; libvirt adds the controller, the address and the path of the socket."""
    if element is not None and element.get("type") == "unix":  # the only kind that libvirt uses for the agent
        return
    if element is None:
        element = ET.SubElement(devices, "channel")
        ET.SubElement(element, "target", type="virtio", name=AGENT_CHANNEL)
    element.set("type", "unix")
    drop(element, "source", "protocol")  # they belong to the old kind
