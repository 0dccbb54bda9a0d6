# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A boot on trial on trees of files: what is planned, refused, killed on the way, repeated and lifted."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot import trial as _trial
from ansible_collections.realtime.kvm.plugins.module_utils._boot.grub_files import parse_menu
from ansible_collections.realtime.kvm.plugins.module_utils._boot.loader import GRUB_CFG, find_boot_loader
from ansible_collections.realtime.kvm.plugins.module_utils._boot.one_shot import (
    MARK,
    PREVIOUS,
    TRIAL,
    change_environment,
    parse_environment,
)
from ansible_collections.realtime.kvm.plugins.module_utils._boot.verdict import PROGRAM, RECORD, UNIT, WANTED, WATCHDOG, load
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from unit.bls import FakeGrubby
from unit.loaders import RT, STOCK
from unit.trees import fill, killed_at, snapshot, writable
from unit.trials import CMDLINE, EMPTY, Tools, boot, grub_boots, lifted, node, trial_on, tried

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


def test_a_second_run_changes_nothing_while_the_node_waits(root):
    tried(root)
    before = snapshot(root)
    assert tried(root).changes == []
    assert snapshot(root) == before


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


def test_grub_that_could_not_spend_the_one_time_entry_is_named(root):
    tried(root)
    fill(root, {"/proc/sys/kernel/random/boot_id": "bbbb\n"})
    assert state_of(root)["state"] == "returned"
    assert "the one-time entry is still in grubenv" in state_of(root)["reason"]


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
    assert text.startswith(own)
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


# -- refused before any change ---------------------------------------------------------------------


def refused(root, said, **tools):
    before = snapshot(root)
    with pytest.raises(RefusalError, match=said):
        tried(root, Tools(root, **tools))
    assert snapshot(root) == before


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ({"file_system": "btrfs"}, r"GRUB cannot write /boot/grub/grubenv, .*does not write to btrfs.*rt_kernel_trial: false"),
        ({"abstraction": "lvm"}, r"GRUB cannot write /boot/grub/grubenv, .*lies on lvm"),
        ({"abstraction": "diskfilter mdraid1x"}, r"lies on diskfilter mdraid1x"),
    ],
)
def test_where_grub_cannot_write(root, tools, said):
    refused(root, said, **tools)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (b"", r"grubenv\) is damaged \(0 bytes"),
        (b"\0" * 1024, r"grubenv\) is damaged"),
        (change_environment(EMPTY, "a", "x" * 990), r"grubenv\) is full"),
    ],
)
def test_an_environment_block_that_cannot_be_used(root, block, said):
    fill(root, {ENVIRONMENT: block})
    refused(root, said)


def test_an_environment_block_that_is_missing_or_a_link(root):
    os.unlink(f"{root}{ENVIRONMENT}")
    refused(root, r"^/boot/grub/grubenv does not exist, and GRUB cannot create it; create it \(grub-editenv - create\)")
    fill(root, {"/boot/elsewhere": EMPTY, ENVIRONMENT: ("link", "../elsewhere")})
    refused(root, r"^/boot/grub/grubenv is a symbolic link")


def test_a_custom_menu_that_is_a_link(root):
    fill(root, {CUSTOM: ("link", "/elsewhere")})
    refused(root, r"^/boot/grub/custom.cfg is a symbolic link")


def test_a_menu_that_does_not_read_custom_cfg(root):
    menu = Path(f"{root}{GRUB_CFG}")
    menu.write_text(menu.read_text().replace("custom.cfg", "x.cfg"))
    refused(root, r"grub.cfg cannot boot an entry once: it does not read custom.cfg")


def test_a_node_that_grub_did_not_boot(root):
    fill(root, {"/proc/cmdline": "initrd=\\EFI\\x root=ZFS=tank/root quiet\n"})
    refused(root, r"GRUB did not boot this node \(its kernel command line has no BOOT_IMAGE=\)")


def test_without_grub_probe_nothing_is_assumed(root):
    os.unlink(f"{root}/usr/sbin/grub-probe")
    refused(root, r"grub-probe was not found")


def test_grub_probe_that_fails(root):
    tools = Tools(root)
    tools.answers["fs"] = (1, "", "cannot find a device for /boot/grub")
    with pytest.raises(RefusalError, match=r"grub-probe --target=fs /boot/grub failed: cannot find a device"):
        tried(root, tools)


def test_a_running_kernel_that_is_no_longer_installed(root):
    os.unlink(f"{root}/boot/vmlinuz-{STOCK}")
    refused(root, rf"/boot/vmlinuz-{STOCK} does not exist, which the boot entry of kernel {STOCK} needs")


# -- after the hold, before the arming -------------------------------------------------------------


def test_a_new_kernel_without_its_initial_ram_disk_leaves_the_old_entry_the_default(root, tmp_path):
    tried(node(tmp_path / "whole"))
    tools = Tools(root)
    tools.text = Path(f"{tmp_path}/whole{GRUB_CFG}").read_text().replace(f"\tinitrd\t/boot/initrd.img-{RT}\n", "")
    with pytest.raises(RefusalError, match=f"kernel {RT} has no initial RAM disk"):
        tried(root, tools)
    assert grub_boots(root) == PREVIOUS


