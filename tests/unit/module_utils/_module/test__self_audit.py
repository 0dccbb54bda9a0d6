# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's audit of itself: what is kept, also when it fails, hangs or cannot write; and that it needs no Ansible."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host import files
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import AUDIT_STATE, WATCH_ARCHIVE
from ansible_collections.realtime.kvm.plugins.module_utils._module import _self_audit
from ansible_collections.realtime.kvm.plugins.module_utils._module._self_audit import (
    ENTRY,
    audit_itself,
    defaults,
    news,
    previous,
    run_program,
)
from ansible_collections.realtime.kvm.plugins.module_utils._module.rt_audit import OPTIONS
from ansible_collections.realtime.kvm.plugins.module_utils._node.pack import sources
from ansible_collections.realtime.kvm.plugins.module_utils._node.watch_archive import build_watch_archive
from unit.trees import fill, machine_files, writable

FINDING = {
    "severity": "error", "rule": "vcpu-pin", "resource": "domain plc1: vcpu1", "expected": "CPU 4", "actual": "CPU 5", "remedy": "run it", "source": "x",
}  # fmt: skip
FOUND = {"findings": [FINDING], "remarks": [], "unchecked": [{"part": "libvirt", "state": "absent", "reason": "not installed"}]}


@pytest.fixture(name="host")
def _host(tmp_path):
    return writable(fill(tmp_path, {"/run/": None, WATCH_ARCHIVE: "program"}), "rt_audit", check_mode=True)


def kept(host):
    return json.loads(Path(host.path(AUDIT_STATE)).read_text())


def test_the_parameters_are_those_of_a_module_that_is_given_none():
    checked = ArgumentSpecValidator(dict(OPTIONS)).validate({})
    assert checked.error_messages == []
    assert defaults(OPTIONS) == checked.validated_parameters


def test_findings_are_kept_with_their_time_and_release(host, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1000.7)
    state = audit_itself(host, lambda _host: FOUND, "abc")
    assert kept(host) == state
    assert (state["schema"], state["began"], state["error"], state["omitted"]) == (1, 1000, "", 0)
    assert 1000.7 <= state["ended"] < 1010
    assert state["release"] == "abc"
    assert (state["findings"], state["unchecked"]) == ([FINDING], FOUND["unchecked"])
    assert Path(host.path(AUDIT_STATE)).stat().st_mode & 0o777 == 0o644


def test_the_clock_may_be_set_while_it_runs(host, monkeypatch):
    times = iter([5000.0, 10.0])
    monkeypatch.setattr("time.time", lambda: next(times, 10.0))
    state = audit_itself(host, lambda _host: FOUND)
    assert state["began"] <= state["ended"] < 5010


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (HostError("the journal is damaged"), "the journal is damaged"),
        (KeyError("x"), "unexpected KeyError: 'x'"),
        (RecursionError("deep"), "unexpected RecursionError: deep"),
        (OSError(5, "Input/output error"), r"unexpected OSError: \[Errno 5\] Input/output error"),
    ],
)
def test_a_node_that_cannot_audit_itself_says_so_and_keeps_nothing_old(host, error, words):
    def fails(_host):
        raise error

    audit_itself(host, lambda _host: FOUND)
    state = audit_itself(host, fails)
    assert re.fullmatch(words, state["error"])
    assert (kept(host)["findings"], kept(host)["remarks"]) == ([], [])
    assert kept(host)["error"] == state["error"]


def test_an_audit_that_hangs_ends_in_words(host, monkeypatch):
    import threading

    monkeypatch.setattr(_self_audit, "_LONGEST_S", 0.05)
    ended = threading.Event()
    state = audit_itself(host, lambda _host: ended.wait(30) and FOUND)
    ended.set()
    assert state["error"] == "it has not ended within 0.05 s"
    assert kept(host)["findings"] == []


