# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel events after which interrupts may be elsewhere, over netlink. Edge.

* uevents: devices, virtual functions and queues that come and go, drivers that are bound and unbound
* rtnetlink: links that go up and down, or get another MTU
* generic netlink: changes by ethtool (queues, rings, coalescing) and by devlink (reloads, recoveries)

What a message says is not looked at, except that a uevent of kind ``change`` moves no interrupt: nothing that a device or an
interface is called can do harm here.
"""

from __future__ import annotations

import select
import socket
import struct
from contextlib import suppress

_ROUTE, _UEVENT, _GENERIC = 0, 15, 16
_LINKS, _KERNEL_UEVENTS = 1, 1  # groups
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
#: linux/genetlink.h: the controller's family, and its command and attributes.
_CONTROLLER, _GET_FAMILY = 16, 3
_FAMILY_NAME, _GROUPS, _GROUP_NAME, _GROUP_ID = 2, 7, 1, 2
_REQUEST = 1
_NESTED = 0x3FFF  # without the flags of an attribute's type
#: Families of generic netlink, and the group in which they report changes.
_REPORTS = {"ethtool": "monitor", "devlink": "config"}
#: At most so many messages are taken at once, so that a storm does not hold the reader.
_AT_ONCE = 4096


def attributes(data: bytes) -> list[tuple[int, bytes]]:
    """Return the attributes of a netlink message: type and value."""
    found = []
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if not 4 <= length <= len(data):
            break
        found.append((kind & _NESTED, data[4:length]))
        data = data[(length + 3) & ~3 :]
    return found


def group_of(answer: bytes, name: str) -> int | None:
    """Return the number of a family's group in the controller's answer: headers of 16 and 4 bytes, then attributes."""
    for kind, groups in attributes(answer[20:]):
        if kind != _GROUPS:
            continue
        for _number, group in attributes(groups):
            values = dict(attributes(group))
            if values.get(_GROUP_NAME, b"").rstrip(b"\0") == name.encode() and len(values.get(_GROUP_ID, b"")) == 4:
                return int(struct.unpack("=I", values[_GROUP_ID])[0])
    return None


def _open(protocol: int, groups: int) -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)
    opened.bind((0, groups))
    return opened


def _join(generic: socket.socket, family: str, group: str) -> None:
    """Subscribe to a family's reports; older kernels lack some."""
    name = family.encode() + b"\0"
    attribute = struct.pack("=HH", 4 + len(name), _FAMILY_NAME) + name + b"\0" * (-len(name) % 4)
    body = struct.pack("=BBH", _GET_FAMILY, 1, 0) + attribute
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _GENERIC) as asking:
        asking.bind((0, 0))
        asking.settimeout(1)
        asking.send(struct.pack("=IHHII", 16 + len(body), _CONTROLLER, _REQUEST, 1, 0) + body)
        number = group_of(asking.recv(65536), group)
    if number is not None:
        generic.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, number)


class Events:
    """Says whether the kernel has reported anything."""

    def __init__(self) -> None:
        generic = _open(_GENERIC, 0)
        self._sockets = [_open(_UEVENT, _KERNEL_UEVENTS), _open(_ROUTE, _LINKS), generic]
        for family, group in _REPORTS.items():
            with suppress(OSError):
                _join(generic, family, group)
        self._poll = select.poll()
        for opened in self._sockets:
            self._poll.register(opened, select.POLLIN)

    def heard(self, seconds: float) -> bool:
        """Wait at most so long for an event, and take all that have come."""
        self._poll.poll(int(seconds * 1000))
        found = [_drain(opened) for opened in self._sockets]
        return any(found)

    def close(self) -> None:
        """Close the sockets."""
        for opened in self._sockets:
            opened.close()


def _drain(opened: socket.socket) -> bool:
    heard = False
    for _message in range(_AT_ONCE):
        try:
            start, sender = opened.recvfrom(8)  # the rest is dropped
        except BlockingIOError:
            return heard
        except OSError:  # ENOBUFS: there were more than the socket holds
            heard = True
            continue
        if sender[0] == 0 and not start.startswith(b"change@"):  # 0: from the kernel
            heard = True
    return True
