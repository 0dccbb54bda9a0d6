# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks a server of Open vSwitch by its socket: JSON-RPC, one message after the other without anything between them. Edge.

The database speaks it by RFC 7047, and the daemon for what ovs-appctl asks (lib/unixctl.c).
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from typing import Any

from .._cpus.answers import MOST_TEXT, AnswerError, reason_of
from .._cpus.errors import HostError


def connect(full: str, path: str, seconds: float) -> socket.socket | None:
    """Return a connection, None where nobody listens; ``path`` is the socket as messages name it."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    connection.settimeout(seconds)
    try:
        connection.connect(full)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        connection.close()
        return None
    except OSError as error:
        connection.close()
        raise HostError(f"{path}: {error.strerror or error}; run with become: true") from None
    return connection


def ask(full: str, path: str, who: str, request: Mapping[str, Any], seconds: float) -> dict[str, Any] | None:
    """Return the answer to a request with the id 1, None where nobody listens; ``who`` is the server as messages name it."""
    connection = connect(full, path, seconds)
    if connection is None:
        return None
    try:
        with connection:
            connection.sendall(json.dumps(request).encode())
            return _answer(connection, seconds)
    except OSError as error:  # a timeout is one, too
        raise HostError(f"{who} did not answer on {path} within {seconds:.0f} s: {error}") from None
    except (ValueError, RecursionError) as error:
        raise unreadable(who, path, reason_of(error)) from None


def unreadable(who: str, path: str, reason: str) -> HostError:
    """Return the refusal of an answer."""
    return HostError(f"{who} answered on {path} what cannot be read: {reason}")


def _answer(connection: socket.socket, seconds: float) -> dict[str, Any]:
    """Return the server's answer; answer its own requests ("echo": are you there?) meanwhile. All of it has so many seconds."""
    decoder = json.JSONDecoder()
    text = ""
    received = bytearray()
    end = time.monotonic() + seconds
    while True:
        left = end - time.monotonic()
        if left <= 0:
            raise OSError("timed out")
        connection.settimeout(left)
        block = connection.recv(1 << 16)
        if not block:
            raise OSError("the connection was closed")
        received += block
        if len(received) > MOST_TEXT:
            raise AnswerError(f"it has more than {MOST_TEXT} characters")
        if not block.endswith(b"}"):
            continue  # no message ends here
        try:
            text = received.decode()
        except UnicodeDecodeError:
            continue  # cut in the middle of a character
        while text:
            try:
                message, size = decoder.raw_decode(text)
            except ValueError:
                break  # not complete yet
            text = text[size:].lstrip()
            received = bytearray(text.encode())
            if not isinstance(message, dict):
                raise AnswerError("it is no object")
            if message.get("method") == "echo":
                reply = {"id": message.get("id"), "error": None, "result": message.get("params", [])}
                connection.sendall(json.dumps(reply).encode())
            elif message.get("id") == 1:
                return dict(message)
