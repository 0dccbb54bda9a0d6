# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kernel_arguments with a boot on trial: site, undo, their repetition, and what a run is told."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot.loader import GRUB_CFG, GRUB_DEFAULTS
from ansible_collections.realtime.kvm.plugins.module_utils._boot.one_shot import MARK, PREVIOUS, TRIAL
from ansible_collections.realtime.kvm.plugins.module_utils._boot.verdict import RECORD
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import Edges, carry_out
from ansible_collections.realtime.kvm.plugins.module_utils._module.kernel_arguments import run
from ansible_collections.realtime.kvm.plugins.module_utils._node import trial as _node
from unit.loaders import RT, STOCK
from unit.menus import UUID, MakeConfig
from unit.trees import fill, snapshot, writable
from unit.trials import Tools, grub_boots, node, trial_on

DEFAULTS = {
    "state": "present",
    "from_partition": False,
    "partition": None,
    "arguments": ["skew_tick=1"],
    "host_arguments": None,
    "default_kernel": "*-rt-*",
    "priority_limit": 1,
    "nohz_full": "all",
    "tsc": "nowatchdog",
    "cstates": "keep",
    "trial": True,
    "trial_timeout": 0,
    "wait_s": 0,
    "after_install": False,
    "max_disruption": "reboot",
}


@pytest.fixture(name="root")
def _root(tmp_path, monkeypatch):
    monkeypatch.setattr(_node, "_run", lambda _command: True)
    return node(tmp_path / "machine")


def call(root, check_mode=False, **parameters):
    edges = Edges(writable(root, "kernel_arguments", check_mode=check_mode), Tools(root))
    return carry_out(edges, run, {**DEFAULTS, **parameters})


def generate(root):
    """Generate the menu, as the package of a kernel does."""
    MakeConfig(root)(["/usr/sbin/grub-mkconfig", "-o", f"{root}{GRUB_CFG}"])


def boot_by_the_menu(root):
    """Boot what the menu itself has as its default."""
    following = call(root, check_mode=True, trial=False)["following"]
    fill(
        root,
        {
            "/proc/sys/kernel/osrelease": f"{following['release']}\n",
            "/proc/cmdline": f"BOOT_IMAGE=/boot/vmlinuz-{following['release']} {' '.join(following['tokens'])}\n",
            "/proc/sys/kernel/random/boot_id": "dddd\n",
        },
    )


def test_site_tries_and_the_node_confirms(root):
    foreseen = call(root, check_mode=True)
    made = call(root)
    assert made["changes"] == foreseen["changes"]
    assert (made["trial"]["state"], made["reboot_required"]) == ("armed", True)
    assert call(root)["changed"] is False, "a second run changes nothing while the reboot is waited for"
    assert grub_boots(root) == TRIAL
    judging = call(root, check_mode=True, arguments=[], default_kernel=None)
    assert judging["trial"]["state"] == "judging"
    with pytest.raises(RefusalError, match="the node is judging its new boot entry"):
        call(root)
    assert _node.judge(str(root)) == 0
    done = call(root)
    assert (done["trial"]["state"], done["reboot_required"], done["changed"]) == ("confirmed", False, False)
    assert (done["missing"], done["unexpected"]) == ([], []), "the trial's own arguments are no difference"
    assert MARK in done["running"]["tokens"]
    boot_by_the_menu(root)
    assert call(root)["changed"] is False
    assert "skew_tick=1" in Path(f"{root}/proc/cmdline").read_text()


def test_check_mode_shows_the_trial_of_a_kernel_that_packages_will_bring(root):
    """As the role calls the module: before and after the installation. The kernel has no name before."""
    kernel = [Path(f"{root}/boot/{kind}-{RT}") for kind in ("vmlinuz", "initrd.img")]
    for path in kernel:
        path.unlink()
    generate(root)
    foreseen = [call(root, check_mode=True)["changes"], call(root, check_mode=True, after_install=True)["changes"]]
    assert [change["resource"] for change in foreseen[1]] == ["boot on trial"]
    made = [call(root)["changes"]]
    assert call(root, check_mode=True)["trial"]["state"] == "none"
    for path in kernel:
        path.write_text(RT)
    generate(root)
    done = call(root, after_install=True)
    assert [*made, done["changes"]] == foreseen
    assert (done["trial"]["state"], done["reboot_required"]) == ("armed", True)
    assert call(root, after_install=True)["changed"] is False


