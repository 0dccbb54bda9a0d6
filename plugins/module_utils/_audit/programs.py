# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that are neither guests nor the switch's poll-mode threads. Pure: values in, findings out."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .._cpus.partition import Partition
from .._guests.roles import VHOST, WORKER
from .findings import Finding
from .guests import Actor, RunningGuest

#: Threads of a guest's that have their place by another thread of it.
_HELPERS = ("other", WORKER, VHOST)


def _named_tasks(findings: Iterable[Finding]) -> set[int]:
    """Return the tasks that findings of a role name: ``thread:<name>:<id>:<started>:affinity``."""
    found = (re.fullmatch(r"thread:.*:(\d+):\d+:\w+", finding.resource) for finding in findings)
    return {int(match[1]) for match in found if match}


def other_programs(
    actors: Iterable[Actor],
    guests: Iterable[RunningGuest],
    pmds: Iterable[Actor],
    partition: Partition,
    findings: Iterable[Finding],
) -> list[Actor]:
    """Return the threads that no rule for guests and switch checks and that no finding names yet."""
    claimed = _named_tasks(findings) | {pmd.tid for pmd in pmds}
    named = {finding.resource for finding in findings}
    for guest in guests:
        demanding = guest.realtime or guest.owned(partition)
        for actor in guest.actors:
            # QEMU's workers have the CPUs of its emulator thread
            role = "emulator" if actor.role in _HELPERS else actor.role
            thread = f"domain {guest.name}: {role}"
            names = {thread, f"{thread} cpus", f"instance {guest.instance}: {role}"}
            if actor.role == VHOST:
                names |= {f"domain {guest.name}: {VHOST} cpus", f"{guest.name}: {actor.name} (thread {actor.tid})"}
            if (demanding and actor.role not in _HELPERS) or named & names:
                claimed.add(actor.tid)
    return [actor for actor in actors if actor.tid not in claimed]
