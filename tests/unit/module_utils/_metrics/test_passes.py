# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One pass: sources that hang, refuse, fail or lie, and none of them takes the others away."""

from __future__ import annotations

import json
import threading
import time

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import DOCUMENT
from ansible_collections.realtime.kvm.plugins.module_utils._metrics import passes as _passes
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.families import FAMILIES
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.passes import PASS_S, SOURCE_S, SOURCES, take
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.services import ANSWER_S
from prometheus_client.parser import text_string_to_metric_families as text_of
from unit.watched import found, guest, look_at, node


def says(value):
    return lambda _look, out: out.add("hugepages_free", value, "0", "2097152")


def refuses(_look, out):
    out.add("set_cpus", 4, "realtime")
    raise HostError("the file is damaged")


def fails(_look, out):
    out.add("set_cpus", 4, "realtime")
    raise LookupError("no such key")


def up(samples):
    return {name: value for (name,), value in samples.of("source_up").items()}


def test_a_pass_shows_each_source_and_its_own_cost(tmp_path):
    samples, reasons = take(node(tmp_path, guest("plc1", 70, ["1"])))
    assert set(up(samples)) == SOURCES.keys()
    assert reasons == {"interrupts": "/proc/interrupts shows no counts"}
    assert up(samples)["interrupts"] == 0
    assert 0 < samples.of("pass_cpu_seconds")[()] < 600
    assert abs(samples.of("pass_timestamp_seconds")[()] - time.time()) < 60
    assert set(samples.of("source_duration_seconds")) == {(name,) for name in SOURCES}
    assert {family.name for family in text_of(samples.text())}


def test_what_a_source_said_before_it_was_refused_stays(tmp_path):
    samples, reasons = take(look_at(tmp_path), {"a": refuses, "b": says(5)})
    assert reasons == {"a": "the file is damaged"}
    assert samples.of("set_cpus") == {("realtime",): 4}
    assert up(samples) == {"a": 0, "b": 1}
    assert samples.of("hugepages_free") == {("0", "2097152"): 5}


def test_nothing_is_shown_of_a_source_that_fails_in_an_unknown_way(tmp_path):
    samples, reasons = take(look_at(tmp_path), {"a": fails, "b": says(5)})
    assert reasons == {"a": "unexpected LookupError: no such key"}
    assert samples.of("set_cpus") == {}
    assert up(samples) == {"a": 0, "b": 1}


def test_a_source_that_hangs_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(_passes, "SOURCE_S", 0.1)
    ended = threading.Event()

    def hangs(_look, out):
        out.add("set_cpus", 4, "realtime")
        ended.wait(20)
        out.add("set_cpus", 5, "shared")

    samples, reasons = take(look_at(tmp_path), {"a": hangs, "b": says(5)})
    ended.set()
    assert reasons == {"a": "it has not ended within 0.1 s"}
    assert samples.of("set_cpus") == {}
    assert up(samples) == {"a": 0, "b": 1}


def test_a_pass_ends_in_time_and_the_rest_is_down(tmp_path, monkeypatch):
    monkeypatch.setattr(_passes, "PASS_S", 0.2)
    monkeypatch.setattr(_passes, "SOURCE_S", 0.15)
    ended = threading.Event()
    samples, reasons = take(look_at(tmp_path), {name: lambda _look, _out: ended.wait(20) for name in "abcd"})
    ended.set()
    assert set(up(samples).values()) == {0}
    assert reasons["d"] == "the others took 0.2 s"


def test_a_service_is_given_less_time_than_its_source_and_a_source_less_than_the_pass():
    assert ANSWER_S < SOURCE_S < PASS_S


def test_a_value_that_is_no_number_is_a_failure_of_its_source_alone(tmp_path):
    samples, reasons = take(look_at(tmp_path), {"a": says(10**400), "b": says(5)})
    assert "OverflowError" in reasons["a"]
    assert samples.of("hugepages_free") == {("0", "2097152"): 5}


def test_a_document_of_a_newer_release_leaves_what_the_kernel_shows(tmp_path):
    look = node(tmp_path, {"/proc/interrupts": "      CPU0\n"})
    (tmp_path / DOCUMENT[1:]).write_text(json.dumps({"schema": 99}))
    samples, reasons = take(look)
    assert list(reasons) == ["partition"]
    assert "newer release" in reasons["partition"]
    shown = found(samples)
    assert shown["partition_valid"] == {(): 0}
    assert "kernel_info" in shown
    assert not shown.keys() & {"set_cpus", "cpu_owner_info", "kernel_as_documented", "isolated_interrupts"}


def test_a_clock_that_was_set_back_makes_no_duration_negative(tmp_path, monkeypatch):
    monkeypatch.setattr(_passes.time, "time", iter([50.0]).__next__)
    samples, _reasons = take(look_at(tmp_path), {"a": says(1)})
    assert samples.of("pass_timestamp_seconds") == {(): 50}
    assert all(value >= 0 for value in samples.of("source_duration_seconds").values())


@pytest.mark.parametrize("short", FAMILIES)
def test_every_metric_has_a_source(short):
    from pathlib import Path

    folder = Path(_passes.__file__).parent
    texts = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py") if path.name != "families.py")
    assert f'"{short}"' in texts
