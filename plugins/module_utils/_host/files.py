# SPDX-License-Identifier: GPL-3.0-or-later
"""Atomic writes; by full path, with plain ``OSError``. Edge."""

from __future__ import annotations

import errno
import glob
import os
import re
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


def make_directories(directory: str, mode: int = 0o755) -> None:
    """Make a directory and those above it that are missing; the caller's umask has no say. ``mode`` is the last one's."""
    if os.path.isdir(directory):
        return
    parent = os.path.dirname(directory)
    if parent and parent != directory:
        make_directories(parent)
    umask = os.umask(0)  # so that a directory has its mode from the start
    try:
        os.mkdir(directory, mode)
    except FileExistsError:
        if not os.path.isdir(directory):
            raise  # else another program has just made it
    finally:
        os.umask(umask)


#: Attributes of a file that say who may use it; others, such as signatures, belong to its content.
_KEPT = ("security.selinux", "system.posix_acl_access")


def _take_after(full: str, handle: int) -> None:
    """Give an open new file the owner, access list and security label of the file that it replaces, if there is one."""
    try:
        info = os.lstat(full)
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISREG(info.st_mode):
        return
    mine = os.fstat(handle)
    if (info.st_uid, info.st_gid) != (mine.st_uid, mine.st_gid):
        os.fchown(handle, info.st_uid, info.st_gid)
    for name in _KEPT:
        _copy_attribute(full, handle, name)


def _copy_attribute(full: str, handle: int, name: str) -> None:
    try:
        os.setxattr(handle, name, os.getxattr(full, name, follow_symlinks=False))
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
            raise


def write_file(full: str, content: bytes, mode: int) -> None:
    """Replace a file atomically: after a power cut the old or the new one is complete.

    Owner, access list and security label of a file that is replaced stay.
    """
    make_directories(os.path.dirname(full))
    temporary = temporary_of(full)
    unlink(temporary)  # left by a killed run
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            _take_after(full, stream.fileno())
            os.fchmod(stream.fileno(), mode)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(temporary, full)
    except BaseException:
        os.unlink(temporary)
        raise
    sync_directory(os.path.dirname(full))


def replace_file(new: str, full: str) -> None:
    """Move a finished file over another in its directory; mode, owner, access list and security label stay the other's."""
    handle = os.open(new, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _take_after(full, handle)
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


def write_link(full: str, target: str | None) -> None:
    """Make a symbolic link in the place of whatever is there; None: remove that."""
    make_directories(os.path.dirname(full))
    if os.path.lexists(full):
        os.unlink(full)
    if target is not None:
        os.symlink(target, full)


def find(pattern: str) -> list[str]:
    """Return the paths that match, in natural order (cpu2 before cpu10)."""

    def natural(path: str) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path)]

    return sorted(glob.glob(pattern), key=natural)


def sync_directory(directory: str) -> None:
    """Make a directory's names survive a power cut."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
