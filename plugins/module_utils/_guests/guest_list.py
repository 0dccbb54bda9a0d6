# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the inventory's list of guests; everything that it refuses names guest and key. Pure."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from .._cpus.pages import PAGE_MIB
from .cloud_init import check_networks, read_cloud_init
from .fragment import macs_of, read_fragment
from .guest import (
    HUGEPAGES,
    IMAGE_FOLDER,
    MAX_NAME,
    MAX_VCPUS,
    ON_CRASH,
    POLICIES,
    QUEUE_SIZES,
    SIBLINGS,
    STATES,
    SYSTEMS,
    VHOST,
    WATCHDOG_ACTIONS,
    Attachment,
    Guest,
    GuestError,
)
from .guest_devices import read_devices
from .guest_disks import check_shared_disks, read_disks
from .guest_reader import Reader
from .guest_vcpus import read_realtime_vcpus, read_scheduler, read_vcpu_schedulers
from .network import MAX_SOCKET_PATH, Network, is_unicast, port_name, socket_path
from .vhost import with_vhost

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_UUIDS = uuid.UUID("4a5c2f0e-6b1d-5d0f-9b43-6f2d1f3c7a10")
_MAX_XML = 1 << 16

#: Inventory key to its type; the order is that of the documentation.
KEYS: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "state": (str,),
    "uuid": (str,),
    "guest_os": (str,),
    "memory_mib": (int,),
    "hugepages": (str,),
    "vcpus": (int,),
    "realtime_vcpus": (str, int),
    "policy": (str,),
    "priority": (int,),
    "vcpu_schedulers": (dict,),
    "numa": (str,),
    "numa_node": (int,),
    "siblings": (str,),
    "emulator": (str,),
    "emulator_scheduler": (dict,),
    "io_threads": (int,),
    "io_thread_scheduler": (dict,),
    "vhost": (str,),
    "vhost_scheduler": (dict,),
    "disks": (list,),
    "seed": (str,),
    "cloud_init": (dict, object, bool),  # read_cloud_init refuses other types, without showing them
    "networks": (list,),
    "devices": (list,),
    "agent": (bool,),
    "serial_log": (bool,),
    "watchdog": (str,),
    "tpm": (bool,),
    "firmware": (str,),
    "secure_boot": (bool,),
    "machine": (str,),
    "cpu_mode": (str,),
    "invariant_tsc": (bool,),
    "dedicated_hint": (bool,),
    "hyperv": (bool,),
    "clock": (str,),
    "on_crash": (str,),
    "xml": (str,),
    "autostart": (bool,),
    "owner": (str,),
    "project": (str,),
    "class": (str,),
    "description": (str,),
    "adopt": (bool,),
    "remove_disks": (bool,),
}
_CHOICES = {
    "state": STATES,
    "hugepages": HUGEPAGES,
    "policy": POLICIES,
    "numa": ("strict", "spread"),
    "siblings": SIBLINGS,
    "emulator": ("housekeeping", "own"),
    "firmware": ("bios", "uefi"),
    "cpu_mode": ("host-passthrough", "host-model"),
}


def derive_mac(site: str, guest: str, network: str) -> str:
    """Return the MAC of a new interface: a locally administered address with 40 bits of a digest of the names.

    The node has no part in it, so a guest keeps its address when its node is replaced.
    """
    digest = hashlib.sha256(f"{site}/{guest}/{network}".encode()).hexdigest()
    return "52:" + ":".join(digest[at : at + 2] for at in range(0, 10, 2))


@lru_cache(maxsize=1 << 14)  # it is asked for within a host and again over all hosts
def derive_uuid(site: str, guest: str) -> str:
    """Return the UUID of a new guest, a digest of the names (RFC 9562, version 5)."""
    return str(uuid.uuid5(_UUIDS, f"{site}/{guest}"))


def uuid_of(guest: Guest, site: str) -> str:
    """Return the UUID that a guest has or will have, an empty text where only its domain tells: an adopted one keeps its own."""
    return guest.uuid or ("" if guest.adopt else derive_uuid(site, guest.name))


