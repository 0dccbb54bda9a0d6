# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's hook: keeps real-time guests off a node that is not ready for them, and moves CPUs to and from guests. Edge.

libvirt calls it with the guest's name, an operation and the guest's XML on standard input
(https://libvirt.org/hooks.html); it must not call libvirt itself. On a node that is isolated at run time the guest's CPUs
leave their holder before a start, since libvirt can pin threads only to CPUs of its own cgroups. Once the threads run, each
gets its own partition. After the end the CPUs return to their holder.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from xml.etree import ElementTree

from .._cpus.answers import printable
from .._cpus.cpulist import CpuListError, format_cpulist, parse_cpulist, parse_or_empty
from .._cpus.errors import RefusalError
from .._cpus.partition import Partition, PartitionError
from .._devices.marks import marks_of
from .._devices.settings import SETTINGS, has_no_link, make_setting, place_of
from .._guests.domain_xml import OURS
from .._guests.threads import guest_pid
from .._guests.vhost import read_vhost
from .._guests.vhost_threads import settle_vhost
from .._guests.workers import await_worker, settle_workers
from .._host.current import check_current
from .._host.document import read_partition
from .._host.host import Host
from .._host.journal_events import (
    GUEST_ADMITTED,
    GUEST_ALLOWED,
    GUEST_INCOMPLETE,
    GUEST_REFUSED,
    SWITCH_INCOMPLETE,
    Line,
)
from .._host.journald import log
from .._host.kernel import read_kernel, read_online
from .._host.paths import ARCHIVE
from .._host.sysfs import read_topology
from .._isolation.holders import check_free
from .._isolation.moves import exclusively, reserve, settle
from .._isolation.users import read_users
from .._runtime.gate import ALLOW, OVERRIDE, explain, overridden, why_closed

HOOK = "/etc/libvirt/hooks/qemu.d/realtime-kvm"
#: Elements that give threads a policy: the attribute that lists the threads, and the element and attribute that pin one.
_SCHEDULERS = {
    "vcpusched": ("vcpus", "vcpupin", "vcpu"),
    "iothreadsched": ("iothreads", "iothreadpin", "iothread"),
    "emulatorsched": ("", "emulatorpin", ""),
}


def hook_text(archive: str) -> str:
    """Return the script that libvirt calls; the script does nothing if the archive is missing."""
    return (
        "#!/bin/sh\n"
        "# Written by realtime.kvm (module kvm_host), which replaces this file as a whole.\n"
        f'if test -e {archive}; then exec /usr/bin/python3 -I {archive} hook "$@"; fi\n'
    )


def pinned_cpus(xml: str, isolated: frozenset[int]) -> frozenset[int]:
    """Return the isolated CPUs that the threads of a domain are pinned to: its vCPUs, and emulator and I/O threads with these alone."""
    cpus: frozenset[int] = frozenset()
    domain = ElementTree.fromstring(xml)
    for tag in ("vcpupin", "emulatorpin", "iothreadpin"):
        for pin in domain.iterfind(f"./cputune/{tag}"):
            with suppress(CpuListError):
                own = parse_cpulist(pin.get("cpuset", ""))
                cpus |= own & isolated if tag == "vcpupin" or own <= isolated else frozenset()
    return cpus


def _realtime(domain: ElementTree.Element) -> list[ElementTree.Element]:
    return [
        item for item in domain.iterfind("./cputune/*") if item.tag in _SCHEDULERS and item.get("scheduler") in ("fifo", "rr")
    ]


def is_realtime(xml: str) -> bool:
    """Whether a domain has threads with a real-time policy."""
    return bool(_realtime(ElementTree.fromstring(xml)))


def realtime_cpus(xml: str, online: frozenset[int]) -> frozenset[int]:
    """Return the CPUs on which a domain's real-time threads may run.

    A thread without a pin runs where the domain's ``<vcpu cpuset=>`` says, else on every CPU (libvirt, formatdomain.html).
    """
    domain = ElementTree.fromstring(xml)
    anywhere = _cpuset(domain.find("./vcpu"), online)
    cpus: frozenset[int] = frozenset()
    for item in _realtime(domain):
        threads, pin, number = _SCHEDULERS[item.tag]
        pins = {element.get(number): element for element in domain.iterfind(f"./cputune/{pin}")}
        for thread in map(str, parse_or_empty(item.get(threads))) if threads else (None,):
            cpus |= _cpuset(pins.get(thread), anywhere)
    return cpus


def _cpuset(element: ElementTree.Element | None, otherwise: frozenset[int]) -> frozenset[int]:
    return (parse_or_empty(element.get("cpuset")) if element is not None else frozenset()) or otherwise


def run_hook(arguments: list[str], xml: str) -> str:
    """Carry out an operation; return why a guest must not start, or an empty text."""
    guest, operation = arguments[0], arguments[1]
    host = Host(needs_journal=False)  # a guest's start depends on no journal, and changes nothing that undo restores
    try:
        if operation == "started":
            _place_vhost(host, guest, xml)
            _place_worker(host, guest)
        if operation == "prepare":
            refusal = _admit(host, guest, xml) or _set_up(host, guest, xml) or _prepare(host, guest, xml)
            _log_start(host, guest, xml, refusal)
            return refusal
        if operation in ("started", "release"):
            _settle(host, guest)
    except (RefusalError, OSError, ElementTree.ParseError, subprocess.SubprocessError) as error:
        if operation == "prepare":
            log(Line.of(GUEST_REFUSED, f"{guest}: {error}", guest=guest, operation=operation))
            return f"realtime.kvm: {error}"
        # a running guest matters more than its partition: it goes on, and verify reports what is missing
        _incomplete(guest, f"{guest} {operation}: {error}", operation)
    return ""


def _log_start(host: Host, guest: str, xml: str, refusal: str) -> None:
    """Log that a guest is refused, or which CPUs a real-time guest starts on."""
    cpus = realtime_cpus(xml, read_online(host)) if is_realtime(xml) else frozenset()
    if refusal:
        text = refusal.removeprefix("realtime.kvm: ")
        log(Line.of(GUEST_REFUSED, text, guest=guest, operation="prepare", cpus=format_cpulist(cpus)))
    elif cpus:
        log(Line.of(GUEST_ADMITTED, f"{guest} starts on CPUs {format_cpulist(cpus)}", guest=guest, cpus=format_cpulist(cpus)))


def _incomplete(guest: str, text: str, operation: str = "started") -> None:
    log(Line.of(GUEST_INCOMPLETE, text, guest=guest, operation=operation))


def run_switch(moment: str) -> None:
    """Arrange the CPUs of the switch's daemon at a moment: ``starting``, ``started`` or ``stopped``."""
    host = Host(needs_journal=False)
    try:
        if _runtime_document(host) is None:
            return
        if moment == "started":
            _await_polling(host)
        with exclusively(host, "the switch"):
            partition = _runtime_partition(host)
            if partition is not None:
                reserve(host, "switch", partition.sets["dataplane"] if moment == "starting" else frozenset())
                settle(host, partition)
    except (RefusalError, OSError) as error:
        log(Line.of(SWITCH_INCOMPLETE, f"ovs-vswitchd {moment}: {error}", operation=moment))


def _await_polling(host: Host) -> None:
    """Wait up to 5 s for the poll-mode threads: the daemon makes them while it configures its first bridge."""
    partition = _runtime_document(host)
    for _attempt in range(50 if partition else 0):
        if partition is None or any(user.task for user in read_users(host, partition)):
            return
        time.sleep(0.1)


def _runtime_document(host: Host) -> Partition | None:
    """Return the document's partition if the node is isolated at run time and no longer by its boot."""
    partition = read_partition(host)
    if partition is None or partition.isolation != "runtime" or read_kernel(host).isolated & partition.isolated:
        return None
    return partition


def _runtime_partition(host: Host) -> Partition | None:
    """Return the same partition, provided that it describes this machine; the caller holds the lock, so no CPU is off."""
    partition = _runtime_document(host)
    if partition is not None:
        check_current(partition, read_topology(host))
    return partition


def _admit(host: Host, guest: str, xml: str) -> str:
    """Return why a real-time guest must not start on the node as it is."""
    if not is_realtime(xml):
        return ""
    with exclusively(host, f"libvirt's hook for {guest}"):  # no module has CPUs off at the moment
        cpus = realtime_cpus(xml, read_online(host))
        why = why_closed(host, cpus or None)
        refusal = explain(why) if why else _why_misplaced(host, cpus)
    if refusal and overridden(host):
        text = f"{guest} starts, since {OVERRIDE} allows it, although {why or refusal}"
        log(Line.of(GUEST_ALLOWED, text, guest=guest, cpus=format_cpulist(cpus)))
        return ""
    return f"realtime.kvm: {guest}: {refusal}" if refusal else ""


def _why_misplaced(host: Host, cpus: frozenset[int]) -> str:
    """Return why a guest whose real-time threads may run on these CPUs must not start on a node that is ready, or an empty text.

    A node that isolates nothing has none of this collection's values: the kernel's own limits of real-time threads hold there.
    """
    partition = read_partition(host)
    if partition is None or not partition.isolated:
        return ""
    outside = cpus - partition.isolated - read_kernel(host).isolated
    return (
        f"its real-time threads may run on CPUs {format_cpulist(outside)}, which serve the node's own work. Pin each vCPU, emulator and I/O thread "
        f"that is fifo or rr to isolated CPUs ({format_cpulist(partition.isolated)}), or let it have the ordinary policy. "
        f"To start real-time guests in this boot even so: {ALLOW}"
    ) * bool(outside)


def _set_up(host: Host, guest: str, xml: str) -> str:
    """Give the guest's virtual functions their settings, which end with a boot; return why the guest must not start, or an empty text."""
    for address, mark in marks_of(ElementTree.fromstring(xml)).items():
        settings = {key: mark[key] for key in SETTINGS if key in mark}
        if not settings:
            continue
        place = place_of(host, address)
        if place is None:
            return (
                f"realtime.kvm: {guest}: its virtual function {address} is not there, or its physical function has no interface"
            )
        for key, value in settings.items():
            if reason := printable(make_setting(_run, place, key, value)):
                refusal = f"{guest}: {place.interface} refuses {key} {value} for its virtual function {address}: {reason}"
                if key != "rate" or not has_no_link(host, place.interface):
                    return f"realtime.kvm: {refusal}"
                # after a power cut the other end may come later
                _incomplete(guest, f"{refusal}; it has no link now, so the guest starts without a limit", "prepare")
    return ""


def _run(command: Sequence[str]) -> tuple[int, str, str]:
    """Run a program; what it prints is kept for the message."""
    found = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10, check=False)
    return found.returncode, found.stdout, found.stderr


