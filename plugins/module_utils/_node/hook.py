# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's hook on a node that is isolated at run time: CPUs change owners when a guest starts and ends. Edge.

libvirt calls it with the guest's name, an operation and the guest's XML on standard input
(https://libvirt.org/hooks.html); it must not call libvirt itself. Before a start the guest's CPUs leave their holder,
since libvirt can pin threads only to CPUs of machine.slice. Once the threads run, each gets its own partition. After the
end the CPUs return to their holder.
"""

from __future__ import annotations

import syslog
import time
from contextlib import suppress
from xml.etree import ElementTree

from .._cpus.cpulist import CpuListError, format_cpulist, parse_cpulist
from .._cpus.errors import HostError
from .._cpus.partition import Partition, PartitionError
from .._guests.workers import settle_workers
from .._host.document import read_partition
from .._host.host import Host
from .._host.kernel import read_kernel
from .._isolation.cgroups import read_users
from .._isolation.holders import IsolationError, check_free
from .._isolation.moves import exclusively, reserve, settle

HOOK = "/etc/libvirt/hooks/qemu.d/realtime-kvm"


def hook_text(archive: str) -> str:
    """Return the script that libvirt calls; the script does nothing if the archive is missing."""
    return (
        "#!/bin/sh\n"
        "# Written by realtime.kvm (module kvm_host), which replaces this file as a whole.\n"
        f'if test -e {archive}; then exec /usr/bin/python3 {archive} hook "$@"; fi\n'
    )


def pinned_cpus(xml: str) -> frozenset[int]:
    """Return the CPUs that the vCPUs of a domain are pinned to."""
    cpus: frozenset[int] = frozenset()
    for pin in ElementTree.fromstring(xml).iterfind("./cputune/vcpupin"):
        with suppress(CpuListError):
            cpus |= parse_cpulist(pin.get("cpuset", ""))
    return cpus


def run_hook(arguments: list[str], xml: str) -> str:
    """Carry out an operation; return why a guest must not start, or an empty text."""
    guest, operation = arguments[0], arguments[1]
    host = Host()
    try:
        if operation == "started":
            _place_worker(host, guest)
        partition = _runtime_partition(host)
        if partition is None:
            return ""
        if operation == "prepare":
            _prepare(host, partition, guest, pinned_cpus(xml) & partition.isolated)
        elif operation in ("started", "release"):
            _settle(host, partition, guest)
    except (HostError, IsolationError, PartitionError, OSError, ElementTree.ParseError) as error:
        if operation == "prepare":
            reserve(host, guest, frozenset())
            return f"realtime.kvm: {error}"
        # a running guest matters more than its partition: it goes on, and verify reports what is missing
        syslog.syslog(syslog.LOG_ERR, f"realtime.kvm: {guest} {operation}: {error}")
    return ""


def run_switch(moment: str) -> None:
    """Arrange the CPUs of the switch's daemon at a moment: ``starting``, ``started`` or ``stopped``."""
    host = Host()
    try:
        partition = _runtime_partition(host)
        if partition is None:
            return
        if moment == "started":
            _await_polling(host, partition)
        with exclusively(host):
            reserve(host, "ovs-vswitchd", partition.sets["dataplane"] if moment == "starting" else frozenset())
            settle(host, partition)
    except (HostError, IsolationError, PartitionError, OSError) as error:
        syslog.syslog(syslog.LOG_ERR, f"realtime.kvm: ovs-vswitchd {moment}: {error}")


def _await_polling(host: Host, partition: Partition) -> None:
    """Wait up to 5 s for the poll-mode threads: the daemon makes them while it configures its first bridge."""
    for _attempt in range(50):
        if any(user.task for user in read_users(host, partition)):
            return
        time.sleep(0.1)


def _runtime_partition(host: Host) -> Partition | None:
    """Return the partition if the node is isolated at run time and no longer by its boot."""
    partition = read_partition(host)
    if partition is None or partition.isolation != "runtime" or read_kernel(host).isolated & partition.isolated:
        return None
    return partition


def _prepare(host: Host, partition: Partition, guest: str, cpus: frozenset[int]) -> None:
    if not cpus:
        return
    with exclusively(host):
        check_free(cpus, read_users(host, partition), f"{guest} cannot start on CPUs {format_cpulist(cpus)}")
        reserve(host, guest, cpus)
        settle(host, partition)


def _place_worker(host: Host, guest: str) -> None:
    """Put KVM's worker beside the emulator; a vCPU has just made it."""
    pid = host.value(f"/run/libvirt/qemu/{guest}.pid") or ""
    if pid.isdecimal():
        settle_workers(host, int(pid))


def _settle(host: Host, partition: Partition, guest: str) -> None:
    with exclusively(host):
        reserve(host, guest, frozenset())
        settle(host, partition)
