# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules of a node's CPUs, and the partition that their tests begin with."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.modules import (
    cpu_partition,
    cpu_partition_info,
    cpu_power,
    guest_os,
    irq_affinity,
    kernel_arguments,
)
from unit.trees import plan

MODULES = {
    "cpu_partition": cpu_partition,
    "cpu_partition_info": cpu_partition_info,
    "cpu_power": cpu_power,
    "guest_os": guest_os,
    "irq_affinity": irq_affinity,
    "kernel_arguments": kernel_arguments,
}
PARTITION = to_document(plan())  # housekeeping 0, realtime 1-3
