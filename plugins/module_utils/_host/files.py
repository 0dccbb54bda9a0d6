# SPDX-License-Identifier: GPL-3.0-or-later
"""Atomic writes and the lock; by full path, with plain ``OSError``. Edge."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress

#: The largest file that is read; larger ones are no kernel's files and nobody's configuration.
MOST_BYTES = 64 << 20


def temporary_of(full: str) -> str:
    """Return where a file is written first; the name is fixed, so that a later run finds what a killed run left."""
    directory, name = os.path.split(full)
    return os.path.join(directory, f".realtime-kvm-{name}")


def read_file(full: str, most: int | None = None) -> bytes | None:
    """Return the content of a regular file, None for anything else: a device behind a link may have no end, a pipe may wait.

    ``OverflowError`` for a file of more than ``most`` bytes (``MOST_BYTES``).
    """
    handle = os.open(full, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    content = bytearray()
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        while block := os.read(handle, 1 << 16):  # a kernel's file does not show its size
            content += block
            if len(content) > (most or MOST_BYTES):
                raise OverflowError
    finally:
        os.close(handle)
    return bytes(content)


def unlink(full: str) -> None:
    """Remove a file if it exists."""
    with suppress(FileNotFoundError, NotADirectoryError):
        os.unlink(full)


def write_file(full: str, content: bytes, mode: int) -> None:
    """Replace a file atomically: after a power cut the old or the new one is complete."""
    os.makedirs(os.path.dirname(full), exist_ok=True)
    temporary = temporary_of(full)
    unlink(temporary)  # left by a killed run
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            os.fchmod(stream.fileno(), mode)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(temporary, full)
    except BaseException:
        os.unlink(temporary)
        raise
    sync_directory(os.path.dirname(full))


def replace_file(new: str, full: str) -> None:
    """Move a finished file over another in its directory; the mode stays the other's."""
    handle = os.open(new, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fchmod(handle, mode_of(full))
        os.fsync(handle)
    finally:
        os.close(handle)
    os.rename(new, full)
    sync_directory(os.path.dirname(full))


def mode_of(full: str) -> int:
    """Return a file's permission bits."""
    return os.stat(full).st_mode & 0o7777


def read_link(full: str) -> str | None:
    """Return a symbolic link's target, None where there is no link."""
    return os.readlink(full) if os.path.islink(full) else None


def sync_directory(directory: str) -> None:
    """Make a directory's names survive a power cut."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def take_lock(full: str) -> int:
    """Create a lock file and its directory, and wait for the lock; closing the returned handle releases it.

    ``NotADirectoryError`` when the directory is something else.
    """
    directory = os.path.dirname(full)
    while True:
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            handle = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except (FileNotFoundError, FileExistsError):
            if not os.path.lexists(directory) or os.path.isdir(directory):
                continue  # the holder has just removed the directory
            raise NotADirectoryError(directory) from None
        fcntl.flock(handle, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(full)):
                return handle
        os.close(handle)  # the holder has removed the file, so this handle locks nothing
