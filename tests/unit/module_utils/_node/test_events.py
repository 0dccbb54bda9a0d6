# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel events, from the kernel itself: interfaces of a network namespace are made, changed and removed."""

from __future__ import annotations

import struct

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._node import events as _events
from ansible_collections.realtime.kvm.plugins.module_utils._node.archive import build_archive
from ansible_collections.realtime.kvm.plugins.module_utils._node.events import attributes, group_of
from unit.netns import run


def attribute(kind, value):
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def answer(*groups):
    listed = b"".join(
        attribute(n, attribute(1, name + b"\0") + attribute(2, struct.pack("=I", number)))
        for n, (name, number) in enumerate(groups)
    )
    return b"\0" * 20 + attribute(2, b"ethtool\0") + attribute(0x8000 | 7, listed)


def test_the_controllers_answer():
    assert group_of(answer((b"other", 4), (b"monitor", 9)), "monitor") == 9
    assert group_of(answer((b"other", 4)), "monitor") is None


@pytest.mark.parametrize("size", range(len(answer((b"monitor", 9)))))
def test_an_answer_that_is_cut_off_names_no_wrong_group(size):
    assert group_of(answer((b"monitor", 9))[:size], "monitor") in (None, 9)


@pytest.mark.parametrize("data", [b"", b"\0\0\0\0", b"\x03\0\0\0", b"\xff\xff\0\0", b"\x04\0\x01\0\x05"])
def test_broken_attributes_end_the_list(data):
    assert len(attributes(data)) <= 1


_LISTEN = """import sys, os, subprocess, socket, struct, ctypes, fcntl
sys.path.insert(0, sys.argv[1])
from realtime_kvm._node.events import Events
events = Events()
def step(name, *command, seconds=2):
    if command:
        subprocess.run(command, check=True)
    print(name, events.heard(seconds))
    while events.heard(0.3):
        pass
def channels(name, rx, tx):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        values = [0x3c, *[0] * 8]
        for command in (0x3c, 0x3d):  # get, set
            values[0] = command
            if command == 0x3d:
                values[5:7] = rx, tx
            buffer = ctypes.create_string_buffer(struct.pack("9I", *values))
            fcntl.ioctl(asking, 0x8946, struct.pack("16sP", name.encode(), ctypes.addressof(buffer)))
            values = list(struct.unpack("9I", buffer.raw[:36]))
step("quiet", seconds=0.5)
queues = ("numrxqueues", "4", "numtxqueues", "4")
step("new", "ip", "link", "add", "v0", *queues, "type", "veth", "peer", "name", "v1", *queues)
step("up", "ip", "link", "set", "v0", "up")
step("mtu", "ip", "link", "set", "v0", "mtu", "1400")
channels("v0", 2, 2)
step("ethtool -L")
step("down", "ip", "link", "set", "v0", "down")
step("hostile", "ip", "link", "add", "name", "\\x1b[2J\\x07", "type", "veth", "peer", "name", "...")
step("gone", "ip", "link", "del", "v0")
step("quiet", seconds=0.5)
"""


@pytest.fixture(name="archive", scope="module")
def _archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "tool.pyz"
    path.write_bytes(build_archive())
    return path


def test_the_kernel_is_heard_and_silence_too(archive):
    said = dict(line.rsplit(" ", 1) for line in run(_LISTEN, archive))
    assert said == {
        "quiet": "False",
        **dict.fromkeys(("new", "up", "mtu", "ethtool -L", "down", "hostile", "gone"), "True"),
    }


class Socket:
    """A socket with these messages, or errors, each from the kernel unless a sender is given."""

    def __init__(self, *messages):
        self.messages = list(messages)

    def recvfrom(self, size):
        message = self.messages.pop(0) if self.messages else BlockingIOError()
        if isinstance(message, OSError):
            raise message
        start, sender = message if isinstance(message, tuple) else (message, 0)
        return start[:size], (sender, 1)


@pytest.mark.parametrize(
    ("messages", "heard"),
    [
        ((), False),
        ((b"add@/devices/x",), True),
        ((b"online@/devices/system/cpu/cpu1",), True),  # drivers spread their interrupts again
        ((b"change@/devices/x",), False),  # a battery, a display
        ((b"change@/devices/x", b"remove@/devices/x"), True),
        (((b"add@/devices/x", 4711),), False),  # from a program
        ((OSError(105, "No buffer space available"),), True),  # more than the socket held
        ((b"\xff" * 64,), True),
    ],
)
def test_what_counts_as_an_event(messages, heard):
    opened = Socket(*messages)
    assert _events._drain(opened) is heard
    assert opened.messages == []


def test_a_storm_ends_the_reading():
    class Storm(Socket):
        def recvfrom(self, size):
            return b"change@"[:size], (0, 1)

    assert _events._drain(Storm()) is True
