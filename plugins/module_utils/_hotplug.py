# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Switches CPUs off and on again before they are isolated, so that nothing of before is left on them. Edge.

A CPU that goes offline gives up its timers, its queued work and its interrupts (Documentation/core-api/cpu_hotplug.rst); a
cpuset partition takes its tasks alone. The kernel stops all CPUs of the machine for a moment to do it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial

from ._cgroups import read_holders, read_reserved, read_users
from ._change import Change, check_limit, planned_changes
from ._cpuset import format_cpulist
from ._host import Host, HostError
from ._isolation import wanted_holders
from ._partition import Partition
from ._sysfs import read_online

_SWITCH = "/sys/devices/system/cpu/cpu{}/online"
_IS_SWITCH = re.compile(r"/sys/devices/system/cpu/cpu(\d+)/online")


class LeftOffError(HostError):
    """CPUs that a killed run left off, so that nothing can be planned; ``results`` is what the module returns beside the message."""

    def __init__(self, cpus: Iterable[int]) -> None:
        self.results = {"left_off": format_cpulist(cpus)}
        super().__init__(
            f"CPUs {self.results['left_off']} are off: a run that was killed had switched them off for a moment "
            "(cpu_partition_cycle_cpus). Run without check mode, which switches them on first"
        )


def plan_cycles(host: Host, partition: Partition) -> None:
    """Plan to switch each CPU off and on again that no partition has yet and a holder is about to get."""
    reserved = frozenset().union(*read_reserved(host).values())
    online = read_online(host)
    wanted = wanted_holders(partition, read_users(host, partition), reserved, online)
    held = frozenset().union(*(item.cpus for item in read_holders(host).values() if item.state == "isolated"))
    for cpu in sorted(frozenset().union(*(item.cpus for item in wanted.values())) - held):
        path = _SWITCH.format(cpu)
        if host.value(path) != "1":
            host.notes.append(f"the kernel cannot switch off CPU {cpu} ({path} is missing), so its old timers stay")
            continue
        change = Change(path, "1", "0, then 1", "stall", "timers and work of before leave the CPU")
        host.change(change, partial(_cycle, host, path), kind="value")


def _cycle(host: Host, path: str) -> None:
    host.write_value(path, "0")
    host.write_value(path, "1")
    host.forget(path)


def bring_back(host: Host, *, alone: bool = False, limit: str | None = None) -> None:
    """Switch on again the CPUs that a killed run left off, before anything is read of them.

    Check mode cannot, and says so, unless nothing else is to be planned (``alone``). ``limit`` is the highest disruption class allowed.
    """
    left = {}
    for path, before in host.entries("value").items():
        found = _IS_SWITCH.fullmatch(path)
        if found and before == "1" and host.value(path) == "0":
            left[int(found[1])] = path
    if left and host.dry and not alone:
        raise LeftOffError(left)
    for path in left.values():
        change = Change(path, "0", "1", "stall", "switched off by a run that was killed")
        host.restore(change, path, partial(host.write_value, path, "1"))
    check_limit(planned_changes(host.results()), limit)
    host.commit()
