# SPDX-License-Identifier: GPL-3.0-or-later
"""Which boot loader has booted, where it is not the one whose files are there. Edge, read-only.

GRUB's packages and menu may be left on a machine that boots by something else; its menu then decides nothing. Sources: the
Boot Loader Interface (LoaderInfo), systemd-boot(7), kernel-install(8), SYSLINUX's doc/syslinux.txt (BOOT_IMAGE=, initrd=), and
proxmox-boot-tool's documentation.
"""

from __future__ import annotations

import re

from .._cpus.errors import HostError
from .._host.host import Host

#: What the boot loader says of itself: four bytes of attributes, then UTF-16.
LOADER_INFO = "/sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
#: Set by the stub of a unified kernel image, whose arguments are in the image.
STUB_INFO = "/sys/firmware/efi/efivars/StubInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
COPIED_MENUS = "/etc/kernel/proxmox-boot-uuids"


def booted_by(host: Host) -> str:
    """Return the boot loader that has booted and is not GRUB; '' where nothing shows another one."""
    info = (host.read_bytes(LOADER_INFO) or b"")[4:].decode("utf-16-le", errors="replace").strip("\0 \n")
    if info and not info.startswith("GRUB"):
        return info
    if host.exists(STUB_INFO):
        return "a unified kernel image (systemd-stub)"
    line = host.value("/proc/cmdline") or ""
    # an EFI loader names the initrd by its path on the EFI partition; GRUB loads it itself and adds BOOT_IMAGE=
    if re.search(r"(^|\s)initrd=\S*\\", line) and not re.search(r"(^|\s)BOOT_IMAGE=", line):
        return "an EFI boot loader such as systemd-boot"
    # these name the kernel as their configuration does, and add the initrd; GRUB's path begins with / or with a device in brackets
    image = re.search(r"(?:^|\s)BOOT_IMAGE=(\S*)", line)
    if image and (re.search(r"(^|\s)initrd=[^\s\\]", line) or not re.match(r"[/(]", image[1])):
        return "PXELINUX or SYSLINUX"
    return ""


def refuse_other_boot_loaders(host: Host) -> None:
    """Raise ``HostError``, before any change, where the files of GRUB or grubby are not what boots."""
    loader = booted_by(host)
    if loader:
        where = "/etc/kernel/cmdline" if host.exists("/etc/kernel/cmdline") else "its own entries"
        raise HostError(
            f"this machine was booted by {loader}, whose arguments come from {where}; GRUB's files here decide nothing. "
            "realtime.kvm supports GRUB only: make the firmware boot GRUB (efibootmgr), or set kernel and arguments by hand"
        )
    if host.exists(COPIED_MENUS):
        raise HostError(
            f"{COPIED_MENUS} exists: proxmox-boot-tool copies kernels and menus to partitions of its own, and GRUB's menu in /boot "
            "decides nothing. realtime.kvm supports GRUB only where it reads /boot; boot that way, or set kernel and arguments by hand"
        )
