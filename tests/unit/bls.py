# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The RHEL family's boot entries: machines with them, grubby's real script on one, and the stand-in that agrees with it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from unit.trees import fill

#: The real script (grubby-bls of Fedora's package grubby); it is not part of this repository.
REAL = os.environ.get("REALTIME_KVM_GRUBBY", "")
MACHINE = "11112222"
RELEASE = "5.14.0-600.el9.x86_64"
ENTRIES = "/boot/loader/entries"
#: As a stock machine of the family has them: real-time kernel, ordinary kernel, rescue; and a snapshot of the first.
STOCK = {
    f"{MACHINE}-{RELEASE}+rt": ("/dev/mapper/vg0-root", f"{RELEASE}+rt"),
    f"{MACHINE}-{RELEASE}": ("/dev/mapper/vg0-root", RELEASE),
    f"{MACHINE}-0-rescue": ("/dev/mapper/vg0-root", f"0-rescue-{MACHINE}"),
}
SNAPSHOT = {f"{MACHINE}-{RELEASE}+rt-snap1": ("/dev/mapper/vg0-snap1", f"{RELEASE}+rt")}
ARGS = "ro crashkernel=1G-4G:192M,4G-64G:256M rd.lvm.lv=vg0/root rd.lvm.lv=vg0/swap"


def entries_in(root, entries, default, args=ARGS):
    """Make the files of boot entries below a root."""
    files = {
        f"{ENTRIES}/{name}.conf": f"title Some Linux ({release}) 9.6\nversion {release}\nlinux /vmlinuz-{release}\n"
        f"initrd /initramfs-{release}.img\noptions root={device} {args}\ngrub_class some\n"
        for name, (device, release) in entries.items()
    }
    block = f"# GRUB Environment Block\nsaved_entry={default}\n"
    fill(
        root,
        {
            **files,
            "/boot/grub2/grubenv": block + "#" * (1024 - len(block)),
            "/etc/machine-id": f"{MACHINE}\n",
            "/etc/default/grub": 'GRUB_CMDLINE_LINUX="rd.lvm.lv=vg0/root"\nGRUB_ENABLE_BLSCFG=true\n',
            "/etc/kernel/cmdline": f"root=/dev/mapper/vg0-root {args}\n",
            "/etc/sysconfig/kernel": "UPDATEDEFAULT=yes\nDEFAULTKERNEL=kernel-core\n",
            "/usr/sbin/grubby": "",
            "/var/lib/": None,
        },
    )
    return root


def state_of(root):
    """Every file that grubby may write, without the padding of GRUB's environment."""
    names = [*Path(f"{root}{ENTRIES}").glob("*.conf"), Path(f"{root}/boot/grub2/grubenv")]
    names += [Path(f"{root}/etc/{name}") for name in ("default/grub", "kernel/cmdline", "sysconfig/kernel")]
    return {str(name)[len(str(root)) :]: name.read_text().rstrip("#") for name in names if name.exists()}


class RealGrubby:
    """Runs the real script in a mount namespace that has the tree's /boot and /etc."""

    def __init__(self, root, script=REAL):
        self.root, self.script = Path(root), script
        self.changes = 0
        self.tools = Path(f"{root}.tools")
        self.tools.mkdir(exist_ok=True)
        editenv = self.tools / "grub2-editenv"
        if not editenv.exists():
            editenv.symlink_to(shutil.which("grub-editenv", path="/usr/bin:/usr/sbin"))

    def __call__(self, command):
        assert command[0] == "/usr/sbin/grubby"
        self.changes += not re.match("--(info|default)", command[1])
        binds = [
            f"mount --bind '{self.root}{path}' {path}" for path in ("/boot", "/etc/default", "/etc/kernel", "/etc/machine-id")
        ]
        script = " && ".join([*binds, f"PATH={self.tools}:$PATH exec bash '{self.script}' \"$@\""])
        ran = subprocess.run(
            ["unshare", "-m", "sh", "-c", script, "grubby", *command[1:]],
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return ran.returncode, ran.stdout, ran.stderr


def _value(text, key):
    match = re.search(rf"(?m)^{key}[ \t]+(.*)$", text)
    return match[1] if match else ""


class FakeGrubby:
    """Stands for grubby-bls: the calls that the collection makes, on the same files. Its truth is the recorded dialogue.

    ``--remove-args=key=value`` takes away the first such token, ``--remove-args=key`` any value; ``--args`` takes away what
    has the same key and appends. Both rewrite the options of the entries that are named by index, path or ALL.
    """

    def __init__(self, root):
        self.root = Path(root)
        self.changes = 0

    def files(self):
        found = self.root.glob(f"{ENTRIES[1:]}/*.conf")
        listed = subprocess.run(
            ["sort", "-Vr"], check=True, capture_output=True, text=True, input="".join(f"{path.stem}\n" for path in found)
        )
        return [self.root / ENTRIES[1:] / f"{name}.conf" for name in listed.stdout.splitlines()]

    def default(self):
        saved = re.search(r"(?m)^saved_entry=(.*)$", (self.root / "boot/grub2/grubenv").read_text())
        names = [path.stem for path in self.files()]
        return names.index(saved[1]) if saved and saved[1] in names else "" if saved else 0

    def __call__(self, command):
        assert command[0] == "/usr/sbin/grubby"
        options = dict(word.removeprefix("--").partition("=")[::2] for word in command[1:])
        if options == {"info": "ALL"}:
            return 0, "".join(self._info(index, path.read_text(), path.stem) for index, path in enumerate(self.files())), ""
        if options == {"default-index": ""}:
            return 0, f"{self.default()}\n", ""
        self.changes += 1
        if "set-default-index" in options:
            return self._set_default(int(options["set-default-index"]))
        path = self.files()[int(options["update-kernel"])]
        text = path.read_text()
        path.write_text(
            re.sub(r"(?m)^options.*", lambda _old: f"options {self._updated(_value(text, 'options'), options)}", text)
        )
        return 0, "", ""

    def _info(self, index, text, name):
        words = _value(text, "options").split()
        root = next((word for word in words if word.startswith("root=")), "")
        words = [word for word in words if word != root]
        return (
            f'index={index}\nkernel="/boot{_value(text, "linux")}"\nargs="{" ".join(words)}"\n'
            + (f'root="{root[5:]}"\n' if root else "")
            + f'initrd="/boot{_value(text, "initrd")}"\ntitle="{_value(text, "title")}"\nid="{name}"\n'
        )

    def _set_default(self, index):
        path = self.files()[index]
        block = f"# GRUB Environment Block\nsaved_entry={path.stem}\n"
        (self.root / "boot/grub2/grubenv").write_text(block + "#" * (1024 - len(block)))
        kernel = f"/boot{_value(path.read_text(), 'linux')}"
        return 0, "", f"The default is {ENTRIES}/{path.name} with index {index} and kernel {kernel}\n"

    @staticmethod
    def _updated(args, options):
        words = args.split()
        for gone in options.get("remove-args", "").split():
            if "=" in gone:
                words = [word for place, word in enumerate(words) if word != gone or gone in words[:place]]
            else:
                words = [word for word in words if word.partition("=")[0] != gone]
        new = options.get("args", "").split()
        keys = {word.partition("=")[0] for word in new}
        return " ".join([word for word in words if word.partition("=")[0] not in keys] + new)
