# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a unit: drop-ins by name from all folders, and masks."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host.unit_files import unit_files
from unit.trees import fill, writable

NAME = "nova-compute.service"
VENDOR, ETC = "/usr/lib/systemd/system", "/etc/systemd/system"
TEXT = "[Service]\nExecStart=/bin/x\n"


def test_drop_ins_are_read_by_name_wherever_they_are(tmp_path):
    paths = [
        f"{ETC}/service.d/30.conf",
        f"{ETC}/nova-.service.d/20.conf",
        f"{VENDOR}/{NAME}.d/40.conf",
        f"{ETC}/{NAME}.d/10.conf",
    ]
    fill(
        tmp_path, dict.fromkeys([f"{VENDOR}/{NAME}", *paths, f"{ETC}/nova-other.service.d/1.conf", f"{ETC}/{NAME}.d/x.txt"], TEXT)
    )
    assert unit_files(writable(tmp_path), NAME) == [f"{VENDOR}/{NAME}", paths[3], paths[1], paths[0], paths[2]]


def test_of_two_with_one_name_that_in_the_more_particular_folder_counts(tmp_path):
    fill(
        tmp_path,
        dict.fromkeys((f"{VENDOR}/{NAME}", f"{ETC}/{NAME}", f"{VENDOR}/{NAME}.d/a.conf", f"{ETC}/{NAME}.d/a.conf"), TEXT),
    )
    assert unit_files(writable(tmp_path), NAME) == [f"{ETC}/{NAME}", f"{ETC}/{NAME}.d/a.conf"]


@pytest.mark.parametrize("mask", ["", ("link", "/dev/null")], ids=["empty", "link"])
def test_a_masked_unit_is_none(tmp_path, mask):
    fill(tmp_path, {f"{VENDOR}/{NAME}": TEXT, f"{ETC}/{NAME}.d/a.conf": TEXT})
    path = tmp_path / f"{ETC[1:]}/{NAME}"
    path.symlink_to("/dev/null") if mask else path.write_text("")
    assert unit_files(writable(tmp_path), NAME) == []
    assert unit_files(writable(tmp_path), "other.service") == []
