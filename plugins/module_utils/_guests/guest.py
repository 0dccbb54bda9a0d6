# SPDX-License-Identifier: GPL-3.0-or-later
"""The guests of a node, as the inventory describes them. Pure."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._cpus.cpulist import CpuListError, format_cpulist, parse_cpulist
from .._cpus.errors import RefusalError
from .._cpus.pages import PAGE_MIB
from .._cpus.suggest import unknown_keys
from .network import MAX_SOCKET_PATH, Network, port_name, socket_path

STATES = ("running", "present", "stopped", "absent")
POLICIES = ("fifo", "rr")
HUGEPAGES = ("2M", "1G", "none")
FORMATS = ("qcow2", "raw")
#: What may run on the other threads of a real-time vCPU's core: nothing, the same guest's real-time vCPUs, or all its threads.
SIBLINGS = ("idle", "realtime", "any")
BUSES = ("virtio", "scsi", "sata")
MAX_NAME = 50
#: libvirt accepts more; QEMU's own limit for a q35 machine is lower than this.
MAX_VCPUS = 512
#: Linux: PATH_MAX is 4096 with the final zero.
MAX_PATH = 4095

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


class GuestError(RefusalError):
    """A guest is described wrongly; the message names the guest, the key and what would work."""


@dataclass(frozen=True)
class Scheduler:
    """A real-time policy and its priority."""

    policy: str
    priority: int


@dataclass(frozen=True)
class Disk:
    """An existing image file or block device."""

    path: str
    format: str
    bus: str
    target: str  # vda, sda, ...: the disk's identity in the domain
    read_only: bool = False
    cdrom: bool = False

    @property
    def block(self) -> bool:
        """Whether it is a device and not a file."""
        return self.path.startswith("/dev/")


@dataclass(frozen=True)
class Attachment:
    """A guest's interface on a network."""

    network: Network
    mac: str
    queues: int

    @property
    def vhost_user(self) -> bool:
        """Whether the guest reaches the userspace switch by shared memory."""
        return self.network.realtime


@dataclass(frozen=True)
class Guest:
    """The inventory's description of a guest, with defaults."""

    name: str
    state: str = "running"
    memory_mib: int = 0
    hugepages: str = "none"
    vcpus: int = 1
    realtime_vcpus: frozenset[int] = frozenset()
    schedulers: Mapping[int, Scheduler] = field(default_factory=dict)  # of the real-time vCPUs
    numa: str = "strict"
    numa_node: int | None = None  # of the host
    siblings: str = "idle"  # what may run beside a real-time vCPU on its core
    emulator: str = "housekeeping"
    emulator_scheduler: Scheduler | None = None
    io_threads: int = 0
    io_thread_scheduler: Scheduler | None = None
    disks: tuple[Disk, ...] = ()
    networks: tuple[Attachment, ...] = ()
    agent: bool = False
    firmware: str = "bios"
    machine: str = "q35"
    cpu_mode: str = "host-passthrough"
    autostart: bool = True
    owner: str = ""
    project: str = ""
    guest_class: str = ""
    description: str = ""
    adopt: bool = False
    remove_disks: bool = False

    @property
    def realtime(self) -> bool:
        """Whether any vCPU is real-time."""
        return bool(self.realtime_vcpus)

    @property
    def shared_memory(self) -> bool:
        """Whether another process, the switch, must see the guest's memory."""
        return any(attachment.vhost_user for attachment in self.networks)


#: Inventory key to its type; the order is that of the documentation.
KEYS: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "state": (str,),
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
    "disks": (list,),
    "seed": (str,),
    "networks": (list,),
    "agent": (bool,),
    "firmware": (str,),
    "machine": (str,),
    "cpu_mode": (str,),
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


def derive_mac(node: str, guest: str, network: str) -> str:
    """Return the MAC of a new interface: QEMU's locally administered prefix and a digest of the names."""
    digest = hashlib.sha256(f"{node}/{guest}/{network}".encode()).hexdigest()
    return "52:54:00:" + ":".join(digest[at : at + 2] for at in (0, 2, 4))