def test_a_failed_trial_is_told_and_the_next_run_tries_again(root):
    call(root)
    grub_boots(root)
    fill(root, {"/proc/sys/kernel/osrelease": "6.9\n"})
    assert _node.judge(str(root)) == 0
    grub_boots(root)
    told = call(root, check_mode=True)
    assert told["trial"] == {"state": "returned", "reason": f"kernel 6.9 runs, {RT} was expected"}
    assert told["running"]["release"] == STOCK
    again = call(root, arguments=["skew_tick=1", "nohz=on"])
    assert (again["changed"], again["trial"]["state"]) == (True, "armed")
    grub_boots(root)
    assert _node.judge(str(root)) == 0
    assert call(root, arguments=["skew_tick=1", "nohz=on"])["trial"]["state"] == "confirmed"


def test_a_wish_that_is_taken_back_leaves_no_trial(root):
    fill(
        root,
        {
            GRUB_DEFAULTS: f'GRUB_DEFAULT="gnulinux-advanced-{UUID}>gnulinux-{STOCK}-advanced-{UUID}"\nGRUB_CMDLINE_LINUX="console=ttyS0 quiet"\n'
        },
    )
    Tools(root)(["/usr/sbin/grub-mkconfig", "-o", f"{root}/boot/grub/grub.cfg"])
    before = snapshot(root)
    call(root)
    assert (grub_boots(root), grub_boots(root)) == (TRIAL, "realtime-kvm-previous")
    fill(root, {"/proc/cmdline": before["/proc/cmdline"][2], "/proc/sys/kernel/random/boot_id": "aaaa\n"})
    call(root, state="absent")
    assert snapshot(root) == before


def test_undo_is_tried_too_and_leaves_every_byte_as_it_was(root):
    os.unlink(f"{root}/boot/vmlinuz-{RT}")
    os.unlink(f"{root}/boot/initrd.img-{RT}")
    Tools(root)(["/usr/sbin/grub-mkconfig", "-o", f"{root}/boot/grub/grub.cfg"])
    before = snapshot(root)
    first = call(root)
    assert first["trial"]["state"] == "none", "the kernel is not installed yet, so there is nothing to try"
    assert grub_boots(root) == "realtime-kvm-previous", "but the old entry is held"
    fill(root, {"/proc/sys/kernel/random/boot_id": "aaaa\n", f"/boot/vmlinuz-{RT}": RT, f"/boot/initrd.img-{RT}": RT})
    assert call(root)["trial"]["state"] == "armed"
    grub_boots(root)
    assert _node.judge(str(root)) == 0
    boot_by_the_menu(root)

    undone = call(root, state="absent")
    assert (undone["trial"]["state"], undone["added_kernels"]) == ("armed", [RT])
    assert call(root, state="absent")["changed"] is False
    assert grub_boots(root) == TRIAL
    assert Path(f"{root}/proc/sys/kernel/osrelease").read_text().strip() == STOCK
    assert _node.judge(str(root)) == 0
    told = call(root, check_mode=True, state="absent")
    assert (told["trial"]["state"], told["reboot_required"]) == ("confirmed", False)
    os.unlink(f"{root}/boot/vmlinuz-{RT}")
    os.unlink(f"{root}/boot/initrd.img-{RT}")
    call(root, state="absent", default_kernel=None)
    assert not Path(f"{root}{RECORD}").exists()
    volatile = re.compile(r"/proc(/|$)")
    left = {path: content for path, content in snapshot(root).items() if not volatile.match(path)}
    assert left == {path: content for path, content in before.items() if not volatile.match(path)}


def test_an_undo_that_fails_leads_back_to_the_realtime_kernel(root):
    call(root)
    grub_boots(root)
    assert _node.judge(str(root)) == 0
    boot_by_the_menu(root)
    call(root, state="absent")
    assert (grub_boots(root), grub_boots(root)) == (TRIAL, "realtime-kvm-previous")
    assert Path(f"{root}/proc/sys/kernel/osrelease").read_text().strip() == RT
    assert "skew_tick=1" in Path(f"{root}/proc/cmdline").read_text()
    assert call(root, check_mode=True, state="absent")["trial"]["state"] == "returned"


def test_without_a_trial_nothing_of_it_is_written(root):
    made = call(root, trial=False)
    assert (made["trial"], made["reboot_required"]) == ({"state": "none", "reason": ""}, True)
    assert not any("trial" in path or "custom" in path for path in snapshot(root))


def test_a_trial_that_waits_is_dropped_where_none_is_wished_any_more(root):
    call(root)
    call(root, trial=False)
    assert grub_boots(root) == "menu"


