# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks and seeds with the real qemu-img and xorriso: what they make is what was planned, again and again.

Runs where they are installed (apt-get install qemu-utils xorriso).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import GuestError
from unit.disk_runs import BASE, FOLDER, UUID, Disks

QEMU_IMG, XORRISO = shutil.which("qemu-img"), shutil.which("xorriso")
pytestmark = pytest.mark.skipif(not (QEMU_IMG and XORRISO), reason="no qemu-img or xorriso here")

MIB, GIB = 1 << 20, 1 << 30


def run(command):
    done = subprocess.run(list(command), capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C.UTF-8"})
    return done.returncode, done.stdout, done.stderr


def told(path, image="qcow2"):
    return json.loads(
        subprocess.run([QEMU_IMG, "info", "--output=json", "-f", image, str(path)], capture_output=True, check=True).stdout
    )


@pytest.fixture(name="disks")
def _disks(tmp_path):
    found = Disks(tmp_path, run)
    base = tmp_path / BASE[1:]
    base.unlink()
    content = tmp_path / "content"
    content.write_bytes(os.urandom(8 * MIB))
    subprocess.run([QEMU_IMG, "convert", "-c", "-f", "raw", "-O", "qcow2", str(content), str(base)], check=True)
    subprocess.run([QEMU_IMG, "resize", "-q", "-f", "qcow2", str(base), "2G"], check=True)
    os.chmod(base, 0o644)
    return found


def guest(*items, **more):
    return {"name": "plc1", "disks": list(items), **more}


def converge(disks, *guests, **more):
    predicted = disks.run(*guests, check=True, **more)
    assert disks.run(*guests, **more) == predicted
    assert disks.images.unfinished() == {}
    assert disks.run(*guests, **more) == []
    return {change.resource: change.after for change in predicted}


def same(disks, name, image, size):
    """Whether a disk begins with what the base holds."""
    command = [QEMU_IMG, "compare", "-f", image, "-F", "raw", str(disks.file(name)), str(disks.root / "content")]
    return subprocess.run(command, check=False).returncode == 0 and told(disks.file(name), image)["virtual-size"] == size


@pytest.mark.parametrize("image", ["qcow2", "raw"])
def test_a_copy(disks, image):
    made = converge(disks, guest({"base": BASE, "size_gib": 3, "format": image}))
    name = f"plc1-vda.{image}"
    assert made == {f"{FOLDER}/{name}": f"3 GiB, {image}, a copy of {BASE}"}
    assert same(disks, name, image, 3 * GIB)
    info = disks.file(name).stat()
    assert (info.st_mode & 0o777, disks.names()) == (0o600, [name])
    assert info.st_blocks * 512 < 12 * MIB, "its holes stay holes"


def test_an_overlay(disks):
    converge(disks, guest({"base": BASE, "base_mode": "overlay", "size_gib": 3}))
    found = told(disks.file("plc1-vda.qcow2"))
    assert (found["full-backing-filename"], found["backing-filename-format"]) == (str(disks.root / BASE[1:]), "qcow2")
    assert found["actual-size"] < MIB
    assert same(disks, "plc1-vda.qcow2", "qcow2", 3 * GIB)
    with pytest.raises(GuestError, match="is itself an overlay of"):
        disks.run(guest({"base": f"{FOLDER}/plc1-vda.qcow2", "path": f"{FOLDER}/x.qcow2"}))


@pytest.mark.parametrize("image", ["qcow2", "raw"])
def test_an_empty_disk_grows_and_never_shrinks(disks, image):
    disk = {"size_gib": 1, "format": image}
    converge(disks, guest(disk))
    changes = converge(disks, guest({**disk, "size_gib": 5}))
    assert changes == {f"{FOLDER}/plc1-vda.{image}: size": "5 GiB"}
    assert told(disks.file(f"plc1-vda.{image}"), image)["virtual-size"] == 5 * GIB
    with pytest.raises(GuestError, match="has 5 GiB, more than size_gib 4; a disk is never shrunk"):
        disks.run(guest({**disk, "size_gib": 4}))


def test_what_is_not_of_its_format_is_refused(disks):
    for disk, words in (
        (
            {"base": "/content"},
            "base /content is not of format qcow2: qemu-img: Could not open .*: Image is not in qcow2 format; give its base_format",
        ),
        ({"base": BASE, "size_gib": 1}, "size_gib 1 is less than its base .* has .2 GiB"),
    ):
        with pytest.raises(GuestError, match=words):
            disks.run(guest(disk))
    shutil.copy(disks.root / BASE[1:], disks.root / "images/cloud.img")
    with pytest.raises(GuestError, match="begins like a qcow2 image"):
        disks.run(guest({"base": "/images/cloud.img"}))
    converge(disks, guest({"base": "/images/cloud.img", "base_format": "qcow2"}))


def test_a_base_that_another_process_writes_is_no_half_copy(disks):
    writer = subprocess.Popen(
        ["qemu-io", "-f", "qcow2", str(disks.root / BASE[1:])], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        writer.stdout.read(8)  # its prompt: it has the image
        with pytest.raises(HostError, match=r"plc1-vda.qcow2 cannot be made, and nothing is left of it: qemu-img: .*lock"):
            disks.run(guest({"base": BASE}))
    finally:
        writer.communicate(b"quit\n")
    assert disks.names() == []
    converge(disks, guest({"base": BASE}))


def test_a_run_that_is_killed_while_it_copies_is_completed_by_the_next(disks):
    large = disks.root / "images/large.raw"
    with large.open("wb") as stream:
        for _number in range(12):
            stream.write(os.urandom(16 * MIB))
    wish = guest({"base": "/images/large.raw", "format": "raw"})
    child = os.fork()
    if child == 0:
        try:
            disks.run(wish)
        finally:
            os._exit(0)
    while not disks.names() and os.waitpid(child, os.WNOHANG) == (0, 0):
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert disks.names() == [".realtime-kvm-plc1-vda.raw"]
    converge(disks, wish)
    assert disks.names() == ["plc1-vda.raw"]
    assert subprocess.run(["cmp", str(large), str(disks.file("plc1-vda.raw"))], check=False).returncode == 0


# -- seeds -----------------------------------------------------------------------------------------

CLOUD = {"user_data": {"password": "PLANTED"}, "network_config": {"version": 2, "ethernets": {"a": {"dhcp4": True}}}}


def read_seed(path, folder):
    folder.mkdir()
    command = [XORRISO, "-no_rc", "-osirrox", "on", "-indev", str(path), "-extract", "/", str(folder), "-pvd_info"]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    return {file.name: file.read_text() for file in folder.iterdir()}, said.stdout + said.stderr


def test_a_seed_is_the_same_byte_for_byte_until_its_content_changes(disks):
    converge(disks, guest(cloud_init=CLOUD))
    first = disks.file("plc1-seed.iso").read_bytes()
    disks.file("plc1-seed.iso").unlink()
    time.sleep(1.1)
    converge(disks, guest(cloud_init=CLOUD))
    assert disks.file("plc1-seed.iso").read_bytes() == first
    (changed,) = converge(disks, guest(cloud_init={**CLOUD, "user_data": {"password": "OTHER"}})).values()
    assert changed == "cloud-init seed with other content"
    assert disks.names("/run") == []


def test_a_seed_is_one_for_cloud_init(disks, tmp_path):
    converge(disks, guest(cloud_init=CLOUD))
    files, said = read_seed(disks.file("plc1-seed.iso"), tmp_path / "seed")
    assert files == {
        "user-data": '#cloud-config\n{"password": "PLANTED"}\n',
        "meta-data": f'{{"instance-id": "{UUID}", "local-hostname": "plc1"}}\n',
        "network-config": '{"version": 2, "ethernets": {"a": {"dhcp4": true}}}\n',
    }
    assert "Volume Id    : cidata" in said
    if shutil.which("blkid"):
        answer = subprocess.run(
            ["blkid", "-o", "export", str(disks.file("plc1-seed.iso"))], capture_output=True, text=True, check=True
        ).stdout
        assert {"LABEL=cidata", "TYPE=iso9660"} <= set(answer.splitlines())


def test_files_of_any_size_have_a_place(disks, tmp_path):
    text = "#cloud-config\n# " + "x" * 200_000 + "\n"
    converge(disks, guest(cloud_init={"user_data": text, "meta_data": "instance-id: " + "ü" * 3000}))
    files, _said = read_seed(disks.file("plc1-seed.iso"), tmp_path / "seed")
    assert files["user-data"] == text


def test_no_secret_is_left_in_the_folder_of_temporary_files(disks):
    marker = f"PLANTED-{os.getpid()}"
    converge(disks, guest(cloud_init={"user_data": {"password": marker}}))
    for folder in (Path("/run/realtime-kvm-seeds"), disks.root / "run"):
        assert not folder.exists() or list(folder.iterdir()) == []