class _Reader:
    """Typed look-ups in one guest's mapping; None counts as not given."""

    def __init__(self, item: Mapping[str, Any], where: str, keys: Mapping[str, tuple[type, ...]]) -> None:
        self.where = where
        unknown = [key for key in item if key not in keys]
        if unknown:
            raise GuestError(f"{where}: {unknown_keys(unknown, keys)}")
        self._items = {key: value for key, value in item.items() if value is not None}
        for key, value in self._items.items():
            if not isinstance(value, keys[key]) or (isinstance(value, bool) and bool not in keys[key]):
                wanted = " or ".join(kind.__name__ for kind in keys[key])
                raise GuestError(f"{where}: {key} {value!r} must be of type {wanted}")

    def get(self, key: str, default: Any = None) -> Any:
        return self._items.get(key, default)

    def number(self, key: str, default: int, low: int, high: int) -> int:
        value: int = self.get(key, default)
        if not low <= value <= high:
            raise GuestError(f"{self.where}: {key} {value} is not in {low}-{high}")
        return value

    def choice(self, key: str, default: str, choices: Sequence[str]) -> str:
        value: str = self.get(key, default)
        if value not in choices:
            raise GuestError(f"{self.where}: {key} {value!r} is not one of {', '.join(choices)}")
        return value

    def text(self, key: str, most: int = 200) -> str:
        value: str = self.get(key, "")
        if _CONTROL.search(value):
            raise GuestError(f"{self.where}: {key} holds a control character, which XML cannot carry")
        if len(value) > most:
            raise GuestError(f"{self.where}: {key} has {len(value)} characters; at most {most} are accepted")
        return value


def parse_guests(
    items: Sequence[Mapping[str, Any]], networks: Mapping[str, Network], *, node: str = "", priority_limit: int = 1
) -> list[Guest]:
    """Return the guests in the order of the list.

    ``node`` is the name of the machine, from which MACs are derived; ``priority_limit`` the highest real-time priority
    that a guest's thread may have: the kernel's own threads (ksoftirqd, ktimers) must be above it, or a spinning vCPU
    stops timers and soft interrupts of its CPU (tuned's realtime-virtual-host profile keeps the same order).
    """
    guests: list[Guest] = []
    for number, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise GuestError(f"realtime_guests[{number}]: {item!r} is not a mapping with at least a name")
        guests.append(_parse(item, f"realtime_guests[{number}]", networks, node, priority_limit))
    _check_unique(guests)
    return guests


def _parse(item: Mapping[str, Any], where: str, networks: Mapping[str, Network], node: str, limit: int) -> Guest:
    name = item.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise GuestError(
            f"{where}: name {name!r} must be 1 to {MAX_NAME} letters, digits, '-', '_' and '.', the first a letter or digit: "
            "libvirt, QEMU's sockets and files carry it"
        )
    if name.isdecimal():
        raise GuestError(f"{where}: name {name!r} is a number, which virsh takes for a domain's number; add a letter")
    read = _Reader(item, f"realtime_guests: {name}", KEYS)
    state = read.choice("state", "running", STATES)
    if state == "absent":
        return Guest(name=name, state=state, remove_disks=read.get("remove_disks", False))
    vcpus = read.number("vcpus", 1, 1, MAX_VCPUS)
    realtime = _realtime_vcpus(read, vcpus)
    hugepages = read.choice("hugepages", "2M" if realtime else "none", HUGEPAGES)
    io_threads = read.number("io_threads", 0, 0, 16)
    guest = Guest(
        name=name,
        state=state,
        memory_mib=_memory(read, hugepages),
        hugepages=hugepages,
        vcpus=vcpus,
        realtime_vcpus=realtime,
        schedulers=_vcpu_schedulers(read, realtime, limit),
        numa=read.choice("numa", "strict", _CHOICES["numa"]),
        numa_node=read.number("numa_node", 0, 0, 1023) if read.get("numa_node") is not None else None,
        siblings=read.choice("siblings", "idle", SIBLINGS),
        emulator=read.choice("emulator", "housekeeping", _CHOICES["emulator"]),
        emulator_scheduler=_scheduler(read, "emulator_scheduler", limit),
        io_threads=io_threads,
        io_thread_scheduler=_scheduler(read, "io_thread_scheduler", limit),
        disks=_disks(read),
        networks=_attachments(read, name, networks, node),
        agent=read.get("agent", False),
        firmware=read.choice("firmware", "bios", _CHOICES["firmware"]),
        machine=_machine(read),
        cpu_mode=read.choice("cpu_mode", "host-passthrough", _CHOICES["cpu_mode"]),
        autostart=read.get("autostart", state == "running"),
        owner=read.text("owner"),
        project=read.text("project"),
        guest_class=read.text("class"),
        description=read.text("description"),
        adopt=read.get("adopt", False),
        remove_disks=read.get("remove_disks", False),
    )
    _check_own(read, guest)
    return guest


