#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Report a node's partition and its drift."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cpu_partition_info
short_description: Report how a node's CPUs are partitioned and where the machine differs
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Reads the topology, the partition file and the values of the running kernel, in one remote execution, and lists the differences.
  - Changes nothing.
extends_documentation_fragment:
  - realtime.kvm.attributes.info
  - realtime.kvm.fsroot
seealso:
  - module: realtime.kvm.cpu_partition
  - module: realtime.kvm.rt_audit
    description: Also checks guests, switch, boot loader and known conflicts.
"""

EXAMPLES = r"""
- name: Compare the machine with its partition file
  realtime.kvm.cpu_partition_info:
  register: node

- name: Fail on drift
  ansible.builtin.assert:
    that: node.drift | length == 0
    fail_msg: "{{ node.drift_table }}"
"""

RETURN = r"""
topology:
  description: Online and offline CPUs, cores, NUMA nodes and network devices.
  returned: success
  type: dict
partition:
  description: The node's partition file as M(realtime.kvm.cpu_partition) returns it; empty if the node has none.
  returned: success
  type: dict
table:
  description: The partition as lines of a table for people.
  returned: success
  type: list
  elements: str
kernel:
  description: The running kernel's release and command line, whether it is a PREEMPT_RT one, and the CPUs it isolates.
  returned: success
  type: dict
drift:
  description: Every difference between the partition file and the machine.
  returned: success
  type: list
  elements: dict
  contains:
    severity: {description: V(error) or V(warning)., type: str}
    rule: {description: "Which rule was broken; all are in docs/audit.md.", type: str, sample: kernel-argument}
    resource: {description: "The file, thread, interrupt or argument.", type: str}
    expected: {description: The wanted state., type: str}
    actual: {description: The present state., type: str}
    remedy: {description: The command or action that repairs it., type: str}
    source: {description: The source of the rule., type: str}
drift_table:
  description: The differences as lines of text for people.
  returned: success
  type: list
  elements: str
managed_interrupts:
  description: Interrupts on isolated CPUs that the kernel manages and that cannot be moved (reported, not drift).
  returned: success
  type: list
  elements: dict
smi:
  description: System management interrupts, during which the firmware stops all CPUs; not drift, compare it before and after a test.
  returned: success
  type: dict
  contains:
    count: {description: How many since the boot (Intel's MSR 0x34 of the boot CPU); null where they are not counted., type: int}
    reason: {description: Why they are not counted., type: str}
realtime_guests:
  description: Names of running guests that have real-time vCPU threads.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._module._door import run_module
from ansible_collections.realtime.kvm.plugins.module_utils._module.cpu_partition_info import run


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec={"fsroot": {"type": "path", "default": "/"}}, supports_check_mode=True)
    run_module(module, "cpu_partition_info", run, info=True)


if __name__ == "__main__":
    main()
