# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings files out of the journal of their file system to where a boot loader finds them, which replays no journal. Edge.

A synced file survives a power cut, but its name and place may be in the journal only. Sources: ext4's ``EXT4_IOC_CHECKPOINT`` (Linux
5.14, Documentation/filesystems/ext4), ``FIFREEZE`` and ``FITHAW`` (ioctl_fsfreeze), which end with an empty journal.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import time
from contextlib import suppress

#: _IOW('f', 43, __u32) of ext4, and _IOWR('X', 119, int) and _IOWR('X', 120, int) of every file system.
_EXT4_CHECKPOINT, _FREEZE, _THAW = 0x4004662B, 0xC0045877, 0xC0045878
#: After so many seconds the guard thaws a file system, whatever became of the one who has frozen it.
_LONGEST_S = 20
#: File systems without a journal refuse in one of these ways; what is synced is in its place there.
_NO_JOURNAL = (errno.ENODEV, errno.EOPNOTSUPP)


def checkpoint(folder: str, root: str = "") -> str:
    """Empty the journal of a folder's file system; return why it may not be empty (empty text: it is).

    A file system that begins above ``root`` is not that machine's own, and is left alone. The one of ``/`` is never frozen, since
    everything on the machine writes to it, guests' disks too.
    """
    top = root or "/"
    place = folder
    while not os.path.ismount(place):
        if place in (top, "/", ""):
            return ""
        place = os.path.dirname(place)
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        return f"{folder}: {error.strerror}"
    try:
        return _emptied(handle, whole=place == "/")
    finally:
        os.close(handle)


def _emptied(handle: int, *, whole: bool) -> str:
    try:
        fcntl.ioctl(handle, _EXT4_CHECKPOINT, b"\0\0\0\0")
    except OSError as error:
        if error.errno == errno.ENODEV:
            return ""
    else:
        return ""
    if whole:
        return "it is in the root file system, which is not frozen (ext4 needs Linux 5.14 to empty its journal without that)"
    try:
        freeze_and_thaw(handle)
    except OSError as error:
        return "" if error.errno in _NO_JOURNAL else f"it cannot be frozen ({error.strerror})"
    return ""


def freeze_and_thaw(handle: int) -> None:
    """Freeze a file system and thaw it at once; ``OSError`` where it cannot be frozen, and then it is not.

    A child thaws it if this process is killed in between, or hangs. The child writes nothing and ends by itself.
    """
    reader, writer = os.pipe()
    guard = os.fork()
    if guard == 0:
        _guard(handle, reader, writer)
    os.close(reader)
    try:
        fcntl.ioctl(handle, _FREEZE, 0)
        fcntl.ioctl(handle, _THAW, 0)
    finally:
        os.close(writer)  # the guard ends
        with suppress(OSError):
            os.waitpid(guard, 0)


def _guard(handle: int, reader: int, writer: int) -> None:
    """Wait until the other process has closed its end of the pipe, or too long; thaw, which is an error where nothing is frozen."""
    try:
        os.close(writer)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.set_blocking(reader, False)
        end = time.monotonic() + _LONGEST_S
        while time.monotonic() < end:
            with suppress(BlockingIOError):
                os.read(reader, 1)
                break
            time.sleep(0.01)
        with suppress(OSError):
            fcntl.ioctl(handle, _THAW, 0)
    finally:
        os._exit(0)
