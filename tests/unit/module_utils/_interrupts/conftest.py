# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine with interrupts that can be moved, and one that the kernel manages."""

from __future__ import annotations

import os

import pytest
from unit.irqs import DEFAULT, LIST, irq
from unit.trees import fill, machine_files


@pytest.fixture(name="root")
def _root(tmp_path):
    files = {
        **machine_files(isolated="1-3"),
        DEFAULT: "f\n",
        "/var/lib/": None,
        **irq(0, "0-3", "0"),  # no handler
        **irq(9, "0-3", "2", "acpi"),
        **irq(24, "1-3", "1", "eth0-rx", "eth0-tx", node="-1"),
        **irq(100, "2\n", "2\n", "nvme0q1"),
        **irq(101, "0", "0", "ahci"),
    }
    fill(tmp_path, files)
    os.chmod(f"{tmp_path}/proc/irq/100/{LIST}", 0o444)  # kernels from 6.14 show it so
    return tmp_path
