# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest as the inventory describes it, with defaults. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from .._cpus.errors import RefusalError
from .network import Network

STATES = ("running", "present", "stopped", "absent")
POLICIES = ("fifo", "rr")
HUGEPAGES = ("2M", "1G", "none")
FORMATS = ("qcow2", "raw")
#: What may run on the other threads of a real-time vCPU's core: nothing, the same guest's real-time vCPUs, or all its threads.
SIBLINGS = ("idle", "realtime", "any")
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
class Disk:
    """An existing image file or block device."""

    path: str
    format: str
    bus: str
    target: str  # vda, sda, ...: the disk's identity in the domain
    read_only: bool = False
    cdrom: bool = False
    cache: str | None = None
    io: str | None = None
    discard: str | None = None

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
    mac_given: bool = True  # otherwise derived; an interface that exists keeps its own
    rx_queue_size: int | None = None
    tx_queue_size: int | None = None

    @property
    def vhost_user(self) -> bool:
        """Whether the guest reaches the userspace switch by shared memory."""
        return self.network.realtime


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
    disks: tuple[Disk, ...] = ()
    networks: tuple[Attachment, ...] = ()
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

    @property
    def shared_memory(self) -> bool:
        """Whether another process, the switch, must see the guest's memory."""
        return any(attachment.vhost_user for attachment in self.networks)
