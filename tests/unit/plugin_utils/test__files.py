# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on the controller: complete or not there, with the operator's umask."""

from __future__ import annotations

import os

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils import _files
from ansible_collections.realtime.kvm.plugins.plugin_utils._files import write_files


@pytest.fixture(name="umask")
def _umask():
    before = os.umask(0o027)
    yield
    os.umask(before)


def test_files_are_written_as_the_umask_wants(tmp_path, umask):
    del umask
    write_files(str(tmp_path / "a" / "b"), {"x.json": "µ\n", "y": ""})
    assert (tmp_path / "a" / "b" / "x.json").read_bytes() == "µ\n".encode()
    assert (tmp_path / "a" / "b" / "x.json").stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(tmp_path / "a" / "b")) == ["x.json", "y"]


def test_a_file_that_cannot_be_completed_leaves_the_old_one(tmp_path, monkeypatch):
    write_files(str(tmp_path), {"x": "old"})

    def fail(_handle, _mode):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files.os, "fchmod", fail)
    with pytest.raises(OSError, match="No space"):
        write_files(str(tmp_path), {"x": "new"})
    assert os.listdir(tmp_path) == ["x"]
    assert (tmp_path / "x").read_text() == "old"
