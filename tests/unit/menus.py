# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GRUB without a boot sector: menus in the shape that grub-mkconfig gives them on Debian, made from a tree's files."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

UUID = "5f1c-77aa"
_HEAD = """\
#
# generated for a test
#
### BEGIN header ###
if [ "${{next_entry}}" ] ; then
   set default="${{next_entry}}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="{default}"
fi
if [ x"${{feature_menuentry_id}}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
function load_video {{
  if [ x$feature_all_video_module = xy ]; then
    insmod all_video
  fi
}}
set timeout=5
### END header ###
function gfxmode {{
\tset gfxpayload="${{1}}"
}}
"""
_ENTRY = """\
menuentry '{title}' --class os $menuentry_id_option '{identity}' {{
\tload_video
\tif [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
\tsearch --no-floppy --fs-uuid --set=root 5f1c-77aa
\techo\t'Loading Linux ...'
\tlinux\t/boot/vmlinuz-{kernel} root=UUID=5f1c-77aa ro {arguments}
\tinitrd\t/boot/initrd.img-{kernel}
}}
"""
_TAIL = """\
if [ "$grub_platform" = "efi" ]; then
\tfwsetup --is-supported
\tif [ "$?" = 0 ]; then
\t\tmenuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' {
\t\t\tfwsetup
\t\t}
\tfi
fi
if [ -f  ${config_directory}/custom.cfg ]; then
  source ${config_directory}/custom.cfg
elif [ -z "${config_directory}" -a -f  $prefix/custom.cfg ]; then
  source $prefix/custom.cfg
fi
"""


def _entry(title, identity, kernel, arguments):
    return _ENTRY.format(title=title, identity=identity, kernel=kernel, arguments=arguments)


def menu(kernels, arguments="quiet", default="0", everywhere="", submenu=True):
    """A menu of kernels, the newest first, each with a recovery entry in the submenu."""
    listed = ""
    for kernel in kernels:
        title = f"Debian GNU/Linux, with Linux {kernel}"
        listed += _entry(title, f"gnulinux-{kernel}-advanced-{UUID}", kernel, f"{everywhere} {arguments}")
        listed += _entry(f"{title} (recovery mode)", f"gnulinux-{kernel}-recovery-{UUID}", kernel, f"single {everywhere}")
    if submenu and kernels:
        listed = (
            _entry("Debian GNU/Linux", f"gnulinux-simple-{UUID}", kernels[0], f"{everywhere} {arguments}")
            + f"submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-{UUID}' {{\n"
            + re.sub("(?m)^", "\t", listed).rstrip("\t")
            + "}\n"
        )
    return _HEAD.format(default=default) + listed + _TAIL


def evaluate(root, names=("GRUB_DEFAULT", "GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT", "GRUB_DISABLE_SUBMENU"), **given):
    """Let sh read /etc/default/grub and its drop-ins, with the tree's /boot in place of the machine's."""
    files = [Path(f"{root}/etc/default/grub"), *sorted(Path(f"{root}/etc/default/grub.d").glob("*.cfg"))]
    script = "set -e\n" + "".join(f"{name}={shlex.quote(value)}\n" for name, value in given.items())
    script += "".join(file.read_text().replace("/boot", f"{root}/boot") + "\n" for file in files if file.exists())
    script += "".join(f'printf "%s\\n" "${{{name}:-}}"\n' for name in names)
    ran = subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    assert ran.stderr == ""
    return dict(zip(names, ran.stdout.splitlines()))


def sorted_as_sort_does(names):
    ran = subprocess.run(["sort", "-V"], check=True, capture_output=True, text=True, input="".join(f"{name}\n" for name in names))
    return ran.stdout.splitlines()


class MakeConfig:
    """Stands for grub-mkconfig on a tree: reads the same files with sh and writes a menu in place. sh itself is real."""

    def __init__(self, root):
        self.root = str(root)
        self.calls = 0
        self.answer = (0, "", "")
        self.text = None  # instead of the menu
        self.changed = str  # what a changed file of /etc/grub.d makes of it

    def __call__(self, command):
        if command[0] == "sh":
            ran = subprocess.run(command, check=False, capture_output=True, text=True)
            return ran.returncode, ran.stdout, ran.stderr
        assert command[0].endswith("/grub-mkconfig")
        assert command[1] == "-o"
        self.calls += 1
        if self.answer[0]:
            return self.answer
        found = evaluate(self.root, GRUB_DEVICE_UUID=UUID)
        kernels = [path.name.partition("-")[2] for path in Path(f"{self.root}/boot").glob("vmlinuz-*")]
        text = menu(
            sorted_as_sort_does(kernels)[::-1],
            " ".join(found["GRUB_CMDLINE_LINUX_DEFAULT"].split()),
            found["GRUB_DEFAULT"] or "0",
            found["GRUB_CMDLINE_LINUX"],
            submenu=found["GRUB_DISABLE_SUBMENU"] not in ("y", "yes", "true"),
        )
        Path(command[2]).write_text(self.changed(text) if self.text is None else self.text)
        return self.answer
