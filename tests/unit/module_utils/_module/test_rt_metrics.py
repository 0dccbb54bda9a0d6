# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_metrics: files and timers once, what is refused before any write, what a killed run leaves, and an exact undo."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError, RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import AUDIT_STATE, KEPT_LATENCY, RUNS, WATCH_ARCHIVE
from ansible_collections.realtime.kvm.plugins.module_utils._module import rt_metrics
from ansible_collections.realtime.kvm.plugins.module_utils._watch.options import MARK
from ansible_collections.realtime.kvm.plugins.module_utils._watch.plan import OPTIONS_FILE, release_of
from unit.systemds import Killed
from unit.trees import fill, snapshot
from unit.watches import FOLDER, OUTPUT, TIMERS, Timers, exporter, node, run

WRITTEN = f"{MARK}realtime_kvm_a 1\n"
UNITS = "/etc/systemd/system"
READS = exporter(f"--collector.textfile.directory={FOLDER}")


@pytest.fixture(autouse=True)
def _archive(monkeypatch):
    """The archive itself has tests of its own; to pack it takes seconds."""
    monkeypatch.setattr(rt_metrics, "build_watch_archive", lambda _audit: b"PK program")


def text(root, path):
    return Path(f"{root}{path}").read_text()


def test_without_being_asked_nothing_is_looked_at(tmp_path):
    def never(command):
        raise AssertionError(command)

    done = run(node(tmp_path, folder=None), never, enabled=None)
    assert (done["changed"], done["directory"], done["units"]) == (False, "", [])


def test_it_is_set_up_once_and_undo_is_exact(tmp_path):
    root = node(tmp_path, READS)
    systemd = Timers()
    before = snapshot(root)
    predicted = run(root, systemd, check_mode=True)
    assert snapshot(root) == before
    made = run(root, systemd)
    assert made["changes"] == predicted["changes"]
    assert {change["disruption"] for change in made["changes"]} == {"none"}
    assert (made["directory"], made["units"], made["notes"]) == (FOLDER, TIMERS, [])
    assert [systemd.units[name][1] for name in TIMERS] == [True, True]
    options = json.loads(text(root, OPTIONS_FILE))
    assert options == {
        "directory": FOLDER,
        "interval_s": 15,
        "audit": True,
        "audit_interval_s": 60,
        "release": release_of(b"PK program"),
    }
    assert run(root, systemd)["changed"] is False
    # what the timers write
    fill(root, {OUTPUT: WRITTEN, AUDIT_STATE: "{}\n", RUNS: "{}\n", KEPT_LATENCY: "{}\n"})
    fill(root, {f"{FOLDER}/.realtime_kvm.new": "half", "/run/realtime-kvm/.realtime-kvm-audit.json": "half"})
    fill(
        root, {"/var/cache/realtime-kvm/watch-abc-cpython-311.pyz": "", "/var/cache/realtime-kvm/.realtime-kvm-watch-abc.pyz": ""}
    )
    assert run(root, systemd)["changed"] is False
    done = run(root, systemd, state="absent")
    assert {change["resource"] for change in done["changes"]} >= {OUTPUT, AUDIT_STATE, RUNS, KEPT_LATENCY, WATCH_ARCHIVE}
    assert snapshot(root) == before
    assert [systemd.units[name][1] for name in TIMERS] == [False, False]
    assert run(root, systemd, state="absent")["changed"] is False
    assert run(root, systemd, enabled=False)["changed"] is False


def test_undo_leaves_the_cache_of_looks(tmp_path):
    root = node(tmp_path, READS)
    systemd = Timers()
    run(root, systemd)
    fill(root, {"/var/cache/realtime-kvm/look-abc.pyz": "", "/var/cache/realtime-kvm/watch-abc.pyz": ""})
    run(root, systemd, state="absent")
    assert os.listdir(f"{root}/var/cache/realtime-kvm") == ["look-abc.pyz"]


def test_a_check_of_undo_changes_nothing_and_says_the_same(tmp_path):
    root = node(tmp_path, READS)
    systemd = Timers()
    run(root, systemd)
    fill(root, {OUTPUT: WRITTEN})
    before, calls = snapshot(root), list(systemd.calls)
    predicted = run(root, systemd, check_mode=True, state="absent")
    assert (snapshot(root), systemd.calls) == (before, calls)
    assert run(root, systemd, state="absent")["changes"] == predicted["changes"]


