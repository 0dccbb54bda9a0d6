#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of the action openstack_cloud, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: openstack_cloud
short_description: Make what an OpenStack cloud needs for real-time instances
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Makes, in this order, traits, flavors, the isolated aggregate, QoS policies, networks without subnets and ports without addresses; then removes, in the
    opposite order, what is C(state=absent). What is not named stays as it is.
  - Reads the cloud, plans, refuses what cannot be, makes the changes with the modules of the collection openstack.cloud (networks, QoS policies and ports,
    which must be known by id, with openstacksdk), and reads the cloud again. Nothing is changed before everything is validated.
  - Networks, QoS policies and ports are those of the project of the credentials. What other projects have is neither changed nor removed, whatever its name
    is. Names that are, or look like, the id of something else are refused.
  - Of a run that fails the message says what was made, C(changed) is true then, and what is only in part there is named.
  - Every trait is made before any flavor, of all nodes of the cloud, whatever the run is limited to, since a trait that placement does not know makes
    scheduling fail.
  - Refused before the first change if a node's nova-compute is too old for the cloud's Nova.
  - Runs only on the controller. Credentials are in no result, difference or message.
options:
  hosts:
    description: The nodes; those of the group C(realtime_nodes) with the same C(openstack_cloud_name) if not given.
    type: list
    elements: str
  answers:
    description:
      - Names of the variables in which each node has results of this run. C(partition) of M(realtime.kvm.cpu_partition_info), C(domains) of
        M(realtime.kvm.rt_domain_info), and C(packages) of M(ansible.builtin.find) for nova's Python package.
      - Without them nothing is known of NUMA nodes and releases, and placement is not compared.
    type: dict
    default: {}
  flavors:
    description: The flavors, items as in the role's C(openstack_cloud_flavors).
    type: list
    elements: dict
    default: []
  aggregate:
    description: Name of the isolated aggregate of all nodes but those with C(nova_compute_plain_pinned); empty for none.
    type: str
    default: ''
  aggregate_state:
    description: Whether the aggregate must exist.
    type: str
    choices: [present, absent]
    default: present
  networks:
    description: Networks without subnets, items as in the role's C(openstack_cloud_networks).
    type: list
    elements: dict
    default: []
  qos_policies:
    description: Policies with a minimum bandwidth, items as in the role's C(openstack_cloud_qos_policies).
    type: list
    elements: dict
    default: []
  ports:
    description: Ports without addresses, items as in the role's C(openstack_cloud_ports).
    type: list
    elements: dict
    default: []
  traits:
    description: More traits, or traits to remove, items as in the role's C(openstack_cloud_traits).
    type: list
    elements: dict
    default: []
extends_documentation_fragment:
  - realtime.kvm.cloud
requirements:
  - openstack.cloud (Ansible collection), 2.4 or newer, on the controller
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the cloud.
    support: full
  diff_mode:
    description: Returns what has changed (or would be changed in C(check_mode)); both runs return the same.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
seealso:
  - module: realtime.kvm.openstack_cloud_info
  - plugin: realtime.kvm.nova_extra_specs
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Make a flavor and a network
  realtime.kvm.openstack_cloud:
    access: {name: plant}
    aggregate: realtime
    flavors:
      - name: rt.plc
        guest: {vcpus: 4, realtime_vcpus: 1-3, memory_mib: 2048}
    networks:
      - {name: control-101, physical_network: rt0, segmentation_id: 101}
  run_once: true
  vars:
    ansible_connection: local
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
"""

RETURN = r"""
changes:
  description: What was changed, each with C(resource), C(before), C(after) and C(reason); in check mode what would be.
  returned: success
  type: list
  elements: dict
flavors:
  description: Each flavor as M(realtime.kvm.openstack_cloud) has made it, with the reasons of its extra specs.
  returned: success
  type: dict
hosts:
  description: The compute host of each node, empty for one that the cloud does not know.
  returned: success
  type: dict
notes:
  description: What should be known beside the changes, such as nodes that the cloud does not know.
  returned: success
  type: list
  elements: str
findings:
  description: Where placement differs from the partition files of the nodes, as M(realtime.kvm.rt_audit) returns findings.
  returned: success
  type: list
  elements: dict
text:
  description: The text, if it was not printed because the callback prints JSON; else empty.
  returned: success
  type: list
  elements: str
"""
