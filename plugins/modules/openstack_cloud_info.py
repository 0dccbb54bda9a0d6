#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of the action openstack_cloud_info, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: openstack_cloud_info
short_description: Compare what an OpenStack cloud has of a node with its partition file
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Compares placement's inventories C(PCPU) and C(VCPU), the node's traits, the bandwidth of its physical networks and the state of its nova-compute with
    the node's partition file and C(realtime_networks).
  - Runs only on the controller, connects to no node, and changes nothing. A cloud that cannot be asked fails nothing; it is returned as C(unchecked).
options:
  partition:
    description: The result of M(realtime.kvm.cpu_partition_info) or M(realtime.kvm.rt_audit) for the node.
    type: dict
    required: true
  domains:
    description: The result of M(realtime.kvm.rt_domain_info); real-time CPUs of its guests that are not Nova's are not expected in C(PCPU).
    type: dict
    default: {}
extends_documentation_fragment:
  - realtime.kvm.cloud
  - realtime.kvm.attributes.info
seealso:
  - module: realtime.kvm.openstack_cloud
"""

EXAMPLES = r"""
- name: Read the partition
  realtime.kvm.cpu_partition_info:
  register: partition

- name: Compare the cloud's view of the node with it
  realtime.kvm.openstack_cloud_info:
    access: {name: plant}
    partition: "{{ partition }}"
"""

RETURN = r"""
findings:
  description: The findings, as M(realtime.kvm.rt_audit) returns them.
  returned: success
  type: list
  elements: dict
findings_table:
  description: The findings as lines of text.
  returned: success
  type: list
  elements: str
unchecked:
  description: Why the cloud could not be asked, with C(part) and C(reason); else empty.
  returned: success
  type: list
  elements: dict
"""
