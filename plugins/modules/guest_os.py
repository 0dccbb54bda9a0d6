#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give a guest the clock of its node."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: guest_os
short_description: Give the inside of a guest the clock of its node
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Loads the kernel module C(ptp_kvm) in a guest, now and at each boot. The node's clock is then a PTP device of the guest (C(/dev/ptp_kvm)), which chrony
    and phc2sys can follow without a network.
  - CPU sets, arguments, settings and interrupts of the guest are those of M(realtime.kvm.cpu_partition), M(realtime.kvm.kernel_arguments),
    M(realtime.kvm.cpu_power) and M(realtime.kvm.irq_affinity).
options:
  state:
    description: V(absent) undoes everything that the module has changed.
    type: str
    choices: [present, absent]
    default: present
  partition:
    description: The guest's partition; its own partition file when not given. That of a node is refused.
    type: dict
  ptp_kvm:
    description:
      - Whether the guest has the node's clock. It needs a node whose clock source is C(tsc), and the module in the guest's kernel.
      - Not given, the guest gets the clock where it is known that the node offers it, and a warning says why not elsewhere.
      - V(true) is refused where something speaks against it. V(false) takes back what the module has changed.
    type: bool
  node_clock_source:
    description: The current clock source of the guest's node; V(unknown) where it could not be asked, empty where it has not been asked yet.
    type: str
    default: ""
extends_documentation_fragment:
  - realtime.kvm.attributes
  - realtime.kvm.fsroot
  - realtime.kvm.changes
  - realtime.kvm.disruption
seealso:
  - module: realtime.kvm.cpu_partition
"""

EXAMPLES = r"""
- name: Give the guest its node's clock
  realtime.kvm.guest_os:
    ptp_kvm: true
"""

RETURN = r"""
clock:
  description: The PTP device of the node's clock; empty where there is none.
  returned: success
  type: str
  sample: /dev/ptp0
clock_source:
  description: The guest's clock source.
  returned: success
  type: str
  sample: tsc
asks_node:
  description: Whether the guest has no clock yet, and only the clock source of its node can say whether it can have one.
  returned: success
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._module._door import run_module
from ansible_collections.realtime.kvm.plugins.module_utils._module.guest_os import OPTIONS, run


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    run_module(module, "guest_os", run)


if __name__ == "__main__":
    main()
