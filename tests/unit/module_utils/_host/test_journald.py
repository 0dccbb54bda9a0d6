# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of the journal: the form of its protocol, names of guests as data, and a node whose journal does not answer."""

from __future__ import annotations

import re
import socket
import struct
import syslog

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host import journald
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal_events import (
    EVENTS,
    FEATURE_FAILED,
    GUEST_REFUSED,
    VALUE_MADE,
    Line,
)
from ansible_collections.realtime.kvm.plugins.module_utils._host.journald import entry, log, tell

REFUSED = Line.of(GUEST_REFUSED, "plc1: its CPUs are in use", guest="plc1", operation="prepare", cpus="4-5")


def fields(data):
    """Read an entry as systemd-journald does: a name, then the length of the value and the value."""
    found = {}
    while data:
        name, _end, rest = data.partition(b"\n")
        (length,) = struct.unpack("<Q", rest[:8])
        assert rest[8 + length : 9 + length] == b"\n"
        found.setdefault(name.decode(), []).append(rest[8 : 8 + length].decode())
        data = rest[9 + length :]
    return found


@pytest.fixture(name="journal")
def _journal(tmp_path, monkeypatch):
    """A socket in the place of the journal's."""
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path)
        listening.setblocking(False)
        monkeypatch.setattr(journald, "SOCKET", path)
        yield listening


def test_an_entry_has_text_kind_level_and_fields():
    assert fields(entry(REFUSED)) == {
        "MESSAGE": ["plc1: its CPUs are in use"],
        "MESSAGE_ID": [GUEST_REFUSED.id],
        "PRIORITY": ["3"],
        "SYSLOG_IDENTIFIER": ["realtime-kvm"],
        "REALTIME_KVM_EVENT": ["guest-refused"],
        "REALTIME_KVM_GUEST": ["plc1"],
        "REALTIME_KVM_OPERATION": ["prepare"],
        "REALTIME_KVM_CPUS": ["4-5"],
    }


def test_a_field_may_have_several_values():
    found = fields(entry(Line.of(FEATURE_FAILED, "x", feature=("cpu_power", "kvm_host"))))
    assert found["REALTIME_KVM_FEATURE"] == ["cpu_power", "kvm_host"]


@pytest.mark.parametrize("name", ["a\nPRIORITY=0", "a\x1b]0;owned\x07", "\u00e9\u00fc", "\udcff", "n" * 10_000, ""])
def test_the_name_of_a_guest_is_one_value_whatever_it_holds(name):
    found = fields(entry(Line.of(GUEST_REFUSED, f"{name}: refused", guest=name)))
    assert set(found) == {
        "MESSAGE",
        "MESSAGE_ID",
        "PRIORITY",
        "SYSLOG_IDENTIFIER",
        "REALTIME_KVM_EVENT",
        "REALTIME_KVM_GUEST",
    }
    assert found["PRIORITY"] == ["3"]
    assert found["REALTIME_KVM_GUEST"][0].isprintable()
    assert len(entry(Line.of(GUEST_REFUSED, f"{name}: refused", guest=name))) < 40_000


def test_a_service_tells_the_journal_where_its_output_goes_there(journal, monkeypatch, capsys):
    monkeypatch.setenv("JOURNAL_STREAM", "8:1234")
    tell(REFUSED)
    assert fields(journal.recv(65536))["REALTIME_KVM_GUEST"] == ["plc1"]
    assert capsys.readouterr() == ("", "")


def test_a_service_started_by_hand_prints(journal, monkeypatch, capsys):
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    tell(REFUSED)
    tell(Line.of(VALUE_MADE, "cpu_power: x: 1 -> 2"))
    assert capsys.readouterr() == ("cpu_power: x: 1 -> 2\n", "plc1: its CPUs are in use\n")
    with pytest.raises(BlockingIOError):
        journal.recv(1)


def test_a_journal_that_does_not_answer_loses_no_text(monkeypatch, capsys):
    said = []
    monkeypatch.setattr(syslog, "syslog", lambda level, text: said.append((level, text)))
    monkeypatch.setenv("JOURNAL_STREAM", "8:1234")
    tell(REFUSED)
    log(REFUSED)
    assert capsys.readouterr().err == "plc1: its CPUs are in use\n"
    assert said == [(3, "realtime.kvm: plc1: its CPUs are in use")]


def test_a_full_journal_holds_nobody(journal, monkeypatch):
    """Nobody reads the socket."""
    monkeypatch.setattr(journald, "_PATIENCE_S", 0.01)
    assert any(not journald._send(REFUSED) for _entry in range(2000))


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/realtime-kvm.service\n", "realtime-kvm.service"),
        ("1:name=systemd:/old\n0::/system.slice/libvirtd.service\n", "libvirtd.service"),
        ("0::/user.slice/user-0.slice/session-3.scope\n", ""),
        ("", ""),
    ],
)
def test_an_entry_names_the_service_for_journalctl_unit(cgroup, unit, tmp_path, monkeypatch, journal):
    (tmp_path / "cgroup").write_text(cgroup)
    monkeypatch.setattr(journald, "_CGROUP", str(tmp_path / "cgroup"))
    log(REFUSED)
    assert fields(journal.recv(65536)).get("OBJECT_SYSTEMD_UNIT", [""]) == [unit]


def test_kinds_have_numbers_and_names_of_their_own():
    assert len({event.id for event in EVENTS}) == len({event.name for event in EVENTS}) == len(EVENTS)
    for event in EVENTS:
        assert re.fullmatch(r"[0-9a-f]{32}", event.id)
        assert event.meaning.endswith(".")
        assert 3 <= event.level <= 6


def test_a_field_that_the_table_lacks_is_refused():
    with pytest.raises(ValueError, match="guest-refused has no field COLOUR"):
        Line.of(GUEST_REFUSED, "x", colour="red")
