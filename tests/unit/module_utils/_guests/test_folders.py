# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways to a file that only root can change. Removal of images along them: test_images.py."""

from __future__ import annotations

import os

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._guests import folders
from ansible_collections.realtime.kvm.plugins.module_utils._guests.folders import (
    owner_name,
    owners,
    resolve_guarded,
    stat_guarded,
)
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import GuestError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.images import identify, remove_image
from unit.trees import fill, writable


@pytest.fixture(name="host")
def _host(tmp_path):
    return writable(fill(tmp_path / "node", {"/images/a": "a", "/images/deep/": None}))


def test_a_file_and_its_folder(host):
    folder, info = stat_guarded(host, "/images/a", "x")
    assert os.path.samestat(folder, os.stat(host.path("/images")))
    assert os.path.samestat(info, os.stat(host.path("/images/a")))
    assert stat_guarded(host, "/images/b", "x")[1] is None
    with pytest.raises(FileNotFoundError):
        stat_guarded(host, "/none/b", "x")
    with pytest.raises(FileNotFoundError):
        stat_guarded(host, "/images/a/b", "x")


@pytest.mark.parametrize("folder", ["images", "images/deep"])
def test_each_folder_on_the_way_is_roots(host, folder):
    os.chmod(host.path(f"/{folder}"), 0o777)
    with pytest.raises(
        GuestError, match=rf"^x, since not only root can change the names in {os.path.basename(folder)} on the way"
    ):
        stat_guarded(host, "/images/deep/b", "x")
    os.chmod(host.path(f"/{folder}"), 0o1777)
    stat_guarded(host, "/images/deep/b", "x")


def test_links_of_root_lead_to_the_file(host):
    os.symlink("b", host.path("/images/c"))
    os.symlink("../images/a", host.path("/images/b"))
    os.symlink("/images", host.path("/way"))
    path, info = resolve_guarded(host, "/way/c", "x")
    assert (path, info.st_size) == ("/images/a", 1)
    os.symlink("../../way/a", host.path("/images/deep/d"))
    assert resolve_guarded(host, "/way/deep/d", "x")[0] == "/images/a"


def test_links_of_others_and_circles_lead_nowhere(host, monkeypatch):
    os.symlink("round", host.path("/images/round"))
    with pytest.raises(GuestError, match="since its links lead round in a circle"):
        resolve_guarded(host, "/images/round", "x")
    os.symlink("none", host.path("/images/broken"))
    for name in ("none", "broken"):
        with pytest.raises(FileNotFoundError):
            resolve_guarded(host, f"/images/{name}", "x")
    monkeypatch.setattr(folders, "_is_guarded", lambda _info: True)
    monkeypatch.setattr(folders, "_trusted", lambda: {12345})
    with pytest.raises(GuestError, match=r"^x, since it is a link of .*, who can change it; give the path of the file itself"):
        resolve_guarded(host, "/images/broken", "x")


def test_a_link_into_a_folder_of_others_is_refused(host):
    fill(host.root, {"/home/b": "b"})
    os.chmod(host.path("/home"), 0o777)
    os.symlink("/home/b", host.path("/images/b"))
    with pytest.raises(GuestError, match="since not only root can change the names in home"):
        resolve_guarded(host, "/images/b", "x")


LONG = "é" * 128


def test_a_name_that_no_file_system_takes_is_refused_in_words(host):
    said = r"^x, since /.* cannot be looked at \(File name too long\); give another path, or repair it$"
    os.symlink(f"/images/{LONG}", host.path("/images/long"))
    for look, path in (
        (stat_guarded, f"/images/{LONG}"),
        (stat_guarded, f"/{LONG}/a"),
        (resolve_guarded, f"/images/{LONG}"),
        (resolve_guarded, "/images/long"),
        (resolve_guarded, f"/images/{LONG}{LONG}{LONG}/a"),
    ):
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(GuestError, match=said):
            look(host, path, "x")
        assert len(os.listdir("/proc/self/fd")) == before, "no handle stays open"
    with pytest.raises(GuestError, match=r"^realtime_guests: plc1: disk .* is not removed, since it cannot be looked at"):
        identify(host, f"/images/{LONG}", "plc1")
    with pytest.raises(HostError, match="cannot be removed: File name too long"):
        remove_image(host, f"/images/{LONG}", "plc1", (1, 2))


def test_users():
    assert {0, os.geteuid()} <= owners()
    assert owner_name(0) == "root"
    assert owner_name(4_000_000_000) == "user 4000000000"
