# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths behind symbolic links stay inside the machine's root."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.resolve import resolve
from unit.trees import fill


def test_a_link_is_followed_inside_the_root(tmp_path):
    fill(tmp_path, {"/sys/cpu2/id": "2\n", "/sys/alias": ("link", "cpu2")})
    host = Host(str(tmp_path))
    assert resolve(host, "/sys/alias/id") == "/sys/cpu2/id"
    assert resolve(host, "/sys/cpu2/id") == "/sys/cpu2/id"
    assert resolve(host, "/sys/none") == "/sys/none"


def test_a_link_that_leads_out_of_the_root_is_shown_as_it_is(tmp_path):
    fill(tmp_path / "root", {"/sys/out": ("link", f"{tmp_path}/elsewhere")})
    assert resolve(Host(f"{tmp_path}/root"), "/sys/out") == f"{tmp_path}/elsewhere"


def test_on_the_machine_itself_paths_are_whole(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("file")
    assert resolve(Host(), f"{tmp_path}/link") == f"{tmp_path}/file"
