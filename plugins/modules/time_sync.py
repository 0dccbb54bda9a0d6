#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steer a node's clock by NTP or PTP, on housekeeping CPUs and before guests start."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: time_sync
short_description: Steer a node's clock by chrony or PTP, on housekeeping CPUs and before guests start
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Binds the time service to the housekeeping CPUs, and starts it before libvirt, by a systemd drop-in of chrony's unit, or by units of its own for
    C(ptp4l) and C(phc2sys). No file of the distribution or of the operator is edited.
  - With O(servers), O(makestep) or O(interface), chrony reads a file of this module, which includes chrony's own one first.
  - PTP is a client of one domain on one interface. Where the NIC has a clock of its own, ptp4l steers that and phc2sys the system's clock after it; else
    the kernel stamps the packets, and ptp4l steers the system's clock itself.
  - An interface that is a bridge, a bond, wireless, a port of a bridge, or a device of the DPDK switch, and one that stamps no packets, is refused
    before any write. So is a clock that another service steers.
  - A time service that starts may step the clock by what it is off, so its start has class V(stall).
options:
  state:
    description:
      - V(absent) takes back everything that the module has changed, like O(source=none).
      - V(prepared) changes nothing. Before chrony is installed, whose package may remove another time service, it fails unless one of O(servers) answers.
    type: str
    choices: [present, prepared, absent]
    default: present
  partition:
    description:
      - The partition to work from; the node's own partition file when not given.
      - A module that changes the node refuses one that is not that of the file, so that all parts of a node have the same partition.
        In check mode, or with O(fsroot), it may be any.
    type: dict
  source:
    description:
      - V(chrony) is NTP by chrony, V(ptp) PTP by linuxptp. V(none) takes back what an earlier run has set up.
      - Empty, nothing is looked at and nothing is changed.
    type: str
    choices: ["", chrony, ptp, none]
    default: ""
  servers:
    description: NTP servers, one name or address each, without options. chrony prefers them; sources in its own files stay.
    type: list
    elements: str
    default: []
  makestep:
    description:
      - "When chrony steps the clock, as in its own file: seconds and updates, such as V(1.0 3). V(never) is also PTP's: the clock is only slewed."
      - Empty leaves it as it is. chrony's own file mostly says that it steps in its first three updates if the clock is off by more than a second, and
        PTP steps once, at its start, by more than 20 µs.
    type: str
    default: ""
  interface:
    description: The NIC of PTP, or the one that stamps chrony's packets, by interface name or PCI address.
    type: str
    default: ""
  stamping:
    description: Who stamps the packets. V(auto) is the NIC where it can, else the kernel.
    type: str
    choices: [auto, hardware, software]
    default: auto
  domain:
    description: PTP's domain, 0 to 255.
    type: int
    default: 0
  transport:
    description: How PTP's packets travel.
    type: str
    choices: [UDPv4, UDPv6, L2]
    default: UDPv4
  delay:
    description: PTP's delay mechanism, end to end or peer to peer.
    type: str
    choices: [E2E, P2P]
    default: E2E
  priority:
    description: V(0) leaves the policy as it is; else the priority of SCHED_FIFO, at most O(priority_limit).
    type: int
    default: 0
  priority_limit:
    description: The highest real-time priority below the kernel's threads (C(realtime_priority_limit)).
    type: int
    default: 1
  offset_limit_us:
    description: The offset in µs above which M(realtime.kvm.rt_audit) warns; V(0) for none.
    type: float
    default: 1000.0
  take_over:
    description:
      - Whether other time services are switched off, once the new source has answered a trial that does not touch the clock. Undo switches them on again.
      - V(false) refuses such a node and names them.
    type: bool
    default: false
extends_documentation_fragment:
  - realtime.kvm.attributes
  - realtime.kvm.guests.networks
  - realtime.kvm.fsroot
  - realtime.kvm.changes
  - realtime.kvm.disruption
seealso:
  - module: realtime.kvm.cpu_partition
  - module: realtime.kvm.rt_audit
"""

EXAMPLES = r"""
- name: Follow two NTP servers
  realtime.kvm.time_sync:
    source: chrony
    servers: [10.0.0.1, 10.0.0.2]

- name: Follow the grandmaster of a plant's PTP domain
  realtime.kvm.time_sync:
    source: ptp
    interface: eno1
    domain: 24
    transport: L2
    take_over: true
"""

RETURN = r"""
source:
  description: The source that is set up; empty for none.
  returned: success
  type: str
stamping:
  description: Who stamps the packets of O(interface), V(hardware) or V(software); empty without one.
  returned: success
  type: str
installed:
  description: Whether the source's programs are installed.
  returned: success
  type: bool
units:
  description: The services that run.
  returned: success
  type: list
  elements: str
others:
  description: Other time services, which are switched off.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._module._door import run_module
from ansible_collections.realtime.kvm.plugins.module_utils._module.time_sync import OPTIONS, run


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    run_module(module, "time_sync", run)


if __name__ == "__main__":
    main()
