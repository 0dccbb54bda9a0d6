#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Merge kernel arguments into the boot loader's configuration."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: kernel_arguments
short_description: Merge kernel arguments into the boot loader, and choose the default kernel
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Derives the arguments that the node's partition needs, each with a reason, and merges them with the operator's own, token by token.
  - On Debian and Ubuntu they go into a separate GRUB drop-in (V(/etc/default/grub.d/99-realtime-kvm.cfg)); the administrator's files are
    never edited, and their tokens stay in place. On the RHEL family C(grubby) adds them to the boot entries.
  - The new menu is generated beside the old one, must hold every planned argument where the kernel reads it, and replaces the old one in
    one step, so that a power cut leaves one of the two.
  - On the RHEL family the arguments also go into V(/etc/kernel/cmdline) where it exists, so that kernels installed later have them, and
    V(/etc/sysconfig/kernel) gets C(UPDATEDEFAULT=no) where a kernel update would become the default.
  - A machine that another boot loader has booted (systemd-boot, proxmox-boot-tool) is refused before any change.
  - A token of the administrator's that contradicts the plan is refused with both values.
  - Reports whether the running kernel has what the boot loader will use next; it never reboots.
options:
  state:
    description:
      - V(absent) restores the boot configuration.
      - While kernels that this collection has added are still installed (RV(added_kernels)), a drop-in without arguments stays and keeps
        a previous kernel the default; remove those kernels and run the module again.
    type: str
    choices: [present, absent]
    default: present
  from_partition:
    description: Whether to derive arguments from the partition.
    type: bool
    default: true
  partition:
    description:
      - The partition to work from; the node's own partition file when not given.
      - A module that changes the node refuses one that is not that of the file, so that all parts of a node have the same partition.
        In check mode, or with O(fsroot), it may be any.
    type: dict
  arguments:
    description:
      - Further arguments, one token each, such as V(audit=0).
      - With O(state=absent), a running kernel that still has one of them needs a reboot.
    type: list
    elements: raw
    default: []
  host_arguments:
    description:
      - Arguments that guests and switch need, as RV(realtime.kvm.kvm_host#module:kernel_arguments) returns them.
      - When not given, those that follow from the options of M(realtime.kvm.kvm_host) on the node.
    type: list
    elements: str
  default_kernel:
    description: Shell pattern of kernel releases, such as V(*-rt-*); the newest installed kernel that matches boots by default.
    type: str
  priority_limit:
    description:
      - The highest real-time priority (1-40) that threads of guests have on this node. RCU's threads get three more
        (C(rcutree.kthread_prio)).
    type: int
    default: 1
  nohz_full:
    description:
      - Which isolated CPUs run without timer tick while they have a single task.
      - V(all) suits vCPUs that stay in guest mode; V(dataplane) avoids its cost for vCPUs that often enter the kernel; V(none) leaves the tick everywhere.
    type: str
    choices: [all, dataplane, none]
    default: all
  tsc:
    description: On processors whose time stamp counter is invariant, V(nowatchdog) stops its periodic check, V(reliable) also those at boot.
    type: str
    choices: [nowatchdog, reliable, keep]
    default: nowatchdog
  cstates:
    description:
      - V(boot) limits all CPUs to C1 by kernel arguments. V(keep) adds none, since M(realtime.kvm.cpu_power) limits only the isolated CPUs.
    type: str
    choices: [boot, keep]
    default: keep
  trial:
    description:
      - Whether the next boot is a trial. GRUB boots the new entry once, and the running kernel with its arguments stays the default; the node itself
        confirms the new entry once it is well, else it reboots into the old one.
      - Refused before any change where GRUB cannot boot an entry once, for example because F(/boot) lies on LVM, RAID or btrfs.
    type: bool
    default: false
  trial_timeout:
    description: Seconds from the start of the tried boot until the node must be well.
    type: int
    default: 300
  wait_s:
    description:
      - For how many seconds to wait at most while the node judges its boot on trial, before anything is read or planned.
      - A node that gives up its new entry reboots meanwhile, and the connection ends.
    type: int
    default: 0
  after_install:
    description:
      - Whether packages bring the kernel between an earlier call of this module and this one.
      - In check mode the kernel is not there yet, so the boot on trial alone is planned; its kernel is named by the pattern O(default_kernel).
    type: bool
    default: false
extends_documentation_fragment:
  - realtime.kvm.attributes
  - realtime.kvm.fsroot
  - realtime.kvm.changes
  - realtime.kvm.disruption
seealso:
  - module: realtime.kvm.cpu_partition
"""

EXAMPLES = r"""
- name: Boot the real-time kernel with the partition's arguments
  realtime.kvm.kernel_arguments:
    default_kernel: "*-rt-*"
  register: boot

- name: Add a further argument
  realtime.kvm.kernel_arguments:
    default_kernel: "*-rt-*"
    arguments: [audit=0]
"""

RETURN = r"""
arguments:
  description: The arguments that this collection adds.
  returned: success
  type: list
  elements: dict
  contains:
    token: {description: The argument., type: str, sample: "isolcpus=managed_irq,domain,2-5"}
    reason: {description: Why it is needed., type: str}
    disturbs: {description: What it costs., type: str}
    source: {description: The source of the rule., type: str}
boot_loader:
  description: V(grub) or V(grubby).
  returned: success
  type: str
following:
  description: Kernel release and tokens of the next boot, and whether that kernel has the modules of KVM.
  returned: success
  type: dict
running:
  description: Kernel release and tokens of the running kernel, and whether O(default_kernel) matches it.
  returned: success
  type: dict
missing:
  description: Tokens that this collection plans or has written, which the next boot has and the running kernel lacks.
  returned: success
  type: list
  elements: str
unexpected:
  description: Tokens that this collection plans or has written, which the running kernel has and the next boot will not have.
  returned: success
  type: list
  elements: str
foreign_differences:
  description:
    - Differences in the arguments of other users, for information; boot loaders show one line in different ways, so they never
      ask for a reboot.
  returned: success
  type: dict
  contains:
    missing: {description: Tokens of the next boot that the running kernel lacks., type: list, elements: str}
    unexpected: {description: Tokens of the running kernel that the next boot will not have., type: list, elements: str}
reboot_required:
  description:
    - Whether another kernel will boot, or the arguments that this collection plans or has written differ.
    - With captured files (O(fsroot)), whether their C(/proc/cmdline) lacks one of RV(arguments).
  returned: success
  type: bool
matching_kernels:
  description: Releases of the installed kernels that O(default_kernel) matches.
  returned: success
  type: list
  elements: str
added_kernels:
  description: Those of them that were not installed when this collection first changed the node.
  returned: success
  type: list
  elements: str
protection:
  description: What restricts the kernel, and what follows for a real-time node; the plan shows it.
  returned: success
  type: dict
  contains:
    secure_boot: {description: Whether the firmware boots only signed kernels; null where it has no Secure Boot., type: bool}
    lockdown: {description: "The running kernel's lockdown: V(none), V(integrity), V(confidentiality), empty for a kernel without it.", type: str}
    notes: {description: What follows., type: list, elements: str}
trial:
  description: How the last boot on trial stands.
  returned: success
  type: dict
  contains:
    state:
      description:
        - V(none), V(armed) (the next boot is the tried one), V(judging) (it runs, and the node has not confirmed it), V(confirmed), V(returned)
          (the old entry runs), V(unspent) (the old entry runs, and a later boot by GRUB is the trial) or V(unheld) (not confirmed, and the old
          entry is not held as the default any more, so the menu decides).
      type: str
    reason: {description: Why the node has returned or is about to; else empty., type: str}
realtime_guests:
  description: Names of running guests that have real-time vCPU threads.
  returned: success
  type: list
  elements: str
running_guests:
  description: Names of all running guests, which a reboot ends.
  returned: success
  type: list
  elements: str
stopped_guests:
  description: Names of guests that were shut down for a reboot and have not been started again (M(realtime.kvm.rt_domain_power)).
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._module._door import run_module
from ansible_collections.realtime.kvm.plugins.module_utils._module.kernel_arguments import OPTIONS, run


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    run_module(module, "kernel_arguments", run)


if __name__ == "__main__":
    main()
