# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When playbooks ended: kept only where rt_metrics is set up, whatever was there before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host import files
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import RUNS
from ansible_collections.realtime.kvm.plugins.module_utils._watch.plan import OPTIONS_FILE
from ansible_collections.realtime.kvm.plugins.module_utils._watch.runs import leave_runs, read_runs
from unit.trees import fill, snapshot


def test_a_node_without_metrics_keeps_nothing(tmp_path):
    fill(tmp_path, {"/var/lib/": None})
    before = snapshot(tmp_path)
    assert leave_runs(["site"], str(tmp_path)) == ""
    assert snapshot(tmp_path) == before


def test_the_last_run_of_each_playbook_is_kept(tmp_path):
    fill(tmp_path, {OPTIONS_FILE: "{}", "/var/lib/": None})
    root = str(tmp_path)
    assert read_runs(root) == {}
    assert leave_runs(["site", "verify"], root, now=100.9) == ""
    assert leave_runs(["verify"], root, now=200) == ""
    assert leave_runs([], root, now=300) == ""
    assert read_runs(root) == {"site": 100, "verify": 200}
    assert json.loads(Path(f"{root}{RUNS}").read_text()) == {"schema": 1, "runs": {"site": 100, "verify": 200}}
    assert Path(f"{root}{RUNS}").stat().st_mode & 0o777 == 0o644


def test_now_is_the_nodes_own_clock(tmp_path, monkeypatch):
    fill(tmp_path, {OPTIONS_FILE: "{}", "/var/lib/": None})
    monkeypatch.setattr("time.time", lambda: 42.5)
    leave_runs(["guests"], str(tmp_path))
    assert read_runs(str(tmp_path)) == {"guests": 42}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": 1, "runs": {"site": "x"}}', b"\xff", "x" * 70000])
def test_a_damaged_file_is_replaced(tmp_path, content):
    fill(tmp_path, {OPTIONS_FILE: "{}", RUNS: content})
    assert leave_runs(["site"], str(tmp_path), now=5) == ""
    assert read_runs(str(tmp_path)) == {"site": 5}


def test_a_full_disk_is_a_word_and_no_failure(tmp_path, monkeypatch):
    fill(tmp_path, {OPTIONS_FILE: "{}", RUNS: '{"schema": 1, "runs": {"site": 1}}'})

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_file", full)
    assert leave_runs(["site"], str(tmp_path)) == (
        f"{RUNS} cannot be written (No space left on device), so metrics do not know of this run"
    )
    assert read_runs(str(tmp_path)) == {"site": 1}
