# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Seeds: made once, compared byte for byte, never shown, and never in place of another's file."""

from __future__ import annotations

import itertools
import os
import stat

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import parse
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import GuestError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.libvirt import Domain
from ansible_collections.realtime.kvm.plugins.module_utils._guests.seeds import Seeds, is_our_seed, made_seed
from ansible_collections.realtime.kvm.plugins.module_utils._host.files import temporary_of
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from unit.disk_runs import FOLDER, UUID, Disks
from unit.image_tools import files_in, put
from unit.trees import killed_at, snapshot

SEED = f"{FOLDER}/plc1-seed.iso"
SECRET = {"user_data": {"password": "PLANTED"}}


def guest(**more):
    return {"name": "plc1", "cloud_init": SECRET, **more}


def test_a_seed_is_made_for_root_alone_and_nothing_is_left_in_memory(tmp_path):
    disks = Disks(tmp_path)
    before = snapshot(disks.root)
    (change,) = disks.run(guest(), check=True)
    assert snapshot(disks.root) == before
    assert disks.run(guest()) == [change]
    assert (change.resource, change.before, change.after, change.disruption) == (SEED, None, "cloud-init seed", "none")
    assert stat.S_IMODE(disks.file("plc1-seed.iso").stat().st_mode) == 0o600
    assert files_in(disks.file("plc1-seed.iso")) == {
        "user-data": '#cloud-config\n{"password": "PLANTED"}\n',
        "meta-data": f'{{"instance-id": "{UUID}", "local-hostname": "plc1"}}\n',
    }
    assert disks.names("/run") == []
    assert disks.names() == ["plc1-seed.iso"]
    assert disks.run(guest()) == []


def test_a_seed_that_changes_is_another_file_and_its_running_guest_has_the_former(tmp_path):
    disks = Disks(tmp_path)
    disks.run(guest())
    opened = disks.file("plc1-seed.iso").open("rb")
    tree = parse("<domain/>")
    running = {"plc1": Domain(None, "plc1", tree, running=True, autostart=False)}
    (change,) = disks.run(guest(cloud_init={"user_data": {"password": "OTHER"}}), domains=running)
    assert (change.before, change.after) == ("cloud-init seed", "cloud-init seed with other content")
    assert (change.disruption, change.reason) == ("none", "its guest runs with the former one until its next start")
    assert b"PLANTED" in opened.read()
    assert "OTHER" in files_in(disks.file("plc1-seed.iso"))["user-data"]
    (change,) = disks.run(guest())
    assert change.reason == ""


def test_one_that_others_can_read_is_made_again(tmp_path):
    disks = Disks(tmp_path)
    disks.run(guest())
    os.chmod(disks.file("plc1-seed.iso"), 0o644)
    assert len(disks.run(guest())) == 1
    assert stat.S_IMODE(disks.file("plc1-seed.iso").stat().st_mode) == 0o600


def test_one_that_was_changed_by_hand_is_made_again(tmp_path):
    disks = Disks(tmp_path)
    disks.run(guest())
    content = disks.file("plc1-seed.iso").read_bytes()
    disks.file("plc1-seed.iso").write_bytes(content.replace(b"PLANTED", b"planted"))
    assert len(disks.run(guest())) == 1
    assert disks.file("plc1-seed.iso").read_bytes() == content


@pytest.mark.parametrize(
    "theirs", [b"", b"an image", bytes(16 * 2048) + b"\1CD001\1\0" + b" " * 32 + b"cidata".ljust(2000), "folder", "link", "pipe"]
)
def test_another_file_of_its_name_is_refused(tmp_path, theirs):
    disks = Disks(tmp_path)
    path = disks.file("plc1-seed.iso")
    if isinstance(theirs, bytes):
        path.write_bytes(theirs)
    else:
        {"folder": path.mkdir, "link": lambda: path.symlink_to("x"), "pipe": lambda: os.mkfifo(path)}[theirs]()
    for check in (True, False):
        with pytest.raises(
            GuestError,
            match=f"^realtime_guests: plc1: cloud_init: {SEED} is there, and this collection has not made it; move it away",
        ):
            disks.run(guest(), check=check)


