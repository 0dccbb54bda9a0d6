# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Host: truthful changes, atomic files, a journal that survives everything, exact undo."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import Change
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import BOOT_ID, Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import STATE_DIR
from ansible_collections.realtime.kvm.plugins.module_utils._host.lines import restore_lines
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.hosts import FOREIGN, KEPT, OURS, SYSCTL, WANTS, WATCHDOG, apply, plan_all, undo
from unit.trees import fill, refuse_reads, snapshot, writable

# -- what is recorded ------------------------------------------------------------------------------


def test_a_change_has_what_was_and_what_will_be(root):
    host = apply(root)
    assert [(change.resource, change.before, change.after) for change in host.changes] == [
        (SYSCTL, "1", "10"),
        (KEPT, f"binary, 10 bytes, sha256 {hashlib.sha256(FOREIGN).hexdigest()}", "ours\n"),
        (OURS, None, "new\n"),
        (WANTS, None, "../ours.service"),
    ]
    result = host.results()
    assert result["changed"] is True
    assert result["disruption"] == "stall"
    assert result["changes"][0]["reason"] == "why"
    assert result["diff"][2] == {"before_header": OURS, "after_header": f"{OURS} [none]", "before": "", "after": "new\n"}


def test_the_second_run_changes_nothing(root):
    apply(root)
    before = snapshot(root)
    host = apply(root)
    assert host.changes == []
    assert host.results()["changed"] is False
    assert snapshot(root) == before


def test_a_captured_host_never_writes(root):
    before = snapshot(root)
    host = Host(str(root), owner="test", captured=True)
    with host.locked():
        plan_all(host)
        host.commit()
    assert len(host.changes) == 4
    assert not host.committed
    assert snapshot(root) == before


NAMES = [f"/etc/{folder}{name}" for folder in ("", "a/", "a/b/") for name in ("x", "y")]
SCENES = st.tuples(
    st.dictionaries(st.sampled_from(NAMES), st.binary(max_size=8)),
    st.dictionaries(st.sampled_from(NAMES), st.none() | st.binary(max_size=8)),
    st.dictionaries(st.sampled_from([SYSCTL, WATCHDOG]), st.sampled_from("012"), min_size=2),
    st.dictionaries(st.sampled_from([SYSCTL, WATCHDOG]), st.sampled_from("012")),
    st.dictionaries(st.sampled_from(["/etc/l/one", "/etc/two"]), st.sampled_from(["x", "../y"])),
    st.dictionaries(st.sampled_from(["/etc/l/one", "/etc/two"]), st.sampled_from(["x", "../y"])),
    st.sampled_from([0o644, 0o600, 0o755]),
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SCENES)
def test_check_mode_predicts_the_run_and_undo_takes_it_back(scene):
    files, wanted, values, wanted_values, links, wanted_links, mode = scene
    root = tempfile.mkdtemp()
    try:
        fill(root, {BOOT_ID: "b", "/var/lib/": None, **values, **files, **{path: ("link", to) for path, to in links.items()}})
        for path in files:
            os.chmod(root + path, mode)

        def planner(host):
            for path, value in wanted_values.items():
                host.set_value(path, value)
            for path, content in wanted.items():
                host.set_file(path, content)
            for path, target in wanted_links.items():
                host.set_link(path, target)

        before = snapshot(root)
        check = writable(root, check_mode=True)
        with check.locked():
            planner(check)
            check.commit()
        assert snapshot(root) == before

        real = apply(root, planner)
        assert [asdict(change) for change in real.changes] == [asdict(change) for change in check.changes]
        assert real.results()["changed"] == (_without_state(root) != before)
        assert all(real.value(path) == value for path, value in wanted_values.items())
        assert all(real.read_bytes(path) == content for path, content in wanted.items())
        assert all(os.readlink(root + path) == target for path, target in wanted_links.items())
        assert apply(root, planner).changes == []

        undone = undo(root)
        assert snapshot(root) == before
        assert bool(undone.changes) == bool(real.changes)
        assert undo(root).changes == []
    finally:
        shutil.rmtree(root)


def _without_state(root):
    return {path: content for path, content in snapshot(root).items() if not path.startswith(STATE_DIR)}


# -- files -----------------------------------------------------------------------------------------