def parse_guests(
    items: Sequence[Mapping[str, Any]],
    networks: Mapping[str, Network],
    *,
    site: str = "",
    priority_limit: int = 1,
    image_folder: str = IMAGE_FOLDER,
) -> list[Guest]:
    """Return the guests in the order of the list.

    ``site`` is the inventory's name for the plant, from which UUIDs and MACs are derived; ``priority_limit`` the highest real-time priority
    that a guest's thread may have: the kernel's own threads (ksoftirqd, ktimers) must be above it, or a spinning vCPU
    stops timers and soft interrupts of its CPU (tuned's realtime-virtual-host profile keeps the same order);
    ``image_folder`` where images without a path lie.
    """
    guests: list[Guest] = []
    for number, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise GuestError(f"realtime_guests[{number}]: {item!r} is not a mapping with at least a name")
        guests.append(_parse(item, f"realtime_guests[{number}]", networks, site, priority_limit, image_folder))
    _check_unique(guests, site)
    return guests


def _parse(item: Mapping[str, Any], where: str, networks: Mapping[str, Network], site: str, limit: int, folder: str) -> Guest:
    name = item.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise GuestError(
            f"{where}: name {name!r} must be 1 to {MAX_NAME} letters, digits, '-', '_' and '.', the first a letter or digit: "
            "libvirt, QEMU's sockets and files carry it"
        )
    if name.isdecimal():
        raise GuestError(f"{where}: name {name!r} is a number, which virsh takes for a domain's number; add a letter")
    read = Reader(item, f"realtime_guests: {name}", KEYS)
    state = read.choice("state", "running", STATES)
    if state == "absent":
        return Guest(name=name, state=state, remove_disks=read.get("remove_disks", False))
    vcpus = read.number("vcpus", 1, 1, MAX_VCPUS)
    system = read.choice("guest_os", "linux", SYSTEMS)
    if read.get("adopt", False) and str(read.get("realtime_vcpus", "")).strip() and not read.has("vcpus"):
        raise GuestError(f"{read.where}: realtime_vcpus beside adopt needs vcpus, the number that its domain has; add it")
    realtime = read_realtime_vcpus(read, vcpus, system)
    hugepages = read.choice("hugepages", "2M" if realtime else "none", HUGEPAGES)
    io_threads = read.number("io_threads", 0, 0, 16) if read.has("io_threads") else None
    guest = Guest(
        name=name,
        state=state,
        uuid=_uuid(read),
        memory_mib=_memory(read, hugepages),
        hugepages=hugepages,
        hugepages_given=read.has("hugepages"),
        vcpus=vcpus,
        vcpus_given=read.has("vcpus"),
        realtime_vcpus=realtime,
        schedulers=read_vcpu_schedulers(read, realtime, limit),
        numa=read.choice("numa", "strict", _CHOICES["numa"]),
        numa_node=read.number("numa_node", 0, 0, 1023) if read.get("numa_node") is not None else None,
        siblings=read.choice("siblings", "idle", SIBLINGS),
        emulator=read.choice("emulator", "housekeeping", _CHOICES["emulator"]),
        emulator_scheduler=read_scheduler(read, "emulator_scheduler", limit),
        io_threads=io_threads,
        io_thread_ids=tuple(range(1, (io_threads or 0) + 1)),
        io_thread_scheduler=read_scheduler(read, "io_thread_scheduler", limit),
        disks=read_disks(read, name, folder),
        cloud_init=read_cloud_init(read),
        networks=_attachments(read, name, networks, site),
        devices=read_devices(read, vcpus, realtime, partial(derive_mac, site, name)),
        agent=read.get("agent", False),
        serial_log=read.get("serial_log", False),
        watchdog=read.optional("watchdog", WATCHDOG_ACTIONS) or "",
        tpm=read.get("tpm", False),
        guest_os=system,
        firmware=read.optional("firmware", _CHOICES["firmware"]) or ("uefi" if read.get("secure_boot") else None),
        secure_boot=read.get("secure_boot"),
        machine=_machine(read),
        cpu_mode=read.optional("cpu_mode", _CHOICES["cpu_mode"]),
        invariant_tsc=read.get("invariant_tsc"),
        dedicated_hint=read.get("dedicated_hint"),
        hyperv=read.get("hyperv", True if system == "windows" else None),
        clock=read.optional("clock", ("utc", "localtime")),
        on_crash=read.optional("on_crash", ON_CRASH),
        xml=_xml(read),
        autostart=read.get("autostart", state == "running"),
        owner=read.text("owner"),
        project=read.text("project"),
        guest_class=read.text("class"),
        description=read.text("description"),
        adopt=read.get("adopt", False),
        remove_disks=read.get("remove_disks", False),
    )
    _check_own(read, guest)
    return with_vhost(guest, read.optional("vhost", VHOST), read_scheduler(read, "vhost_scheduler", limit))


