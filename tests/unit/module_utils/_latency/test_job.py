# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A measurement as command lines, as a unit, and as the files that it leaves."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._latency.job import (
    Job,
    bins_for,
    interruption,
    load_stored,
    parse_probe,
    probe,
    read_output,
    stored,
    tool_failure,
    unit_command,
)
from ansible_collections.realtime.kvm.plugins.module_utils._latency.verdict import LatencyError
from unit.hostile import variants

CYCLICTEST = """\
000003 000010
# Total: 000000010
# Min Latencies: 00003
# Avg Latencies: 00003
# Max Latencies: 00003
# Histogram Overflows: 00000
"""
JOB = Job("cyclictest", "standard", 60, (2, 3), (0, 1), "stress-ng", 40, 60)
BARE = replace(JOB, housekeeping=(), load="none")


def job(tool, **more):
    return replace(JOB, tool=tool, **more)


@pytest.mark.parametrize(
    ("what", "command"),
    [
        (
            JOB,
            "taskset -c 0-3 cyclictest -m -q -p95 --policy=fifo -D 60 -h 60 -t 2 -a 2-3 -i 200 --mainaffinity 0-1",
        ),
        (BARE, "cyclictest -m -q -p95 --policy=fifo -D 60 -h 60 -t 2 -a 2-3 -i 200"),
        (
            job("oslat", bins=32, json=True),
            "taskset -c 0-3 oslat --cpu-list 2-3 --rtprio 1 -D 60 -w memmove -m 4K -b 32 -C 0 --json=/run/realtime-kvm/latency/result.json",
        ),
        (job("hwlatdetect", limit_us=40), "taskset -c 0-1 hwlatdetect --duration=60s --threshold=10 --cpu-list=2-3"),
        (job("hwlatdetect", limit_us=0.5), "taskset -c 0-1 hwlatdetect --duration=60s --threshold=1 --cpu-list=2-3"),
        (job("timerlat", bins=256), "taskset -c 0-1 rtla timerlat hist -c 2-3 -d 60s -b 1 -E 256 -P f:95 -p 1000"),
        (job("osnoise", bins=256), "taskset -c 0-1 rtla osnoise hist -c 2-3 -d 60s -b 1 -E 256 -P f:95"),
        (job("hwnoise", bins=0), "taskset -c 0-1 rtla hwnoise -c 2-3 -d 60s -T 1 -q"),
    ],
)
def test_commands(what, command):
    assert " ".join(what.command()) == command


@pytest.mark.parametrize(
    ("what", "programs"),
    [
        (JOB, ["cyclictest", "taskset", "stress-ng"]),
        (BARE, ["cyclictest"]),
        (replace(BARE, tool="hwnoise"), ["rtla"]),
        (replace(JOB, tool="oslat", load="none"), ["oslat", "taskset"]),
    ],
)
def test_programs_that_are_needed(what, programs):
    assert what.programs() == programs


def test_the_load_stays_on_housekeeping_and_outlasts_the_measurement():
    command = " ".join(JOB.load_command())
    assert command.startswith("stress-ng --quiet --taskset 0-1 --timeout 90s --cpu 2 ")
    assert BARE.load_command() == []


@pytest.mark.parametrize("what", [JOB, BARE], ids=["load", "no load"])
def test_the_script_is_one_for_a_shell(what):
    text = what.script()
    assert subprocess.run(["sh", "-n"], input=text, text=True, check=False).returncode == 0
    assert ("sleep 2\n" if what is JOB else "sleep 0\n") in text
    assert ("stress-ng" in text) is (what is JOB)


def test_systemd_ends_the_unit_after_the_measurement():
    command = unit_command(JOB, "/run/x.sh")
    assert command[-2:] == ["/bin/sh", "/run/x.sh"]
    assert {"--property=RuntimeMaxSec=180", "--property=CPUAffinity=0-1", "--unit=realtime-kvm-latency.service"} <= set(command)
    assert not any("CPUAffinity" in option for option in unit_command(BARE, "x"))


@pytest.mark.parametrize(
    ("tool", "limit_us", "virtual", "bins"),
    [
        ("cyclictest", 40, False, 60),
        ("cyclictest", 100, False, 150),  # beyond the limit
        ("cyclictest", 40, True, 20000),
        ("oslat", 40, False, 60),
        ("oslat", 5000, False, 1024),  # the most that it takes
        ("oslat", 40, True, 1024),
        ("timerlat", 40, False, 256),
        ("hwlatdetect", 40, False, 0),
        ("hwnoise", 40, True, 0),
    ],
)
def test_histograms_reach_beyond_the_limit(tool, limit_us, virtual, bins):
    assert bins_for(tool, limit_us, virtual=virtual) == bins


