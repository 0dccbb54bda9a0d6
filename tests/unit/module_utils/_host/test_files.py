# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Atomic files and the lock, with and without a Host."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host import files
from ansible_collections.realtime.kvm.plugins.module_utils._host import host as _host
from ansible_collections.realtime.kvm.plugins.module_utils._host.files import (
    mode_of,
    read_link,
    replace_file,
    take_lock,
    temporary_of,
    unlink,
    write_file,
)
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import LOCK, STATE_DIR
from unit.hosts import FOREIGN, KEPT
from unit.trees import fill, killed_at, snapshot, writable


def test_a_failure_before_the_rename_leaves_the_old_file_and_no_rest(root, monkeypatch):
    before = snapshot(root)

    def refuse(*_args):
        raise OSError(28, "No space left on device")

    host = writable(root)
    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(HostError, match=f"^{KEPT} cannot be written: No space left on device$"):
        host.write_file(KEPT, b"ours")
    assert snapshot(root) == before


def test_a_file_is_complete_on_disk_before_it_takes_its_place(root, monkeypatch):
    order = []
    real_rename = os.rename

    def fsync(handle):
        order.append(("fsync", os.path.basename(os.readlink(f"/proc/self/fd/{handle}")), os.fstat(handle).st_size))

    def rename(source, target):
        order.append(("rename", Path(source).read_bytes(), os.stat(source).st_mode & 0o777))
        real_rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    writable(root).write_file(KEPT, b"ours", 0o600)
    assert [step[0] for step in order] == ["fsync", "rename", "fsync"]
    assert order[0][2] == 4
    assert order[1] == ("rename", b"ours", 0o600)
    assert order[2][1] == "etc"


@pytest.mark.parametrize("plant", [os.symlink, os.link], ids=["symbolic link", "hard link"])
def test_what_appears_in_the_place_of_the_half_written_file_is_not_written_to(root, monkeypatch, plant):
    """Someone may put a link there after the remains of a killed run were removed, and before the file is made."""
    victim = fill(root, {"/etc/victim": "as it was"})
    plant(f"{victim}/etc/victim", f"{root}/etc/.realtime-kvm-kept.conf")
    monkeypatch.setattr(os, "unlink", lambda _path: None)
    with pytest.raises(HostError, match=r"^/etc/kept\.conf cannot be written: "):
        writable(root).write_file(KEPT, b"ours")
    assert Path(f"{root}/etc/victim").read_text() == "as it was"
    assert Path(f"{root}{KEPT}").read_bytes() == FOREIGN


def test_at_any_moment_a_file_is_the_old_or_the_new_one(root):
    new = b"n" * 5000
    step = 0
    while killed_at(step, lambda: writable(root).write_file(KEPT, new), root):
        assert Path(f"{root}{KEPT}").read_bytes() == FOREIGN
        step += 1
    assert step >= 3
    assert Path(f"{root}{KEPT}").read_bytes() == new
    assert [path for path in snapshot(root) if "realtime-kvm-" in path] == []


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

    monkeypatch.setattr(_host.os, "makedirs", refuse)
    with (
        pytest.raises(HostError, match=f"^{STATE_DIR} cannot be written: Permission denied; run with become: true$"),
        writable(root).locked(),
    ):
        pass


# -- the functions themselves ----------------------------------------------------------------------


def test_a_file_is_written_with_its_folders_its_mode_and_nothing_beside_it(tmp_path):
    full = tmp_path / "new" / "folder" / "file"
    write_file(str(full), b"one", 0o640)
    assert (full.read_bytes(), mode_of(str(full))) == (b"one", 0o640)
    write_file(str(full), b"two", 0o600)
    assert (full.read_bytes(), mode_of(str(full))) == (b"two", 0o600)
    assert os.listdir(full.parent) == ["file"]


def test_what_a_killed_run_left_half_written_is_replaced(tmp_path):
    full = str(tmp_path / "file")
    assert temporary_of(full) == f"{tmp_path}/.realtime-kvm-file"
    Path(temporary_of(full)).write_bytes(b"half")
    write_file(full, b"whole", 0o644)
    assert Path(full).read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("plant", [os.symlink, os.link], ids=["symbolic link", "hard link"])
