# SPDX-License-Identifier: GPL-3.0-or-later
"""Isolated CPUs change owners when guests or the switch start, move or end. Edge.

Modules, libvirt's hook and the switch's unit call it, so a separate lock orders them. Nothing is journalled here: the
wanted state follows from the document and from the running threads.
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
    """Let only one caller at a time change the partitions; others wait, for milliseconds."""
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
    """Make the partitions that follow from the document and the running threads."""
    plan_partitions(host, partition, read_online(host), journal=False)
    host.commit()
    chase_threads(host, partition)


def reserve(host: Host, guest: str, cpus: frozenset[int]) -> None:
    """Keep CPUs out of their holder for a guest that starts or moves; no CPUs end the reservation."""
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

    libvirt can pin a thread only to CPUs in its cgroup, and a partition holds only its own. So every moving vCPU first
    leaves its partition (two may swap CPUs) and its new CPUs leave the holder; then libvirt pins it; then each gets a
    partition again. In between, for some milliseconds, other tasks may run there.
    """

    def __init__(self, host: Host, partition: Partition, moves: Mapping[tuple[str, str], frozenset[int]]) -> None:
        """``moves`` is (guest, thread such as ``vcpu0``) to its new CPUs."""
        self._host, self._partition, self._moves = host, partition, dict(moves)
        self._left = len(self._moves)

    def pin(self, pin: Callable[[], None]) -> None:
        """Pin one of the threads; the first call opens the partitions, the last call or an error closes them."""
        host = Host(owner=self._host.owner)  # these writes are part of a change that is already planned
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
