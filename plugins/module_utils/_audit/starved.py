# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds work that waits on an isolated CPU and does not run. Edge, read-only.

A thread that is runnable at the beginning and at the end of the audit, and has not been on its CPU for a nanosecond in
between, waits behind one that never sleeps: a kworker behind a vCPU, for example. The numbers are those of
/proc/PID/schedstat (Documentation/scheduler/sched-stats.rst).
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from .._cpus.partition import Partition
from .._cpus.policies import SCHED_FIFO, SCHED_RR
from .._host.host import Host
from .findings import Finding

#: In this time, in seconds, waiting work runs once with the role's budget: an item that ran for a timer tick of 4 ms waits 4 s.
LEAST_S = 5.0
#: Among the fields after a thread's name (proc_pid_stat(5)).
_STATE, _CPU, _PRIORITY, _POLICY = 0, 36, 37, 38


@dataclass(frozen=True)
class _Waiting:
    """A runnable thread on an isolated CPU."""

    name: str
    cpu: int
    ran_ns: str  # on its CPU, until now
    rank: tuple[bool, int]  # real-time or not, and its priority


class StarvationWatch:
    """The threads that wait on isolated CPUs when the audit begins."""

    def __init__(self, host: Host, partition: Partition, interval_s: float) -> None:
        self.host = host
        self.cpus = partition.isolated
        self.interval_s = 0.0 if host.captured else max(interval_s, LEAST_S)
        self.begun = time.monotonic()
        self.waiting = self._look() if self.interval_s and self.cpus else {}

    def _look(self) -> dict[str, _Waiting]:
        """Return what waits: of the runnable threads of a CPU all but the first, which runs.

        A tickless CPU shows the time of the running thread late, so that time alone does not tell the two apart.
        """
        found: dict[int, dict[str, _Waiting]] = {}
        for entry in self.host.listdir("/proc"):
            for task in self.host.listdir(f"/proc/{entry}/task") if entry.isdecimal() else ():
                thread = self._read(f"/proc/{entry}/task/{task}")
                if thread:
                    found.setdefault(thread.cpu, {})[f"/proc/{entry}/task/{task}"] = thread
        waiting = {}
        for threads in found.values():
            runs = max(threads, key=lambda folder: threads[folder].rank)
            waiting.update({folder: thread for folder, thread in threads.items() if folder != runs})
        return waiting

    def _read(self, folder: str) -> _Waiting | None:
        """Return a thread, None unless it is runnable on an isolated CPU and the kernel counts its time."""
        name, _parenthesis, rest = (self.host.read(f"{folder}/stat") or "").partition("(")[2].rpartition(")")
        fields = rest.split()
        if len(fields) <= _POLICY or fields[_STATE] != "R" or int(fields[_CPU]) not in self.cpus:
            return None
        ran = re.match(r"(\d+) \d+ \d+", self.host.read(f"{folder}/schedstat") or "")
        rank = (int(fields[_POLICY]) in (SCHED_FIFO, SCHED_RR), int(fields[_PRIORITY]))
        return _Waiting(name, int(fields[_CPU]), ran[1], rank) if ran else None

    def findings(self) -> list[Finding]:
        """Return a finding for each thread that has waited for the whole interval; waits until it is over if one may."""
        rest = self.interval_s - (time.monotonic() - self.begun)
        if self.waiting and rest > 0:
            time.sleep(rest)
        waited = max(self.interval_s, time.monotonic() - self.begun)
        return [
            Finding(
                "starved",
                f"{before.name} (thread {folder.rpartition('/')[2]})",
                f"runs within {LEAST_S:g} s",
                f"runnable on CPU {before.cpu}, not run for {waited:.1f} s",
                "set cpu_partition_rt_throttling: budget, which gives it a share, and run site; or let what spins there sleep",
            )
            for folder, before in self.waiting.items()
            if self._read(folder) == before
        ]
