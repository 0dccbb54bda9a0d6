# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in its place on the disk, where a boot loader finds it; on a real ext4 in an image, mounted in a namespace of its own."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host import checkpoint as _checkpoint

TOOLS = ("/usr/sbin/mke2fs", "/usr/sbin/debugfs")
on_a_disk = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(os.path.exists, TOOLS)) or not shutil.which("unshare"), reason="needs root and e2fsprogs"
)
WORK = """
import errno, fcntl, os, shutil, signal, sys, time
sys.path.insert(0, sys.argv[1])
from ansible_collections.realtime.kvm.plugins.module_utils._host import checkpoint as c
from ansible_collections.realtime.kvm.plugins.module_utils._host.files import write_file
mount, image, copy, how = sys.argv[2:]
folder = mount + "/boot/grub"
write_file(folder + "/custom.cfg", b"the hold", 0o644)
really = fcntl.ioctl
def old_kernel(handle, number, *rest):
    if number == c._EXT4_CHECKPOINT:
        raise OSError(errno.ENOTTY, "no such ioctl")
    return really(handle, number, *rest)
def killed(handle, number, *rest):
    if number == c._THAW and os.getpid() == child:
        os.kill(child, signal.SIGKILL)
    return old_kernel(handle, number, *rest)
if how == "not":
    print("not asked")
elif how == "killed":
    fcntl.ioctl = killed
    child = os.fork()
    if child == 0:
        child = os.getpid()
        c.checkpoint(folder, mount)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    print("killed")
else:
    if how == "frozen":
        fcntl.ioctl = old_kernel
    print(repr(c.checkpoint(folder, mount)))
shutil.copyfile(image, copy)
write_file(folder + "/later", b"x", 0o644)  # waits for ever where it stays frozen
print("writable")
"""


def on_disk(tmp_path, how, kind="ext4"):
    """What was said, and what a program that replays no journal reads of the file after a power cut."""
    (tmp_path / "tree/boot/grub").mkdir(parents=True)
    (tmp_path / "mount").mkdir()
    image, copy = tmp_path / "disk", tmp_path / "copy"
    with image.open("wb") as stream:
        stream.truncate(16 << 20)
    subprocess.run([TOOLS[0], "-q", "-t", kind, "-d", tmp_path / "tree", image], check=True, capture_output=True)
    (tmp_path / "work.py").write_text(WORK)
    collections = str(Path(_checkpoint.__file__).parents[6]) if "ansible_collections" in _checkpoint.__file__ else ""
    words = [sys.executable, tmp_path / "work.py", collections, tmp_path / "mount", image, copy, how]
    script = f"mount -o loop '{image}' '{tmp_path}/mount' || exit 77; \"$@\"; code=$?; umount '{tmp_path}/mount'; exit $code"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *words], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode == 77:
        pytest.skip(f"nothing can be mounted here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    seen = subprocess.run([TOOLS[1], "-R", "cat /boot/grub/custom.cfg", copy], capture_output=True, text=True, check=False).stdout
    return done.stdout.split("\n")[:-1], seen


@on_a_disk
@pytest.mark.parametrize(
    ("how", "kind", "said", "seen"),
    [
        ("not", "ext4", "not asked", ""),
        ("asked", "ext4", "''", "the hold"),
        ("frozen", "ext4", "''", "the hold"),  # before Linux 5.14, and XFS
        ("killed", "ext4", "killed", "the hold"),
    ],
)
def test_what_a_boot_loader_sees_after_a_power_cut(tmp_path, how, kind, said, seen):
    assert on_disk(tmp_path, how, kind) == ([said, "writable"], seen)


@pytest.fixture(name="asked")
def _asked(monkeypatch):
    """The calls of the kernel, which refuses each with the given error."""
    found = []

    def refuse(_handle, number, _argument):
        found.append(number)
        raise OSError(refuse.code, os.strerror(refuse.code))

    refuse.code = errno.ENOTTY
    monkeypatch.setattr(_checkpoint.fcntl, "ioctl", refuse)
    found.append(refuse)
    return found


def test_a_tree_that_is_part_of_another_file_system_is_left_alone(tmp_path, asked):
    (tmp_path / "boot").mkdir()
    assert _checkpoint.checkpoint(f"{tmp_path}/boot", str(tmp_path)) == ""
    assert len(asked) == 1


def test_the_root_file_system_is_never_frozen(asked, monkeypatch):
    monkeypatch.setattr(_checkpoint, "freeze_and_thaw", lambda _handle: pytest.fail("frozen"))
    monkeypatch.setattr(_checkpoint.os.path, "ismount", lambda path: path == "/")
    assert "it is in the root file system, which is not frozen" in _checkpoint.checkpoint("/usr")
    assert asked[1:] == [_checkpoint._EXT4_CHECKPOINT]


@pytest.mark.parametrize(
    ("code", "said"), [(errno.ENODEV, ""), (errno.EOPNOTSUPP, ""), (errno.EPERM, "it cannot be frozen (Operation not permitted)")]
)
def test_a_file_system_without_a_journal_has_nothing_to_empty(tmp_path, asked, monkeypatch, code, said):
    asked[0].code = code
    monkeypatch.setattr(_checkpoint.os.path, "ismount", lambda path: path == str(tmp_path))
    assert _checkpoint.checkpoint(str(tmp_path)) == said


def test_a_folder_that_is_gone_is_named(tmp_path, asked):
    assert _checkpoint.checkpoint(f"{tmp_path}/away") == f"{tmp_path}/away: No such file or directory"
    assert len(asked) == 1
