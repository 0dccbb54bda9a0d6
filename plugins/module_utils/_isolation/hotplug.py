# SPDX-License-Identifier: GPL-3.0-or-later
"""Switches CPUs off and on again before they are isolated, so that no earlier timer or work item stays on them. Edge.

A CPU that goes offline gives up its timers, its queued work and its interrupts (Documentation/core-api/cpu_hotplug.rst); a
cpuset partition takes its tasks alone. The kernel stops all CPUs of the machine for a moment to do it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial

from .._cpus.cpulist import format_cpulist
from .._cpus.errors import HostError
from .._cpus.partition import Partition
from .._host.change import Change
from .._host.host import Host
from .._host.kernel import read_online
from .cgroups import read_holders, read_reserved
from .holders import wanted_holders
from .users import read_users

_SWITCH = "/sys/devices/system/cpu/cpu{}/online"
_IS_SWITCH = re.compile(r"/sys/devices/system/cpu/cpu(\d+)/online")


class LeftOffError(HostError):
    """A killed run left CPUs off, so nothing can be planned; ``results`` names them."""

    def __init__(self, cpus: Iterable[int]) -> None:
        self.results = {"left_off": format_cpulist(cpus)}
        super().__init__(
            f"CPUs {self.results['left_off']} are off: a killed run had switched them off for a moment "
            "(cpu_partition_cycle_cpus). Switch them on with the cpu_partition role, "
            "the site or the partition playbook (the module's "
            "state: recovered)"
        )


def is_switch(path: str) -> bool:
    """Whether a kernel file switches a CPU off and on."""
    return bool(_IS_SWITCH.fullmatch(path))


def left_off(host: Host) -> dict[int, str]:
    """Return the CPUs that a killed run left off, each with the file that switches it on."""
    found = {}
    for path, before in host.entries("value").items():
        match = _IS_SWITCH.fullmatch(path)
        if match and before == "1" and host.value(path) == "0":
            found[int(match[1])] = path
    return found


def check_all_on(host: Host) -> None:
    """Raise ``LeftOffError`` when a killed run left CPUs off, since the kernel does not show the topology of such CPUs."""
    left = left_off(host)
    if left:
        raise LeftOffError(left)


def plan_recovery(host: Host, *, until_boot: bool = False) -> None:
    """Plan to switch on the CPUs that a killed run left off; with ``until_boot`` one that fails to come back is only noted."""
    for path in left_off(host).values():
        change = Change(path, "0", "1", "stall", "switched off by a killed run")
        host.restore(change, path, partial(host.write_value, path, "1"), until_boot=until_boot)


def plan_cycles(host: Host, partition: Partition) -> None:
    """Plan to switch off and on again each CPU that a holder is about to get and that is in no partition yet."""
    reserved = frozenset().union(*read_reserved(host).values())
    online = read_online(host)
    wanted = wanted_holders(partition, read_users(host, partition), reserved, online)
    held = frozenset().union(*(item.cpus for item in read_holders(host).values() if item.state == "isolated"))
    for cpu in sorted(frozenset().union(*(item.cpus for item in wanted.values())) - held):
        path = _SWITCH.format(cpu)
        if host.value(path) != "1":
            host.notes.append(f"the kernel cannot switch off CPU {cpu} ({path} is missing), so its old timers stay")
            continue
        change = Change(path, "1", "0, then 1", "stall", "earlier timers and work items leave the CPU")
        host.change(change, partial(_cycle, host, path), kind="value")


def _cycle(host: Host, path: str) -> None:
    host.write_value(path, "0")
    host.write_value(path, "1")
    host.forget(path)
