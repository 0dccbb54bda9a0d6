# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest as the inventory describes it, with defaults. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._cpus.errors import RefusalError
from .network import Network

STATES = ("running", "present", "stopped", "absent")
POLICIES = ("fifo", "rr")
HUGEPAGES = ("2M", "1G", "none")
FORMATS = ("qcow2", "raw")
#: What may run on the other threads of a real-time vCPU's core: nothing, the same guest's real-time vCPUs, or all its threads.
#: Beside which thread a guest's vhost threads run: its emulator, or its first ordinary vCPU.
VHOST = ("emulator", "vcpu")
SIBLINGS = ("idle", "realtime", "any")
#: How an image is made from another one: with all that is in it, or as the differences from it.
BASE_MODES = ("copy", "overlay")
#: Where images without a path of their own lie; libvirt's packages make it, with mode 0711.
IMAGE_FOLDER = "/var/lib/libvirt/images"
#: 64 TiB, more than ext4's largest file; a typing error is refused.
MAX_DISK_GIB = 1 << 16
BUSES = ("virtio", "scsi", "sata")
#: Whose guest it is: only Linux needs an ordinary vCPU for its own housekeeping, only Windows wants Hyper-V's interfaces.
SYSTEMS = ("linux", "windows", "other")
#: What libvirt does when a watchdog has not been fed in time (formatdomain, "Watchdog devices").
WATCHDOG_ACTIONS = ("reset", "poweroff", "shutdown", "pause", "inject-nmi", "none")
ON_CRASH = ("destroy", "restart", "preserve")
CACHES = ("none", "writeback", "writethrough", "directsync", "unsafe")
IO_MODES = ("native", "threads", "io_uring")
DISCARDS = ("unmap", "ignore")
#: QEMU (virtio-net) takes powers of two from its default on.
QUEUE_SIZES = (256, 512, 1024)
MAX_NAME = 50
#: libvirt accepts more; QEMU's own limit for a q35 machine is lower than this.
MAX_VCPUS = 512
#: Linux: PATH_MAX is 4096 with the final zero.
MAX_PATH = 4095

CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


class GuestError(RefusalError):
    """A guest is described wrongly; the message names the guest, the key and what would work."""


@dataclass(frozen=True)
class Scheduler:
    """A real-time policy and its priority."""

    policy: str
    priority: int


@dataclass(frozen=True)
class Recipe:
    """How to make an image that does not exist yet, and its size."""

    base: str = ""  # the image that it is made from; empty: nothing is in it
    overlay: bool = False
    base_format: str = ""
    base_format_given: bool = False  # otherwise guessed by the base's name
    size_gib: int | None = None  # None: as large as the base


@dataclass(frozen=True)
class Disk:
    """An image file or block device."""

    path: str  # with a pool, the name of a file in it until the node has been asked where the pool is
    format: str
    bus: str
    target: str  # vda, sda, ...: the disk's identity in the domain
    read_only: bool = False
    cdrom: bool = False
    cache: str | None = None
    io: str | None = None
    discard: str | None = None
    pool: str = ""  # of libvirt
    path_given: bool = True  # otherwise made of the guest's name; a disk that exists keeps its own
    recipe: Recipe | None = None  # None: the image must be there, unless it is
    seed: bool = False  # made of what the first boot is told
    format_given: bool = False  # otherwise by its name, and that of its domain for a disk that exists; so are the two that follow
    bus_given: bool = False
    read_only_given: bool = False
    volume: tuple[str, str] | None = None  # pool and name, where its domain has it as a volume of libvirt

    @property
    def block(self) -> bool:
        """Whether it is a device and not a file."""
        return self.path.startswith("/dev/")


@dataclass(frozen=True)
class Attachment:
    """A guest's interface on a network."""

    network: Network
    mac: str
    queues: int | None  # None: one, or those of an interface that exists
    mac_given: bool = True  # otherwise derived; an interface that exists keeps its own
    rx_queue_size: int | None = None
    tx_queue_size: int | None = None

    @property
    def switch_queues(self) -> int:
        """The queue pairs that the switch serves."""
        return self.queues or 1

    @property
    def vhost_user(self) -> bool:
        """Whether the guest reaches the userspace switch by shared memory."""
        return self.network.on_switch


