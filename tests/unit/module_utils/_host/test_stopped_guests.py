# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of guests that were shut down for a reboot."""

from __future__ import annotations

import json

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.stopped_guests import RECORD, keep_stopped, stopped_guests
from unit.trees import fill, writable


def test_names_are_kept_once_each_until_there_are_none(tmp_path):
    host = writable(tmp_path)
    keep_stopped(host, ["b", "a", "b"])
    assert stopped_guests(host) == ["b", "a"]
    assert (tmp_path / RECORD[1:]).stat().st_mode & 0o777 == 0o600
    keep_stopped(host, [])
    assert not (tmp_path / RECORD[1:]).exists()


def test_without_a_record_no_guest_waits(tmp_path):
    assert stopped_guests(writable(tmp_path)) == []


def test_a_record_names_its_guests(tmp_path):
    fill(tmp_path, {RECORD: json.dumps({"schema": 1, "guests": ["plc1"]})})
    assert stopped_guests(writable(tmp_path)) == ["plc1"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "[]",
        '"x"',
        '{"schema": 0, "guests": []}',
        '{"schema": "2"}',
        '{"schema": 1}',
        '{"schema": 1, "guests": [1]}',
        "[" * 100000,
    ],
)
def test_a_damaged_record_is_said(tmp_path, text):
    fill(tmp_path, {RECORD: text})
    with pytest.raises(HostError, match=r"^/var/lib/realtime-kvm/stopped-guests.json is damaged"):
        stopped_guests(writable(tmp_path))


def test_a_record_of_a_newer_release_is_kept_for_it(tmp_path):
    fill(tmp_path, {RECORD: json.dumps({"schema": 2, "guests": [{"name": "plc1"}]})})
    with pytest.raises(HostError) as error:
        stopped_guests(writable(tmp_path))
    assert str(error.value).startswith(f"{RECORD} was written by a newer release (schema 2, this release knows 1)")
    assert "remove" not in str(error.value)