def test_killed_anywhere_the_next_run_makes_it_and_no_secret_is_left(tmp_path):
    for step in itertools.count():
        disks = Disks(tmp_path / f"step{step}")
        killed = killed_at(step, lambda disks=disks: disks.run(guest()), disks.root)
        for path in disks.root.rglob("*"):
            if path.is_file() and b"PLANTED" in path.read_bytes():
                assert (
                    stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
                    or stat.S_IMODE((disks.root / "run/realtime-kvm-seeds").stat().st_mode) == 0o700
                )
        disks.run(guest())
        assert disks.names() == ["plc1-seed.iso"], step
        assert disks.names("/run") == [], step
        assert disks.run(guest()) == []
        if not killed:
            break
    assert step > 10


def test_what_a_killed_run_left_beside_it_goes(tmp_path):
    disks = Disks(tmp_path)
    disks.run(guest())
    put(disks.root, temporary_of(SEED), b"PLANTED")
    assert disks.run(guest()) == []
    assert disks.names() == ["plc1-seed.iso"]


def test_a_tool_that_fails_is_not_quoted(tmp_path):
    disks = Disks(tmp_path)
    disks.tools.fails = {"xorriso": "cannot add PLANTED"}
    for check in (True, False):
        with pytest.raises(HostError) as error:
            disks.run(guest(), check=check)
        assert (
            str(error.value)
            == "/usr/bin/xorriso could not make the image of a seed (exit code 5); is the file system of /run full?"
        )
    assert disks.names("/run") == []


def test_without_the_tool_check_mode_says_so_and_a_run_is_refused(tmp_path):
    disks = Disks(tmp_path)
    disks.run(guest())
    (disks.root / "usr/bin/xorriso").unlink()
    assert disks.run(guest(), check=True) == []
    assert disks.host.notes == [f"{SEED} is not compared yet: the kvm_host role is yet to install xorriso"]
    disks.file("plc1-seed.iso").unlink()
    for folder in (True, False):
        if not folder:
            disks.file("").rmdir()
        (change,) = disks.run(guest(), check=True)
        assert change.after == "cloud-init seed"
    with pytest.raises(GuestError, match=f"its folder {FOLDER} does not exist on this node"):
        disks.run(guest())
    disks.file("").mkdir()
    with pytest.raises(HostError, match=r"^/usr/bin/xorriso is not installed on this node; run the kvm_host role"):
        disks.run(guest())


def test_nothing_is_built_for_a_captured_machine(tmp_path):
    disks = Disks(tmp_path)
    host = Host(str(tmp_path), captured=True)
    (plan,) = disks.plans(guest())
    Seeds(host, None).plan(plan)
    assert [change.after for change in host.changes] == ["cloud-init seed"]


def test_only_what_was_made_for_the_guest_goes_with_it(tmp_path):
    disks = Disks(tmp_path)
    disks.run(guest())
    assert made_seed(disks.host, "plc1", SEED)
    assert not made_seed(disks.host, "plc", SEED)
    put(disks.root, f"{FOLDER}/plc2-seed.iso", b"theirs")
    assert not made_seed(disks.host, "plc2", f"{FOLDER}/plc2-seed.iso")
    assert not made_seed(disks.host, "plc3", f"{FOLDER}/plc3-seed.iso")


def test_an_image_is_known_by_label_and_preparer():
    def image(label=b"cidata", preparer=b"REALTIME.KVM", magic=b"\1CD001\1\0"):
        return bytes(16 * 2048) + ((magic + b" " * 32 + label.ljust(32)).ljust(446) + preparer.ljust(128)).ljust(2048)

    assert is_our_seed(image())
    assert not is_our_seed(image(label=b"CIDATA2"))
    assert not is_our_seed(image(preparer=b"XORRISO"))
    assert not is_our_seed(image(magic=b"\1BEA01\1\0"))
    assert not is_our_seed(image()[: 16 * 2048 + 60])
