# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a package manager works on the node: it holds its lock until it has ended. Edge, read-only."""

from __future__ import annotations

import fcntl
import struct
import time
from collections.abc import Sequence

from .host import Host

#: What apt, dpkg and rpm lock while they change packages (fcntl(2)).
LOCKS = ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock")
#: struct flock: type, whence, start, length, pid.
_FLOCK = "hhqqi"


def _holder(host: Host, path: str) -> int | None:
    """Return the process that has locked a file for writing. Asking takes no lock."""
    wanted = struct.pack(_FLOCK, fcntl.F_RDLCK, 0, 0, 0, 0)
    try:
        with open(host.path(path), "rb") as stream:
            kind, _whence, _start, _length, pid = struct.unpack(_FLOCK, fcntl.fcntl(stream, fcntl.F_GETLK, wanted))
    except OSError:
        return None
    return None if kind == fcntl.F_UNLCK else int(pid)


def package_manager_at_work(host: Host, timeout_s: float = 0, paths: Sequence[str] = LOCKS) -> str:
    """Wait until no package manager works; return who still works after the time-out, an empty text for nobody."""
    end = time.monotonic() + timeout_s
    while True:
        found = [(path, _holder(host, path)) for path in paths]
        held = [
            f"process {pid} ({host.value(f'/proc/{pid}/comm') or 'unknown'}) holds {path}"
            for path, pid in found
            if pid is not None
        ]
        if not held or time.monotonic() >= end:
            return held[0] if held else ""
        time.sleep(1)