@pytest.mark.parametrize("foreign", ["node_other 1\n", ("link", "/etc/hostname"), None])
@pytest.mark.parametrize("after", [{"state": "absent"}, {"directory": "/srv/metrics"}])
def test_what_another_has_put_in_the_place_of_the_metrics_stays(tmp_path, foreign, after):
    root = node(tmp_path, READS, {"/srv/metrics/": None})
    systemd = Timers()
    run(root, systemd)
    fill(root, {f"{OUTPUT}/" if foreign is None else OUTPUT: foreign, f"{FOLDER}/.realtime_kvm.new": "half"})
    before = snapshot(root)
    predicted = run(root, systemd, check_mode=True, **after)
    done = run(root, systemd, **after)
    assert done["changes"] == predicted["changes"]
    assert f"rt_metrics: {OUTPUT} is not what this collection has written, so it stays" in done["notes"]
    assert OUTPUT not in {change["resource"] for change in done["changes"]}
    found = snapshot(root)
    assert {path: kept for path, kept in found.items() if FOLDER in path} == {
        path: kept for path, kept in before.items() if FOLDER in path and ".new" not in path
    }
    assert run(root, systemd, **after)["changed"] is False


def test_the_units_keep_off_isolated_cpus_and_are_bounded(tmp_path):
    root = node(tmp_path, READS)
    run(root, Timers(), interval_s=5, audit_interval_s=30)
    metrics, audit = (text(root, f"{UNITS}/realtime-kvm-{name}.service") for name in ("metrics", "audit"))
    for unit, nice, seconds in ((metrics, 5, 20), (audit, 19, 300)):
        assert "CPUAffinity=\nCPUAffinity=0\n" in unit
        assert f"\nNice={nice}\n" in unit
        assert f"\nTimeoutStartSec={seconds}\n" in unit
        assert "\nMemoryMax=" in unit
        assert "\nLogLevelMax=notice\n" in unit
        assert "\nSyslogLevel=warning\n" in unit, "else LogLevelMax would drop what the program says"
    assert f"\nExecStart=/usr/bin/python3 -I -S {WATCH_ARCHIVE} metrics --write\n" in metrics
    assert f"\nExecStart=/usr/bin/python3 -I {WATCH_ARCHIVE} audit\n" in audit
    assert "\nOnUnitActiveSec=5\n" in text(root, f"{UNITS}/realtime-kvm-metrics.timer")
    assert "\nOnUnitInactiveSec=30\n" in text(root, f"{UNITS}/realtime-kvm-audit.timer")


def test_no_unit_makes_a_mount_namespace(tmp_path):
    """Its end interrupts other CPUs; systemd.exec(5) names the options that imply one."""
    root = node(tmp_path, READS)
    run(root, Timers())
    words = (
        "Protect",
        "Private",
        "ReadOnly",
        "ReadWrite",
        "Inaccessible",
        "BindPaths",
        "TemporaryFileSystem",
        "DynamicUser",
        "RootDirectory",
        "MountFlags",
    )
    for name in ("metrics", "audit"):
        keys = [
            line.partition("=")[0] for line in text(root, f"{UNITS}/realtime-kvm-{name}.service").splitlines() if line[:1] != "#"
        ]
        assert [key for key in keys if key.startswith((*words, "StateDirectory", "RuntimeDirectory", "LoadCredential"))] == []


def test_another_interval_restarts_its_timer_alone(tmp_path):
    root = node(tmp_path, READS)
    systemd = Timers()
    run(root, systemd)
    calls = len(systemd.calls)
    done = run(root, systemd, interval_s=30)
    assert [call for call in systemd.calls[calls:] if "restart" in call] == ["restart realtime-kvm-metrics.timer"]
    (change,) = [change for change in done["changes"] if change["resource"].startswith("service:")]
    assert (change["before"], change["after"]) == ("running, with another interval or unit", "running, every 30 s")
    assert run(root, systemd, interval_s=30)["changed"] is False


def test_a_timer_that_was_stopped_is_started_again(tmp_path):
    root = node(tmp_path, READS)
    systemd = Timers()
    run(root, systemd)
    systemd.units[TIMERS[1]][1] = False
    (change,) = run(root, systemd)["changes"]
    assert (change["resource"], change["before"]) == ("service:realtime-kvm-audit.timer", "stopped")
    assert run(root, systemd)["changed"] is False


