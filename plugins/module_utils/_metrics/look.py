# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at a node, shared by the sources of metrics. Edge, read-only.

It reads files and asks services on housekeeping CPUs. It must not interrupt an isolated CPU: so it reads no register of one, changes no
affinity, and leaves out files that the kernel can only answer by asking the CPU itself, such as /proc/cpuinfo of kernels before 5.18.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from .._cpus.cpulist import parse_or_empty
from .._cpus.partition import Partition
from .._cpus.policies import SCHED_FIFO, SCHED_RR
from .._host.host import Host, Runner
from .._host.threads import working_pids

_NS = 1e9
_ALLOWED = re.compile(r"^Cpus_allowed_list:\s*(\S*)", re.MULTILINE)
_SWITCHES = re.compile(r"^nonvoluntary_ctxt_switches:\s*(\d+)", re.MULTILINE)
#: In the flags of /proc/PID/stat (include/linux/sched.h).
_PF_KTHREAD = 0x00200000
_POLICIES = {SCHED_FIFO: "fifo", SCHED_RR: "rr"}


class Look:
    """What sources share: the machine, its partition once it has been read, and the threads of processes."""

    def __init__(self, host: Host, runner: Runner, release: str = "") -> None:
        self.host = host
        self.runner = runner
        self.release = release
        self.partition: Partition | None = None  #: None as long as it was not read, or cannot be
        self.taken: frozenset[int] = frozenset()  #: CPUs that defined guests are pinned to
        self.running: dict[str, int] = {}  #: guests that have series of their own to their processes

    @property
    def isolated(self) -> frozenset[int]:
        """The isolated CPUs, none without a partition."""
        return self.partition.isolated if self.partition else frozenset()

    def processes(self) -> Iterator[int]:
        """Yield all processes."""
        return (int(entry) for entry in os.listdir(self.host.path("/proc")) if entry.isdecimal())

    def threads(self, pid: int) -> list[int]:
        """Return the threads of a process, none once it has ended."""
        try:
            return [int(task) for task in os.listdir(self.host.path(f"/proc/{pid}/task")) if task.isdecimal()]
        except OSError:
            return []

    def name(self, pid: int, tid: int) -> str:
        """Return the name that a thread has given itself."""
        return self.host.value(f"/proc/{pid}/task/{tid}/comm") or ""

    def allowed(self, pid: int, tid: int) -> frozenset[int]:
        """Return the CPUs of a thread, none once it has ended. The call costs a tenth of what the file does."""
        if not self.host.root:
            try:
                return frozenset(os.sched_getaffinity(tid))
            except OSError:
                return frozenset()
        found = _ALLOWED.search(self.host.read(f"/proc/{pid}/task/{tid}/status") or "")
        return parse_or_empty(found[1]) if found else frozenset()

    def switches(self, pid: int, tid: int) -> int | None:
        """Return how often another task took the CPU from a thread; None once it has ended."""
        found = _SWITCHES.search(self.host.read(f"/proc/{pid}/task/{tid}/status") or "")
        return int(found[1]) if found else None

    def schedule(self, pid: int, tid: int) -> tuple[float, float] | None:
        """Return the seconds that a thread ran and waited (Documentation/scheduler/sched-stats.rst); None where the kernel does not count them."""
        fields = (self.host.read(f"/proc/{pid}/task/{tid}/schedstat") or "").split()
        if len(fields) < 2 or not all(map(str.isdecimal, fields[:2])):
            return None
        return int(fields[0]) / _NS, int(fields[1]) / _NS

    def policy(self, pid: int, tid: int) -> str:
        """Return the scheduling policy of a thread: fifo, rr or other; empty once it has ended."""
        if not self.host.root:
            try:
                number = os.sched_getscheduler(tid)
            except OSError:
                return ""
        else:
            fields = (self.host.read(f"/proc/{pid}/task/{tid}/stat") or "").rpartition(")")[2].split()
            if len(fields) < 39 or not fields[38].isdecimal():
                return ""
            number = int(fields[38])
        return _POLICIES.get(number & ~os.SCHED_RESET_ON_FORK, "other")

    def is_kernel(self, pid: int) -> bool:
        """Whether a process is a thread of the kernel, or has ended."""
        fields = (self.host.read(f"/proc/{pid}/stat") or "").rpartition(")")[2].split()
        return len(fields) < 7 or not fields[6].isdecimal() or bool(int(fields[6]) & _PF_KTHREAD)

    def serves(self, unit: str) -> bool:
        """Whether a service has processes that can go on."""
        return bool(working_pids(self.host, unit))
