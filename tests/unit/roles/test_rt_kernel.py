# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict on a boot is a plan as well, so that the node is asked once after its reboot."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

TASKS = Path(__file__).resolve().parents[3] / "roles" / "rt_kernel" / "tasks"
MODULE = "realtime.kvm.kernel_arguments"


def call(name):
    tasks = yaml.safe_load((TASKS / name).read_text())
    return next(task for task in [*tasks, *tasks[0].get("block", ())] if MODULE in task)[MODULE]


def test_the_verdict_hands_the_module_what_a_plan_hands_it():
    """But for the limit, which a preflight leaves out, and what only an installation needs."""
    planned = {name: value for name, value in call("arguments.yml").items() if name not in ("max_disruption", "after_install")}
    asked = call("verdict.yml")
    whole = {
        name: re.sub(r" if __rt_kernel_whole \| default\(false\) else omit", "", value)
        for name, value in asked.items()
        if name not in ("wait_s", "from_partition")
    }
    assert whole == planned
    assert asked["from_partition"] == "{{ __rt_kernel_whole | default(false) }}"
