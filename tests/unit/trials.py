# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node with GRUB whose next boot may be a trial: its files, the tools that are asked, and what GRUB would boot."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot.loader import GRUB_CFG, GRUB_DEFAULTS, find_boot_loader
from ansible_collections.realtime.kvm.plugins.module_utils._boot.one_shot import (
    NEXT,
    ONCE,
    PREVIOUS,
    TRIAL,
    change_environment,
    framed,
    is_armed,
    parse_environment,
)
from ansible_collections.realtime.kvm.plugins.module_utils._boot.trial import BootTrial
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from unit.bls import FakeGrubby
from unit.loaders import RT, STOCK, WANTED
from unit.menus import UUID, MakeConfig
from unit.trees import fill, snapshot, writable

_BOOTS = itertools.count()
EMPTY = b"# GRUB Environment Block\n".ljust(1024, b"#")
CMDLINE = f"BOOT_IMAGE=/boot/vmlinuz-{STOCK} root=UUID={UUID} ro console=ttyS0 quiet"


def node(root):
    """A stock node that runs its ordinary kernel, with the real-time kernel installed."""
    files = {
        GRUB_DEFAULTS: 'GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX="console=ttyS0"\n',
        "/etc/default/grub.d/": None,
        "/etc/systemd/system/sysinit.target.wants/": None,
        "/usr/sbin/grub-mkconfig": "",
        "/usr/sbin/grub-probe": "",
        "/usr/bin/python3": "",
        "/var/lib/": None,
        "/boot/grub/": None,
        "/boot/grub/grubenv": EMPTY,
        "/proc/sys/kernel/osrelease": f"{STOCK}\n",
        "/proc/sys/kernel/random/boot_id": "aaaa\n",
        "/proc/sys/kernel/panic": "0\n",
        "/proc/cmdline": f"{CMDLINE}\n",
        **{f"/boot/{kind}-{kernel}": kernel for kind in ("vmlinuz", "initrd.img") for kernel in (STOCK, RT)},
    }
    fill(root, files)
    MakeConfig(root)(["/usr/sbin/grub-mkconfig", "-o", f"{root}{GRUB_CFG}"])
    return root


class Tools(MakeConfig):
    """grub-mkconfig, grub-probe and virsh."""

    def __init__(self, root, file_system="ext2", abstraction="", libvirt=1):
        super().__init__(root)
        self.answers = {"fs": (0, f"{file_system}\n", ""), "abstraction": (0, f"{abstraction}\n", "")}
        self.libvirt = libvirt
        self.ip = {}  # what ip(8) shows, by a word of its command

    def __call__(self, command):
        if command[0].endswith("grub-probe"):
            return self.answers[command[1].partition("=")[2]]
        if command[0] == "ip":
            return 0, json.dumps(next((shown for word, shown in self.ip.items() if word in command), [])), ""
        if command[0] == "timeout":
            return self.libvirt, "", ""
        return super().__call__(command)


def trial_on(host, runner):
    """The trial on a tree, with small texts in place of the program."""
    return BootTrial(host, runner, "grub", b"program", "unit\n", "watchdog\n")


def tried(root, runner=None, *, wanted=None, seconds=300, check_mode=False):
    """One run of the module that ends with an armed node; returns the host."""
    runner = runner or Tools(root)
    host = writable(root, "kernel_arguments", check_mode=check_mode)
    with host.locked():
        trial = trial_on(host, runner)
        trial.check()
        trial.hold()
        loader = find_boot_loader(host, runner)
        loader.held = True
        entry = loader.plan(WANTED if wanted is None else wanted, "*-rt-*")
        trial.arm(entry, seconds, "*-rt-*")
        host.commit()
    return host


def lifted(root, runner=None, *, whole=False):
    """One run that needs no trial; returns the host."""
    host = writable(root, "kernel_arguments")
    with host.locked():
        trial_on(host, runner or Tools(root)).lift(whole=whole)
        host.commit()
    return host


def grub_boots(root):
    """Do what GRUB does with grubenv, grub.cfg and custom.cfg: return the entry, as the frame or its place name it, and spend what is for once."""
    path = Path(f"{root}/boot/grub/grubenv")
    once = is_armed(path.read_bytes())
    custom = Path(f"{root}/boot/grub/custom.cfg")
    text = framed(custom.read_text()) if custom.exists() else ""
    tries = f"--id '{TRIAL}'" in text
    waits = parse_environment(path.read_bytes()).get(NEXT)
    for name in [*([NEXT] if waits else []), *([ONCE] if once and tries else [])]:
        path.write_bytes(change_environment(path.read_bytes(), name, ""))  # as save_env leaves it
    if not text:
        return "menu"
    chosen = TRIAL if once and tries else PREVIOUS
    boot(root, text, chosen)
    return chosen


def boot(root, text, identity):
    """Let a frame's entry be what runs."""
    _command, kernel, *arguments = re.search(rf"--id '{identity}'.*?\n\s*(linux [^\n]*)", text, re.DOTALL)[1].split()
    panics = [word.partition("=")[2] for word in arguments if word.startswith("panic=")]
    fill(
        root,
        {
            "/proc/sys/kernel/panic": f"{[0, *panics][-1]}\n",
            "/proc/cmdline": f"BOOT_IMAGE={kernel} {' '.join(arguments)}\n",
            "/proc/sys/kernel/osrelease": kernel.partition("vmlinuz-")[2] + "\n",
            "/proc/sys/kernel/random/boot_id": f"boot {next(_BOOTS)}\n",
        },
    )


def refused(root, said, **tools):
    before = snapshot(root)
    with pytest.raises(RefusalError, match=said):
        tried(root, Tools(root, **tools))
    assert snapshot(root) == before


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


def el_tried(root, grubby):
    host = writable(root, "kernel_arguments")
    with host.locked():
        trial = BootTrial(host, grubby, "grubby", b"program", "unit\n", "watchdog\n")
        trial.check()
        trial.hold()
        trial.arm(find_boot_loader(host, grubby).plan(["skew_tick=1"], "*+rt"), 300, "*+rt")
        host.commit()
