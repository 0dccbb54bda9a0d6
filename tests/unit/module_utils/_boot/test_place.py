# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused before any change, since GRUB could not boot an entry once or would not lead back."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot import trial as _trial
from ansible_collections.realtime.kvm.plugins.module_utils._boot.loader import GRUB_CFG, find_boot_loader
from ansible_collections.realtime.kvm.plugins.module_utils._boot.one_shot import PREVIOUS, change_environment
from ansible_collections.realtime.kvm.plugins.module_utils._boot.verdict import RECORD
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from unit.loaders import STOCK, plan, use
from unit.trees import fill, snapshot
from unit.trials import EMPTY, Tools, el_node, el_tried, grub_boots, node, refused, tried

CUSTOM, ENVIRONMENT = "/boot/grub/custom.cfg", "/boot/grub/grubenv"


@pytest.fixture(name="root")
def _root(tmp_path):
    return node(tmp_path / "machine")


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


def test_a_kernel_that_another_boot_loader_of_that_name_has_booted(root):
    fill(root, {"/proc/cmdline": "BOOT_IMAGE=debian/vmlinuz initrd=debian/initrd.img root=UUID=5f1c-77aa ro quiet\n"})
    refused(root, r"^this machine was booted by PXELINUX or SYSLINUX")


def test_without_the_python_that_the_unit_starts(root):
    os.unlink(f"{root}/usr/bin/python3")
    refused(root, r"^/usr/bin/python3 does not exist, by which the node judges")


def test_a_saved_entry_that_would_count_as_chosen_by_hand(root):
    fill(root, {ENVIRONMENT: change_environment(EMPTY, "prev_saved_entry", "0")})
    refused(root, r"^/boot/grub/grubenv has prev_saved_entry=0, .*grub-editenv /boot/grub/grubenv unset prev_saved_entry")
    fill(root, {ENVIRONMENT: change_environment(EMPTY, "prev_saved_entry", "")})  # as GRUB leaves it
    tried(root)


def test_on_the_rhel_family_a_block_that_is_full_once_the_default_is_set(tmp_path):
    root = tmp_path / "el"
    grubby = el_node(root)
    os.rename(f"{root}/boot/loader/entries/id1.conf", f"{root}/boot/loader/entries/id1-with-a-longer-name.conf")
    block = Path(f"{root}/boot/grub2/grubenv").read_bytes()
    room = 1024 - len(block.rstrip(b"#")) - len("realtime_kvm_trial=1\ntuned_params=\n")
    fill(root, {"/boot/grub2/grubenv": change_environment(block, "tuned_params", "x" * room)})
    before = snapshot(root)
    with pytest.raises(RefusalError, match=r"grubenv\) is full, realtime_kvm_trial does not fit"):
        el_tried(root, grubby)
    assert snapshot(root) == before


# -- a menu or a custom menu that would not obey the hold ------------------------------------------


def without_custom(text):
    """A menu as /etc/grub.d/41_custom leaves it that is switched off."""
    return re.sub(r"(?ms)^if \[ -f  \$\{config_directory\}/custom\.cfg \]; then.*?^fi\n", "", text)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (without_custom, "it does not read custom.cfg"),
        (lambda text: text + "set fallback=0\n", r"it chooses the default again \(set fallback=0\)"),
        (
            lambda text: text + 'set default="0"\n',
            r'it chooses the default again \(set default="0"\) after it has read custom.cfg',
        ),
        (lambda text: text + "if true; then default=0; fi\n", r"whose default a variable or a condition chooses"),
    ],
)
def test_a_generated_menu_that_does_not_obey_the_hold_is_not_put_in_place(root, changed, said):
    """The menu of today passes the check; a file of /etc/grub.d has changed since."""
    tools = Tools(root)
    tools.changed = changed
    before = Path(f"{root}{GRUB_CFG}").read_bytes()
    with pytest.raises(RefusalError, match=said):
        tried(root, tools)
    assert Path(f"{root}{GRUB_CFG}").read_bytes() == before
    assert (grub_boots(root), Path(f"{root}{RECORD}").exists()) == (PREVIOUS, False)


def test_a_menu_that_changes_before_the_arming_is_not_armed(root, monkeypatch):
    monkeypatch.setattr(_trial, "find_boot_loader", lambda *given: (spoil(root), find_boot_loader(*given))[1])
    with pytest.raises(RefusalError, match=r"it does not read custom\.cfg"):
        tried(root)
    assert not Path(f"{root}{RECORD}").exists()


def spoil(root):
    menu = Path(f"{root}{GRUB_CFG}")
    menu.write_text(without_custom(menu.read_text()))


def test_a_41_custom_that_is_switched_off_is_refused_before_any_change(root):
    fill(root, {"/etc/grub.d/41_custom": "#!/bin/sh\n"})
    os.chmod(f"{root}/etc/grub.d/41_custom", 0o644)
    refused(root, r"^/etc/grub.d/41_custom is not executable, .*chmod a\+x /etc/grub.d/41_custom")
    os.chmod(f"{root}/etc/grub.d/41_custom", 0o755)
    tried(root)


def test_without_a_trial_such_a_menu_is_the_administrators_business(root):
    tools = Tools(root)
    tools.changed = without_custom
    use(root, plan(), tools)


