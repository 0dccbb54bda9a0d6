# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A partition that was made for other CPUs is refused."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import PartitionError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from ansible_collections.realtime.kvm.plugins.module_utils._host.current import require_current_partition
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from unit.features import PARTITION
from unit.trees import fill, machine_files, plan


def test_a_partition_of_other_cpus_is_refused(tmp_path):
    fill(tmp_path, machine_files())
    host = Host(str(tmp_path), check_mode=True)
    assert require_current_partition(host, to_document(PARTITION)) == (PARTITION, build_topology(machine_files()))
    with pytest.raises(PartitionError, match=r"^the partition file describes another topology than the node has now"):
        require_current_partition(host, to_document(plan(cores=2)))


def test_a_cpu_that_is_off_is_another_topology(tmp_path):
    fill(tmp_path, {**machine_files(), "/sys/devices/system/cpu/online": "0-2\n", "/sys/devices/system/cpu/cpu3/online": "0\n"})
    with pytest.raises(PartitionError, match="or are off"):
        require_current_partition(Host(str(tmp_path), check_mode=True), to_document(PARTITION))
