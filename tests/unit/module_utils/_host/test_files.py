# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Atomic files, with and without a Host."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host import files
from ansible_collections.realtime.kvm.plugins.module_utils._host.files import (
    mode_of,
    read_link,
    replace_file,
    temporary_of,
    unlink,
    write_file,
)
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import STATE_DIR
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


# -- umask, owner, access list ---------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o077, 0o000, 0o022])
def test_folders_and_files_have_their_modes_whatever_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        host = writable(fill(tmp_path, {"/var/lib/": None}))
        with host.locked():
            host.set_file("/etc/ansible/facts.d/x.fact", b"{}")
            host.set_link("/etc/wants/x.service", "/x")
            host.commit()
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    modes = {path: found[1] for path, found in snapshot(tmp_path).items() if found[0] != "link"}
    assert {path: oct(mode) for path, mode in modes.items() if path.startswith("/etc")} == {
        "/etc": "0o755", "/etc/ansible": "0o755", "/etc/ansible/facts.d": "0o755", "/etc/ansible/facts.d/x.fact": "0o644", "/etc/wants": "0o755",
    }  # fmt: skip
    assert oct(modes[STATE_DIR]) == "0o700"
    assert {oct(mode) for path, mode in modes.items() if path.startswith(f"{STATE_DIR}/")} == {"0o600"}


@pytest.mark.parametrize("replace", [False, True], ids=["written", "moved"])
def test_a_replaced_file_keeps_its_owner(tmp_path, monkeypatch, replace):
    full, new, given = tmp_path / "file", tmp_path / "new", []
    full.write_text("one")
    new.write_text("two")
    real = os.lstat

    def lstat(path):
        found = list(real(path))
        found[4:6] = 1234, 4321
        return os.stat_result(found)

    monkeypatch.setattr(os, "lstat", lstat)
    monkeypatch.setattr(
        os, "fchown", lambda handle, *owner: given.append((os.path.basename(os.readlink(f"/proc/self/fd/{handle}")), *owner))
    )
    if replace:
        replace_file(str(new), str(full))
    else:
        write_file(str(full), b"two", 0o640)
    assert given == [("new" if replace else ".realtime-kvm-file", 1234, 4321)], "before it takes its place"
    assert full.read_text() == "two"


def test_a_replaced_file_keeps_access_list_and_label_and_no_signature(tmp_path, monkeypatch):
    full = tmp_path / "file"
    full.write_text("one")
    there = {"security.selinux": b"etc_t", "system.posix_acl_access": b"list", "security.ima": b"of the old content"}
    given = {}

    def getxattr(_path, name, follow_symlinks):
        assert not follow_symlinks
        if name not in there:
            raise OSError(errno.ENODATA, "")
        return there[name]

    monkeypatch.setattr(os, "getxattr", getxattr)
    monkeypatch.setattr(os, "setxattr", lambda handle, name, value: given.update({(os.fstat(handle).st_size, name): value}))
    write_file(str(full), b"two", 0o640)
    assert given == {(0, "security.selinux"): b"etc_t", (0, "system.posix_acl_access"): b"list"}, "before it takes its place"
    del there["security.selinux"], there["system.posix_acl_access"]
    write_file(str(full), b"three", 0o640)
    assert full.read_bytes() == b"three"


def test_a_label_that_cannot_be_given_is_an_error_and_the_old_file_stays(tmp_path, monkeypatch):
    full = tmp_path / "file"
    full.write_text("one")
    monkeypatch.setattr(os, "getxattr", lambda *_arguments, **_options: b"x")

    def refuse(*_arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setxattr", refuse)
    with pytest.raises(PermissionError):
        write_file(str(full), b"two", 0o640)
    assert (full.read_text(), os.listdir(tmp_path)) == ("one", ["file"])


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