def test_a_half_written_file_is_made_and_never_opened(tmp_path, monkeypatch, plant):
    """O_EXCL and O_NOFOLLOW: what stands there already is neither followed nor written to."""
    victim, full = tmp_path / "victim", str(tmp_path / "file")
    victim.write_text("as it was")
    plant(str(victim), temporary_of(full))
    monkeypatch.setattr(os, "unlink", lambda _path: None)
    with pytest.raises(FileExistsError):
        write_file(full, b"ours", 0o644)
    assert victim.read_text() == "as it was"
    assert not os.path.exists(full)


def test_a_finished_file_takes_the_place_of_another_with_its_mode(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{handle}"))))
    new, full = tmp_path / "new", tmp_path / "old"
    new.write_text("new")
    full.write_text("old")
    new.chmod(0o600)
    full.chmod(0o444)
    replace_file(str(new), str(full))
    assert (full.read_text(), mode_of(str(full)), new.exists()) == ("new", 0o444, False)
    assert synced == ["new", tmp_path.name], "the content before its name"


def test_links_are_read_and_what_is_not_there_is_removed_without_a_word(tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "file").write_text("")
    assert [read_link(str(tmp_path / name)) for name in ("link", "file", "none")] == ["nowhere", None, None]
    for name in ("link", "file", "none", "none/below"):
        unlink(str(tmp_path / name))
    assert os.listdir(tmp_path) == []


def test_a_lock_makes_its_folder_for_root_alone_and_ends_with_its_handle(tmp_path):
    full = str(tmp_path / "state" / "lock")
    handle = take_lock(full)
    assert (mode_of(os.path.dirname(full)), mode_of(full)) == (0o700, 0o600)
    other = os.open(full, os.O_WRONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(handle)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)


def test_a_lock_whose_file_was_removed_while_it_was_waited_for_is_taken_again(tmp_path, monkeypatch):
    full = str(tmp_path / "lock")
    real, waits = fcntl.flock, []

    def flock(handle, operation):
        real(handle, operation)
        waits.append(handle)
        if len(waits) == 1:
            os.unlink(full)  # the run that held it ends

    monkeypatch.setattr(fcntl, "flock", flock)
    handle = take_lock(full)
    assert len(waits) == 2
    assert os.path.samestat(os.fstat(handle), os.stat(full)), "the lock of a file that is gone locks no other run out"
    os.close(handle)


def test_something_else_in_the_place_of_the_locks_folder_is_an_error(tmp_path):
    (tmp_path / "state").write_text("")
    with pytest.raises(NotADirectoryError):
        take_lock(str(tmp_path / "state" / "lock"))


@pytest.mark.parametrize("kind", ["link", "hard link"])
def test_a_file_that_another_user_puts_in_the_way_is_not_written_through(tmp_path, monkeypatch, kind):
    """It appears after what a killed run has left was removed."""
    victim, wanted = tmp_path / "victim", tmp_path / "file"
    victim.write_text("theirs")
    (os.symlink if kind == "link" else os.link)(victim, files.temporary_of(str(wanted)))
    monkeypatch.setattr(files, "unlink", lambda _full: None)
    with pytest.raises(FileExistsError):
        files.write_file(str(wanted), b"ours", 0o600)
    assert victim.read_text() == "theirs"
    assert not wanted.exists()


def test_only_regular_files_are_read(tmp_path):
    (tmp_path / "file").write_bytes(b"\xff")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "link").symlink_to("file")
    assert files.read_file(f"{tmp_path}/file") == files.read_file(f"{tmp_path}/link") == b"\xff"
    for name in ("pipe", "zero", "."):
        assert files.read_file(f"{tmp_path}/{name}") is None
    with pytest.raises(FileNotFoundError):
        files.read_file(f"{tmp_path}/absent")


def test_a_file_beyond_the_limit_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_BYTES", 1 << 20)
    (tmp_path / "large").write_bytes(b"x" * (1 << 20))
    assert len(files.read_file(f"{tmp_path}/large")) == 1 << 20
    (tmp_path / "large").write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(HostError, match=r"^/large has more than 1 MiB, so it is not read$"):
        Host(str(tmp_path)).read("/large")
