# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file for node_exporter: whole or not replaced, whatever fails."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._metrics import output as _output
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.kept import OPTIONS
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.output import is_ours, write_metrics
from ansible_collections.realtime.kvm.plugins.module_utils._watch.options import MARK, OUTPUT
from unit.trees import fill, killed_at, snapshot, writable

FOLDER = "/var/lib/prometheus/node-exporter"
TEXT = "# TYPE a gauge\na 1\n"


@pytest.fixture(name="root")
def _root(tmp_path):
    return fill(tmp_path, {OPTIONS: json.dumps({"directory": FOLDER, "interval_s": 15}), f"{FOLDER}/": None})


def write(root, text=TEXT):
    write_metrics(writable(root, check_mode=True), text)


def content(root):
    return (root / FOLDER[1:] / OUTPUT).read_bytes()


def files(root):
    return sorted(os.listdir(root / FOLDER[1:]))


def test_the_file_is_for_everybody_to_read_whatever_the_umask(root):
    before = os.umask(0o077)
    try:
        write(root)
    finally:
        os.umask(before)
    assert content(root) == (MARK + TEXT).encode()
    assert stat.S_IMODE((root / FOLDER[1:] / OUTPUT).stat().st_mode) == 0o644
    assert files(root) == [OUTPUT]


def test_the_new_text_takes_the_place_of_the_old(root):
    write(root)
    write(root, "b 2\n")
    assert content(root).endswith(b"b 2\n")
    assert is_ours(content(root))


@pytest.mark.parametrize("name", [_output.HALF, OUTPUT])
def test_no_other_file_is_one_that_the_collector_reads(name):
    assert name.endswith(".prom") is (name == OUTPUT)


@pytest.mark.parametrize("call", ["write", "fsync", "rename", "fchmod"])
def test_a_full_disk_leaves_the_old_file_whole(root, monkeypatch, call):
    write(root)
    old = content(root)

    def full(*_rest, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if call == "write":
        real = os.fdopen

        def opened(*rest, **options):
            stream = real(*rest, **options)
            return type("Full", (), {"__enter__": lambda self: self, "__exit__": lambda *_rest: stream.close(), "write": full})()

        monkeypatch.setattr(_output.os, "fdopen", opened)
    else:
        monkeypatch.setattr(_output.os, call, full)
    with pytest.raises(HostError, match="cannot be written: No space left on device; the file from before stays as it is"):
        write(root, "b 2\n" * 100_000)
    monkeypatch.undo()
    assert content(root) == old
    assert files(root) == [OUTPUT]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a file system")
def test_a_file_system_that_is_really_full(root):
    """In a mount namespace of its own, on a file system of 32 KiB."""
    script = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from unit.module_utils._metrics.test_output import write, content, files\n"
        f"from pathlib import Path; root = Path({str(root)!r})\n"
        "write(root); old = content(root)\n"
        "try:\n    write(root, 'b 2\\n' * 100_000)\nexcept Exception as error:\n    print(type(error).__name__, error)\n"
        "print(content(root) == old, files(root))\n"
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f'mount -t tmpfs -o size=32k none {root}{FOLDER} && exec {sys.executable} -c "$0"', script],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(done.stderr)
    assert "No space left on device" in done.stdout, done.stderr
    assert done.stdout.splitlines()[-1] == f"True ['{OUTPUT}']"


def test_a_kill_at_any_step_leaves_the_old_or_the_new_file(root):
    write(root)
    step, names = 0, set()
    while killed_at(step, lambda: write(root, "b 2\n"), ""):  # its names are those in a folder that is open
        assert content(root) in ((MARK + TEXT).encode(), MARK.encode() + b"b 2\n")
        names.update(name for name in files(root) if name.endswith(".prom"))
        step += 1
    assert step > 2
    assert names == {OUTPUT}
    write(root)
    assert files(root) == [OUTPUT], "what a killed run left is gone"


def test_a_folder_that_is_absent_is_named_and_not_made(root):
    (root / FOLDER[1:]).rmdir()
    before = snapshot(root)
    with pytest.raises(
        HostError, match=f"{FOLDER} cannot be opened: No such file or directory; make it and let node_exporter read it"
    ):
        write(root)
    assert snapshot(root) == before


def test_a_file_in_place_of_the_folder_is_named(root):
    (root / FOLDER[1:]).rmdir()
    (root / FOLDER[1:]).write_text("mine")
    with pytest.raises(HostError, match="cannot be opened: Not a directory"):
        write(root)
    assert (root / FOLDER[1:]).read_text() == "mine"


@pytest.mark.parametrize("kind", ["file", "link", "folder", "pipe"])
def test_what_somebody_else_has_put_there_stays(root, kind):
    path = root / FOLDER[1:] / OUTPUT
    (root / "other").write_bytes(MARK.encode())
    {
        "file": lambda: path.write_text("mine 1\n"),
        "link": lambda: path.symlink_to(root / "other"),
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
    }[kind]()
    before = snapshot(root) if kind != "pipe" else None
    with pytest.raises(HostError, match=f"{FOLDER}/{OUTPUT} (is|cannot)"):
        write(root)
    assert files(root) == [OUTPUT]
    assert before is None or snapshot(root) == before


def test_a_link_in_place_of_the_new_file_is_not_followed(root):
    target = root / "target"
    target.write_text("mine")
    (root / FOLDER[1:] / _output.HALF).symlink_to(target)
    write(root)
    assert target.read_text() == "mine"
    assert files(root) == [OUTPUT]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (None, "is missing, so nothing says where"),
        ("{", "is damaged"),
        ("{}", "is damaged"),
        ('{"directory": 5}', "is damaged"),
        ('{"directory": ""}', "no absolute path"),
        ('{"directory": "relative"}', "no absolute path"),
    ],
)
def test_options_that_say_nothing_are_named(root, options, said):
    if options is None:
        (root / OPTIONS[1:]).unlink()
    else:
        (root / OPTIONS[1:]).write_text(options)
    with pytest.raises(HostError, match=f"{OPTIONS} .*{said}.*run the rt_metrics role"):
        write(root)
    assert files(root) == []
