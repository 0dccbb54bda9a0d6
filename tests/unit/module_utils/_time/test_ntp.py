# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server is asked the time; only an answer to this question by one that knows the time counts."""

from __future__ import annotations

import socket
import threading

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._time import ntp

STAMP = b"12345678"


def answer(stamp=STAMP, *, first=0x24, stratum=2):
    return bytes([first, stratum]).ljust(24, b"\0") + stamp + bytes(16)


@pytest.mark.parametrize(
    ("given", "is_time"),
    [
        (answer(), True),
        (answer()[:47], False),
        (b"", False),
        (answer(b"87654321"), False),
        (answer(first=0xE4), False),
        (answer(first=0x23), False),
        (answer(stratum=0), False),
        (answer(stratum=16), False),
    ],
    ids=["time", "short", "empty", "stranger's", "unsynchronised", "client", "kiss of death", "stratum 16"],
)
def test_what_counts_as_the_time(given, is_time):
    assert ntp.is_time(given, STAMP) is is_time


def test_the_first_server_that_answers_is_named(monkeypatch):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        monkeypatch.setattr(ntp, "PORT", server.getsockname()[1])

        def serve():
            asked, sender = server.recvfrom(1024)
            server.sendto(answer(asked[40:48]), sender)

        thread = threading.Thread(target=serve)
        thread.start()
        assert ntp.first_answer(["not a name", "127.0.0.1"], 4.0) == "127.0.0.1"
        thread.join()
    assert ntp.first_answer(["127.0.0.1"], 0.2) == "", "nobody listens"
