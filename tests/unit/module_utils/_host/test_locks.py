# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The locks: one run at a time, who holds one, and a run that gives up waiting."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host import files as _files
from ansible_collections.realtime.kvm.plugins.module_utils._host import locks as _locks
from ansible_collections.realtime.kvm.plugins.module_utils._host.files import mode_of
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import LOCK, STATE_DIR
from ansible_collections.realtime.kvm.plugins.module_utils._host.locks import CPU_LOCK, LockedError, holder_of, take_lock
from unit.trees import fill, snapshot, writable


def test_the_lock_is_held_meanwhile(root):
    with writable(root).locked():
        handle = os.open(f"{root}{LOCK}", os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(handle)


def test_only_one_run_at_a_time_although_each_removes_the_lock(root):
    inside, most, errors = [], [], []

    def run():
        try:
            for _rest in range(12):
                with writable(root).locked():
                    inside.append(1)
                    most.append(len(inside))
                    threading.Event().wait(0.0005)
                    inside.pop()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _rest in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert max(most) == 1
    assert not os.path.exists(f"{root}{STATE_DIR}")


def test_a_file_in_the_place_of_the_state_directory_is_named(root):
    fill(root, {STATE_DIR: "not ours"})
    with pytest.raises(HostError, match=f"^{STATE_DIR} is not a directory"), writable(root).locked():
        pass
    assert Path(f"{root}{STATE_DIR}").read_text() == "not ours"


def test_without_the_right_to_write_the_remedy_is_named(root, monkeypatch):
    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(_files.os, "mkdir", refuse)
    with (
        pytest.raises(HostError, match=f"^{STATE_DIR} cannot be written: Permission denied; run with become: true$"),
        writable(root).locked(),
    ):
        pass


# -- the functions themselves ----------------------------------------------------------------------


def test_a_lock_makes_its_folder_for_root_alone_and_ends_with_its_handle(tmp_path):
    full = str(tmp_path / "state" / "lock")
    handle = take_lock(full, "me")
    assert (mode_of(os.path.dirname(full)), mode_of(full)) == (0o700, 0o600)
    other = os.open(full, os.O_WRONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(handle)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)


def test_a_lock_whose_file_was_removed_meanwhile_is_taken_again(tmp_path, monkeypatch):
    full = str(tmp_path / "lock")
    real, waits = fcntl.flock, []

    def flock(handle, operation):
        real(handle, operation)
        waits.append(handle)
        if len(waits) == 1:
            os.unlink(full)  # the run that held it ends

    monkeypatch.setattr(fcntl, "flock", flock)
    handle = take_lock(full, "me")
    assert len(waits) == 2
    assert os.path.samestat(os.fstat(handle), os.stat(full)), "the lock of a file that is gone locks no other run out"
    os.close(handle)


def test_something_else_in_the_place_of_the_locks_folder_is_an_error(tmp_path):
    (tmp_path / "state").write_text("")
    with pytest.raises(NotADirectoryError):
        take_lock(str(tmp_path / "state" / "lock"), "me")


# -- a holder that hangs ---------------------------------------------------------------------------

_HANGS = "import fcntl, os, sys, time; h = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); fcntl.flock(h, fcntl.LOCK_EX); print(flush=True); time.sleep(60)"


@pytest.fixture(name="hangs")
def _hangs():
    """Start a process that takes a lock and hangs; it ends with the test."""
    started = []

    def start(full):
        process = subprocess.Popen([sys.executable, "-c", _HANGS, str(full)], stdout=subprocess.PIPE)
        started.append(process)
        process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize(("path", "owner"), [(LOCK, "test"), (CPU_LOCK, "cpu_partition")])
def test_a_run_behind_one_that_hangs_names_it_and_gives_up(root, monkeypatch, hangs, path, owner):
    monkeypatch.setattr(_locks, "WAIT_S", 0.2)
    fill(root, {path: ""})
    process = hangs(f"{root}{path}")
    Path(f"{root}{path}").write_text(json.dumps({"pid": process.pid, "owner": "rt_domain", "since": 1_800_000_000}))
    began = time.monotonic()
    with pytest.raises(LockedError, match=r"gives up") as refused, writable(root, owner).locked():
        pytest.fail("two runs at once")
    assert time.monotonic() - began < 10
    assert f"{path} is locked by process {process.pid} (rt_domain) since 2027-01-15 08:00:00 UTC" in str(refused.value)
    process.kill()
    process.wait()
    with writable(root, owner).locked():
        pass


def test_the_holder_is_the_one_that_holds_it_now(tmp_path):
    full = str(tmp_path / "lock")
    Path(full).write_text(json.dumps({"pid": 1, "owner": "an earlier run whose name is longer", "since": 0}))
    handle = take_lock(full, "me")
    assert holder_of(full).startswith(f"process {os.getpid()} (me) since 20")
    os.close(handle)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"pid": "x", "owner": "", "since": 0}', '{"pid": 1, "owner": "", "since": 1e99}', "[" * 5000]
)
def test_a_lock_file_that_says_nothing_names_another_process(tmp_path, content):
    (tmp_path / "lock").write_text(content)
    assert holder_of(str(tmp_path / "lock")) == "another process"


def test_a_full_disk_keeps_no_lock_from_being_held(tmp_path, monkeypatch):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_locks.os, "pwrite", full)
    handle = take_lock(str(tmp_path / "lock"), "me")
    with pytest.raises(LockedError, match="locked by another process"):
        take_lock(str(tmp_path / "lock"), "you", 0)
    os.close(handle)


def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path):
    (tmp_path / "lock").symlink_to("victim")
    with pytest.raises(OSError, match="symbolic links"):
        take_lock(str(tmp_path / "lock"), "me")
    assert not (tmp_path / "victim").exists()


def test_a_run_that_moves_cpus_keeps_libvirts_hook_out_and_leaves_nothing(root):
    fill(root, {"/run/": None})
    before = snapshot(root)
    with writable(root, "cpu_partition").locked(), pytest.raises(LockedError, match=r"\(cpu_partition\)"):
        take_lock(f"{root}{CPU_LOCK}", "hook", 0)
    assert snapshot(root) == before
    with writable(root, "rt_domain").locked():  # it starts guests, for which libvirt calls the hook
        os.close(take_lock(f"{root}{CPU_LOCK}", "hook", 0))