def _check_own(read: Reader, guest: Guest) -> None:
    """Refuse combinations that have no meaning or would do harm."""
    where = read.where
    if guest.emulator == "own" and not guest.realtime:
        raise GuestError(
            f"{where}: emulator own takes a realtime CPU, which only a real-time guest has; give realtime_vcpus or remove it"
        )
    if guest.numa == "spread" and guest.numa_node is not None:
        raise GuestError(f"{where}: numa spread and numa_node {guest.numa_node} contradict each other")
    for key, scheduler in (("emulator_scheduler", guest.emulator_scheduler), ("io_thread_scheduler", guest.io_thread_scheduler)):
        if scheduler and guest.emulator != "own":
            raise GuestError(
                f"{where}: {key} needs emulator: own; "
                "real-time emulation on housekeeping CPUs would starve the host's own services"
            )
    if guest.io_thread_scheduler and guest.io_threads == 0:
        raise GuestError(f"{where}: io_thread_scheduler without io_threads")
    if guest.secure_boot and guest.firmware == "bios":
        raise GuestError(f"{where}: secure_boot needs firmware: uefi")
    if guest.invariant_tsc and guest.cpu_mode == "host-model":
        raise GuestError(f"{where}: invariant_tsc needs cpu_mode: host-passthrough, since libvirt's models have none")
    if guest.cloud_init:
        check_networks(guest)
    if not guest.realtime:
        given = [key for key in ("policy", "priority", "vcpu_schedulers") if read.get(key) is not None]
        if given:
            raise GuestError(f"{where}: {', '.join(given)} without realtime_vcpus; name the vCPUs that must be real-time")


def _uuid(read: Reader) -> str | None:
    given = read.text("uuid").lower()
    if given and not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", given):
        raise GuestError(f"{read.where}: uuid {read.get('uuid')!r} is not a UUID like 4c4b2f5e-8d0c-4d0e-9a53-6f2d1f3c7a10")
    if given and set(given) <= set("0-"):
        raise GuestError(f"{read.where}: uuid of zeros is no guest's; leave it out for one that is derived from site and name")
    return given or None


def _xml(read: Reader) -> str:
    text: str = read.get("xml", "")
    if len(text) > _MAX_XML:
        raise GuestError(f"{read.where}: xml has {len(text)} characters; at most {_MAX_XML} are accepted")
    if text.strip():
        read_fragment(text, read.where)
    return text.strip()