def _check_own(read: _Reader, guest: Guest) -> None:
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
    if guest.io_thread_scheduler and not guest.io_threads:
        raise GuestError(f"{where}: io_thread_scheduler without io_threads")
    if not guest.realtime:
        given = [key for key in ("policy", "priority", "vcpu_schedulers") if read.get(key) is not None]
        if given:
            raise GuestError(f"{where}: {', '.join(given)} without realtime_vcpus; name the vCPUs that must be real-time")


def _realtime_vcpus(read: _Reader, vcpus: int) -> frozenset[int]:
    text = str(read.get("realtime_vcpus", ""))
    try:
        realtime = parse_cpulist(text)
    except CpuListError as error:
        raise GuestError(f"{read.where}: realtime_vcpus: {error}") from None
    beyond = [vcpu for vcpu in sorted(realtime) if vcpu >= vcpus]
    if beyond:
        raise GuestError(
            f"{read.where}: realtime_vcpus {text!r} names vCPU {format_cpulist(beyond)}, "
            f"but the guest has vCPUs {format_cpulist(range(vcpus))}"
        )
    if len(realtime) == vcpus:
        raise GuestError(
            f"{read.where}: all {vcpus} vCPUs are real-time; "
            "at least one must stay ordinary for the guest's own housekeeping, or its kernel "
            f"starves: give {vcpus + 1} vcpus, or fewer realtime_vcpus"
        )
    return realtime


def _memory(read: _Reader, hugepages: str) -> int:
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


def _parse_scheduler(value: Any, where: str, limit: int, default: Scheduler) -> Scheduler:
    if not isinstance(value, Mapping):
        raise GuestError(f"{where}: {value!r} is not a mapping of policy and priority")
    read = _Reader(value, where, {"policy": (str,), "priority": (int,)})
    policy = read.choice("policy", default.policy, POLICIES)
    return Scheduler(policy, _priority(read.get("priority", default.priority), where, limit))


def _priority(priority: int, where: str, limit: int) -> int:
    if not 1 <= priority <= 99:
        raise GuestError(f"{where}: priority {priority} is not in 1-99")
    if priority > limit:
        raise GuestError(
            f"{where}: priority {priority} is not below the kernel's own threads: "
            f"ksoftirqd and ktimers run at {limit + 1}, and a spinning vCPU "
            f"above them stops the CPU's timers; the highest that works is {limit}"
        )
    return priority


def _scheduler(read: _Reader, key: str, limit: int) -> Scheduler | None:
    value = read.get(key)
    return None if value is None else _parse_scheduler(value, f"{read.where}: {key}", limit, Scheduler("fifo", 1))


def _vcpu_schedulers(read: _Reader, realtime: frozenset[int], limit: int) -> dict[int, Scheduler]:
    default = Scheduler(read.choice("policy", "fifo", POLICIES), _priority(read.get("priority", 1), read.where, limit))
    schedulers = dict.fromkeys(sorted(realtime), default)
    given: frozenset[int] = frozenset()
    for key, value in read.get("vcpu_schedulers", {}).items():
        where = f"{read.where}: vcpu_schedulers: {key}"
        try:
            vcpus = parse_cpulist(str(key))
        except CpuListError as error:
            raise GuestError(f"{where}: {error}") from None
        strangers = vcpus - realtime
        if strangers or not vcpus:
            wrong = f"vCPU {format_cpulist(strangers)} is" if strangers else "no vCPU is named that is"
            raise GuestError(
                f"{where}: {wrong} {'not ' if strangers else ''}in realtime_vcpus ({format_cpulist(realtime) or 'empty'})"
            )
        if vcpus & given:
            raise GuestError(f"{where}: vCPU {format_cpulist(vcpus & given)} has two schedulers")
        given |= vcpus
        schedulers.update(dict.fromkeys(vcpus, _parse_scheduler(value, where, limit, default)))
    return schedulers


