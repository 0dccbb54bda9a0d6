# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads which vCPUs of a guest are real-time, and the schedulers of its threads. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .._cpus.cpulist import CpuListError, format_cpulist, parse_cpulist
from .._cpus.guest_partition import parse_vcpus
from .guest import POLICIES, GuestError, Scheduler
from .guest_reader import Reader


def read_realtime_vcpus(read: Reader, vcpus: int, system: str) -> frozenset[int]:
    """Return the real-time vCPUs; a list that begins with an exclusion means all others, as in Nova's hw:cpu_realtime_mask."""
    text = str(read.get("realtime_vcpus", "")).strip()
    if not text:
        return frozenset()
    if text.startswith("["):
        numbers = [int(number) for number in re.findall(r"(?<![0-9])[0-9]{1,3}(?![0-9])", text)]
        raise GuestError(f'{read.where}: realtime_vcpus is a list; give one text: "{format_cpulist(numbers) or "1-3"}"')
    try:
        realtime, named = parse_vcpus(text, vcpus)
    except CpuListError as error:
        raise GuestError(f"{read.where}: realtime_vcpus: {error}") from None
    beyond = [vcpu for vcpu in sorted(named) if vcpu >= vcpus]
    if beyond:
        raise GuestError(
            f"{read.where}: realtime_vcpus {text!r} names vCPU {format_cpulist(beyond)}, "
            f"but the guest has vCPUs {format_cpulist(range(vcpus))}"
        )
    if not realtime:
        raise GuestError(
            f"{read.where}: realtime_vcpus {text!r} leaves no vCPU, so the guest would be an ordinary one; "
            "name at least one, or leave the key out"
        )
    if len(realtime) == vcpus and system != "other":
        raise GuestError(
            f"{read.where}: all {vcpus} vCPUs are real-time; "
            f"at least one must stay ordinary for the housekeeping of {system.capitalize()} in the guest, or its kernel "
            f"starves: give {vcpus + 1} vcpus, or fewer realtime_vcpus; for a guest whose system needs none (an RTOS), guest_os: other"
        )
    return realtime


def _parse_scheduler(value: Any, where: str, limit: int, default: Scheduler) -> Scheduler:
    if not isinstance(value, Mapping):
        raise GuestError(f"{where}: {value!r} is not a mapping of policy and priority")
    read = Reader(value, where, {"policy": (str,), "priority": (int,)})
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


def read_scheduler(read: Reader, key: str, limit: int) -> Scheduler | None:
    """Return the scheduler that a key gives, None where it is not given."""
    value = read.get(key)
    return None if value is None else _parse_scheduler(value, f"{read.where}: {key}", limit, Scheduler("fifo", 1))


def read_vcpu_schedulers(read: Reader, realtime: frozenset[int], limit: int) -> dict[int, Scheduler]:
    """Return the scheduler of each real-time vCPU."""
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
