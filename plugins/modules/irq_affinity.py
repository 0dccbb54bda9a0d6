#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep interrupts off isolated CPUs."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: irq_affinity
short_description: Keep interrupts away from isolated CPUs
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Sets the default affinity of new interrupts, moves every movable interrupt that may fire on an isolated CPU, and makes irqbalance leave
    isolated CPUs alone, in one remote execution.
  - An interrupt keeps those of its CPUs that are not isolated. Where none is left, it moves to the housekeeping and shared CPUs of its
    device's NUMA node.
  - Takes isolated CPUs out of the masks by which network queues hand packets to other CPUs (receive packet steering).
  - Drivers set the affinity of their interrupts again, for example when a link goes up, and new devices bring new interrupts. A service on the
    node, C(realtime-kvm-watch), listens to the kernel and moves them as the module does, with their threads.
  - Interrupts that the kernel itself manages cannot be moved; they are returned in RV(managed).
options:
  state:
    description: V(absent) undoes everything that the module has changed.
    type: str
    choices: [present, absent]
    default: present
  partition:
    description:
      - The partition to work from; the node's own partition file when not given.
      - A module that changes the node refuses one that is not that of the file, so that all parts of a node have the same partition.
        In check mode, or with O(fsroot), it may be any.
    type: dict
  irqbalance:
    description:
      - Whether to keep irqbalance off isolated CPUs, by a systemd drop-in that sets C(IRQBALANCE_BANNED_CPULIST). A running irqbalance is
        restarted when that changes. The drop-in is harmless where irqbalance is not installed; V(false) removes it.
    type: bool
    default: true
  watcher:
    description:
      - Whether the service C(realtime-kvm-watch) runs on the node. It runs on housekeeping CPUs and reports each move to systemd's journal. It needs the
        boot service's code, which M(realtime.kvm.cpu_partition) installs.
      - V(false) stops and removes it; interrupts are then moved only by this module and by the boot service.
    type: bool
    default: true
extends_documentation_fragment:
  - realtime.kvm.attributes
  - realtime.kvm.fsroot
  - realtime.kvm.changes
  - realtime.kvm.disruption
notes:
  - Older kernels (6.1) do not show which interrupts they manage. There, check mode may predict a move that the kernel then refuses; the refusal is
    remembered until the next boot.
seealso:
  - module: realtime.kvm.cpu_partition
"""

EXAMPLES = r"""
- name: Move interrupts off isolated CPUs
  realtime.kvm.irq_affinity:
"""

RETURN = r"""
managed:
  description: Interrupts on isolated CPUs that the kernel manages and that cannot be moved.
  returned: success
  type: list
  elements: dict
deferred:
  description: Whether the moves wait for a reboot; the boot service then makes them.
  returned: success
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._module._door import run_module
from ansible_collections.realtime.kvm.plugins.module_utils._module.irq_affinity import OPTIONS, run


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    run_module(module, "irq_affinity", run)


if __name__ == "__main__":
    main()
