# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interrupts as files of /proc/irq, and one run of the role that moves them."""

from __future__ import annotations

from pathlib import Path

from unit.trees import plan, writable

PARTITION = plan()  # housekeeping 0, realtime 1-3
DEFAULT = "/proc/irq/default_smp_affinity"
LIST = "smp_affinity_list"


def irq(number, affinity, effective, *actions, node="0"):
    base = f"/proc/irq/{number}"
    return {
        f"{base}/{LIST}": affinity,
        f"{base}/effective_affinity_list": effective,
        f"{base}/node": node,
        **{f"{base}/{name}/": None for name in actions},
    }


def run(root, planner, check_mode=False):
    host = writable(root, "irq_affinity", check_mode)
    with host.locked():
        planner(host)
        host.commit()
    return host


def text(root, path):
    return Path(f"{root}{path}").read_text().strip()
