# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks between runs: the file of a lock says who holds it since when, and a run that waits gives up in time. Edge."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from .._cpus.errors import HostError
from .files import make_directories, unlink
from .journal import JOURNAL, LOCK, STATE_DIR

#: How long a run waits for another one, in seconds.
WAIT_S = 120.0
#: Held by all that moves isolated CPUs between cgroups: the partition's module, the boot service, libvirt's hook and rtpart.
CPU_LOCK = "/run/realtime-kvm/cgroups.lock"
_PAUSE_S = 0.05
#: So often a run that waits does what it has to do meanwhile, in seconds.
_MEANWHILE_S = 1.0


class LockedError(HostError):
    """Another run holds a lock, and did not end in time."""


def take_lock(full: str, owner: str, wait_s: float | None = None, meanwhile: Callable[[], object] | None = None) -> int:
    """Create a lock's file and folder, and wait for the lock; ``release`` ends it, and so does the end of the process.

    ``LockedError`` names the holder after ``wait_s`` seconds (None: ``WAIT_S``); ``NotADirectoryError`` when the folder is
    something else. ``meanwhile`` is called each second of the wait.
    """
    limit = WAIT_S if wait_s is None else wait_s
    due = time.monotonic()
    end = due + limit
    while True:
        handle = _try(full)
        if handle is not None:
            _sign(handle, owner)
            return handle
        now = time.monotonic()
        if now >= end:
            raise LockedError(
                f"{full} is locked by {holder_of(full)}; this run has waited {limit:.0f} s for it and gives up. "
                "Only one run at a time may change the node: run again when that one has ended. If it hangs, end its process"
            )
        if meanwhile is not None and now >= due:
            meanwhile()
            due = now + _MEANWHILE_S
        time.sleep(_PAUSE_S)


def _try(full: str) -> int | None:
    """Return a handle that holds the lock; None while another run has it."""
    directory = os.path.dirname(full)
    try:
        make_directories(directory, 0o700)
        handle = os.open(full, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except (FileNotFoundError, FileExistsError):
        if not os.path.lexists(directory) or os.path.isdir(directory):
            return None  # the holder has just removed the directory
        raise NotADirectoryError(directory) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), os.stat(full)):
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass  # another run has it; or the holder has removed the file, so this handle locks nothing
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None


def _sign(handle: int, owner: str) -> None:
    """Write the holder into the file; on a full disk the lock holds even so."""
    record = json.dumps({"pid": os.getpid(), "owner": owner, "since": int(time.time())})
    with suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, record.encode(), 0)


def release(handle: int) -> None:
    """Release a lock; its file names no holder any more."""
    with suppress(OSError):
        os.ftruncate(handle, 0)
    os.close(handle)


def holder_of(full: str) -> str:
    """Return who holds a lock since when, for a message."""
    try:
        with open(full, "rb") as stream:
            record = json.loads(stream.read(4096))
        pid, since = int(record["pid"]), time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(int(record["since"])))
        return f"process {pid} ({record['owner'] or 'another program'}) since {since}"
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return "another process"


@contextmanager
def state_locked(root: str, owner: str, meanwhile: Callable[[], object] | None = None) -> Iterator[None]:
    """Hold the lock of the state directory; nothing of it stays without a journal."""
    try:
        handle = take_lock(root + LOCK, owner, meanwhile=meanwhile)
    except NotADirectoryError as error:
        raise HostError(f"{STATE_DIR} is not a directory; move it away") from error
    except OSError as error:
        raise HostError(f"{STATE_DIR} cannot be written: {error.strerror}; run with become: true") from None
    try:
        yield
    finally:
        if not os.path.lexists(root + JOURNAL):  # nothing to remember, so nothing stays
            with suppress(OSError):
                unlink(root + LOCK)
                os.rmdir(root + STATE_DIR)
        release(handle)


@contextmanager
def cpus_locked(root: str, owner: str, wait_s: float | None = None) -> Iterator[None]:
    """Hold the lock of all that moves CPUs; nothing of it stays."""
    full = root + CPU_LOCK
    known = os.path.isdir(os.path.dirname(full))
    try:
        handle = take_lock(full, owner, wait_s)
    except OSError as error:
        raise HostError(f"{CPU_LOCK} cannot be made: {error.strerror or error}; run as root") from None
    try:
        yield
    finally:
        with suppress(OSError):
            unlink(full)
            if not known:
                os.rmdir(os.path.dirname(full))
        release(handle)