def _disks(read: _Reader) -> tuple[Disk, ...]:
    disks: list[Disk] = []
    counts: dict[str, int] = {}
    keys: dict[str, tuple[type, ...]] = {"path": (str,), "format": (str,), "bus": (str,), "read_only": (bool,)}
    for number, item in enumerate(read.get("disks", [])):
        where = f"{read.where}: disks[{number}]"
        if not isinstance(item, Mapping):
            raise GuestError(f"{where}: {item!r} is not a mapping with a path")
        disk = _Reader(item, where, keys)
        path = _path(disk, "path")
        block = path.startswith("/dev/")
        guessed = "raw" if block or path.endswith((".raw", ".img", ".iso")) else "qcow2"
        image = disk.choice("format", guessed, FORMATS)
        if block and image != "raw":
            raise GuestError(f"{where}: {path} is a block device, so its format is raw, not {image}")
        bus = disk.choice("bus", "virtio", BUSES)
        if bus == "sata" and disk.get("read_only", False):
            raise GuestError(f"{where}: QEMU has no read-only SATA disks; give {path} bus virtio or scsi, or an image to seed")
        disks.append(Disk(path, image, bus, _target(bus, counts, read.where), disk.get("read_only", False)))
    if read.get("seed") is not None:
        disks.append(Disk(_path(read, "seed"), "raw", "sata", _target("sata", counts, read.where), read_only=True, cdrom=True))
    paths = [disk.path for disk in disks]
    twice = sorted({path for path in paths if paths.count(path) > 1})
    if twice:
        raise GuestError(f"{read.where}: {', '.join(twice)} is attached twice")
    return tuple(disks)


def _target(bus: str, counts: dict[str, int], where: str) -> str:
    prefix = "vd" if bus == "virtio" else "sd"
    number = counts[prefix] = counts.get(prefix, -1) + 1
    if number > 25:
        raise GuestError(f"{where}: more than 26 disks of one kind")
    return f"{prefix}{chr(ord('a') + number)}"


def _path(read: _Reader, key: str) -> str:
    path = read.text(key, most=MAX_PATH)
    if not path.startswith("/") or path.startswith("//") or path != posixpath.normpath(path) or path == "/":
        raise GuestError(f"{read.where}: {key} {path!r} must be the absolute path of a file or block device, without . and ..")
    return path


def _machine(read: _Reader) -> str:
    machine: str = read.get("machine", "q35")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", machine):
        raise GuestError(f"{read.where}: machine {machine!r} is not a machine type like q35")
    return machine


def _attachments(read: _Reader, name: str, networks: Mapping[str, Network], node: str) -> tuple[Attachment, ...]:
    attachments: list[Attachment] = []
    keys: dict[str, tuple[type, ...]] = {"network": (str,), "mac": (str,), "queues": (int,)}
    for number, item in enumerate(read.get("networks", [])):
        where = f"{read.where}: networks[{number}]"
        if not isinstance(item, Mapping) or not isinstance(item.get("network"), str):
            raise GuestError(f"{where}: {item!r} is not a mapping with the name of a network")
        given = _Reader(item, where, keys)
        network = networks.get(item["network"])
        if network is None:
            known = ", ".join(sorted(networks)) or "none"
            raise GuestError(f"{where}: network {item['network']!r} is not in realtime_networks (there are: {known})")
        if network.state == "absent":
            raise GuestError(f"{where}: network {network.name} has state absent, but the guest is attached to it")
        if any(attachment.network.name == network.name for attachment in attachments):
            raise GuestError(f"{where}: the guest is on network {network.name} twice")
        mac = str(given.get("mac", derive_mac(node, name, network.name))).lower()
        if not _MAC.fullmatch(mac) or int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
            raise GuestError(
                f"{where}: mac {given.get('mac')!r} is not a unicast address like '52:54:00:12:34:56' (quoted in YAML)"
            )
        path = socket_path(port_name(name, network.name))
        if len(path) > MAX_SOCKET_PATH:
            raise GuestError(
                f"{where}: its socket {path} has {len(path)} characters, more than the {MAX_SOCKET_PATH} a socket may have"
            )
        attachments.append(Attachment(network, mac, given.number("queues", 1, 1, 64)))
    return tuple(attachments)


def _check_unique(guests: Sequence[Guest]) -> None:
    """Refuse two guests with the same name, or with the same MAC or disk if one of them writes it."""
    names: set[str] = set()
    macs: dict[str, str] = {}
    disks: dict[str, tuple[str, bool]] = {}
    for guest in guests:
        if guest.name in names:
            raise GuestError(f"realtime_guests: {guest.name} is listed twice; every guest needs its own name")
        names.add(guest.name)
        if guest.state == "absent":
            continue
        for attachment in guest.networks:
            other = macs.setdefault(attachment.mac, guest.name)
            if other != guest.name or [a.mac for a in guest.networks].count(attachment.mac) > 1:
                raise GuestError(f"realtime_guests: {guest.name} and {other} have the same MAC {attachment.mac}")
        for disk in guest.disks:
            owner, read_only = disks.setdefault(disk.path, (guest.name, disk.read_only))
            if owner != guest.name and not (read_only and disk.read_only):
                raise GuestError(f"realtime_guests: {guest.name} and {owner} write the same disk {disk.path}")
