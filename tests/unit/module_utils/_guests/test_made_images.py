# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that are made and grown: whole or not at all, wherever a run is killed. Runs of rt_domain: test_rt_domain_disks.py."""

from __future__ import annotations

import itertools
import os

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._guests import made_images
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import GuestError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.made_images import exact, gib
from ansible_collections.realtime.kvm.plugins.module_utils._host.files import temporary_of
from unit.disk_runs import BASE, FOLDER, Disks
from unit.image_tools import GIB, put, qcow2, size_of
from unit.trees import killed_at

COPY = {"base": BASE, "size_gib": 20}
THREE = [COPY, {"size_gib": 3, "format": "raw"}, {"base": BASE, "base_mode": "overlay"}]


def guest(*disks, name="plc1", **more):
    return {"name": name, "disks": list(disks), **more}


def refusal(disks, *guests, **more):
    messages = []
    for check in (True, False):
        with pytest.raises(HostError if more.pop("host", False) else GuestError) as error:
            disks.run(*guests, check=check, **more)
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    return messages[0]


def test_killed_anywhere_the_next_run_makes_whole_images_and_nothing_is_left(tmp_path):
    for step in itertools.count():
        disks = Disks(tmp_path / f"step{step}")
        killed = killed_at(step, lambda disks=disks: disks.run(guest(*THREE)), disks.root)
        for name in disks.names():
            path = disks.file(name)
            whole = name.startswith(".") or (
                path.stat().st_size == 3 * GIB if path.suffix == ".raw" else size_of(path) in (4 * GIB, 20 * GIB)
            )
            assert whole, f"killed before step {step}: {name} is half an image"
        disks.run(guest(*THREE))
        assert disks.names() == ["plc1-vda.qcow2", "plc1-vdb.raw", "plc1-vdc.qcow2"], step
        assert size_of(disks.file("plc1-vda.qcow2")) == 20 * GIB
        assert disks.file("plc1-vda.qcow2").read_bytes().endswith(b"an operating system")
        assert disks.images.unfinished() == {}
        assert disks.run(guest(*THREE)) == []
        if not killed:
            break
    assert step > 20


def test_what_a_killed_run_left_goes_with_the_next_and_is_no_change(tmp_path):
    disks = Disks(tmp_path)
    disks.run(guest(COPY))
    left = disks.root / temporary_of(f"{FOLDER}/plc1-vda.qcow2")[1:]
    os.link(disks.file("plc1-vda.qcow2"), left)  # killed between the two names
    assert disks.run(guest(COPY), check=True) == []
    assert left.exists()
    assert disks.run(guest(COPY)) == []
    assert disks.names() == ["plc1-vda.qcow2"]


def test_a_leftover_that_is_a_link_is_not_followed(tmp_path):
    disks = Disks(tmp_path)
    put(disks.root, "/etc/precious", b"precious")
    os.symlink("/etc/precious", disks.root / temporary_of(f"{FOLDER}/plc1-vda.qcow2")[1:])
    disks.run(guest(COPY))
    assert (disks.root / "etc/precious").read_bytes() == b"precious"
    assert not disks.file("plc1-vda.qcow2").is_symlink()


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_a_folder_that_others_can_write_is_refused(tmp_path, mode):
    disks = Disks(tmp_path)
    (disks.root / "vms").mkdir()
    os.chmod(disks.root / "vms", mode)
    message = refusal(disks, guest({"size_gib": 1, "path": "/vms/a.qcow2"}))
    assert message.startswith(
        "realtime_guests: plc1: disk /vms/a.qcow2 is not made or grown, since not only root can change the names in vms on the way to it"
    )
    os.chmod(disks.root / "vms", mode | 0o1000)  # as /tmp is: nobody can rename another's file
    disks.run(guest({"size_gib": 1, "path": "/vms/a.qcow2"}))


def test_what_is_there_must_be_an_image_of_roots(tmp_path, monkeypatch):
    disks = Disks(tmp_path)
    os.symlink("elsewhere.qcow2", disks.file("link.qcow2"))
    os.mkfifo(disks.file("pipe.qcow2"))
    put(disks.root, f"{FOLDER}/text.qcow2", b"text")
    put(disks.root, f"{FOLDER}/over.qcow2", qcow2(backing="/x"))

    def said(name, **more):
        return refusal(disks, guest({"path": f"{FOLDER}/{name}", "size_gib": 1, **more}))

    assert said("link.qcow2").endswith("link.qcow2 is a link; give the path of the image itself")
    assert said("pipe.qcow2").endswith("pipe.qcow2 is no regular file")
    assert "text.qcow2 is not of format qcow2: qemu-img: Could not open" in said("text.qcow2")
    assert "over.qcow2 is there, as an overlay of /x, but base_mode is copy" in said("over.qcow2", base=BASE)
    disks.run(guest({"path": f"{FOLDER}/over.qcow2", "size_gib": 1}))  # somebody has made it so
    disks.run(guest({"path": f"{FOLDER}/over.qcow2", "base": BASE, "base_mode": "overlay"}))
    monkeypatch.setattr(made_images, "owners", lambda: {12345})
    assert "text.qcow2 belongs to" in said("text.qcow2")


def test_the_page_cache_is_left_out_where_both_file_systems_take_it(tmp_path, monkeypatch):
    disks = Disks(tmp_path)
    for number, direct in enumerate((True, False)):
        monkeypatch.setattr(made_images, "takes_direct_io", lambda _host, path, direct=direct: direct or path == BASE)
        disks.run(guest({"base": BASE, "path": f"{FOLDER}/{number}.qcow2"}))
        assert ("-t" in disks.tools.ran[-1]) is direct


def test_what_is_read_back_is_compared(tmp_path):
    disks = Disks(tmp_path)
    disks.run(guest(COPY, {"size_gib": 1}))
    put(disks.root, f"{FOLDER}/plc1-vda.qcow2", qcow2(4 * GIB))
    put(disks.root, f"{FOLDER}/plc1-vdb.qcow2", b"")
    found = disks.images.unfinished()
    assert found[f"{FOLDER}/plc1-vda.qcow2"] == "it has 4 GiB instead of 20 GiB"
    assert found[f"{FOLDER}/plc1-vdb.qcow2"].startswith("it cannot be read: qemu-img: Could not open")


@pytest.mark.parametrize(
    ("size", "short", "whole"),
    [
        (0, "0 MiB", "0 MiB"),
        (3 << 20, "3 MiB", "3 MiB (3145728 bytes)"),
        (GIB, "1 GiB", "1 GiB"),
        (GIB + 512, "1 GiB", "1 GiB (1073742336 bytes)"),
        (3 * GIB // 2, "1.5 GiB", "1.5 GiB"),
        (1 << 46, "65536 GiB", "65536 GiB"),
    ],
)
def test_sizes_in_words(size, short, whole):
    assert (gib(size), exact(size)) == (short, whole)
