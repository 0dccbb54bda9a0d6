# SPDX-License-Identifier: GPL-3.0-or-later
"""Isolated CPUs change hands: when guests start, move and end, and when the switch does. Edge.

Called by modules, by libvirt's hook and by the switch's unit, so a lock of its own orders them; none of them journals here:
what should be follows from the document and from the threads that run.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from .._cpus.cpulist import format_cpulist
from .._cpus.partition import Partition
from .._host.host import Host
from .._host.kernel import read_online
from .cgroups import RESERVED, chase_threads, hold, plan_partitions, read_holders, read_reserved, read_users, write

_LOCK = "/run/realtime-kvm/cgroups.lock"


@contextmanager
def exclusively(host: Host) -> Iterator[None]:
    """Keep other changes of the partitions away; they take milliseconds, so one waits."""
    if host.dry:
        yield
        return
    path = host.path(_LOCK)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def settle(host: Host, partition: Partition) -> None:
    """Make the partitions that follow from the document and the threads that run now."""
    plan_partitions(host, partition, read_online(host), journal=False)
    host.commit()
    chase_threads(host, partition)


def reserve(host: Host, guest: str, cpus: frozenset[int]) -> None:
    """Keep CPUs out of their holder for a guest that starts or moves; none: it has them, or will not."""
    path = host.path(f"{RESERVED}/{guest}")
    if cpus:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as stream:
            stream.write(format_cpulist(cpus))
    else:
        with suppress(FileNotFoundError):
            os.unlink(path)


class Moves:
    """vCPUs that move to other CPUs while their guests run.

    libvirt pins a thread only to CPUs that its cgroup can have, and a partition has its own alone. So all that move leave their
    partitions first (two may swap CPUs) and their new CPUs leave the holder; libvirt pins; then each gets a partition again.
    In between, for some milliseconds, other tasks may run there.
    """

    def __init__(self, host: Host, partition: Partition, moves: Mapping[tuple[str, str], frozenset[int]]) -> None:
        """``moves`` is (guest, thread such as ``vcpu0``) to its new CPUs."""
        self._host, self._partition, self._moves = host, partition, dict(moves)
        self._left = len(self._moves)

    def pin(self, pin: Callable[[], None]) -> None:
        """Pin one of the threads; the first call opens the partitions, the last one closes them, an error too."""
        host = Host(owner=self._host.owner)  # what is made here is part of a change that is planned already
        try:
            if self._left == len(self._moves):
                self._open(host)
            pin()
        except Exception:
            self._left = 1
            raise
        finally:
            self._left -= 1
            if self._left == 0:
                self._close(host)

    def _open(self, host: Host) -> None:
        with exclusively(host):
            for (guest, _thread), cpus in self._moves.items():
                reserve(
                    host,
                    f"{guest}.moves",
                    cpus & self._partition.isolated | read_reserved(host).get(f"{guest}.moves", frozenset()),
                )
            owners = {f"{guest} {thread}" for guest, thread in self._moves}
            for user in read_users(host, self._partition):
                if user.owner in owners and user.isolated:
                    write(host, f"{user.path}/cpuset.cpus.partition", "member")
            for name, held in read_holders(host).items():
                free = held.cpus.difference(*self._moves.values())
                if free != held.cpus:
                    hold(host, name, free)

    def _close(self, host: Host) -> None:
        with exclusively(host):
            for guest, _thread in self._moves:
                reserve(host, f"{guest}.moves", frozenset())
            settle(host, self._partition)
