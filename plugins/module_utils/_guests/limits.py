# SPDX-License-Identifier: GPL-3.0-or-later
"""What a domain limits, and a real-time guest cannot live with. Pure."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from .domain_xml import DomainError, kib
from .guest import Guest

#: Elements of cputune that take CPU time from a guest's threads (formatdomain, "CPU Tuning"), with their names in virsh schedinfo.
QUOTAS = {
    "quota": "vcpu_quota",
    "global_quota": "global_quota",
    "emulator_quota": "emulator_quota",
    "iothread_quota": "iothread_quota",
}

_NUMBER = re.compile("[0-9]{1,20}", re.ASCII)


def check_limits(tree: ET.Element, guest: Guest) -> None:
    """Refuse limits of a real-time guest's CPU time, and of its memory where that is not larger than the guest.

    A quota halts ordinary vCPUs and the emulator, which real-time vCPUs wait for. Memory is locked, and beyond the limit QEMU does not
    start or is killed (formatdomain, "Memory Tuning").
    """
    if not guest.realtime:
        return
    for tag, name in QUOTAS.items():
        value = (tree.findtext(f"cputune/{tag}") or "").strip()
        if _NUMBER.fullmatch(value) and value.strip("0"):  # a negative one, or 0: no limit
            raise DomainError(
                f"realtime_guests: {guest.name}: its definition limits CPU time (<{tag}> {value} of cputune), so its real-time vCPUs would wait "
                f"for threads that are halted; remove that limit with virsh schedinfo {guest.name} --config --set {name}=-1, or from its key xml"
            )
    limit = tree.find("memtune/hard_limit")
    if limit is not None and 0 < kib(limit) <= guest.memory_mib * 1024:
        raise DomainError(
            f"realtime_guests: {guest.name}: its definition limits QEMU's memory to {kib(limit) // 1024} MiB (<hard_limit> of memtune), which is not "
            f"more than memory_mib {guest.memory_mib}; the memory of a real-time guest is locked, so QEMU would not start. Remove that limit with virsh "
            f"memtune {guest.name} --config --hard-limit -1, or from its key xml"
        )