@pytest.mark.parametrize(
    "line",
    [
        "set default=mine",
        "set fallback=mine",
        "unset default",
        "default='mine'",
        "if true; then set default=mine; fi",
        'x=1; set default="0"',
    ],
)
def test_a_custom_menu_that_chooses_the_default_is_refused(root, line):
    fill(root, {CUSTOM: f"menuentry 'mine' --id mine {{\n  true\n}}\n{line}\n"})
    refused(root, r"^/boot/grub/custom.cfg chooses the default entry \(.*(default|fallback).*rt_kernel_trial: false")


def test_a_custom_menu_that_names_a_default_elsewhere_is_not_refused(root):
    fill(root, {CUSTOM: "# set default=mine\nset my_default=1\nmenuentry 'set default=x' {\n}\n"})
    tried(root)


@pytest.mark.skipif(not shutil.which("grub-script-check"), reason="needs grub-script-check (grub-common)")
def test_an_entry_that_grub_would_not_understand_is_refused_before_any_change(root):
    menu = Path(f"{root}{GRUB_CFG}")
    menu.write_text(menu.read_text().replace("\tsearch --no-floppy", "\tset x=$(\n\tsearch --no-floppy"))
    fill(root, {"/usr/bin/grub-script-check": ""})
    refused(root, r"GRUB would not understand the boot entry that is made from its menu .*syntax error")


# -- GRUB's first menu on the EFI partition --------------------------------------------------------

STUB = "search.fs_uuid 5f1c-77aa root hd0,gpt2\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"debian": STUB}, ""),
        ({"debian": STUB.replace("'/boot/grub'", "/grub")}, ""),
        ({}, ""),
        ({"debian": "MENU"}, r"^/boot/efi/EFI/debian/grub.cfg is a whole menu, so GRUB does not look at /boot/grub"),
        ({"debian": STUB.replace("/boot/grub'", "/boot/other'")}, r"grub.cfg leads to \$prefix/grub.cfg"),
        ({"debian": "set timeout=1\n"}, r"grub.cfg does not lead to another menu"),
        ({"other": "MENU"}, r"^/boot/efi/EFI/other/grub.cfg is a whole menu"),
        ({"debian": STUB, "other": "MENU"}, ""),
    ],
)
def test_a_menu_on_the_efi_partition_must_lead_to_the_folder_of_the_trial(root, files, said):
    menu = Path(f"{root}{GRUB_CFG}").read_text()
    made = {f"/boot/efi/EFI/{name}/grub.cfg": menu if text == "MENU" else text for name, text in files.items()}
    fill(root, {"/sys/firmware/efi/": None, "/etc/os-release": "NAME=x\nID=debian\n", **made})
    if said:
        refused(root, said)
    else:
        tried(root)


def test_such_a_menu_is_not_asked_for_where_the_firmware_is_no_uefi(root):
    fill(root, {"/boot/efi/EFI/debian/grub.cfg": Path(f"{root}{GRUB_CFG}").read_text()})
    tried(root)


EL_STUB = "search --no-floppy --root-dev-only --fs-uuid --set=dev 1234\nset prefix=($dev)/grub2\nexport $prefix\nconfigfile $prefix/grub.cfg\n"


def test_on_the_rhel_family_a_whole_menu_on_the_efi_partition_is_refused_and_its_stub_is_not(tmp_path):
    root = tmp_path / "el"
    grubby = el_node(root)
    whole = Path(f"{root}/boot/grub2/grub.cfg").read_text()
    fill(root, {"/sys/firmware/efi/": None, "/etc/os-release": 'ID="rhel"\n', "/boot/efi/EFI/redhat/grub.cfg": whole})
    before = snapshot(root)
    with pytest.raises(
        RefusalError, match=r"^/boot/efi/EFI/redhat/grub.cfg is a whole menu, so GRUB does not look at /boot/grub2"
    ):
        el_tried(root, grubby)
    assert snapshot(root) == before
    fill(root, {"/boot/efi/EFI/redhat/grub.cfg": EL_STUB})
    el_tried(root, grubby)


def test_the_advice_about_a_linked_block_leads_to_a_node_that_boots_by_it(tmp_path):
    """As EL 8 is installed by UEFI: menu and block lie on the EFI partition, /boot/grub2/grubenv is a link. Each step of the advice."""
    root = tmp_path / "el"
    grubby = el_node(root)
    whole, block = (Path(f"{root}/boot/grub2/{name}").read_bytes() for name in ("grub.cfg", "grubenv"))
    os.unlink(f"{root}/boot/grub2/grub.cfg")
    os.unlink(f"{root}/boot/grub2/grubenv")
    efi = "/boot/efi/EFI/redhat"
    link = {"/boot/grub2/grubenv": ("link", "../efi/EFI/redhat/grubenv")}
    fill(root, {"/sys/firmware/efi/": None, f"{efi}/grub.cfg": whole, f"{efi}/grubenv": block, **link})
    for step in ({}, {"/boot/grub2/grub.cfg": whole}):
        fill(root, step)
        with pytest.raises(RefusalError, match=r"grub.cfg is a whole menu.*/grubenv there as a file"):
            el_tried(root, grubby)
    os.unlink(f"{root}/boot/grub2/grubenv")
    fill(root, {"/boot/grub2/grubenv": block})
    with pytest.raises(RefusalError, match=r"grub\.cfg is a whole menu"):
        el_tried(root, grubby)
    fill(root, {f"{efi}/grub.cfg": EL_STUB})
    el_tried(root, grubby)