def _prepare(host: Host, guest: str, xml: str) -> str:
    """Take the guest's CPUs out of their holder; a refused start keeps none of them."""
    try:
        document = _runtime_document(host)
        if document is None or not pinned_cpus(xml, document.isolated):
            return ""
    except PartitionError as error:
        # by such a partition file no CPU is moved; the gate has refused a real-time guest
        _incomplete(guest, f"{guest}: {error}", "prepare")
        return ""
    with exclusively(host, f"libvirt's hook for {guest}"):
        partition = _runtime_partition(host)
        cpus = pinned_cpus(xml, partition.isolated) if partition else frozenset()
        if partition is None or not cpus:
            return ""
        try:
            check_free(cpus, read_users(host, partition), f"{guest} cannot start on CPUs {format_cpulist(cpus)}")
            reserve(host, f"guest {guest}", cpus)
            settle(host, partition)
        except (RefusalError, OSError):
            reserve(host, f"guest {guest}", frozenset())
            raise
    return ""


def _settle(host: Host, guest: str) -> None:
    if _runtime_document(host) is None:
        return
    with exclusively(host, f"libvirt's hook for {guest}"):
        partition = _runtime_partition(host)
        if partition is not None:
            reserve(host, f"guest {guest}", frozenset())
            settle(host, partition)


