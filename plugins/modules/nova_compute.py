#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nova's compute service on a node."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nova_compute
short_description: Tell nova-compute the CPUs, pages and networks of the partition
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Writes a configuration file of its own that nova-compute reads last, and a file of traits, in one remote execution. No file of the operator's is edited.
    Which files the service reads is taken from its unit, Debian's init script or the running process.
  - C([compute] cpu_dedicated_set) is the realtime set, without the cores of this collection's and other foreign guests. C(cpu_shared_set) is the shared
    set, or the housekeeping set where that is empty.
  - C([libvirt] realtime_scheduler_priority) is O(priority). C(cpu_power_management) is V(false), since Nova would switch dedicated CPUs off and on.
  - C([DEFAULT] reserved_huge_pages) are the pages, by NUMA node and size, of the switch and of all guests that are not Nova's.
  - C([neutron] physnets) and C(numa_nodes) bind instances to the NUMA node of a network's NIC. C([os_vif_ovs] ovsdb_connection) is the switch's database.
  - The traits are C(CUSTOM_REALTIME_KVM), and C(CUSTOM_REALTIME_PHYSNET_<NAME>) for each physical network.
  - Sets that would take a CPU from an instance of Nova's are refused by instance and CPU before any write; Nova itself would only log this.
  - A running service is restarted if a file has changed (class V(none), since instances go on running), and watched until it has stayed up for five
    seconds. A service that does not run is not started.
options:
  state:
    description: V(absent) removes the files. It is refused while instances have dedicated CPUs that the operator's own files do not give them.
    type: str
    choices: [present, absent]
    default: present
  priority:
    description:
      - Real-time priority of the vCPUs of real-time instances, for the whole node. It must be below that of the kernel's ksoftirqd and ktimers threads
        (O(priority_limit)).
    type: int
    default: 1
  priority_limit:
    description: The highest real-time priority of guests' threads on this node, as M(realtime.kvm.cpu_partition) has it.
    type: int
    default: 1
  plain_pinned:
    description:
      - Whether the node also serves instances with dedicated CPUs that are not real-time. Nova has one dedicated set, so both kinds share the realtime CPUs.
      - The module warns of that. It changes no file.
    type: bool
    default: false
  host:
    description: The C(host) of Nova's and Neutron's services where it is not the node's host name. Another one is refused, since ports are bound by it.
    type: str
    default: ""
  hugepages_reserve:
    description: MiB of huge pages by page size that Nova must leave on each NUMA node to other programs, such as V({"2M":1024}).
    type: dict
    default: {}
  socket_memory_mib:
    description: Huge pages, in MiB, that the switch takes of each NUMA node that it serves; V(0) computes them as M(realtime.kvm.ovs_dpdk) does.
    type: int
    default: 0
  switch_pages:
    description: Page size of the switch's memory.
    type: str
    choices: ["2M", "1G"]
    default: "2M"
  ovsdb_connection:
    description:
      - How Nova reaches Open vSwitch's database. Unless given, what the operator's files say, those of Neutron's agent too; else the database's socket if the
        users of both may write to it, and V(tcp:127.0.0.1:6640) if not, where the agent makes the database listen.
    type: str
    default: ""
  timeout_s:
    description: How many seconds the restarted service has to come up and stay up; at least 6.
    type: int
    default: 120
extends_documentation_fragment:
  - realtime.kvm.attributes
  - realtime.kvm.guests
  - realtime.kvm.guests.networks
  - realtime.kvm.guests.specs
  - realtime.kvm.fsroot
  - realtime.kvm.changes
  - realtime.kvm.disruption
notes:
  - Nodes of kolla-ansible, RHOSO and sunbeam are refused, since their containers read other files; the result then has the C(text) to put there, made with
    what these files say.
  - Values of the operator's files that are not named here are in no result and no message.
seealso:
  - module: realtime.kvm.neutron_agent
  - module: realtime.kvm.cpu_partition
"""

EXAMPLES = r"""
- name: Tell nova-compute what the node's partition is
  realtime.kvm.nova_compute:
    networks:
      - name: control
        device: 0000:41:00.0
        physical_network: rt0

- name: Take it back
  realtime.kvm.nova_compute:
    state: absent
"""

RETURN = r"""
sets:
  description: Nova's sets, C(dedicated) and C(shared).
  returned: success
  type: dict
  sample: {dedicated: "4-5,8-11", shared: "0-1,6-7"}
left_out:
  description: Realtime CPUs that are not offered to Nova, by the guest that has their cores.
  returned: success
  type: dict
reserved_pages:
  description: Huge pages that Nova must leave, each with C(node), C(size) and C(pages).
  returned: success
  type: list
  elements: dict
physnets:
  description: Physical networks, each with C(bridge), C(node) (NUMA node of its device) and C(kbps).
  returned: success
  type: dict
traits:
  description: The traits that placement gets.
  returned: success
  type: list
  elements: str
plain_pinned:
  description: Whether real-time and plainly pinned instances share the realtime CPUs.
  returned: success
  type: bool
unit:
  description: The service's unit; empty if nothing is left to undo.
  returned: success
  type: str
file:
  description: The configuration file.
  returned: success
  type: str
active:
  description: Whether the service runs.
  returned: success
  type: bool
restarted:
  description: Whether the service was restarted, or would be in check mode.
  returned: success
  type: bool
text:
  description: The options, for a node whose services are in another form.
  returned: when the node has no unit of the service
  type: str
provider:
  description: The file of traits, for the same.
  returned: when the node has no unit of the service
  type: str
"""

from ansible_collections.realtime.kvm.plugins.module_utils._module._door import run_module
from ansible_collections.realtime.kvm.plugins.module_utils._module._guest_module import GuestAnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._module._switch_edges import SwitchEdges
from ansible_collections.realtime.kvm.plugins.module_utils._module.nova_compute import OPTIONS, run


def main() -> None:
    """Entry point."""
    module = GuestAnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    run_module(module, "nova_compute", run, edges=SwitchEdges)


if __name__ == "__main__":
    main()
