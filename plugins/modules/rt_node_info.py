#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Report a node's resources and their users."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rt_node_info
short_description: Report a node's resources and their users, for accounting and report
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Reads in one remote execution the CPUs, the partition file, memory and huge pages, every domain of libvirt (also foreign and ordinary ones),
    the ports and poll-mode threads of the switch, and how often interrupts fire on each CPU. Changes nothing and is safe on a live node.
  - C(missing) names each part that does not exist or cannot be read; all other parts are returned.
options:
  interval:
    description: Seconds between the two counts of interrupts from which their rates are computed; V(0) for counts since boot only. At most 60.
    type: float
    default: 1.0
extends_documentation_fragment:
  - realtime.kvm.attributes.info
  - realtime.kvm.fsroot
seealso:
  - module: realtime.kvm.rt_report
  - module: realtime.kvm.rt_domain_info
  - module: realtime.kvm.cpu_partition_info
"""

EXAMPLES = r"""
- name: Read the node's resources and their users
  realtime.kvm.rt_node_info:
  register: rt_node_info_result
"""

RETURN = r"""
node:
  description: The data, as plain values.
  returned: success
  type: dict
  contains:
    format: {description: Version of this data., type: int, sample: 1}
    captured: {description: "Whether these are captured files (O(fsroot)), so that nothing is known of what runs.", type: bool}
    read: {description: "When it was read (UTC, by the node's clock).", type: str, sample: "2026-11-23T10:15:00Z"}
    hostname: {description: The node's own name., type: str}
    booted: {description: When the node was booted., type: str}
    topology: {description: "Every online CPU with package, die, NUMA node and siblings, the NUMA nodes, and the network devices.", type: dict}
    kernel: {description: "Release, command line, isolated CPUs, and whether it is a PREEMPT_RT kernel.", type: dict}
    partition: {description: The partition file; empty if the node has none., type: dict}
    partition_since: {description: When the partition file was last written., type: str}
    memory:
      description: For each NUMA node the memory in MiB (total, free, most for guests) and the huge pages by size (have, free).
      type: dict
    guests:
      description:
        - Every domain as M(realtime.kvm.rt_domain_info) describes it.
        - It also has C(created) if the metadata has it, C(running_since) (start of its process), C(defined_since) (last change of its
          definition) and C(devices) (PCI addresses given to it).
      type: list
      elements: dict
    clock:
      description: "What M(realtime.kvm.time_sync) has set up: source, services with their CPUs, what it follows and how far it is off; empty without it."
      type: dict
    switch: {description: "When ovs-vswitchd was started, CPUs of poll-mode threads, and every port with its bridge, guest and queues.", type: dict}
    interrupts: {description: "Each interrupt with CPUs, counts since boot and per second, and the load of each CPU.", type: dict}
    missing:
      description: "What could not be read: C(part), C(state) (V(absent) or V(broken)) and C(reason)."
      type: list
      elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._module._door import run_module
from ansible_collections.realtime.kvm.plugins.module_utils._module._switch_edges import SwitchEdges
from ansible_collections.realtime.kvm.plugins.module_utils._module.rt_node_info import run


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={"interval": {"type": "float", "default": 1.0}, "fsroot": {"type": "path", "default": "/"}},
        supports_check_mode=True,
    )
    run_module(module, "rt_node_info", run, info=True, edges=SwitchEdges)


if __name__ == "__main__":
    main()