def test_a_file_that_cannot_be_written_leaves_the_old_entry_the_default(root, monkeypatch):
    def full(_self, _value):
        raise _trial.HostError("full")

    monkeypatch.setattr(_trial.BootTrial, "_set_one_time", full)
    with pytest.raises(RefusalError, match="full"):
        tried(root)
    assert grub_boots(root) == PREVIOUS


# -- what the record holds -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "armed"),
    [
        ({"nowayout": "0\n"}, True),
        ({"nowayout": "1\n"}, False),
        ({}, False),
    ],
)
def test_a_watchdog_is_used_where_it_can_be_stopped_again(root, files, armed):
    fill(root, {f"/sys/class/watchdog/watchdog0/{name}": text for name, text in files.items()})
    tried(root)
    assert Path(f"{root}{WATCHDOG}").exists() == armed
    assert load(Path(f"{root}{RECORD}").read_bytes()).watchdog == armed


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


def test_a_watchdog_of_the_admins_stays_his(root):
    fill(
        root,
        {
            "/sys/class/watchdog/watchdog0/nowayout": "0\n",
            "/etc/systemd/system.conf.d/a.conf": "[Manager]\nRuntimeWatchdogSec=20\n",
        },
    )
    tried(root)
    assert not Path(f"{root}{WATCHDOG}").exists()


def test_libvirt_is_asked_for_afterwards_if_it_answered_before(root):
    fill(root, {"/usr/bin/virsh": ""})
    tried(root, Tools(root, libvirt=0))
    assert load(Path(f"{root}{RECORD}").read_bytes()).libvirt


def test_a_damaged_record_is_not_used(root):
    fill(root, {"/etc/realtime-kvm/": None, RECORD: "{"})
    host = writable(root, check_mode=True)
    assert trial_on(host, Tools(root)).state() == {"state": "none", "reason": ""}
    assert host.notes == [f"{RECORD}: it is damaged; it is not used"]


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

EL_STOCK, EL_RT = "5.14.0-600.el9.x86_64", "5.14.0-600.el9.x86_64+rt"
EL_ARGUMENTS = "ro crashkernel=1G rd.lvm.lv=vg0/root"


class ElTools(FakeGrubby):
    """grubby, and grub2-probe."""

    def __call__(self, command):
        if command[0].endswith("-probe"):
            return 0, "xfs\n" if command[1].endswith("=fs") else "\n", ""
        return super().__call__(command)


def el_node(root):
    entry = "title x\nversion {0}\nlinux /vmlinuz-{0}\ninitrd /initramfs-{0}.img $tuned_initrd\noptions root=/dev/mapper/vg0-root {1} $tuned_params\n"
    header = (
        Path(f"{node(root)}{GRUB_CFG}")
        .read_text()
        .partition("menuentry '")[0]
        .replace('set default="0"', 'set default="${saved_entry}"')
    )
    files = {
        "/usr/sbin/grubby": "",
        "/usr/sbin/grub2-probe": "",
        "/boot/grub2/": None,
        "/boot/grub2/grub.cfg": header
        + "blscfg\nif [ -f  ${config_directory}/custom.cfg ]; then\n  source ${config_directory}/custom.cfg\nfi\n",
        "/boot/grub2/grubenv": change_environment(EMPTY, "saved_entry", "id0"),
        "/boot/loader/entries/": None,
        "/boot/loader/entries/id0.conf": entry.format(EL_STOCK, EL_ARGUMENTS),
        "/boot/loader/entries/id1.conf": entry.format(EL_RT, f"{EL_ARGUMENTS} skew_tick=1"),
        "/proc/sys/kernel/osrelease": f"{EL_STOCK}\n",
        "/proc/cmdline": f"BOOT_IMAGE=(hd0,gpt2)/vmlinuz-{EL_STOCK} root=/dev/mapper/vg0-root {EL_ARGUMENTS}\n",
        **{f"/boot/{name}": "" for kernel in (EL_STOCK, EL_RT) for name in (f"vmlinuz-{kernel}", f"initramfs-{kernel}.img")},
    }
    fill(root, files)
    return ElTools(root)


def test_on_the_rhel_family_the_entries_of_both_kernels_are_told_to_grub_without_grubby(tmp_path):
    root = tmp_path / "el"
    grubby = el_node(root)
    host = writable(root, "kernel_arguments")
    with host.locked():
        trial = _trial.BootTrial(host, grubby, "grubby", b"program", "unit\n", "watchdog\n")
        trial.check()
        trial.hold()
        trial.arm(find_boot_loader(host, grubby).plan(["skew_tick=1"], "*+rt"), 300, "*+rt")
        host.commit()
    text = Path(f"{root}/boot/grub2/custom.cfg").read_text()
    stock = (
        f"  linux ($root)/vmlinuz-{EL_STOCK} root=/dev/mapper/vg0-root {EL_ARGUMENTS}\n"
        f"  echo 'Loading initial ramdisk ...'\n  initrd ($root)/initramfs-{EL_STOCK}.img\n"
    )
    assert stock in text
    assert f"  linux ($root)/vmlinuz-{EL_RT} root=/dev/mapper/vg0-root {EL_ARGUMENTS} skew_tick=1 $tuned_params {MARK} " in text
    assert f"  initrd ($root)/initramfs-{EL_RT}.img\n" in text, "what tuned adds to the initial RAM disk is left out"
    assert parse_environment(Path(f"{root}/boot/grub2/grubenv").read_bytes()) == {"saved_entry": "id1", "next_entry": TRIAL}
