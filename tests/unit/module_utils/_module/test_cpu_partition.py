# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cpu_partition does once its changes are made."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host.sysfs import read_topology
from ansible_collections.realtime.kvm.plugins.module_utils._host.tuning_daemons import plan_tuned
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import Edges
from ansible_collections.realtime.kvm.plugins.module_utils._module.cpu_partition import _settle
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.cpus import CPUS
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.feature import plan_feature
from unit.trees import fill, machine_files, plan, writable

OPTIONS = {"rt_throttling": "unlimited", "priority_limit": 1, "cycle_cpus": False}
STAT_INTERVAL = "/proc/sys/vm/stat_interval"


@pytest.mark.parametrize("tuned", [True, False])
def test_what_a_tuned_that_stops_puts_back_is_set_again(tmp_path, tuned):
    files = {"/etc/systemd/system/multi-user.target.wants/tuned.service": ("link", "/x")} if tuned else {}
    root = fill(tmp_path, {**machine_files(isolated="1-3"), STAT_INTERVAL: "1\n", "/var/lib/": None, **files})
    value = Path(f"{root}{STAT_INTERVAL}")
    commands = []

    def systemctl(command):
        commands.append(command)
        return 0, "", ""

    host = writable(root, "cpu_partition")
    with host.locked():
        plan_tuned(host, systemctl, take_over=True)
        plan_feature(host, CPUS, plan(), OPTIONS)
        host.commit()
        assert value.read_text().strip() != "1", "the values come after tuned was asked to stop"
        value.write_text("1\n")  # but it takes its time
        before = len(host.changes)
        _settle(Edges(host, systemctl), read_topology(host), plan(), OPTIONS)
    assert (value.read_text().strip() != "1") is tuned
    assert len(host.changes) == before + tuned
    assert len(commands) == tuned