@dataclass(frozen=True)
class Device:
    """A PCI function of the node that a guest gets: one by its address, or a virtual function of another."""

    address: str  # empty: the virtual function has yet to be chosen
    physical_function: str = ""  # by name or address, as the list has it
    interrupts: int | None = None  # the vCPU to whose CPU they go; None: the guest's ordinary vCPU
    mac: str = ""  # of a virtual function
    mac_given: bool = True  # otherwise derived; a function that the domain has keeps its own
    vlan: int | None = None
    trust: bool | None = None
    rate: int | None = None  # in Mbit/s
    spoof_check: bool | None = None
    network: bool = False  # whether it is a virtual function of a network device, as the node shows it

    @property
    def label(self) -> str:
        """How messages call it."""
        return f"a VF of {self.physical_function}" if self.physical_function else self.address

    @property
    def settings(self) -> dict[str, object]:
        """What the list asks of a virtual function's settings."""
        given = {"vlan": self.vlan, "trust": self.trust, "rate": self.rate, "spoof_check": self.spoof_check}
        return {key: value for key, value in given.items() if value is not None}


@dataclass(frozen=True)
class CloudInit:
    """What a guest's first boot is told; secrets may be in it, so no text shows it."""

    user_data: str | Mapping[str, Any] | None = field(default=None, repr=False)
    meta_data: str | Mapping[str, Any] | None = field(default=None, repr=False)
    network_config: str | Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Guest:
    """The inventory's description of a guest. What is None was not given: a new guest gets the default, an existing one keeps its own."""

    name: str
    state: str = "running"
    uuid: str | None = None
    memory_mib: int = 0
    hugepages: str = "none"
    hugepages_given: bool = False
    vcpus: int = 1
    vcpus_given: bool = False  # otherwise an existing guest keeps its number
    realtime_vcpus: frozenset[int] = frozenset()
    schedulers: Mapping[int, Scheduler] = field(default_factory=dict)  # of the real-time vCPUs
    numa: str = "strict"
    numa_node: int | None = None  # of the host
    siblings: str = "idle"  # what may run beside a real-time vCPU on its core
    emulator: str = "housekeeping"
    emulator_scheduler: Scheduler | None = None
    io_threads: int | None = None
    io_thread_ids: tuple[int, ...] = ()  # from 1 on, unless the guest has others and io_threads was not given
    io_thread_scheduler: Scheduler | None = None
    vhost: str | None = None  # None: its vhost threads are left where the kernel made them
    vhost_scheduler: Scheduler | None = None
    disks: tuple[Disk, ...] = ()
    cloud_init: CloudInit | None = None  # its image is the last of the disks
    networks: tuple[Attachment, ...] = ()
    devices: tuple[Device, ...] = ()
    near: str = ""  # the device for which it must be on numa_node, where the list names no node
    agent: bool = False
    serial_log: bool = False
    watchdog: str = ""  # its action
    tpm: bool = False
    guest_os: str = "linux"
    firmware: str | None = None
    secure_boot: bool | None = None
    machine: str = "q35"
    cpu_mode: str | None = None
    invariant_tsc: bool | None = None
    dedicated_hint: bool | None = None
    hyperv: bool | None = None
    clock: str | None = None  # what the guest's hardware clock shows: utc or localtime
    on_crash: str | None = None
    xml: str = ""
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

    def interrupt_vcpu(self, device: Device) -> int | None:
        """Return the vCPU to whose CPU a device's interrupts go: the first ordinary one, unless the list names another."""
        ordinary = [vcpu for vcpu in range(self.vcpus) if vcpu not in self.realtime_vcpus]
        return device.interrupts if device.interrupts is not None else min(ordinary, default=None)

    @property
    def ordinary_vcpu(self) -> int | None:
        """The first vCPU of a real-time guest that is not real-time."""
        return min(frozenset(range(self.vcpus)) - self.realtime_vcpus, default=None) if self.realtime else None

    @property
    def vhost_beside(self) -> str | None:
        """The role of the thread whose CPUs its vhost threads have; None: they are left alone."""
        return f"vcpu{self.ordinary_vcpu}" if self.vhost == "vcpu" else self.vhost

    @property
    def shared_memory(self) -> bool:
        """Whether another process, the switch, must see the guest's memory."""
        return any(attachment.vhost_user for attachment in self.networks)