def test_where_grub_cannot_write_the_plan_is_refused_before_any_change(root):
    before = snapshot(root)
    for check_mode in (True, False):
        edges = Edges(writable(root, "kernel_arguments", check_mode=check_mode), Tools(root, file_system="btrfs"))
        with pytest.raises(RefusalError, match=r"does not write to btrfs .*rt_kernel_trial: false"):
            carry_out(edges, run, DEFAULTS)
    assert snapshot(root) == before


# -- the tried entry still runs, and its trial has failed ------------------------------------------


def given_up(root, monkeypatch):
    """A tried boot that the node has given up; systemd is asked to reboot, and the shutdown takes its time."""
    monkeypatch.setattr(_node, "libvirt_problem", lambda: "does not answer")
    fill(root, {"/usr/bin/virsh": ""})
    carry_out(Edges(writable(root, "kernel_arguments"), Tools(root, libvirt=0)), run, DEFAULTS)
    assert grub_boots(root) == TRIAL
    assert _node.judge(str(root)) == 0
    assert MARK in Path(f"{root}/proc/cmdline").read_text()


@pytest.mark.parametrize(
    "wish", [{}, {"arguments": ["skew_tick=1", "nohz=on"]}, {"trial": False}, {"state": "absent"}, {"default_kernel": None}]
)
def test_while_a_given_up_boot_shuts_down_every_run_is_refused_and_the_old_entry_stays(root, monkeypatch, wish):
    given_up(root, monkeypatch)
    before = snapshot(root)
    with pytest.raises(
        RefusalError, match=r"the node has given up its new boot entry \(libvirt: does not answer\); run the playbook again"
    ):
        call(root, **wish)
    assert snapshot(root) == before
    assert call(root, check_mode=True, **wish)["trial"] == {"state": "judging", "reason": "libvirt: does not answer"}
    assert grub_boots(root) == PREVIOUS
    assert call(root, check_mode=True)["trial"] == {"state": "returned", "reason": "libvirt: does not answer"}
    assert Path(f"{root}/proc/sys/kernel/osrelease").read_text().strip() == STOCK


@pytest.mark.parametrize("content", [None, b"", b"{}"])
def test_a_record_that_is_lost_in_the_tried_boot_does_not_end_the_hold(root, content):
    call(root)
    assert grub_boots(root) == TRIAL
    os.unlink(f"{root}{RECORD}")
    if content is not None:
        fill(root, {RECORD: content})
    assert _node.judge(str(root)) == 1
    before = snapshot(root)
    with pytest.raises(RefusalError, match=f"{RECORD} cannot be read, so it cannot be confirmed; reboot the node"):
        call(root, arguments=["skew_tick=1", "nohz=on"])
    assert snapshot(root) == before
    assert grub_boots(root) == PREVIOUS
    assert call(root)["trial"]["state"] == "armed", "the old entry runs, so it is tried again"


def test_a_confirmed_boot_whose_trial_is_forgotten_may_be_changed_again(root):
    """Its command line keeps the mark of the trial until the next boot."""
    call(root)
    grub_boots(root)
    assert _node.judge(str(root)) == 0
    os.unlink(f"{root}{RECORD}")
    call(root, default_kernel="*-none-*", arguments=["skew_tick=1", "nohz=on"])  # not installed yet: the frame alone
    made = call(root, arguments=["skew_tick=1", "nohz=on"])
    assert made["trial"]["state"] == "armed"
    assert (grub_boots(root), _node.judge(str(root)), grub_boots(root)) == (TRIAL, 0, "menu")


def test_a_confirmation_that_was_not_written_down_does_not_come_back_by_a_killed_run(root):
    call(root)
    grub_boots(root)
    os.unlink(f"{root}/boot/grub/custom.cfg")  # the power is cut before the record says so
    assert call(root, check_mode=True)["trial"]["state"] == "confirmed"
    host = writable(root, "kernel_arguments")
    with host.locked():
        trial_on(host, Tools(root)).hold()
        host.commit()
    assert trial_on(writable(root), Tools(root)).state()["state"] == "confirmed"


def test_a_trial_that_would_have_ended_before_it_began_is_refused(root):
    edges = Edges(writable(root, "kernel_arguments"), Tools(root))
    with pytest.raises(RefusalError, match=r"^trial_timeout: -1 is not a number of seconds from 0 on$"):
        carry_out(edges, run, {**DEFAULTS, "trial_timeout": -1})
