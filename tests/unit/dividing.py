# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans of caches on a kernel that behaves like the real one: run, killed, undone."""

from __future__ import annotations

from copy import deepcopy

from ansible_collections.realtime.kvm.plugins.module_utils._cache.groups import plan_resctrl, undo_resctrl
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from unit.resctrls import RESCTRL, cache_files, processor
from unit.trees import machine_files, plan, writable

REALTIME, DATAPLANE = "realtime-kvm-realtime", "realtime-kvm-dataplane"
OFF = {"cache": False, "cache_l2": False, "memory_bandwidth": 0, "cache_code_data": False}
PARTITION = plan()  # housekeeping 0, realtime 1-3
THREE = plan(Intent(dataplane_cores_per_node=1))  # and dataplane 1
FILES = {**machine_files(isolated="1-3"), **cache_files(L3={0: "0-3"}), **processor(), "/var/lib/": None, f"{RESCTRL}/": None}


def run(root, plan_it, check_mode=False):
    host = writable(root, "cpu_cache", check_mode=check_mode)
    with host.locked():
        plan_it(host)
        host.commit()
    return host


def apply(root, partition=PARTITION, check_mode=False, **options):
    return run(root, lambda host: plan_resctrl(host, partition, {**OFF, **options}), check_mode)


def undo(root):
    return run(root, undo_resctrl)


def shown(kernel):
    """What the kernel shows now; later writes leave it as it is."""
    return {name: (group.cpus, deepcopy(group.lines)) for name, group in kernel.groups.items()}


def check_predicts(root, kernel, **options):
    """Check mode, a run and a second run: the first two plan the same, the third nothing."""
    before = shown(kernel)
    predicted = apply(root, check_mode=True, **options).changes
    assert shown(kernel) == before
    assert apply(root, **options).changes == predicted
    kernel.commands.clear()
    assert apply(root, **options).changes == []
    assert kernel.commands == []
    return predicted