def _memory(read: Reader, hugepages: str) -> int:
    if read.get("memory_mib") is None:
        raise GuestError(f"{read.where}: memory_mib is missing")
    memory = read.number("memory_mib", 0, 16, 64 << 20)
    page = PAGE_MIB.get(hugepages, 1)
    if memory % page:
        up = (memory // page + 1) * page
        raise GuestError(
            f"{read.where}: memory_mib {memory} is no multiple of its {page} MiB pages (hugepages: {hugepages}); choose {up}"
        )
    return memory


def _machine(read: Reader) -> str:
    machine: str = read.get("machine", "q35")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", machine):
        raise GuestError(f"{read.where}: machine {machine!r} is not a machine type like q35")
    return machine


def _attachments(read: Reader, name: str, networks: Mapping[str, Network], site: str) -> tuple[Attachment, ...]:
    attachments: list[Attachment] = []
    keys: dict[str, tuple[type, ...]] = {
        "network": (str,), "mac": (str,), "queues": (int,), "rx_queue_size": (int,), "tx_queue_size": (int,),
    }  # fmt: skip
    for number, item in enumerate(read.get("networks", [])):
        where = f"{read.where}: networks[{number}]"
        if not isinstance(item, Mapping) or not isinstance(item.get("network"), str):
            raise GuestError(f"{where}: {item!r} is not a mapping with the name of a network")
        given = Reader(item, where, keys)
        network = networks.get(item["network"])
        if network is None:
            known = ", ".join(sorted(networks)) or "none"
            raise GuestError(f"{where}: network {item['network']!r} is not in realtime_networks (there are: {known})")
        if network.state == "absent":
            raise GuestError(f"{where}: network {network.name} has state absent, but the guest is attached to it")
        if any(attachment.network.name == network.name for attachment in attachments):
            raise GuestError(f"{where}: the guest is on network {network.name} twice")
        mac = str(given.get("mac", derive_mac(site, name, network.name))).lower()
        if not is_unicast(mac):
            raise GuestError(
                f"{where}: mac {given.get('mac')!r} is not a unicast address like '52:54:00:12:34:56' (quoted in YAML)"
            )
        path = socket_path(port_name(name, network.name))
        if len(path) > MAX_SOCKET_PATH:
            raise GuestError(
                f"{where}: its socket {path} has {len(path)} characters, more than the {MAX_SOCKET_PATH} a socket may have"
            )
        attachments.append(
            Attachment(
                network,
                mac,
                given.number("queues", 1, 1, 64) if given.has("queues") else None,
                mac_given=given.has("mac"),
                rx_queue_size=_queue_size(given, "rx_queue_size", network),
                tx_queue_size=_queue_size(given, "tx_queue_size", network),
            )
        )
    return tuple(attachments)


def _queue_size(given: Reader, key: str, network: Network) -> int | None:
    size: int | None = given.get(key)
    if size is not None and size not in QUEUE_SIZES:
        raise GuestError(f"{given.where}: {key} {size} is not one of {', '.join(map(str, QUEUE_SIZES))}")
    if size not in (None, QUEUE_SIZES[0]) and key == "tx_queue_size" and not network.on_switch:
        raise GuestError(
            f"{given.where}: {key} {size} needs a real-time network on the switch: the kernel's vhost sends from {QUEUE_SIZES[0]} at most (QEMU)"
        )
    return size


def _check_unique(guests: Sequence[Guest], site: str) -> None:
    """Refuse two guests with the same name, UUID, MAC, or disk that one of them writes."""
    for clash in clashes(guests, site):
        raise GuestError(clash)
    check_shared_disks(guests)


def clashes(guests: Sequence[Guest], site: str) -> Iterator[str]:
    """Yield a refusal for each guest of a host that has the name, UUID, MAC or device of one before it."""
    names: set[str] = set()
    uuids: dict[str, str] = {}
    macs: dict[str, str] = {}
    devices: dict[str, str] = {}
    for guest in guests:
        if guest.name in names:
            yield f"realtime_guests: {guest.name} is listed twice; every guest needs its own name"
            continue
        names.add(guest.name)
        if guest.state == "absent":
            continue
        own = uuid_of(guest, site)
        if own and uuids.setdefault(own, guest.name) != guest.name:
            yield f"realtime_guests: {guest.name} and {uuids[own]} have the same uuid {own}"
        addresses = macs_of(guest)
        for mac in dict.fromkeys(addresses):
            other = macs.setdefault(mac, guest.name)
            if other != guest.name or addresses.count(mac) > 1:
                yield f"realtime_guests: {guest.name} and {other} have the same MAC {mac}"
        for device in guest.devices:
            other = devices.setdefault(device.address, guest.name) if device.address else guest.name
            if other != guest.name:
                yield f"realtime_guests: {guest.name} and {other} have the same device {device.address}; a device has one guest"