def test_a_full_disk_leaves_no_old_findings(host, monkeypatch):
    audit_itself(host, lambda _host: FOUND)

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_file", full)
    with pytest.raises(HostError, match=rf"^{AUDIT_STATE} cannot be written: No space left on device"):
        audit_itself(host, lambda _host: FOUND)
    assert not os.path.lexists(host.path(AUDIT_STATE))


def test_what_is_kept_is_bounded(host):
    many = [{**FINDING, "resource": f"thread {number}", "actual": "x" * 5000} for number in range(1500)]
    state = audit_itself(host, lambda _host: {**FOUND, "findings": many, "remarks": many[:10]})
    assert (len(state["findings"]), len(state["remarks"]), state["omitted"]) == (1000, 10, 500)
    assert len(state["findings"][0]["actual"]) == 1000


def test_a_boot_service_of_another_release_is_said_of_both(host):
    old = {**FINDING, "rule": "boot-service-old", "remedy": "run the cpu_partition role"}
    (item,) = audit_itself(host, lambda _host: {**FOUND, "findings": [old]})["findings"]
    assert "rt_metrics" in item["remedy"]
    assert WATCH_ARCHIVE in item["expected"]


def test_what_is_new_and_what_has_gone_is_told_once(host):
    other = {**FINDING, "resource": "domain \x1b[2J\n: vcpu1", "rule": "setting"}
    assert news(None, [FINDING]) == [
        "error: vcpu-pin: domain plc1: vcpu1: CPU 5; expected: CPU 4; remedy: run it",
    ]
    assert news([FINDING], [FINDING]) == []
    assert news([FINDING], [{**FINDING, "actual": "CPU 6"}]) == [], "the same place"
    assert news([FINDING], []) == ["gone: vcpu-pin: domain plc1: vcpu1"]
    (line,) = news([FINDING], [FINDING, other])
    assert line.isprintable()


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "{",
        "[]",
        '{"schema": 1}',
        '{"schema": 2, "error": "", "findings": []}',
        '{"schema": 1, "error": "x", "findings": []}',
    ],
)
def test_what_an_audit_could_not_find_out_is_no_earlier_finding(host, content):
    if content is not None:
        fill(host.root, {AUDIT_STATE: content})
    assert previous(host) is None


def test_the_audit_before_is_read_again(host):
    audit_itself(host, lambda _host: FOUND)
    assert [item["rule"] for item in previous(host)] == ["vcpu-pin"]


def test_programs_are_bounded(monkeypatch):
    monkeypatch.setattr(_self_audit, "_PROGRAM_S", 0.2)
    assert run_program(["sh", "-c", "echo $LC_ALL; exit 3"]) == (3, "C.UTF-8\n", "")
    assert run_program(["/absent/program"])[0] == 127
    with pytest.raises(HostError, match=r"^sleep 60 has not ended within 0\.2 s and was killed"):
        run_program(["sleep", "60"])


def test_nothing_of_it_is_of_ansible():
    found = {
        name: line
        for name, text in sources(ENTRY).items()
        for line in text.splitlines()
        if re.match(r"\s*(from|import) ansible", line)
    }
    assert found == {}


def test_the_archive_audits_a_machine_without_ansible(tmp_path):
    """A copy of a machine, by a Python that sees the archive alone."""
    archive = tmp_path / "metrics.pyz"
    archive.write_bytes(build_watch_archive(ENTRY))
    root = fill(tmp_path / "node", {**machine_files(isolated="1-3"), "/run/": None})
    program = (
        f"import sys; sys.path[:] = [{str(archive)!r}, *(path for path in sys.path if 'site-packages' not in path)]\n"
        f"from realtime_kvm._module._self_audit import Host, audit_itself\n"
        f"audit_itself(Host({str(root)!r}, check_mode=True, captured=True, owner='rt_audit'))\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in ('ansible', 'ansible_collections')))\n"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
    state = json.loads(Path(f"{root}{AUDIT_STATE}").read_text())
    assert state["error"] == ""
    assert "document-missing" in [item["rule"] for item in state["findings"]]
