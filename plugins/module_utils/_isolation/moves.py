# SPDX-License-Identifier: GPL-3.0-or-later
"""Isolated CPUs change owners when guests or the switch start, move or end. Edge.

Modules, libvirt's hook and the switch's unit call it, so a lock of their own orders them. Nothing is journalled here: the
wanted state follows from the partition file and from the running threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from .._cpus.partition import Partition
from .._host.host import Host
from .._host.kernel import read_online
from .._host.locks import cpus_locked
from .cgroups import chase_threads, hold, plan_partitions, read_holders, read_reserved, write, write_reserved
from .users import read_users


@contextmanager
def exclusively(host: Host, caller: str) -> Iterator[None]:
    """Let only one caller at a time change the partitions; others wait, mostly for milliseconds."""
    if host.dry:
        yield
        return
    with cpus_locked(host.root, caller):
        yield


def settle(host: Host, partition: Partition) -> None:
    """Make the partitions that follow from the partition file and the running threads."""
    plan_partitions(host, partition, read_online(host), journal=False)
    host.commit()
    chase_threads(host, partition)


def reserve(host: Host, user: str, cpus: frozenset[int]) -> None:
    """Keep CPUs out of their holder for a user that starts or moves; no CPUs end the reservation."""
    reserved = read_reserved(host)
    if cpus != reserved.pop(user, frozenset()):
        write_reserved(host, {**reserved, user: cpus} if cpus else reserved)


class Moves:
    """vCPUs that move to other CPUs while their guests run.

    libvirt can pin a thread only to CPUs in its cgroup, and a partition holds only its own. So every moving vCPU first
    leaves its partition (two may swap CPUs) and its new CPUs leave the holder; then libvirt pins it; then each gets a
    partition again. In between, for some milliseconds, other tasks may run there, and a guest that starts waits.
    """

    def __init__(self, host: Host, partition: Partition, moves: Mapping[tuple[str, str], frozenset[int]]) -> None:
        """``moves`` is (guest, thread such as ``vcpu0``) to its new CPUs."""
        self._host, self._partition, self._moves = host, partition, dict(moves)
        self._left = len(self._moves)
        self._lock = ExitStack()

    def pin(self, pin: Callable[[], None]) -> None:
        """Pin one of the threads; the first call opens the partitions, the last call or an error closes them."""
        host = Host(owner=self._host.owner)  # these writes are part of a change that is already planned
        if self._left == len(self._moves):
            self._lock.enter_context(exclusively(host, self._host.owner))
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
                with self._lock:
                    self._close(host)

    def _open(self, host: Host) -> None:
        reserved = read_reserved(host)
        for (guest, _thread), cpus in self._moves.items():
            user = f"moves {guest}"
            reserved[user] = cpus & self._partition.isolated | reserved.get(user, frozenset())
        write_reserved(host, reserved)
        owners = {f"{guest} {thread}" for guest, thread in self._moves}
        for thread in read_users(host, self._partition):
            if thread.owner in owners and thread.isolated:
                write(host, f"{thread.path}/cpuset.cpus.partition", "member")
        for name, held in read_holders(host).items():
            free = held.cpus.difference(*self._moves.values())
            if free != held.cpus:
                hold(host, name, free)

    def _close(self, host: Host) -> None:
        for guest, _thread in self._moves:
            reserve(host, f"moves {guest}", frozenset())
        settle(host, self._partition)
