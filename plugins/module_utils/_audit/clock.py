# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the time service that time_sync has set up. Pure.

A service that is not as planned has one finding; what it follows is asked only where all is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .._cpus.cpulist import format_cpulist
from .._host.change import Change
from .._time.answers import Running, State
from .._time.wanted import PTP, Wanted
from .findings import Finding, change_finding

_ROLE = "time_sync"


def check_changes(changes: Iterable[Change], others: Iterable[str]) -> list[Finding]:
    """Return the role's planned changes as findings; of a service whose files differ, only the files."""
    listed = list(changes)
    files = [change_finding(change, _ROLE, "host-file") for change in listed if change.resource.startswith("/")]
    units = {f"daemons:clock:{name}" for name in others}
    found = [
        Finding(
            "time-conflict",
            change.resource.rpartition(":")[2],
            "off",
            change.before or "",
            "run the time_sync role with time_sync_take_over: true",
        )
        for change in listed
        if change.resource in units
    ]
    services = [change for change in listed if change.resource.startswith("service:")]
    if not files:
        found += [_service(change) for change in services]
    if not files and not services:  # it runs, and would not after a boot
        rest = [change for change in listed if change.resource.startswith("daemons:") and change.resource not in units]
        found += [
            Finding("time-service", change.resource.rpartition(":")[2], change.after or "", change.before or "", _remedy())
            for change in rest
        ]
    return [*files, *found]


def _service(change: Change) -> Finding:
    unit, expected, actual = change.resource.partition(":")[2], change.after or "", change.before or ""
    if "stopped" in (expected, actual):
        return Finding("time-service", unit, expected, actual, _remedy())
    return Finding("time-cpus", unit, expected, actual, _remedy())


def _remedy() -> str:
    return "run the time_sync role; why it ended: journalctl -u and the unit's name"


def check_state(
    wanted: Wanted, state: State, services: Mapping[str, Running], *, hardware: bool, priority_limit: int
) -> list[Finding]:
    """The clock must follow something, within its limit; what steers it must not run before the kernel's threads."""
    what = f"clock ({wanted.source})"
    found = []
    if not state.synchronised:
        remedy = (
            "look at the grandmaster, domain and network"
            if wanted.source == PTP
            else "look at the servers and the way to them (chronyc sources)"
        )
        found.append(Finding("time-source", what, "follows a source", state.why, remedy))
    elif wanted.offset_limit_us and (state.offset_us is None or abs(state.offset_us) > wanted.offset_limit_us):
        actual = "unknown" if state.offset_us is None else f"{state.offset_us:.3f} µs to {state.reference}"
        remedy = "wait until it has settled, or look at the source; time_sync_offset_limit_us is the limit"
        found.append(Finding("time-offset", what, f"at most {wanted.offset_limit_us:g} µs", actual, remedy))
    for unit, service in services.items():
        if service.fifo > priority_limit:
            remedy = "set time_sync_priority, or take sched_priority out of chrony's own file"
            found.append(
                Finding(
                    "time-priority",
                    unit,
                    f"at most {priority_limit}",
                    f"{service.fifo} on CPUs {format_cpulist(service.cpus)}",
                    remedy,
                )
            )
    if wanted.source == PTP and not hardware and state.synchronised:
        remedy = "none, or a NIC with a clock of its own (ethtool -T)"
        found.append(Finding("time-stamping", wanted.interface, "by the NIC", "by the kernel, to some microseconds", remedy))
    return found