def test_a_file_gets_its_mode_and_content(root):
    apply(root)
    assert Path(f"{root}{KEPT}").read_bytes() == b"ours\n"
    assert os.stat(f"{root}{KEPT}").st_mode & 0o7777 == 0o600
    assert os.stat(f"{root}{OURS}").st_mode & 0o7777 == 0o644


def test_a_symbolic_link_is_put_back_as_a_link(root):
    fill(root, {"/etc/masked": ("link", "/dev/null"), "/etc/other": ("link", "kept.conf"), "/etc/broken": ("link", "nowhere")})
    before = snapshot(root)

    def planner(host):
        for name in ("masked", "other", "broken"):
            host.set_file(f"/etc/{name}", b"ours")

    apply(root, planner)
    assert Path(f"{root}/etc/masked").read_bytes() == b"ours"
    assert Path(f"{root}{KEPT}").read_bytes() == FOREIGN
    undo(root)
    assert snapshot(root) == before


def test_a_refused_kernel_value_is_named(root):
    fill(root, {"/proc/sys/refused/": None})
    host = writable(root)
    with pytest.raises(HostError, match=r"^/proc/sys/refused: the kernel refused '7': Is a directory$"):
        host.write_value("/proc/sys/refused", "7")


def test_a_value_that_has_gone_since_it_was_planned_is_named_with_what_to_do(root):
    host = writable(root)
    with pytest.raises(
        HostError, match=r"^/sys/gone: the kernel refused '1': No such file or directory \(it was there .*; run it again$"
    ):
        host.write_value("/sys/gone", "1")


def test_directories_that_hold_anything_else_stay(root):
    apply(root)
    fill(root, {"/etc/ours.d/admin.conf": "his"})
    undo(root)
    assert "/etc/ours.d/admin.conf" in snapshot(root)
    assert "/etc/ours.d/deep" not in snapshot(root)
    assert "/etc/units.wants" not in snapshot(root)


def test_foreign_files_are_untouched(root):
    fill(root, {"/etc/foreign": "x", "/etc/ours.d/": None, "/var/lib/realtime-kvm/": None})
    before = snapshot(root)
    apply(root)
    foreign = {path: content for path, content in before.items() if path not in (KEPT, SYSCTL)}
    assert foreign.items() <= snapshot(root).items()


# -- undo ------------------------------------------------------------------------------------------


def test_undo_restores_exactly_and_leaves_nothing_of_ours(root):
    before = snapshot(root)
    apply(root)
    assert undo(root).results()["changed"] is True
    assert snapshot(root) == before
    assert undo(root).results()["changed"] is False
    assert snapshot(root) == before


def test_undo_is_for_the_owner_alone(root):
    before = snapshot(root)
    apply(root, lambda host: host.set_file(OURS, b"x"), "one")
    apply(root, lambda host: host.set_value(SYSCTL, "5"), "two")
    undo(root, "one")
    assert "/etc/ours.d" not in snapshot(root)
    assert Path(f"{root}{SYSCTL}").read_text() == "5"
    undo(root, "two")
    assert snapshot(root) == before


def test_undo_of_what_the_admin_has_put_back_says_unchanged(root):
    before = snapshot(root)
    apply(root, lambda host: host.set_value(SYSCTL, "10"))
    fill(root, {SYSCTL: "1"})
    host = undo(root)
    assert host.results()["changed"] is False
    assert snapshot(root) == before


def test_undo_passes_over_what_has_gone(root):
    apply(root, lambda host: host.set_value(SYSCTL, "10"))
    os.unlink(f"{root}{SYSCTL}")
    assert undo(root).changes == []
    assert not os.path.exists(f"{root}{STATE_DIR}")


def test_undo_remembers_what_cannot_be_read_now(root, monkeypatch):
    """A policy of CPUs that are off answers EBUSY; with its CPUs it is back as it was left (drivers/cpufreq/cpufreq.c, show)."""
    before = snapshot(root)
    apply(root, lambda host: host.set_value(SYSCTL, "10"))
    again = refuse_reads(monkeypatch, SYSCTL, number=errno.EBUSY)
    host = undo(root)
    assert host.changes == []
    assert host.notes == [
        f"{SYSCTL} cannot be read now (is its CPU off?), so its former value 1 is not restored; run undo again when it can be read, or reboot"
    ]
    again()
    host = undo(root)
    assert ([change.resource for change in host.changes], host.notes) == ([SYSCTL], [])
    assert snapshot(root) == before


