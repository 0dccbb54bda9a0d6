#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The userspace switch of a node."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ovs_dpdk
short_description: Run Open vSwitch with DPDK on the dataplane CPUs of the partition
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Configures the userspace switch of a node from partition, networks and guests, in one remote execution. Poll-mode threads run on the dataplane CPUs,
    all other threads of the daemon on housekeeping CPUs. If possible, a poll-mode thread on the port's own NUMA node serves each queue of a network's ports.
  - Real-time networks become bridges with the userspace datapath. Guests get a vhost-user port on each of their real-time networks, for which QEMU listens in
    V(/run/realtime-kvm/vhost), a folder that only root and QEMU's group may enter. A network's device becomes a port as well.
  - Settings, bridges and ports are compared with the switch's database, and differences are written in one transaction. Settings that the daemon reads
    only at its start need one restart, which is made at the end and refused while guests use the switch, unless O(restart_with_guests=true).
  - Bridges, ports and settings of other users stay. A network or guest of this collection that is no longer listed is left alone and
    returned in RV(unlisted); only V(absent) removes it. Queues keep their CPUs when other ports are added or removed.
options:
  state:
    description:
      - V(present) works on the networks and guests listed.
      - V(absent) removes every bridge and port that this collection has made, and restores settings, devices and files.
    type: str
    choices: [present, absent]
    default: present
  socket_memory_mib:
    description:
      - Huge pages, in MiB, that the switch takes on each NUMA node with dataplane or realtime CPUs.
      - V(0) computes them from the networks' MTUs by the rules of Open vSwitch's documentation (832 MiB for an MTU of 1500).
        With less, the switch has fewer packet buffers; V(64) suffices for a handful of ports.
    type: int
    default: 0
  pmd_sleep_max_us:
    description: How many microseconds a poll-mode thread without traffic may sleep (0-10000). V(0) never sleeps.
    type: int
    default: 0
  dpdk_extra:
    description:
      - Further arguments for DPDK (C(dpdk-extra)). Left alone when empty; then those that an earlier run has set are removed.
      - Arguments that give DPDK its own CPUs or memory are refused.
    type: str
    default: ""
  socket_group:
    description: Group whose members may make sockets for the switch. Unless given, only the user that libvirt runs QEMU as may.
    type: str
    default: ""
  restart_with_guests:
    description: Whether the daemon may be restarted while guests use the switch. They lose their connection for some seconds.
    type: bool
    default: false
extends_documentation_fragment:
  - realtime.kvm.attributes
  - realtime.kvm.guests
  - realtime.kvm.guests.networks
  - realtime.kvm.guests.specs
  - realtime.kvm.fsroot
  - realtime.kvm.changes
  - realtime.kvm.disruption
requirements:
  - Open vSwitch 2.16 or newer with DPDK, and driverctl for devices bound to vfio-pci (the ovs_dpdk role installs them)
notes:
  - With O(fsroot) the module assumes that the switch's database is empty.
seealso:
  - module: realtime.kvm.cpu_partition
  - module: realtime.kvm.rt_domain
"""

EXAMPLES = r"""
- name: A control network with a physical port, and a port for each guest
  realtime.kvm.ovs_dpdk:
    networks:
      - name: control
        device: 0000:41:00.0
        vlan: 100
    guests:
      - name: plc1
        memory_mib: 2048
        vcpus: 4
        realtime_vcpus: 1-3
        networks:
          - network: control

- name: Remove a network with its ports
  realtime.kvm.ovs_dpdk:
    networks:
      - name: control
        state: absent
"""

RETURN = r"""
ports:
  description:
    - The ports of the listed networks and guests, each with C(name), C(bridge), C(network), C(guest) (empty for a device), C(socket), C(address)
      and C(affinity) (queue to CPU).
  returned: success
  type: list
  elements: dict
switch:
  description: The poll-mode threads' CPUs (C(pmd_cpus)) and C(socket_memory_mib) by NUMA node.
  returned: success
  type: dict
restart_required:
  description: Whether the daemon needed a restart, which was made unless in check mode.
  returned: success
  type: bool
restart_reasons:
  description: The settings that the restart was needed for.
  returned: success
  type: list
  elements: str
kernel_arguments:
  description: Kernel arguments that devices for vfio-pci need.
  returned: success
  type: list
  elements: str
unlisted:
  description: Ports and bridges of this collection whose network or guest is not listed; they are left alone.
  returned: success
  type: list
  elements: dict
installed:
  description: Whether Open vSwitch with DPDK is on the node.
  returned: success
  type: bool
"""

from ansible_collections.realtime.kvm.plugins.module_utils._module._door import run_module
from ansible_collections.realtime.kvm.plugins.module_utils._module._guest_module import GuestAnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._module._switch_edges import SwitchEdges
from ansible_collections.realtime.kvm.plugins.module_utils._module.ovs_dpdk import OPTIONS, run


def main() -> None:
    """Entry point."""
    module = GuestAnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    run_module(module, "ovs_dpdk", run, edges=SwitchEdges)


if __name__ == "__main__":
    main()
