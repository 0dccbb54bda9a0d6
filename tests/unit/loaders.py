# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boot loaders on trees of files: one run of the module, and the inputs from the field."""

from __future__ import annotations

from pathlib import Path

import yaml
from ansible_collections.realtime.kvm.plugins.module_utils._boot.loader import find_boot_loader
from ansible_collections.realtime.kvm.plugins.module_utils._host.kernel import read_kernel
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import config_path
from unit.menus import MakeConfig
from unit.trees import writable

STOCK, RT = "6.1.0-50-amd64", "6.1.0-50-rt-amd64"
WANTED = ["isolcpus=managed_irq,domain,2-3", "skew_tick=1"]
CONFIG = config_path("kernel_arguments")
FIELD = Path(__file__).resolve().parents[1] / "fixtures" / "field"


def field(number):
    """The parts of an input from the field, by their headings; the text before the first has the name ''."""
    (path,) = FIELD.glob(f"{number}-*")
    parts = {"": ""}
    for line in path.read_text().splitlines(keepends=True):
        if line.startswith("--- "):
            parts[line[4:].strip()] = ""
        else:
            parts[list(parts)[-1]] += line
    return parts


def field_values(number):
    """An input from the field whose lines are names and values."""
    return yaml.safe_load(field(number)[""])


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
        written = loader.written.followed_by(wanted, pattern, read_kernel(loader.host).cmdline)
        loader.host.set_file(CONFIG, written.text().encode())
        return entry

    return work


def remove(added=()):
    return lambda loader: loader.remove(list(added))
