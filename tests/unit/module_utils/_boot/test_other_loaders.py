# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which boot loader has booted, where it is not GRUB."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot.other_loaders import (
    COPIED_MENUS,
    LOADER_INFO,
    STUB_INFO,
    booted_by,
    refuse_other_boot_loaders,
)
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from unit.loaders import field
from unit.trees import fill, writable


def info(text):
    return {LOADER_INFO: b"\x06\0\0\0" + f"{text}\0".encode("utf-16-le")}


@pytest.mark.parametrize(
    ("files", "loader"),
    [
        ({}, ""),
        ({"/proc/cmdline": "BOOT_IMAGE=/vmlinuz-6 root=/dev/vda1 initrd=\\x\n"}, ""),
        ({"/proc/cmdline": "BOOT_IMAGE=(hd0,gpt2)/vmlinuz-6 root=/dev/vda1\n"}, ""),
        ({"/proc/cmdline": "BOOT_IMAGE=debian/vmlinuz initrd=debian/initrd.img root=/dev/vda1\n"}, "PXELINUX or SYSLINUX"),
        ({"/proc/cmdline": "BOOT_IMAGE=/vmlinuz root=/dev/vda1 initrd=/initrd.img\n"}, "PXELINUX or SYSLINUX"),
        ({"/proc/cmdline": "BOOT_IMAGE=vmlinuz root=/dev/vda1\n"}, "PXELINUX or SYSLINUX"),
        ({"/proc/cmdline": "root=/dev/vda1 quiet\n"}, ""),  # kexec, a hypervisor's -kernel
        ({"/proc/cmdline": field("14")["/proc/cmdline"]}, "an EFI boot loader such as systemd-boot"),
        (info("systemd-boot 255.4-1"), "systemd-boot 255.4-1"),
        (info("GRUB 2.12-1"), ""),
        ({LOADER_INFO: b"\x06\0"}, ""),
        ({STUB_INFO: b"\x06\0\0\0s\0"}, "a unified kernel image (systemd-stub)"),
        ({**info("GRUB 2.12-1"), STUB_INFO: b"\x06\0\0\0s\0"}, "a unified kernel image (systemd-stub)"),
    ],
)
def test_what_has_booted(tmp_path, files, loader):
    fill(tmp_path, files)
    assert booted_by(writable(tmp_path)) == loader


def test_the_refusals_name_what_counts(tmp_path):
    refuse_other_boot_loaders(writable(tmp_path))
    fill(tmp_path, {"/proc/cmdline": field("14")["/proc/cmdline"]})
    with pytest.raises(
        HostError, match=r"^this machine was booted by an EFI boot loader .* come from its own entries; GRUB's files"
    ):
        refuse_other_boot_loaders(writable(tmp_path))
    fill(tmp_path, {"/proc/cmdline": "BOOT_IMAGE=/vmlinuz-6\n", COPIED_MENUS: "AB12-CD34\n"})
    with pytest.raises(HostError, match=f"^{COPIED_MENUS} exists: proxmox-boot-tool copies"):
        refuse_other_boot_loaders(writable(tmp_path))
