# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of an inventory is written whole or not at all; what belongs to others stays in it."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement import folder
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.applied import inventory_files
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.model import PlacementError

FILES = inventory_files({"a": [{"name": "g"}], "b": []})


def texts(path):
    return {str(one.relative_to(path)): one.read_text() for one in sorted(path.rglob("*")) if one.is_file()}


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_takes_the_place_of_the_old_one(tmp_path, monkeypatch, exchange):
    if not exchange:  # another system than Linux
        monkeypatch.setattr(folder.ctypes, "CDLL", lambda _name: object())
    target = tmp_path / "guests"
    folder.write_inventory(str(target), FILES, [])
    (target / "own.yml").write_text("own: true\n")
    new = inventory_files({"a": []})
    folder.write_inventory(str(target), new, ["host_vars/b.yml"])
    assert texts(target) == {**new, "own.yml": "own: true\n"}
    assert [path.name for path in tmp_path.iterdir()] == ["guests"]
    assert {path.stat().st_mode & 0o077 for path in [target, *target.rglob("*")] if path.name != "own.yml"} == {0}


def test_a_folder_that_cannot_be_written_stays_as_it_was(tmp_path, monkeypatch):
    target = tmp_path / "guests"
    folder.write_inventory(str(target), FILES, [])
    write, names = folder.write_files, []

    def fails(path, files):
        names.extend(files)
        if len(names) == 2:
            raise OSError(28, "No space left on device")
        write(path, files)

    monkeypatch.setattr(folder, "write_files", fails)
    with pytest.raises(PlacementError, match=r"realtime_place_folder: .*guests cannot be written: No space left on device"):
        folder.write_inventory(str(target), inventory_files({"a": [], "b": []}), [])
    assert texts(target) == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["guests"]


def test_what_place_has_not_written_is_no_file_of_a_host(tmp_path):
    target = tmp_path / "leave"
    files = inventory_files({"a": []}, leave=True)
    folder.write_inventory(str(target), files, [])
    (target / "host_vars" / "own.yml").write_text("own: true\n")
    assert folder.host_files(str(target)) == {"host_vars/a.yml": files["host_vars/a.yml"]}
    assert not folder.changed(str(target), files, [])
    folder.remove_inventory(str(target))
    assert texts(target) == {"host_vars/own.yml": "own: true\n"}
    assert folder.host_files(str(tmp_path / "none")) == {}