def test_a_timer_that_does_not_run_after_its_start_is_refused(tmp_path):
    class Lame(Timers):
        def __call__(self, command):
            return (0, "", "") if "restart" in command else super().__call__(command)

    with pytest.raises(HostError, match=r"^realtime-kvm-metrics\.timer was started, but does not run; see systemctl status"):
        run(node(tmp_path, READS), Lame())


def test_without_audit_its_timer_and_findings_go(tmp_path):
    root = node(tmp_path, READS)
    systemd = Timers()
    before = snapshot(root)
    run(root, systemd)
    fill(root, {AUDIT_STATE: "{}\n", OUTPUT: WRITTEN})
    done = run(root, systemd, audit=False)
    assert done["units"] == TIMERS[:1]
    assert [systemd.units[name][1] for name in TIMERS] == [True, False]
    there = snapshot(root)
    assert [path for path in there if "realtime-kvm-audit" in path or path == AUDIT_STATE] == []
    assert OUTPUT in there
    assert run(root, systemd, audit=False)["changed"] is False
    assert [change["resource"] for change in run(root, systemd)["changes"]][-1] == "service:realtime-kvm-audit.timer"
    run(root, systemd, state="absent")
    assert snapshot(root) == before


def test_another_folder_takes_the_old_file_along(tmp_path):
    root = node(tmp_path, {"/srv/metrics/": None})
    systemd = Timers()
    before = snapshot(root)
    run(root, systemd)
    fill(root, {OUTPUT: WRITTEN})
    done = run(root, systemd, directory="/srv/metrics/")
    assert done["directory"] == "/srv/metrics"
    assert not Path(f"{root}{OUTPUT}").exists()
    assert run(root, systemd, directory="/srv/metrics")["changed"] is False
    fill(root, {"/srv/metrics/realtime_kvm.prom": WRITTEN})
    run(root, systemd, state="absent")
    assert snapshot(root) == before


@pytest.mark.parametrize("repeated", [True, False])
@pytest.mark.parametrize("killed", range(4))
def test_a_run_that_was_killed_is_repeated_or_undone(tmp_path, killed, repeated):
    root = node(tmp_path, READS)
    systemd = Timers()
    before = snapshot(root)
    systemd.kill_at = killed
    with pytest.raises(Killed):
        run(root, systemd)
    systemd.kill_at = None
    if repeated:
        run(root, systemd)
        assert run(root, systemd)["changed"] is False
        assert [systemd.units[name][1] for name in TIMERS] == [True, True]
    run(root, systemd, state="absent")
    assert snapshot(root) == before
    assert not any(active for _enabled, active in systemd.units.values())


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"interval_s": 4}, r"^rt_metrics_interval_s: 4 is not in 5-300 seconds"),
        ({"interval_s": 301}, r"^rt_metrics_interval_s: 301 "),
        ({"interval_s": -1}, r"^rt_metrics_interval_s: -1 "),
        ({"audit_interval_s": 29}, r"^rt_metrics_audit_interval_s: 29 is not in 30-3600 seconds"),
        ({"audit_interval_s": 3601}, r"^rt_metrics_audit_interval_s: 3601 "),
        ({"directory": "/absent"}, r"^rt_metrics_directory: /absent cannot be used: No such file"),
    ],
)
def test_what_is_refused_changes_nothing(tmp_path, parameters, words):
    root = node(tmp_path, READS)
    before = snapshot(root)
    with pytest.raises(RefusalError, match=words):
        run(root, Timers(), **parameters)
    assert snapshot(root) == before


def test_a_node_without_a_partition_is_refused(tmp_path):
    root = node(tmp_path, READS)
    Path(f"{root}/etc/ansible/facts.d/realtime_partition.fact").unlink()
    with pytest.raises(RefusalError, match="there is no partition on this node"):
        run(root, Timers(), partition=None)


def test_a_node_without_systemd_gets_the_files(tmp_path):
    """As an image that is being built: its timers start with its first boot."""
    root = node(tmp_path, READS)
    Path(f"{root}/run/systemd/system").rmdir()
    done = run(root, lambda command: pytest.fail(str(command)))
    assert not any(change["resource"].startswith("service:") for change in done["changes"])
    assert Path(f"{root}{UNITS}/timers.target.wants/realtime-kvm-metrics.timer").is_symlink()
