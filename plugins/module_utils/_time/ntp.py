# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks an NTP server the time, without a program for it. Edge, read-only.

RFC 4330: a question of 48 bytes (version 4, mode 3); an answer has mode 4, a stratum of 1 to 15, and repeats the time at which it was asked.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

PORT = 123
_BYTES, _VERSION, _CLIENT, _SERVER = 48, 4, 3, 4
_NO_LEAP = 3  # the server does not know the time itself
_MOST = 4  # addresses of a name


def first_answer(servers: Sequence[str], seconds: float) -> str:
    """Return the first server that answers with the time; an empty text where none does within so many seconds, which they share."""
    return next((server for server in servers if _answers(server, seconds / len(servers))), "")


def _answers(server: str, seconds: float) -> bool:
    end = time.monotonic() + seconds
    with suppress(OSError):
        for family, kind, protocol, _name, address in socket.getaddrinfo(server, PORT, type=socket.SOCK_DGRAM)[:_MOST]:
            with suppress(OSError), socket.socket(family, kind, protocol) as asked:
                if time.monotonic() < end and _tells(asked, address, end):
                    return True
    return False


def _tells(asked: socket.socket, address: Any, end: float) -> bool:
    stamp = os.urandom(8)
    asked.connect(address)  # answers of others do not arrive
    while (left := end - time.monotonic()) > 0:
        asked.settimeout(min(left, 1.0))
        with suppress(socket.timeout):  # lost on the way: asked again
            asked.send(bytes([_VERSION << 3 | _CLIENT]).ljust(_BYTES - 8, b"\0") + stamp)
            if is_time(asked.recv(1024), stamp):
                return True
    return False


def is_time(answer: bytes, stamp: bytes) -> bool:
    """Whether this is the time, told to whoever asked with this stamp."""
    return (
        len(answer) >= _BYTES
        and answer[0] & 7 == _SERVER
        and answer[0] >> 6 != _NO_LEAP
        and 0 < answer[1] < 16
        and answer[24:32] == stamp
    )