def test_a_file_that_cannot_be_read_is_not_replaced(root, monkeypatch):
    before = snapshot(root)
    again = refuse_reads(monkeypatch, KEPT)
    for check in (True, False):
        with pytest.raises(HostError, match=f"^{KEPT} exists, but cannot be read, so it is not replaced"):
            writable(root, check_mode=check).set_file(KEPT, b"ours")
    again()
    assert snapshot(root) == before


@pytest.mark.parametrize("entry", ["a folder", "a pipe"])
def test_what_is_no_file_is_not_replaced(root, entry):
    path = root / "etc/odd"
    path.mkdir() if entry == "a folder" else os.mkfifo(path)
    with pytest.raises(HostError, match=r"^/etc/odd exists, but cannot be read"):
        writable(root).set_file("/etc/odd", b"ours")


def test_a_link_to_no_file_is_replaced_and_restored(root):
    """systemd masks a unit by a link to /dev/null."""
    os.symlink("/dev/null", root / "etc/masked")
    before = snapshot(root)
    apply(root, lambda host: host.set_file("/etc/masked", b"ours"))
    assert (root / "etc/masked").read_bytes() == b"ours"
    undo(root)
    assert snapshot(root) == before


def test_a_change_that_the_kernel_refuses_for_good_is_none(root):
    host = writable(root)
    change = Change("x", "1", "2")
    with host.locked():
        host.change(change, lambda: host.take_back(change), kind="value")
        host.commit()
    assert host.results()["changed"] is False
    assert not os.path.exists(f"{root}{STATE_DIR}")


# -- the lock --------------------------------------------------------------------------------------


def test_a_refused_run_leaves_nothing(root):
    before = snapshot(root)
    with pytest.raises(HostError), writable(root).locked():
        raise HostError("refused")
    assert snapshot(root) == before


# -- reading ---------------------------------------------------------------------------------------


def test_reading(root):
    fill(root, {f"/sys/cpu{number}/id": f"{number}\n\0\0" for number in (10, 2, 1)})
    host = Host(str(root))
    assert host.glob("/sys/cpu*/id") == ["/sys/cpu1/id", "/sys/cpu2/id", "/sys/cpu10/id"]
    assert host.value("/sys/cpu10/id") == "10"
    assert host.value("/sys/none") is None
    assert host.value("/sys/cpu1") is None
    assert host.value("/sys/cpu1/id/below") is None
    assert host.listdir("/sys") == ["cpu1", "cpu10", "cpu2"]
    assert host.listdir("/none") == []
    assert Host(str(tempfile.gettempdir())).boot_id() == "unknown"


# -- how much undo disturbs ------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["symlink", "unlink"])
def test_a_link_that_cannot_be_written_is_named(root, monkeypatch, call):
    path = "/etc/units.wants/linked.service"
    fill(root, {path: ("link", "../old")})

    real = getattr(os, call)

    def refuse(*given, **options):
        if any(str(name).endswith("linked.service") for name in given):
            raise OSError(30, "Read-only file system")
        return real(*given, **options)

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(HostError, match=rf"^{path} cannot be written: Read-only file system"):
        apply(root, lambda host: host.set_link(path, "../new"))


def test_files_links_and_lines_carry_their_class(root):
    def planner(host):
        host.set_file("/etc/file", b"x", disruption="reboot")
        host.change(
            Change("/etc/link", None, "/x", "stall"),
            lambda: os.symlink("/x", host.path("/etc/link")),
            kind="link",
            original={"link": None},
        )
        host.change(
            Change("/etc/lines", None, "x", "guest"),
            lambda: host.write_file("/etc/lines", b"x"),
            kind="lines",
            original={"lines": "x", "absent": True},
        )

    apply(root, planner)
    host = writable(root)
    host.restore_files()
    host.restore_links()
    restore_lines(host)
    assert {change.resource: change.disruption for change in host.changes} == {
        "/etc/file": "reboot",
        "/etc/link": "stall",
        "/etc/lines": "guest",
    }
