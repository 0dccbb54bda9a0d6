# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boot loaders on trees of files: one run of the module, and a stand-in for grubby."""

from __future__ import annotations

import json

from ansible_collections.realtime.kvm.plugins.module_utils._boot.loader import find_boot_loader
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cmdline import split_tokens
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import config_path
from unit.menus import MakeConfig
from unit.trees import writable

STOCK, RT = "6.1.0-50-amd64", "6.1.0-50-rt-amd64"
WANTED = ["isolcpus=managed_irq,domain,2-3", "skew_tick=1"]
CONFIG = config_path("kernel_arguments")


def use(root, work, runner=None):
    """One run of the module: a boot loader, a plan, a commit; returns host, runner and the entry foreseen."""
    host = writable(root, "kernel_arguments")
    runner = runner or MakeConfig(root)
    with host.locked():
        loader = find_boot_loader(host, runner)
        loader.check_writable()
        entry = work(loader)
        host.commit()
    return host, runner, entry


def plan(wanted=None, pattern="*-rt-*"):
    wanted = WANTED if wanted is None else wanted

    def work(loader):
        entry = loader.plan(wanted, pattern)
        loader.host.set_file(CONFIG, json.dumps({"tokens": list(wanted), "default_kernel": pattern}).encode())
        return entry

    return work


def remove(added=()):
    return lambda loader: loader.remove(list(added))


# -- the RHEL family -------------------------------------------------------------------------------


class FakeGrubby:
    """Stands for grubby of RHEL 8 to 10, which cannot run here; after grubby(8) and its script for BLS entries.

    ``--remove-args=key=value`` takes away exactly that, ``--remove-args=key`` any value; ``--args`` takes away what has the
    same key and appends. An entry that is not named is left alone.
    """

    def __init__(self, entries, default):
        self.entries = {kernel: split_tokens(args) for kernel, args in entries.items()}
        self.default = default
        self.changes = 0

    def __call__(self, command):
        assert command[0] == "/usr/sbin/grubby"
        options = dict(word.removeprefix("--").partition("=")[::2] for word in command[1:])
        if options == {"info": "ALL"}:
            blocks = [
                f'index={index}\nkernel="{kernel}"\nargs="{" ".join(args)}"\nroot="UUID=1"\ntitle="{kernel}"\nid="id{index}"\n'
                for index, (kernel, args) in enumerate(self.entries.items())
            ]
            return 0, "".join(blocks), ""
        if options == {"default-kernel": ""}:
            return 0, f"{self.default}\n", ""
        self.changes += 1
        if "set-default" in options:
            assert options["set-default"] in self.entries
            self.default = options["set-default"]
            return 0, "", ""
        args = self.entries[options["update-kernel"]]
        for gone in split_tokens(options.get("remove-args", "")):
            args = [arg for arg in args if gone not in ((arg,) if "=" in gone else (arg, arg.partition("=")[0]))]
        new = split_tokens(options.get("args", ""))
        keys = {arg.partition("=")[0] for arg in new}
        self.entries[options["update-kernel"]] = [arg for arg in args if arg.partition("=")[0] not in keys] + new
        return 0, "", ""

    def state(self):
        return {kernel: sorted(args) for kernel, args in self.entries.items()}, self.default
