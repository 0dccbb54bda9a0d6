#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Neutron's Open vSwitch agent on a node."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: neutron_agent
short_description: Tell Neutron's Open vSwitch agent the bridges of the DPDK switch
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Writes a configuration file of its own that the agent reads last, in one remote execution. No file of the operator's is edited. Which files the service
    reads is taken from its unit, Debian's init script or the running process.
  - C([ovs] datapath_type) is V(netdev), and C(vhostuser_socket_dir) the folder in which QEMU makes sockets for the switch of M(realtime.kvm.ovs_dpdk).
  - C(bridge_mappings) and C(resource_provider_bandwidths) get each network with a C(physical_network); mappings of the operator's for other bridges
    are kept. C(resource_provider_hypervisors) is set if the name of the hypervisor is not the C(host) of the services.
  - C([securitygroup] firewall_driver) is V(noop) if it is not set, or is one of iptables, which cannot filter vhost-user ports.
  - A bridge that does not exist, or has the datapath of the kernel, and contradictions in the operator's files are refused before any write.
  - A running agent is restarted if a file has changed (class V(stall), since it writes the flows of all ports again), and watched until it has stayed up for
    five seconds. An agent that does not run is not started.
options:
  state:
    description: V(absent) removes the files.
    type: str
    choices: [present, absent]
    default: present
  host:
    description: The C(host) of Nova's and Neutron's services where it is not the node's host name. Another one is refused, since ports are bound by it.
    type: str
    default: ""
  ovsdb_connection:
    description:
      - How the agent reaches Open vSwitch's database. Unless given, what the operator's files say, those of Nova too; else the database's socket if the
        users of both may write to it, and V(tcp:127.0.0.1:6640) if not, where the agent makes the database listen.
    type: str
    default: ""
  timeout_s:
    description: How many seconds the restarted agent has to come up and stay up; at least 6.
    type: int
    default: 120
extends_documentation_fragment:
  - realtime.kvm.attributes
  - realtime.kvm.guests.networks
  - realtime.kvm.fsroot
  - realtime.kvm.changes
  - realtime.kvm.disruption
notes:
  - Nodes of kolla-ansible, RHOSO and sunbeam are refused, since their containers read other files; the result then has the C(text) to put there, made with
    what these files say. Nodes of ML2/OVN have no such agent.
  - The operator's other mappings are copied as they are now; run this again after changing them.
seealso:
  - module: realtime.kvm.nova_compute
  - module: realtime.kvm.ovs_dpdk
"""

EXAMPLES = r"""
- name: Tell the agent which bridge is which physical network
  realtime.kvm.neutron_agent:
    networks:
      - name: control
        device: 0000:41:00.0
        physical_network: rt0
        kbps: 10000000

- name: Take it back
  realtime.kvm.neutron_agent:
    state: absent
"""

RETURN = r"""
bridge_mappings:
  description: Physical networks of this collection, each with its bridge.
  returned: success
  type: dict
bandwidths:
  description: The bandwidth of each of their bridges in kbit/s, each way.
  returned: success
  type: dict
firewall:
  description: The firewall driver that the agent has.
  returned: success
  type: str
hypervisor:
  description: The name by which placement knows the node.
  returned: success
  type: str
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
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._module._door import run_module
from ansible_collections.realtime.kvm.plugins.module_utils._module._switch_edges import SwitchEdges
from ansible_collections.realtime.kvm.plugins.module_utils._module.neutron_agent import OPTIONS, run


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    run_module(module, "neutron_agent", run, edges=SwitchEdges)


if __name__ == "__main__":
    main()
