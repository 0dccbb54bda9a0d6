# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A boot on trial on trees of files: what is planned, refused, killed on the way, repeated and lifted."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot import trial as _trial
from ansible_collections.realtime.kvm.plugins.module_utils._boot.grub_files import parse_menu
from ansible_collections.realtime.kvm.plugins.module_utils._boot.loader import GRUB_CFG, GRUB_DEFAULTS
from ansible_collections.realtime.kvm.plugins.module_utils._boot.one_shot import (
    MARK,
    ONCE,
    PREVIOUS,
    TRIAL,
    change_environment,
    is_armed,
    parse_environment,
)
from ansible_collections.realtime.kvm.plugins.module_utils._boot.verdict import (
    PROGRAM,
    RECORD,
    UNIT,
    WANTED,
    WATCHDOG,
    Way,
    dump,
    load,
)
from ansible_collections.realtime.kvm.plugins.module_utils._boot.way import CARD
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError, RefusalError
from unit.loaders import RT, STOCK
from unit.trees import fill, killed_at, snapshot, writable
from unit.trials import (
    CMDLINE,
    EL_ARGUMENTS,
    EL_RT,
    EL_STOCK,
    EMPTY,
    Tools,
    boot,
    el_node,
    el_tried,
    grub_boots,
    lifted,
    node,
    trial_on,
    tried,
)

CUSTOM, ENVIRONMENT = "/boot/grub/custom.cfg", "/boot/grub/grubenv"


@pytest.fixture(name="root")
def _root(tmp_path):
    return node(tmp_path / "machine")


def state_of(root):
    return trial_on(writable(root, check_mode=True), Tools(root)).state()


def test_the_new_entry_boots_once_and_the_old_one_is_the_default(root):
    host = tried(root)
    assert host.changes[0].resource == CUSTOM, "nothing may come before the hold"
    assert host.changes[-1].resource == "boot on trial"
    assert parse_menu(Path(f"{root}{GRUB_CFG}").read_text())[1].release == RT, "the menu itself is the final one"
    assert state_of(root) == {"state": "armed", "reason": ""}
    record = load(Path(f"{root}{RECORD}").read_bytes())
    assert (record.old.release, record.new.release, record.boot_id) == (STOCK, RT, "aaaa")
    assert record.old.tokens == tuple(CMDLINE.split()[1:])
    assert os.readlink(f"{root}{WANTED}") == UNIT
    assert Path(f"{root}{PROGRAM}").read_bytes() == b"program"
    assert not Path(f"{root}{WATCHDOG}").exists(), "no watchdog device"

    assert grub_boots(root) == TRIAL
    assert MARK in Path(f"{root}/proc/cmdline").read_text()
    assert state_of(root) == {"state": "judging", "reason": ""}
    assert grub_boots(root) == PREVIOUS, "once"
    assert Path(f"{root}/proc/cmdline").read_text() == f"{CMDLINE}\n", "exactly the arguments that ran before"
    found = state_of(root)
    assert found["state"] == "returned"
    assert f"{RT} with its new arguments was booted once" in found["reason"]
    assert "other arguments" not in found["reason"], "GRUB's BOOT_IMAGE= is no argument"


def test_a_second_run_changes_nothing_while_the_node_waits(root):
    tried(root)
    before = snapshot(root)
    assert tried(root).changes == []
    assert snapshot(root) == before


