# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles of a QEMU process's threads, by their names. Pure."""

from __future__ import annotations

import re

#: KVM's worker (kvm-nx-lpage-recovery).
WORKER = "worker"
#: A thread of the kernel that moves a guest's packets (or blocks, or streams) in place of QEMU.
VHOST = "vhost"


def is_vhost(name: str) -> bool:
    """Whether a task is one of vhost's (drivers/vhost/vhost.c): ``vhost-<process>``, a task of QEMU's since Linux 6.4, before a kernel thread."""
    return re.fullmatch(r"vhost-\d+", name) is not None


def role_of(name: str, *, main: bool) -> str:
    """Return the role of a QEMU thread, by its name; ``main``: whether it is the first thread."""
    vcpu = re.fullmatch(r"CPU (\d+)/\w+", name)
    io_thread = re.fullmatch(r"IO iothread(\d+)", name)
    if name.startswith("kvm-nx-lpage"):
        return WORKER
    if is_vhost(name):
        return VHOST
    return f"vcpu{vcpu[1]}" if vcpu else f"iothread{io_thread[1]}" if io_thread else "emulator" if main else "other"
