#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All guests of a node."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rt_domain
short_description: Define, pin and run all real-time and other guests of a node
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Brings all guests of a node to the state in the inventory, in one remote execution. CPUs are chosen from the node's partition, one realtime CPU for each
    vCPU of a real-time guest; no core serves two guests. Existing pins stay, so that adding or removing a guest moves no other guest.
  - A guest's settings are merged into the domain's persistent XML. What libvirt or an administrator added beside them stays, and libvirt validates
    the result before it is kept.
  - Pins, policies and priorities are applied to running guests at once. Changes that a running guest cannot take are returned in RV(restart_required),
    and made with O(restart=true).
  - Everything is checked before the first change, also what libvirt does not check. That is shared memory for vhost-user, one CPU for each
    vCPU and one user for each CPU (foreign domains and poll-mode threads included), free huge pages on the guest's NUMA node, and priorities below
    the kernel's own threads.
options:
  state:
    description:
      - V(present) works on the guests listed.
      - V(absent) removes every definition that this collection has made, and gives adopted domains their former definition back. Disks, UEFI variables
        and a backup of the definitions stay.
    type: str
    choices: [present, absent]
    default: present
  restart:
    description: Whether running guests are restarted for changes that they cannot take while they run.
    type: bool
    default: false
  shutdown_timeout_s:
    description: How many seconds guests have to shut down (ACPI), at least 1.
    type: int
    default: 120
  force_off:
    description: Whether to switch off guests that have not shut down in time. Otherwise the run fails and names them.
    type: bool
    default: false
  switch_timeout_s:
    description:
      - How many seconds to wait for the switch before a guest on a real-time network starts or restarts. QEMU waits for the switch without limit, so such a
        guest is not started until the switch has its ports; the run then fails and says what is missing.
    type: int
    default: 60
  remove_ports:
    description: Whether the ports that the switch has for guests whose C(state) is V(absent) are removed as well.
    type: bool
    default: true
  stop_running:
    description: Whether O(state=absent) shuts running guests down. Otherwise the run refuses and names them.
    type: bool
    default: false
  priority_limit:
    description: The highest priority (1-40) that a guest's thread may have, one below that of ksoftirqd and ktimers, as given to M(realtime.kvm.cpu_partition).
    type: int
    default: 1
  site:
    description:
      - The inventory's name for the plant. A new guest's UUID and MACs are derived from it and from the guest's name, so they stay the same when its
        node is replaced.
      - Inventories whose guests share a network need different ones.
    type: str
    default: ""
  image_folder:
    description:
      - The folder of images that are made (O(guests[].disks[].base), O(guests[].disks[].size_gib), O(guests[].cloud_init)) and have no path of their own.
      - An image that a guest has stays where it is when this changes.
    type: str
    default: /var/lib/libvirt/images
  hugepages:
    description: Huge pages that are yet to be reserved, by NUMA node and size, as M(realtime.kvm.kvm_host) plans them. Used in check mode only.
    type: dict
  virtual_functions:
    description:
      - Virtual functions that are yet to be made, by the address of their physical function, as M(realtime.kvm.kvm_host) plans them. Used in check mode only.
    type: dict
  switch:
    description:
      - The switch as M(realtime.kvm.ovs_dpdk) plans it (RV(realtime.kvm.ovs_dpdk#module:switch)). Used in check mode only, where poll-mode threads that it
        sends away from realtime CPUs are no reason to refuse.
    type: dict
extends_documentation_fragment:
  - realtime.kvm.attributes
  - realtime.kvm.guests
  - realtime.kvm.guests.networks
  - realtime.kvm.guests.specs
  - realtime.kvm.fsroot
  - realtime.kvm.runs
  - realtime.kvm.changes
  - realtime.kvm.disruption
requirements:
  - libvirt and python3-libvirt on the node (the kvm_host role installs them)
seealso:
  - module: realtime.kvm.rt_domain_info
  - module: realtime.kvm.ovs_dpdk
"""

EXAMPLES = r"""
- name: A controller and an office guest
  realtime.kvm.rt_domain:
    networks:
      - name: control
    guests:
      - name: plc1
        memory_mib: 2048
        vcpus: 4
        realtime_vcpus: 1-3
        disks:
          - path: /var/lib/libvirt/images/plc1.qcow2
        networks:
          - network: control
        owner: automation
        project: line-4

- name: A guest made from an image, which its first boot gives a name, a key and an address
  realtime.kvm.rt_domain:
    networks:
      - name: control
    guests:
      - name: plc2
        memory_mib: 2048
        vcpus: 2
        realtime_vcpus: "1"
        disks:
          - base: /var/lib/libvirt/images/debian-13-genericcloud-amd64.qcow2
            size_gib: 20
        cloud_init:
          user_data:
            ssh_authorized_keys: ["{{ lookup('ansible.builtin.file', '~/.ssh/id_ed25519.pub') }}"]
          network_config:
            version: 2
            ethernets:
              control:
                match: {network: control}
                addresses: [192.0.2.12/24]
        networks:
          - network: control
      - name: historian
        memory_mib: 4096
        vcpus: 2
        disks:
          - path: /var/lib/libvirt/images/historian.qcow2

- name: Remove a guest, keep its disks
  realtime.kvm.rt_domain:
    guests:
      - name: plc1
        state: absent
"""

RETURN = r"""
domains:
  description:
    - The guests listed, each with its C(vcpus) (vCPU to CPU), C(realtime_vcpus), C(floating), C(emulator) and C(vhost) CPUs, C(disks)
        (target to path), C(macs) by network, and its memory
      (C(memory_mib), size of its C(hugepages), C(nodes), MiB in C(memory_by_node)), PCI functions (C(devices)).
  returned: success
  type: list
  elements: dict
defined:
  description: The guests listed that libvirt had on the node before this run, those with C(state=absent) included.
  returned: success
  type: list
  elements: str
restart_required:
  description: Running guests that need a restart, each with the elements of its XML that it lacks.
  returned: success
  type: dict
unlisted:
  description: Guests of this collection on the node that are not in the list; they are left alone.
  returned: success
  type: list
  elements: str
"""

from ansible_collections.realtime.kvm.plugins.module_utils._module._door import run_module
from ansible_collections.realtime.kvm.plugins.module_utils._module._guest_module import GuestAnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._module._switch_edges import SwitchEdges
from ansible_collections.realtime.kvm.plugins.module_utils._module.rt_domain import OPTIONS, run
from ansible_collections.realtime.kvm.plugins.module_utils._watch.runs import leave_runs


def main() -> None:
    """Entry point."""
    module = GuestAnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    run_module(module, "rt_domain", run, edges=SwitchEdges, end=leave_runs)


if __name__ == "__main__":
    main()