@pytest.mark.parametrize(
    ("files", "running", "why"),
    [
        ({}, True, ""),
        ({}, False, "interrupted: its processes were killed"),
        ({"rc": "0\n"}, False, ""),
        ({"rc": "1\n"}, False, ""),
        ({"rc": "ended\n"}, False, "interrupted: it was stopped"),
        (
            {"rc": "ended\n", "abandoned": ""},
            False,
            "interrupted: no run waited for it any more (the run that had started it ended)",
        ),
    ],
)
def test_why_it_ended_before_its_time(files, running, why):
    assert interruption(files, running=running) == why


@pytest.mark.parametrize(
    ("files", "failure"),
    [
        ({}, ""),
        ({"rc": "0\n", "err": "warning"}, ""),
        ({"rc": "ended\n"}, ""),
        ({"rc": "1\n", "err": "a\nb\nc\nd\n", "out": "x"}, "rtla ended with exit code 1: b c d"),
        ({"rc": "127\n", "err": "\n", "out": "no tracer"}, "rtla ended with exit code 127: no tracer"),
        ({"rc": "2"}, "rtla ended with exit code 2: without a message"),
    ],
)
def test_what_the_tool_complained_of(files, failure):
    assert tool_failure(job("timerlat"), files) == failure


def test_output_is_read_as_that_of_the_tool():
    record = '{"thread": {"0": {"histogram": {"3": 9}, "cycles": 9, "min": 3, "avg": 3, "max": 3, "cpu": 2}}}'
    assert [(row.cpu, row.max_us) for row in read_output(JOB, {"out": "nothing", "result.json": record}).rows] == [(2, 3)]
    table = " 2 #64  64000000  12  99.99998  9  7  3\n"
    assert [(row.cpu, row.max_us) for row in read_output(job("hwnoise"), {"out": table}).rows] == [(2, 7)]
    for tool in ("cyclictest", "oslat", "hwlatdetect", "hwnoise", "timerlat"):
        with pytest.raises(LatencyError):
            read_output(job(tool), {})


REST = {
    "before": {"node": {"smis": 1}, "guest": {}},
    "started": "2026-11-01T00:00:00Z",
    "environment": {"virtual": False},
    "uptime": 7.5,
}


def test_a_stored_job_comes_back():
    assert load_stored(stored(JOB, **REST)) == (JOB, REST)
    assert load_stored(stored(BARE, **REST, note="x")) == (BARE, {**REST, "note": "x"})


def test_no_value_in_a_stored_job_ends_in_a_traceback():
    for damaged in variants(json.loads(stored(JOB, **REST))):
        try:
            found, rest = load_stored(json.dumps(damaged))
        except LatencyError:
            continue
        assert all(isinstance(cpu, int) for cpu in (*found.cpus, *found.housekeeping))
        assert isinstance(rest["uptime"], (int, float))


@pytest.mark.parametrize(
    ("tool", "files"),
    [
        ("cyclictest", {"out": CYCLICTEST.replace("00003", "9" * 5000)}),
        ("cyclictest", {"result.json": "[" * 100_000}),
        ("oslat", {"result.json": "[" * 100_000}),
        ("timerlat", {"out": "Index   CPU-000\n0  x\nover: x\ncount: y\nmax: z\n"}),
        ("timerlat", {"out": "Index   CPU-\x1b\n0  1\nover: 0\ncount: 0\nmax: 0\n"}),
        ("hwnoise", {"out": " 2 #" + "9" * 5000 + "  64000000  12  99.99998  9  7  3\n"}),
        ("hwlatdetect", {"out": "Max Latency: " + "9" * 5000 + "us\nSamples recorded: " + "9" * 5000 + "\n"}),
    ],
)
def test_output_that_no_tool_prints_is_refused(tool, files):
    with pytest.raises(LatencyError) as error:
        read_output(job(tool), files)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"job": {}}', '{"job": 7}', stored(JOB), stored(JOB, **REST).replace('"bins"', '"bin"')]
)
def test_a_damaged_job_is_refused_with_the_way_out(text):
    with pytest.raises(LatencyError, match=r"^/run/realtime-kvm/latency/job\.json is damaged.* state: absent"):
        load_stored(text)


def test_a_probe_prints_what_can_be_read(tmp_path):
    (tmp_path / "a").write_text("one\ntwo")
    (tmp_path / "b").write_text("")
    paths = [f"{tmp_path}/a", f"{tmp_path}/absent", f"{tmp_path}/b*"]
    printed = subprocess.run(probe(paths), capture_output=True, text=True, check=True).stdout
    assert {path: text.strip() for path, text in parse_probe(printed).items()} == {
        f"{tmp_path}/a": "one\ntwo",
        f"{tmp_path}/b": "",
    }