def test_a_second_run_changes_nothing_where_tuned_has_its_arguments_in_the_menu(root):
    defaults = Path(f"{root}{GRUB_DEFAULTS}")
    defaults.write_text(defaults.read_text() + 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX \\$tuned_params"\n')
    tools = Tools(root)
    tools.changed = lambda text: f'set tuned_params="tsc=reliable"\n{text}'
    tools(["/usr/sbin/grub-mkconfig", "-o", f"{root}{GRUB_CFG}"])
    tried(root, tools)
    assert tried(root, tools).changes == []
    assert "tsc=reliable" in load(Path(f"{root}{RECORD}").read_bytes()).new.tokens


def test_check_mode_foresees_all_and_makes_nothing(root):
    before = snapshot(root)
    foreseen = tried(root, check_mode=True).changes
    assert snapshot(root) == before
    assert tried(root).changes == foreseen


def test_after_a_return_the_next_run_tries_again(root):
    tried(root)
    assert (grub_boots(root), grub_boots(root)) == (TRIAL, PREVIOUS)
    host = tried(root, wanted=["skew_tick=1"])
    assert [change.resource for change in host.changes][-1] == "boot on trial"
    assert state_of(root)["state"] == "armed"
    assert grub_boots(root) == TRIAL
    assert "isolcpus" not in Path(f"{root}/proc/cmdline").read_text()


def test_changed_arguments_are_tried_instead_of_those_that_wait(root):
    tried(root)
    tried(root, wanted=["skew_tick=1"])
    assert grub_boots(root) == TRIAL
    assert "isolcpus" not in Path(f"{root}/proc/cmdline").read_text()


def test_a_run_is_refused_while_the_node_judges(root):
    tried(root, seconds=123)
    grub_boots(root)
    with pytest.raises(RefusalError, match=r"the node is judging its new boot entry; wait until it has \(at most 123 s"):
        trial_on(writable(root), Tools(root)).judging()
    assert trial_on(writable(root, check_mode=True), Tools(root)).judging()


def test_a_one_time_entry_that_was_not_spent_is_named_and_still_counts(root):
    """Rebooted by kexec, or GRUB could not write."""
    tried(root)
    fill(root, {"/proc/sys/kernel/random/boot_id": "bbbb\n"})
    found = state_of(root)
    assert found["state"] == "unspent", "a return is final until the next run, and this is none"
    assert "the one-time entry is still in grubenv. GRUB's menu was not read (kexec" in found["reason"]
    assert grub_boots(root) == TRIAL
    assert state_of(root)["state"] == "judging"
    assert grub_boots(root) == PREVIOUS
    assert state_of(root)["state"] == "returned"


def test_a_one_time_entry_that_was_not_spent_is_armed_again_or_taken_back_by_the_next_run(root):
    tried(root)
    fill(root, {"/proc/sys/kernel/random/boot_id": "bbbb\n"})
    assert [change.resource for change in tried(root).changes] == ["boot on trial"]
    assert state_of(root)["state"] == "armed"
    fill(root, {"/proc/sys/kernel/random/boot_id": "cccc\n"})
    lifted(root)
    assert (state_of(root)["state"], grub_boots(root)) == ("none", "menu")


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_one_time_entry_of_the_administrators_is_not_replaced_without_a_word(root, check_mode):
    fill(root, {ENVIRONMENT: change_environment(EMPTY, "next_entry", "memtest86+")})
    assert "names memtest86+ for the next boot (grub-reboot)" in " ".join(tried(root, check_mode=check_mode).notes)


@pytest.mark.parametrize("own", ["", "set x=1", "menuentry 'mine' {\n}", "a\n"])
def test_lifting_gives_the_custom_menu_back_to_the_last_byte(root, own):
    fill(root, {CUSTOM: own})
    tried(root)
    lifted(root, whole=True)
    assert Path(f"{root}{CUSTOM}").read_text() == own


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_was_made_for_the_trial_goes_and_one_of_the_administrators_stays(root, there):
    folder = "/etc/systemd/system.conf.d"
    fill(root, {"/sys/class/watchdog/watchdog0/nowayout": "0\n", **({f"{folder}/": None} if there else {})})
    tried(root)
    tried(root, wanted=["skew_tick=1"])
    assert Path(f"{root}{WATCHDOG}").exists()
    lifted(root, whole=True)
    assert Path(f"{root}{folder}").is_dir() == there


def test_a_link_that_cannot_be_written_is_a_refusal(root, monkeypatch):
    def full(*_given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_trial.os, "symlink", full)
    with pytest.raises(RefusalError, match=f"^{WANTED} cannot be written: No space left on device"):
        tried(root)
    assert grub_boots(root) == PREVIOUS


def test_lifting_leaves_no_trace(root):
    before = snapshot(root)
    use_only_trial(root)
    assert snapshot(root) != before
    assert [change.resource for change in lifted(root).changes] == ["boot on trial"]
    assert snapshot(root) == before
    assert lifted(root).changes == []


def use_only_trial(root):
    """Arm without the boot loader's own changes."""
    host = writable(root, "kernel_arguments")
    runner = Tools(root)
    with host.locked():
        trial = trial_on(host, runner)
        trial.hold()
        trial.arm(parse_menu(Path(f"{root}{GRUB_CFG}").read_text())[1], 300, None)
        host.commit()


def test_the_admins_own_entries_stay(root):
    own = "menuentry 'mine' {\n  chainloader +1\n}\n"
    fill(root, {CUSTOM: own})
    os.chmod(f"{root}{CUSTOM}", 0o600)
    tried(root)
    text = Path(f"{root}{CUSTOM}").read_text()
    assert text.endswith(f"### END realtime.kvm ###\n{own}")
    assert os.stat(f"{root}{CUSTOM}").st_mode & 0o777 == 0o600
    lifted(root)
    assert Path(f"{root}{CUSTOM}").read_text() == own


def test_killed_anywhere_the_node_boots_its_old_entry_or_the_tried_one_and_a_second_run_goes_to_the_end(root, tmp_path):
    whole = tmp_path / "whole"
    shutil.copytree(root, whole, symlinks=True)
    tried(whole)
    expected = {path: content for path, content in snapshot(whole).items() if "journal" not in path}
    step, killed, ends = 0, True, set()
    while killed:
        tree, other = tmp_path / f"a{step}", tmp_path / f"b{step}"
        for copy in (tree, other):
            shutil.copytree(root, copy, symlinks=True)
            killed = killed_at(step, lambda copy=copy: tried(copy), copy)
        ends.add(grub_boots(other))
        changed = "skew_tick=1" in parse_menu(Path(f"{other}{GRUB_CFG}").read_text())[1].tokens
        assert not (changed and grub_boots(other) == "menu"), f"killed before step {step}, the new entry was the default"
        tried(tree)
        found = {path: content for path, content in snapshot(tree).items() if "journal" not in path}
        assert found == expected, f"killed before step {step}"
        step += 1
    assert ends == {"menu", PREVIOUS, TRIAL}
    assert step > 20


# -- after the hold, before the arming -------------------------------------------------------------


def test_a_new_kernel_without_its_initial_ram_disk_leaves_the_old_entry_the_default(root, tmp_path):
    tried(node(tmp_path / "whole"))
    tools = Tools(root)
    tools.text = Path(f"{tmp_path}/whole{GRUB_CFG}").read_text().replace(f"\tinitrd\t/boot/initrd.img-{RT}\n", "")
    with pytest.raises(RefusalError, match=f"kernel {RT} has no initial RAM disk"):
        tried(root, tools)
    assert grub_boots(root) == PREVIOUS


def test_each_frame_is_out_of_the_journal_before_what_follows_it_is_written(root, monkeypatch):
    """GRUB replays no journal: a new menu or an armed block must not be what it sees without the frame."""
    seen, before = [], Path(f"{root}{GRUB_CFG}").read_text()

    def look(folder, top):
        assert (folder, top) == (f"{root}/boot/grub", str(root))
        text = Path(f"{root}{CUSTOM}").read_text()
        changed = Path(f"{root}{GRUB_CFG}").read_text() != before
        seen.append((TRIAL in text, changed, is_armed(Path(f"{root}{ENVIRONMENT}").read_bytes())))
        return ""

    monkeypatch.setattr(_trial, "checkpoint", look)
    assert tried(root).notes == []
    assert seen == [(False, False, False), (True, True, False)]


def test_a_journal_that_cannot_be_emptied_is_named_once(root, monkeypatch):
    monkeypatch.setattr(_trial, "checkpoint", lambda *_given: "it cannot")
    (note,) = tried(root).notes
    assert note.startswith(f"{CUSTOM} may be in the journal of its file system only, which GRUB does not read: it cannot. ")
    assert lifted(root).notes == []


def test_a_file_that_cannot_be_written_leaves_the_old_entry_the_default(root, monkeypatch):
    def full(_self, *, armed):
        raise _trial.HostError("full")

    monkeypatch.setattr(_trial.BootTrial, "_set_armed", full)
    with pytest.raises(RefusalError, match="full"):
        tried(root)
    assert grub_boots(root) == PREVIOUS


# -- what the record holds -------------------------------------------------------------------------


@pytest.mark.parametrize("taken", [True, False])
def test_a_watchdog_is_taken_where_it_may_be(root, taken):
    fill(root, {"/sys/class/watchdog/watchdog0/nowayout": "0\n" if taken else "1\n"})
    tried(root)
    assert Path(f"{root}{WATCHDOG}").exists() == taken
    assert load(Path(f"{root}{RECORD}").read_bytes()).watchdog == taken


def test_the_watchdog_of_the_trial_is_in_hardware_and_takes_its_time(root):
    base = "/sys/class/watchdog/watchdog"
    fill(root, {f"{base}0/nowayout": "0\n", f"{base}0/identity": "Software Watchdog\n"})
    fill(root, {f"{base}1/nowayout": "0\n", f"{base}1/identity": "iTCO_wdt\n", f"{base}1/max_timeout": "30\n"})
    tried(root)
    assert Path(f"{root}{WATCHDOG}").read_text() == "watchdog\n[Manager]\nRuntimeWatchdogSec=30\nWatchdogDevice=/dev/watchdog1\n"


def test_the_kernels_own_timer_does_not_guard_the_trial(root):
    fill(
        root,
        {
            f"/sys/class/watchdog/watchdog0/{name}": text
            for name, text in {"nowayout": "0", "identity": "Software Watchdog"}.items()
        },
    )
    tried(root)
    assert not Path(f"{root}{WATCHDOG}").exists()


def test_libvirt_is_asked_for_afterwards_if_it_answered_before(root):
    fill(root, {"/usr/bin/virsh": ""})
    tried(root, Tools(root, libvirt=0))
    assert load(Path(f"{root}{RECORD}").read_bytes()).libvirt


@pytest.mark.parametrize("greeting", [True, False])
def test_the_way_of_ansible_and_its_signs_are_remembered(root, monkeypatch, greeting):
    monkeypatch.setattr(_trial, "server_problem", lambda *_given: "" if greeting else "does not answer")
    fill(
        root,
        {
            f"/proc/{os.getpid()}/environ": "SSH_CONNECTION=10.0.2.2 5001 10.0.2.15 22\0",
            "/sys/class/net/enp0s2/carrier": "1\n",
            "/sys/class/net/enp0s2/device/": None,
        },
    )
    tools = Tools(root)
    tools.ip = {
        "get": [{"dst": "10.0.2.2", "dev": "enp0s2", "prefsrc": "10.0.2.16"}],
        "neigh": [{"dst": "10.0.2.2", "state": ["REACHABLE"]}],
    }
    tried(root, tools)
    assert load(Path(f"{root}{RECORD}").read_bytes()).way == Way(
        "10.0.2.15", 22, "10.0.2.2", "10.0.2.16", CARD, neighbour=True, greeting=greeting
    )


def test_a_damaged_record_is_not_used(root):
    fill(root, {"/etc/realtime-kvm/": None, RECORD: "{"})
    host = writable(root, check_mode=True)
    assert trial_on(host, Tools(root)).state() == {"state": "none", "reason": ""}
    assert host.notes == [f"{RECORD}: it is damaged; it is not used"]


@pytest.mark.parametrize("how", ["removed", "rewritten", "not mounted"])
@pytest.mark.parametrize("reason", ["", "it failed"])
def test_a_trial_that_never_came_up_is_not_confirmed_since_its_frame_is_gone(root, how, reason):
    """A template of the administrator's writes custom.cfg, or /boot is not mounted."""
    tried(root)
    assert (grub_boots(root), grub_boots(root)) == (TRIAL, PREVIOUS)
    if reason:
        path = Path(f"{root}{RECORD}")
        path.write_bytes(dump(replace(load(path.read_bytes()), state="returned", reason=reason)))
    if how == "not mounted":
        os.rename(f"{root}/boot", f"{root}/away")
        os.mkdir(f"{root}/boot")
    elif how == "removed":
        os.unlink(f"{root}{CUSTOM}")
    else:
        Path(f"{root}{CUSTOM}").write_text("menuentry 'mine' {\n}\n")
    found = state_of(root)
    assert found["state"] == "unheld"
    assert reason in found["reason"]
    assert "is gone (another program has written that file, or /boot is not mounted)" in found["reason"]
    lifted(root)
    assert not Path(f"{root}{RECORD}").exists()


@pytest.mark.parametrize("reason", ["", "libvirt: does not answer"])
def test_a_node_that_is_back_in_the_failed_entry_by_kexec_is_refused(root, reason):
    """kexec-tools load a kernel as the menu's default names it, and a reboot then starts that."""
    tried(root)
    assert grub_boots(root) == TRIAL
    record = load(Path(f"{root}{RECORD}").read_bytes())
    if reason:
        Path(f"{root}{RECORD}").write_bytes(dump(replace(record, state="returned", reason=reason)))
    new = [token for token in record.new.tokens if token not in record.extra]
    fill(root, {"/proc/cmdline": f"BOOT_IMAGE=x {' '.join(new)}\n", "/proc/sys/kernel/random/boot_id": "kexec\n"})
    found = state_of(root)
    assert found["state"] == "judging"
    assert re.search(
        rf"^{reason or 'it was booted once'}.*runs all the same, started without GRUB \(kexec .*reset the node", found["reason"]
    )
    with pytest.raises(HostError, match=r"the node has given up its new boot entry .*once its old one has booted"):
        trial_on(writable(root, "kernel_arguments"), Tools(root)).judging()
    assert grub_boots(root) == PREVIOUS
    assert state_of(root)["state"] == "returned"


def test_an_armed_trial_whose_frame_is_gone_before_the_reboot_is_not_armed(root):
    tried(root)
    os.unlink(f"{root}{CUSTOM}")
    assert state_of(root)["state"] == "unheld"
    tried(root)
    assert (state_of(root)["state"], grub_boots(root)) == ("armed", TRIAL)


def test_a_power_cut_just_after_the_confirmation_counts_as_confirmed(root):
    tried(root)
    text = Path(f"{root}{CUSTOM}").read_text()
    boot(root, text, TRIAL)
    os.unlink(f"{root}{CUSTOM}")
    assert state_of(root)["state"] == "confirmed"
    lifted(root)
    assert load(Path(f"{root}{RECORD}").read_bytes()).state == "confirmed"
    assert not Path(f"{root}{UNIT}").exists()
    assert lifted(root).changes == []
    lifted(root, whole=True)
    assert not Path(f"{root}{RECORD}").exists()


# -- the RHEL family -------------------------------------------------------------------------------


def test_on_the_rhel_family_the_entries_of_both_kernels_are_told_to_grub_without_grubby(tmp_path):
    root = tmp_path / "el"
    el_tried(root, el_node(root))
    text = Path(f"{root}/boot/grub2/custom.cfg").read_text()
    stock = (
        f"  linux ($root)/vmlinuz-{EL_STOCK} root=/dev/mapper/vg0-root {EL_ARGUMENTS}\n"
        f"  echo 'Loading initial ramdisk ...'\n  initrd ($root)/initramfs-{EL_STOCK}.img\n"
    )
    assert stock in text
    assert f"  linux ($root)/vmlinuz-{EL_RT} root=/dev/mapper/vg0-root {EL_ARGUMENTS} skew_tick=1 $tuned_params {MARK} " in text
    assert f"  initrd ($root)/initramfs-{EL_RT}.img\n" in text, "what tuned adds to the initial RAM disk is left out"
    assert parse_environment(Path(f"{root}/boot/grub2/grubenv").read_bytes()) == {"saved_entry": "id1", ONCE: "1"}
