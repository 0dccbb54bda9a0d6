# SPDX-License-Identifier: GPL-3.0-or-later
"""The watcher: moves interrupts off isolated CPUs whenever the kernel reports a change, and now and then without one. Edge.

It plans as the module irq_affinity does. Only a plan with changes takes the node's lock and opens the journal, so a look
that finds all in order writes nothing. Without an event it first reads the affinities alone, and plans only where one differs
from what the last plan found in order. It may be killed at any time: each move is journalled before it is made. Where the
journal cannot be kept, it moves all the same, as the boot service does: where an interrupt fires ends with the boot.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from .._cpus.answers import printable
from .._cpus.errors import RefusalError
from .._cpus.partition import Partition
from .._devices.assigned import read_homes, running_files
from .._devices.marks import Home
from .._host.change import Change
from .._host.current import require_current_partition
from .._host.host import Host
from .._host.journal_events import INTERRUPT_MOVED, WATCHER_NOTE, Line
from .._host.journald import tell
from .._host.paths import ARCHIVE, DOCUMENT
from .._interrupts.interrupts import Affinities, read_affinities
from .._runtime.feature import must_wait
from .._runtime.interrupts import INTERRUPTS
from .events import Events

#: Seconds between looks without an event: for drivers that move interrupts without a word.
SLOW_S = 300.0
#: So many of them compare the affinities before one plans whatever they are: threads and queues may be elsewhere too.
COMPARED = 11
#: Seconds between looks for guests that have begun or ended, and at the interrupts of guests' devices: a guest's driver asks for them without a
#: word of the kernel's, and a guest may be re-pinned.
GUESTS_S = 5.0
#: After a look that failed, for example because a run holds the node's lock.
RETRY_S = 20.0
#: How long after an event the first look comes, so that one look serves a burst of events.
SETTLE_S = 0.2
#: When it looks again after an event: drivers go on working after they have reported.
AGAIN_S = (1.5, 8.0)
#: After a look it rests this many times as long as the look took, but at most so many seconds: a storm of events must not
#: take a housekeeping CPU.
REST, REST_AT_MOST_S = 20, 1.0


class Watcher:
    """One look after the other; ``open_host`` returns a host for a plan (in check mode) or for changes; neither needs a journal."""

    def __init__(self, open_host: Callable[[bool], Host]) -> None:
        self._open = open_host
        self._document: str | None = None
        self._partition: Partition | None = None
        self._said: list[str] = []
        self.failed = False  #: whether the last look could not be ended
        self._in_order = False  # whether the last plan had no change
        self._settled: tuple[bytes | None, Affinities] | None = None
        self._compared = 0
        self._guests: tuple[tuple[str, int], ...] = ()
        self._homes: list[Home] = []
        self._code = self._code_now()

    def look(self, *, quiet: bool = False) -> list[Line]:
        """Move what is on isolated CPUs; return the moves, and notes and faults that the last look did not have.

        ``quiet``: the kernel has reported nothing since the last look.
        """
        host = self._open(True)
        self._guests = running_files(host)
        before, self._homes = self._homes, read_homes(host)
        found = (host.read_bytes(DOCUMENT), read_affinities(host))
        if quiet and before == self._homes and found == self._settled and self._compared < COMPARED:
            self._compared += 1
            return []
        self.failed, self._in_order, self._settled, self._compared = False, False, None, 0
        try:
            moves, notes = self._move()
        except (RefusalError, OSError) as error:
            self.failed = True
            moves, notes = [], [str(error)]
        if self._in_order:
            self._settled = found
        news = [note for note in notes if note not in self._said]
        self._said = notes
        return [*map(_moved, moves), *(Line.of(WATCHER_NOTE, printable(note)) for note in news)]

    def _move(self) -> tuple[list[Change], list[str]]:
        trial = self._open(True)
        partition = self._current(trial)
        if must_wait(trial, partition):
            return [], []
        INTERRUPTS.plan(trial, partition, {})
        self._in_order = not trial.changes
        if self._in_order:
            return [], trial.notes
        host = self._open(False)
        host.meanwhile = at_work
        with host.locked():
            INTERRUPTS.plan(host, partition, {})
            host.commit()
        moves = list(host.changes)
        lost = [f"only a reboot restores what was moved, since {host.unjournalled}"] if moves and host.unjournalled else []
        return moves, [*host.notes, *lost]

    def _current(self, host: Host) -> Partition:
        """Return the partition; a partition file that is the same as at the last look is not compared with the machine again."""
        document = host.read(DOCUMENT)
        if self._partition is None or document != self._document:
            self._partition = None
            self._partition, _topology = require_current_partition(host, None)
            self._document = document
        return self._partition

    @property
    def has_devices(self) -> bool:
        """Whether a guest with devices ran at the last look."""
        return bool(self._homes)

    def guests_changed(self) -> bool:
        """Whether libvirt has written of a running guest since the last look: one began or ended, or was re-pinned."""
        return running_files(self._open(True)) != self._guests

    def outdated(self) -> bool:
        """Whether another release has replaced the code since the start."""
        return self._code_now() != self._code

    def _code_now(self) -> tuple[int, ...]:
        try:
            found = os.stat(self._open(True).path(ARCHIVE))
        except OSError:
            return ()
        return (found.st_dev, found.st_ino, found.st_mtime_ns)


def _moved(change: Change) -> Line:
    text = printable(f"{change.resource}: {change.before} -> {change.after} ({change.reason})")
    number = re.match(r"/proc/irq/(\d+)/", change.resource)
    found = {"irq": number[1]} if number else {}
    return Line.of(INTERRUPT_MOVED, text, resource=change.resource, before=str(change.before), after=str(change.after), **found)


def at_work() -> None:
    """Tell systemd that the watcher does not hang (sd_notify(3)); nothing where systemd does not ask for that."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
            speaker.setblocking(False)  # systemd is asked again soon
            speaker.sendto(b"WATCHDOG=1", f"\0{address[1:]}" if address[0] == "@" else address)


def _become_new() -> None:
    """Go on as the code that has replaced this one, in the same process: one that ended would be away for seconds, and be told as down."""
    if os.path.exists(ARCHIVE):  # not after undo
        os.execv(sys.executable, [sys.executable, "-I", "-S", ARCHIVE, "watch"])


def main() -> None:
    """Watch; when the code is replaced, go on as the new one."""
    watcher = Watcher(lambda dry: Host(owner=INTERRUPTS.name, check_mode=dry, needs_journal=False))
    events = Events()
    again: list[float] = []
    quiet = False
    while not watcher.outdated():
        at_work()
        began = time.monotonic()
        for line in watcher.look(quiet=quiet):
            tell(line)  # a journal that is busy takes its time for each
            at_work()
        time.sleep(min(REST * (time.monotonic() - began), REST_AT_MOST_S))
        quiet = not again
        if _heard(watcher, events, again.pop(0) if again else RETRY_S if watcher.failed else SLOW_S):
            time.sleep(SETTLE_S)
            events.heard(0)
            again, quiet = list(AGAIN_S), False
    _become_new()


def _heard(watcher: Watcher, events: Events, seconds: float) -> bool:
    """Wait for an event of the kernel or of libvirt, at most so many seconds; while guests have devices, only a moment."""
    ended = time.monotonic() + seconds
    while (left := ended - time.monotonic()) > 0:
        at_work()
        if events.heard(min(left, GUESTS_S)) or watcher.guests_changed():
            return True
        if watcher.has_devices:
            return False
    return False
