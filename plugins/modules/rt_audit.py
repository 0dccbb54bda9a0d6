#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare a node with its partition file, the inventory and the known conflicts."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rt_audit
short_description: Compare a node with its partition file, the inventory and the known conflicts
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Compares every claim of the partition file and of the guests' specs with the machine, in one remote execution. That is arguments, kernel, boot
    loader and boot service, CPU sets and cpuset partitions, kernel threads, workqueues and other settings, interrupts, governor and idle states that
    CPUs enter, huge pages by NUMA node, the switch's settings, ports and poll-mode threads, each guest's definition, threads, memory and lock, other tuning
    daemons, and programs that run where they should not.
  - The modules that change guests, switch and memory find their differences, in check mode.
  - On a node without a partition file the CPUs that its kernel isolates count as realtime CPUs, and the rules for conflicts are applied to them.
  - Every rule is in docs/audit.md of this collection, with its meaning and its source. A part that cannot be read is a finding or is
    listed in RV(unchecked); all other parts are checked.
  - Changes nothing.
options:
  guest:
    description: The definition of the guest whose inside this machine is, as given to M(realtime.kvm.cpu_partition).
    type: dict
    suboptions:
      name:
        description: The guest's name.
        type: str
        required: true
      realtime_vcpus:
        description: Its real-time vCPUs, as a CPU list.
        type: str
        required: true
      vcpus:
        description: The number of its vCPUs.
        type: int
      idle:
        description: What an idle vCPU does.
        type: str
        choices: [halt, poll]
        default: halt
  interval:
    description: The least number of seconds for which idle states are watched, if the processor has any.
    type: float
    default: 1.0
  priority_limit:
    description: The highest priority that a guest's thread may have, as given to M(realtime.kvm.rt_domain); the node's configured value when not given.
    type: int
  host:
    description: Options as given to M(realtime.kvm.kvm_host).
    type: dict
    default: {}
    suboptions:
      socket_memory_mib:
        description: MiB of huge pages that the switch takes of each NUMA node; V(0) is by MTU.
        type: int
        default: 0
      switch_pages:
        description: Page size of the switch's memory.
        type: str
        choices: ["2M", "1G"]
        default: "2M"
      hugepages_reserve:
        description: Further MiB by page size that every NUMA node keeps.
        type: dict
        default: {}
      nx_huge_pages:
        description: How KVM maps huge pages with executable code.
        type: str
        choices: [keep, "off", never]
        default: keep
      halt_poll_ns:
        description: How many nanoseconds KVM spins for an idle vCPU; V(-1) is the kernel's choice.
        type: int
        default: -1
      virtual_functions:
        description: How many virtual functions a physical function has, by the name of its interface or its PCI address.
        type: dict
        default: {}
  switch:
    description: Options as given to M(realtime.kvm.ovs_dpdk).
    type: dict
    default: {}
    suboptions:
      socket_memory_mib:
        description: MiB of huge pages that the switch takes of each NUMA node; V(0) is by MTU.
        type: int
        default: 0
      pmd_sleep_max_us:
        description: How many microseconds a poll-mode thread without traffic may sleep.
        type: int
        default: 0
      dpdk_extra:
        description: Further arguments for DPDK.
        type: str
        default: ""
      socket_group:
        description: As in M(realtime.kvm.ovs_dpdk).
        type: str
        default: ""
  nova:
    description: What instances of OpenStack's Nova on the node are compared with.
    type: dict
    default: {}
    suboptions:
      priority:
        description: The priority of their real-time vCPUs; the node's C(realtime_scheduler_priority) when not given.
        type: int
      plain_pinned:
        description: Whether the node serves plainly pinned instances beside real-time guests by intent, so that they are not remarked.
        type: bool
        default: false
extends_documentation_fragment:
  - realtime.kvm.attributes.info
  - realtime.kvm.guests.networks
  - realtime.kvm.guests.specs
  - realtime.kvm.fsroot
  - realtime.kvm.runs
notes:
  - With O(fsroot), guests, switch and boot loader are not checked.
  - Run it as root; otherwise many files cannot be read.
seealso:
  - module: realtime.kvm.cpu_partition_info
    description: The partition alone.
"""

EXAMPLES = r"""
- name: Compare the node with the inventory
  realtime.kvm.rt_audit:
    networks: "{{ realtime_networks | default([]) }}"
    guests: "{{ realtime_guests | default([]) }}"
  register: audit

- name: Fail on errors
  ansible.builtin.assert:
    that: audit.findings | selectattr('severity', 'eq', 'error') | length == 0
    fail_msg: "{{ audit.findings_table }}"

- name: Audit a captured machine
  realtime.kvm.rt_audit:
    fsroot: /srv/snapshots/kvm07
"""

RETURN = r"""
findings:
  description: Every broken rule, errors first.
  returned: success
  type: list
  elements: dict
  contains:
    severity: {description: V(error) or V(warning)., type: str}
    rule: {description: "Which rule was broken; all are in docs/audit.md.", type: str, sample: vcpu-pin}
    resource: {description: "The file, thread, interrupt, argument, guest or CPUs.", type: str}
    expected: {description: The wanted state., type: str}
    actual: {description: The present state., type: str}
    remedy: {description: The command or action that repairs it., type: str}
    source: {description: The source of the rule., type: str}
findings_table:
  description: The findings as lines of text for people. For each rule what must hold, then each place where it does not, and the remedy.
  returned: success
  type: list
  elements: str
remarks:
  description: Information that breaks no promise (severity V(info)), such as interrupts that the kernel manages; keys as in RV(findings).
  returned: success
  type: list
  elements: dict
remarks_table:
  description: The remarks in the same form; empty without remarks.
  returned: success
  type: list
  elements: str
unchecked:
  description: Parts that could not be checked, each with C(part), C(state) (V(absent) or V(broken)) and C(reason).
  returned: success
  type: list
  elements: dict
topology:
  description: As returned by M(realtime.kvm.cpu_partition_info); empty where it cannot be read.
  returned: success
  type: dict
partition:
  description: The node's partition file; empty if it has none.
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
managed_interrupts:
  description: Interrupts on isolated CPUs that the kernel manages and that cannot be moved.
  returned: success
  type: list
  elements: dict
realtime_guests:
  description: Names of running guests that have real-time vCPU threads.
  returned: success
  type: list
  elements: str
smi:
  description: How many system management interrupts there were since the boot (C(count), null where not counted, then with a C(reason)).
  returned: success
  type: dict
"""

from ansible_collections.realtime.kvm.plugins.module_utils._module._door import run_module
from ansible_collections.realtime.kvm.plugins.module_utils._module._guest_module import GuestAnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._module._switch_edges import SwitchEdges
from ansible_collections.realtime.kvm.plugins.module_utils._module.rt_audit import OPTIONS, run
from ansible_collections.realtime.kvm.plugins.module_utils._watch.runs import leave_runs


def main() -> None:
    """Entry point."""
    module = GuestAnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    run_module(module, "rt_audit", run, info=True, edges=SwitchEdges, end=leave_runs)


if __name__ == "__main__":
    main()
