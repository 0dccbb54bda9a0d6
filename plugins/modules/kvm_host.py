#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prepare a node for guests."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: kvm_host
short_description: Reserve huge pages for guests and switch, and check that guests can run
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Adds up the memory of all guests and of the switch by NUMA node and page size, and reserves the huge pages. Pages of 2 MiB are reserved at once, and by the
    boot service after each boot before libvirt and the switch start. Pages of 1 GiB need a reboot; RV(kernel_arguments) are those that reserve them.
  - A node that has more pages than needed keeps them. Guests that libvirt knows and that are not listed count too, whoever made them. Each NUMA node keeps
    512 MiB for the operating system.
  - Refuses, with numbers, what does not fit. If guests are listed, it also refuses a node whose KVM does not answer. It always refuses a limit on
    C(machine.slice) that keeps guests off their CPUs, and names its file and value.
  - Where AppArmor confines guests and does not let QEMU read which CPUs a NUMA node has (Debian 12), adds that rule to
    V(/etc/apparmor.d/local/abstractions/libvirt-qemu); without it a guest whose memory is bound to a node does not start.
options:
  state:
    description: V(absent) restores the number of pages, parameters of KVM, mounts and the AppArmor rule.
    type: str
    choices: [present, absent]
    default: present
  socket_memory_mib:
    description: MiB per NUMA node for the switch, as given to M(realtime.kvm.ovs_dpdk); V(0) computes it from the MTUs.
    type: int
    default: 0
  switch_pages:
    description: Page size of the switch's memory.
    type: str
    choices: ["2M", "1G"]
    default: "2M"
  hugepages_reserve:
    description:
      - Further MiB by page size that every NUMA node keeps for future guests and other programs, such as V({"2M":1024}).
      - Instances of OpenStack's Nova take their pages from it.
    type: dict
    default: {}
  nx_huge_pages:
    description:
      - V(off) lets KVM map huge pages of guests executable, so that they are never split. Guests are then trusted not to use the iTLB multihit
        erratum of older Intel processors to stop the host.
      - V(never) does the same from the next boot on, and KVM then makes no recovery thread in the guests' processes. It needs Linux 6.5.
      - V(keep) leaves the kernel's choice.
    type: str
    choices: [keep, "off", never]
    default: keep
  halt_poll_ns:
    description: How many nanoseconds KVM spins for an idle vCPU before its CPU sleeps; V(-1) leaves the kernel's choice.
    type: int
    default: -1
  virtual_functions:
    description:
      - How many virtual functions (SR-IOV) a physical function has, by the name of its interface or its PCI address. They get no driver of the node.
      - Another number than there is removes all of them first, and is refused while one of them is in use.
    type: dict
    default: {}
  tool:
    description: Whether a tool of the node (C(rtpart) and its boot service) that is of another release is replaced. M(realtime.kvm.cpu_partition) does so too.
    type: bool
    default: true
extends_documentation_fragment:
  - realtime.kvm.attributes
  - realtime.kvm.guests
  - realtime.kvm.guests.networks
  - realtime.kvm.guests.specs
  - realtime.kvm.fsroot
  - realtime.kvm.changes
  - realtime.kvm.disruption
seealso:
  - module: realtime.kvm.rt_domain
  - module: realtime.kvm.ovs_dpdk
"""

EXAMPLES = r"""
- name: Reserve memory for two guests
  realtime.kvm.kvm_host:
    networks:
      - name: control
    guests:
      - {name: plc1, memory_mib: 2048, vcpus: 4, realtime_vcpus: 1-3, networks: [{network: control}]}
      - {name: plc2, memory_mib: 4096, hugepages: 1G, vcpus: 2, realtime_vcpus: "1"}
"""

RETURN = r"""
policies:
  description: The choice between safety and latency for KVM's huge pages, as M(realtime.kvm.cpu_partition) returns its own.
  returned: success
  type: list
  elements: dict
pages:
  description: Pages needed, by NUMA node and size.
  returned: success
  type: dict
  sample: {"0": {"2M": 512, "1G": 4}}
hugepages:
  description: Each pool of pages after the run (in check mode before it).
  returned: success
  type: list
  elements: dict
  contains:
    node: {description: NUMA node., type: int}
    size: {description: V(2M) or V(1G)., type: str}
    wanted: {description: Pages needed., type: int}
    have: {description: Present pages., type: int}
    free: {description: Free pages., type: int}
    users: {description: Needed pages by user., type: dict}
placements:
  description: By guest, the NUMA C(nodes) of its memory and its present or planned CPUs (C(vcpus), C(floating), C(emulator)).
  returned: success
  type: dict
kernel_arguments:
  description: The kernel arguments that reserve pages of 1 GiB, and those of the IOMMU for guests with devices, for M(realtime.kvm.kernel_arguments).
  returned: success
  type: list
  elements: str
deferred:
  description: Whether pages wait for a reboot.
  returned: success
  type: bool
installed:
  description: Whether libvirt answers, and its Python library, QEMU and the RV(extras) are installed.
  returned: success
  type: bool
unread_domains:
  description: Whether there are definitions of domains although libvirt does not answer; their memory is counted by a call after it does.
  returned: success
  type: bool
virtual_functions:
  description: How many virtual functions each physical function has after the run, by PCI address.
  returned: success
  type: dict
  sample: {"0000:41:00.0": 4}
posted_interrupts:
  description: Whether the hardware hands interrupts of guests' devices to a running vCPU, and why not; empty where no guest has a device.
  returned: success
  type: str
  sample: "not used: the IOMMU has none"
extras:
  description:
    - What the listed guests need beside libvirt and QEMU. C(firmware) is needed for UEFI and secure boot, C(seed) (xorriso) for C(cloud_init),
      C(tpm) (swtpm) for a TPM, and C(devices) (driverctl) for PCI devices.
  returned: success
  type: list
  elements: str
"""

from ansible_collections.realtime.kvm.plugins.module_utils._module._door import run_module
from ansible_collections.realtime.kvm.plugins.module_utils._module._guest_edges import GuestEdges
from ansible_collections.realtime.kvm.plugins.module_utils._module._guest_module import GuestAnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._module.kvm_host import OPTIONS, run


def main() -> None:
    """Entry point."""
    module = GuestAnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    run_module(module, "kvm_host", run, edges=GuestEdges)


if __name__ == "__main__":
    main()