def _place_vhost(host: Host, guest: str, xml: str) -> None:
    """Put vhost's threads where the definition has them; a fault there keeps nothing else from its place."""
    pid, wanted = guest_pid(host, guest), read_vhost(ElementTree.fromstring(xml).find(f"metadata/{OURS}"))
    if pid is None or wanted is None:
        return
    try:
        settle_vhost(host, pid, *wanted)
    except (RefusalError, OSError) as error:
        _incomplete(guest, f"{guest}: vhost threads stay where the kernel made them: {error}")


def _place_worker(host: Host, guest: str) -> None:
    """Put KVM's worker beside the emulator; a vCPU has just made it, or will when a guest goes on that was started paused.

    libvirt has no event for that, and waits for this hook. So a unit of its own waits.
    """
    pid = guest_pid(host, guest)
    if pid is None or settle_workers(host, pid):
        return
    unit = ["systemd-run", "--quiet", "--collect", "--no-block", f"--unit=realtime-kvm-worker-{pid}"]
    about = "--description=Real-time CPU partition: waits for the first run of a paused guest, to move KVM's thread off its vCPU"
    command = [*unit, about, "/usr/bin/python3", "-I", ARCHIVE, "worker", str(pid)]
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=10, check=True)
    except subprocess.SubprocessError as error:
        _incomplete(guest, f"{guest}: KVM's thread stays with the vCPU that makes it: {error}")


def run_worker(pid: int) -> None:
    """Wait until a guest that was started paused goes on, and put KVM's worker beside its emulator."""
    try:
        await_worker(Host(needs_journal=False), pid)
    except (RefusalError, OSError) as error:
        _incomplete("", f"process {pid}: {error}")
