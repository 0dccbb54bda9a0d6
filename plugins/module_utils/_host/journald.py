# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells the journal, with fields. Edge.

The protocol is systemd's own (https://systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram per entry. Without a journal the text goes where it went
before, so nothing depends on systemd-journald.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import syslog
from collections.abc import Iterator

from .._cpus.answers import printable
from .journal_events import PREFIX, WARNING, Line

IDENTIFIER = "realtime-kvm"
SOCKET = "/run/systemd/journal/socket"
_CGROUP = "/proc/self/cgroup"
#: The most characters of a value: an entry is one datagram, which the kernel bounds (net.core.wmem_max).
_MOST = 4000
#: Seconds for a journal that is busy. The work matters more than the entry.
_PATIENCE_S = 0.5


def tell(line: Line) -> None:
    """Tell what a service does: as an entry with fields where its output goes to the journal, else as text."""
    if "JOURNAL_STREAM" in os.environ and _send(line):
        return
    stream = sys.stderr if line.event.level <= WARNING else sys.stdout
    stream.write(f"{line}\n")
    stream.flush()


def log(line: Line) -> None:
    """Tell what a program does whose output is somebody else's: the journal, else the system's log."""
    if not _send(line):
        syslog.syslog(line.event.level, f"realtime.kvm: {printable(line)}")


def entry(line: Line, unit: str = "") -> bytes:
    """Return an entry as the journal's socket takes it."""
    return b"".join(_field(name, printable(value)[:_MOST]) for name, value in _pairs(line, unit))


def _pairs(line: Line, unit: str) -> Iterator[tuple[str, str]]:
    yield "MESSAGE", line
    yield "MESSAGE_ID", line.event.id
    yield "PRIORITY", str(line.event.level)
    yield "SYSLOG_IDENTIFIER", IDENTIFIER
    if unit:  # the sender may have ended before the journal looks up whose it was; then journalctl --unit finds the entry by this
        yield "OBJECT_SYSTEMD_UNIT", unit
    yield f"{PREFIX}EVENT", line.event.name
    for name, values in line.fields.items():
        for value in values:
            yield f"{PREFIX}{name}", value


def _field(name: str, value: str) -> bytes:
    data = value.encode("utf-8", "replace")
    return name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"


def _send(line: Line) -> bool:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(_PATIENCE_S)
            sender.sendto(entry(line, _own_unit()), SOCKET)
    except OSError:
        return False
    return True


def _own_unit() -> str:
    """Return the service that this process belongs to; empty where it is none."""
    try:
        with open(_CGROUP, encoding="utf-8", errors="replace") as stream:
            name = stream.read().rstrip("\n").rpartition("\n")[2].rpartition("/")[2]
    except OSError:
        return ""
    return name if name.endswith(".service") else ""
