# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program: what it prints and writes, its exit status, and what it costs."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._metrics import passes as _passes
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.kept import OPTIONS
from ansible_collections.realtime.kvm.plugins.module_utils._node import metrics as _metrics
from ansible_collections.realtime.kvm.plugins.module_utils._node.metrics import command, run
from ansible_collections.realtime.kvm.plugins.module_utils._watch.options import MARK, OUTPUT
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics_of
from prometheus_client.parser import text_string_to_metric_families as text_of
from unit.trees import fill, writable
from unit.watched import guest, node

FOLDER = "/srv/textfile"


@pytest.fixture(name="root")
def _root(tmp_path):
    node(tmp_path, guest('plc "1"', 70, ["1"]), {"/proc/interrupts": "  CPU0 CPU1\n", f"{FOLDER}/": None})
    return tmp_path


def call(root, *words):
    return run(words, writable(root, check_mode=True), "r1")


def test_it_prints_open_metrics(root, capsys):
    assert call(root) == 0
    out, err = capsys.readouterr()
    names = {sample.name for family in open_metrics_of(out) for sample in family.samples}
    assert {"realtime_kvm_info", "realtime_kvm_guest_running", "realtime_kvm_source_up"} <= names
    assert err == ""


def test_what_could_not_be_read_is_said_to_people_only(root, capsys):
    fill(root, {"/etc/libvirt/qemu/bad.xml": "", OPTIONS: json.dumps({"directory": FOLDER})})
    assert call(root) == 0
    assert capsys.readouterr().err == "rtpart metrics: guests: /etc/libvirt/qemu/bad.xml: it describes no domain\n"
    assert call(root, "--write") == 0
    assert capsys.readouterr() == ("", ""), "a timer would fill the journal; the metric source_up says it"


def test_it_writes_for_node_exporter(root, capsys):
    fill(root, {OPTIONS: json.dumps({"directory": FOLDER})})
    assert call(root, "--write") == 0
    text = (root / FOLDER[1:] / OUTPUT).read_text(encoding="utf-8")
    assert text.startswith(MARK)
    assert "# EOF" not in text
    assert [
        sample.labels for family in text_of(text) for sample in family.samples if sample.name == "realtime_kvm_guest_running"
    ] == [{"guest": 'plc "1"'}]
    assert capsys.readouterr() == ("", "")


def test_a_folder_that_is_absent_is_a_failure(root, capsys):
    fill(root, {OPTIONS: json.dumps({"directory": "/srv/absent"})})
    assert call(root, "--write") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("rtpart metrics: /srv/absent cannot be opened: No such file or directory")
    assert not (root / "srv/absent").exists()


@pytest.mark.parametrize("words", [["--json"], ["--write", "--write"], ["x"]])
def test_a_wrong_command_line_is_status_2(root, capsys, words):
    assert call(root, *words) == 2
    assert capsys.readouterr() == ("", "usage: rtpart metrics [--write]\n")


def test_a_program_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(_metrics, "ANSWER_S", 0.2)
    started = time.monotonic()
    with pytest.raises(HostError, match=r"sleep has not answered within 0\.2 s"):
        command(["sleep", "60"])
    assert time.monotonic() - started < 10


def test_programs_answer_in_the_language_that_is_read():
    assert command(["sh", "-c", "echo $LC_ALL; echo wrong >&2; exit 3"]) == (3, "C.UTF-8\n", "wrong\n")
    assert command([sys.executable, "-c", "import os; os.write(1, b'\\xff')"])[1] == "\N{REPLACEMENT CHARACTER}"


def test_a_program_that_is_absent_is_named():
    with pytest.raises(HostError, match="no-such-program cannot be started: No such file or directory"):
        command(["no-such-program"])


def test_a_source_that_hangs_does_not_keep_the_program(root):
    """As a program of its own, whose thread still hangs at the end."""
    script = (
        f"import sys, time; sys.path[:0] = {sys.path!r}\n"
        f"from {_passes.__name__} import SOURCES, take\n"
        f"import {_passes.__name__} as passes, {_metrics.__name__} as program\n"
        "passes.SOURCE_S = 0.2\n"
        "program.take = lambda look: take(look, {'a': lambda _look, _out: time.sleep(60)})\n"
        f"program.Host = lambda **options: __import__('{writable.__module__}', fromlist=['x']).writable({str(root)!r}, check_mode=True)\n"
        "sys.argv = ['x', 'metrics']\nprogram.main('r1')\n"
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=50)
    assert time.monotonic() - started < 40
    assert (done.returncode, done.stderr) == (0, "rtpart metrics: a: it has not ended within 0.2 s\n")
    assert 'realtime_kvm_source_up{source="a"} 0' in done.stdout
