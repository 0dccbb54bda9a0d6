#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Partition a node's CPUs."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cpu_partition
short_description: Give every CPU of a node exactly one job
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Plans the node's CPU sets (housekeeping, dataplane, realtime, shared) from the node's own topology, checks every rule, and keeps the
    result on the node as V(/etc/ansible/facts.d/realtime_partition.fact), where all other modules read their CPUs.
  - Makes the run-time settings that keep the kernel's own work off the isolated CPUs (workqueue masks, kernel threads, sysctls,
    real-time throttling), and installs a boot service that makes them again after each boot.
  - While the running kernel does not isolate the CPUs yet (it needs a reboot), run-time settings are left to that boot service;
    RV(deferred) shows it.
  - With O(state=absent), everything the module has changed on the node is restored exactly.
options:
  state:
    description:
      - Whether the node is partitioned.
      - V(recovered) only switches on again the CPUs that a killed run had switched off (O(cycle_cpus)); V(present) and
        V(absent) do so first, too. While these CPUs are off, check mode can predict nothing and fails with RV(left_off).
    type: str
    choices: [present, absent, recovered]
    default: present
  housekeeping_cores_per_node:
    description:
      - Cores of each NUMA node that stay with the operating system. The boot CPU's core is always among them.
      - "A number for every node, or numbers by node, such as V({0: 2, 1: 1}). A node that is not named gives 1."
    type: raw
    default: 1
  dataplane_cores_per_node:
    description:
      - Cores of each NUMA node for the switch's poll-mode threads.
      - A number for every node, or numbers by node; a node that is not named gives none.
    type: raw
    default: 0
  dataplane_devices:
    description:
      - Network devices (interface names or PCI addresses) that the switch polls. Each adds one dataplane core on its NUMA node.
      - If O(dataplane_cores_per_node) requests more on a node, that number counts.
    type: list
    elements: str
    default: []
  shared_cores_per_node:
    description:
      - Cores of each NUMA node for the vCPUs of guests that are not real-time.
      - A number for every node, or numbers by node; a node that is not named gives none.
    type: raw
    default: 0
  realtime:
    description: V(rest) gives all remaining cores to real-time vCPUs; a number gives that many cores of each NUMA node.
    type: raw
    default: rest
  smt:
    description:
      - V(single) uses one thread of each isolated core and leaves its siblings idle. Real-time guests need this, since the threads of a
        core share its units and caches.
      - V(together) gives all threads of a core to one set. The siblings of a real-time vCPU then stay idle unless its guest's C(siblings)
        allows more.
    type: str
    choices: [together, single]
    default: single
  isolation:
    description:
      - V(boot) isolates by kernel arguments, which take effect at the next boot (M(realtime.kvm.kernel_arguments)).
      - V(runtime) isolates at once, by cgroup v2 cpuset partitions, and again after every boot. RV(not_at_runtime) lists
        the effects that only a boot can have.
    type: str
    choices: [boot, runtime]
    default: boot
  cpus:
    description:
      - Explicit CPU lists by set (V(housekeeping), V(dataplane), V(realtime), V(shared)); they win over the counts. Lists are text in the
        kernel's form (V("4-15,20-31")); quote them, as YAML reads some lists as numbers.
    type: dict
    default: {}
  guest:
    description:
      - The definition of the guest whose inside this machine is, from the list of its node (C(realtime_guests)). The sets then follow from it alone, and the
        options that count or list CPUs do not count. The role P(realtime.kvm.guest_os#role) hands it on.
    type: dict
    suboptions:
      name:
        description: The guest's name.
        type: str
        required: true
      realtime_vcpus:
        description: Its real-time vCPUs, as a CPU list. They are the realtime CPUs of its system; its other vCPUs are housekeeping CPUs.
        type: str
        required: true
      vcpus:
        description: The number of its vCPUs. A guest that has another number waits for a restart, and is refused.
        type: int
      idle:
        description:
          - What an idle vCPU does. With V(halt) it leaves the guest, so that the node's CPU may sleep. With V(poll) the guest's kernel gets C(idle=poll), and
            each vCPU always takes all of its CPU.
        type: str
        choices: [halt, poll]
        default: halt
  cycle_cpus:
    description:
      - Whether each CPU is switched off and on again before V(runtime) isolates it, which removes timers and queued work that a partition leaves
        in place. Linux stops all CPUs of the machine for a moment for that, so use it only if the node's guests tolerate it.
      - Only CPUs that become isolated are switched; the boot service does the same. Interrupts that a driver then spreads again are moved off them by
        M(realtime.kvm.irq_affinity), which comes after this module, and by its watcher.
      - With O(isolation=boot) it has no effect, and a warning says so.
    type: bool
    default: false
  rt_throttling:
    description:
      - How much ordinary work gets that waits on a realtime CPU behind a vCPU that never sleeps, such as the kernel's own work items.
      - V(budget) gives it 10 us of every 10 ms (the fair servers of kernels from 6.12; older kernels stop real-time threads for 100 us of
        every second instead).
      - V(unlimited) gives it nothing. Such work then waits until the vCPU sleeps, which can block the whole node.
      - V(kernel) leaves the kernel's own limits, 50 ms of every second.
    type: str
    choices: [budget, unlimited, kernel]
    default: budget
  hardware_watchdog_s:
    description:
      - Seconds (10-600) after which a watchdog in hardware resets a node on which systemd no longer runs; V(0) leaves it alone.
      - Nodes without such a device, and those where another program or file configures it, stay as they are.
    type: int
    default: 60
  cache:
    description:
      - Whether L3 caches are divided between the CPUs of V(realtime), V(dataplane) and the rest, by groups of resctrl. V(false) leaves them as they are.
      - "V(true) divides each cache in proportion to the CPUs that share it. Masks by set, such as V({realtime: '0f0'}), divide as they say; the rest
        has what is left."
      - A machine that cannot do it stays as it is, and a warning says why. Groups of other programs are never touched.
    type: raw
    default: false
  cache_l2:
    description: The same for L2 caches.
    type: raw
    default: false
  cache_code_data:
    description:
      - Whether code and data of a divided cache have portions of their own. It takes effect when resctrl is mounted, so a resctrl that another
        program has mounted without it is refused.
    type: bool
    default: false
  memory_bandwidth:
    description:
      - The limit of memory bandwidth for CPUs that are neither realtime nor dataplane; V(0) leaves it as it is.
      - In the processor's unit, percent on Intel and 1/8 GB/s on AMD.
    type: int
    default: 0
  uncore_frequency:
    description: V(max) keeps the uncore of Intel processors (L3, mesh, memory controllers) at its highest frequency, where the kernel can set it.
    type: str
    choices: [keep, max]
    default: keep
  priority_limit:
    description:
      - The highest real-time priority (1-40) that threads of guests have on this node. The kernel's ksoftirqd and ktimers threads get one more,
        rcuc and rcub three more, so that a spinning vCPU cannot stop timers and RCU.
    type: int
    default: 1
  tuned:
    description:
      - What to do if the C(tuned) service is on, which would set the same files to other values.
      - V(refuse) fails before any change; V(take_over) switches it off, and on again with O(state=absent).
    type: str
    choices: [refuse, take_over]
    default: refuse
extends_documentation_fragment:
  - realtime.kvm.attributes
  - realtime.kvm.fsroot
  - realtime.kvm.changes
  - realtime.kvm.disruption
seealso:
  - module: realtime.kvm.cpu_partition_info
  - module: realtime.kvm.kernel_arguments
"""

EXAMPLES = r"""
- name: Give one core per NUMA node to the system, the rest to real-time guests
  realtime.kvm.cpu_partition:

- name: Leave room for a switch that polls two NICs, and for ordinary guests
  realtime.kvm.cpu_partition:
    dataplane_devices: [ens1f0, "0000:81:00.0"]
    shared_cores_per_node: 2

- name: Give two cores of the first NUMA node to the system, since most guests' emulator threads run there, and one of every other
  realtime.kvm.cpu_partition:
    housekeeping_cores_per_node: {0: 2}

- name: Partition the inside of a guest whose vCPUs 1 to 3 are real-time
  realtime.kvm.cpu_partition:
    guest: {name: plc1, vcpus: 4, realtime_vcpus: "1-3"}

- name: Plan for a machine from its captured sysfs, before it is racked
  realtime.kvm.cpu_partition:
    fsroot: "{{ snapshot_directory }}"

- name: Undo everything
  realtime.kvm.cpu_partition:
    state: absent
"""

RETURN = r"""
partition:
  description: The partition file that the node has (or would get).
  returned: success, unless O(state=recovered)
  type: dict
  contains:
    schema: {description: Version of the document's form., type: int, sample: 1}
    isolation: {description: How the CPUs are isolated., type: str, sample: boot}
    smt: {description: How SMT siblings are used., type: str, sample: single}
    topology_digest: {description: Digest of the topology that it was planned for., type: str, sample: 43d5b132b897e88c}
    boot_cpu: {description: The CPU that the kernel boots on., type: int, sample: 0}
    sets: {description: "For each set its CPU list, its mask and its CPU list by NUMA node.", type: dict}
    isolated: {description: "Dataplane, realtime and idle CPUs together, in the same form.", type: dict}
    idle: {description: SMT siblings that are left unused., type: dict}
    numa_nodes: {description: The node's NUMA nodes that have CPUs., type: dict}
    warnings: {description: Assumptions of the planner., type: list, elements: str}
    guest: {description: "Name and idle mode of the guest whose inside this is; absent on a node.", type: dict}
topology:
  description: The node's CPUs, one by one, and its NUMA nodes, as M(realtime.kvm.rt_node_info) returns them; empty with O(state=absent).
  returned: success, unless O(state=recovered)
  type: dict
table:
  description: The plan as lines of a table for people.
  returned: success, unless O(state=recovered)
  type: list
  elements: str
policies:
  description: The choices between safety and latency that the node gets.
  returned: success, unless O(state=recovered)
  type: list
  elements: dict
  contains:
    variable: {description: The role's variable., type: str, sample: cpu_partition_rt_throttling}
    value: {description: The chosen value., type: str, sample: budget}
    before: {description: "The value that the node has until now, where it differs.", type: str, sample: unlimited}
    protects: {description: What the choice protects., type: str}
    costs: {description: What it costs., type: str}
hardware_watchdog:
  description: What the hardware watchdog does on this node.
  returned: success, unless O(state=recovered)
  type: str
  sample: 60 s, i6300ESB timer
cache:
  description:
    - The groups with their CPUs and portions as lines of a table for people, and what the machine cannot do, with the reason; empty where nothing is asked.
    - Where resctrl is not mounted yet, the caches with their CPUs, since the kernel does not tell more.
  returned: success, unless O(state=recovered)
  type: list
  elements: str
kernel:
  description: Release of the running kernel, and whether it is a PREEMPT_RT one.
  returned: success, unless O(state=recovered)
  type: dict
deferred:
  description: Whether the run-time settings wait for a reboot; the boot service then makes them.
  returned: success, unless O(state=recovered)
  type: bool
documented:
  description: Whether the document had this partition before the run. Other modules refuse to change a node whose document has another one.
  returned: success, unless O(state=recovered)
  type: bool
not_at_runtime:
  description: With O(isolation=runtime), the kernel arguments that would quiet the isolated CPUs further, which the kernel takes only at boot.
  returned: success, unless O(state=recovered)
  type: list
  elements: dict
  contains:
    argument: {description: The argument., type: str, sample: nohz_full=2-5}
    reason: {description: The effect that it would have., type: str}
left_off:
  description: CPU list of the CPUs that a killed run left switched off.
  returned: when check mode fails because of them
  type: str
realtime_guests:
  description: Names of running guests that have real-time vCPU threads.
  returned: success, unless O(state=recovered)
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._module._door import run_module
from ansible_collections.realtime.kvm.plugins.module_utils._module._guest_edges import GuestEdges
from ansible_collections.realtime.kvm.plugins.module_utils._module.cpu_partition import OPTIONS, run


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    run_module(module, "cpu_partition", run, edges=GuestEdges)


if __name__ == "__main__":
    main()
