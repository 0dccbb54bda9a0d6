#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All running guests of a node, off and on again."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rt_domain_power
short_description: Shut down all running guests of a node before a reboot, and start them again after it
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Works on every running guest of the node, also on those that this collection did not make.
  - V(stopped) refuses and names the guests unless O(allowed=true). It then asks all guests to shut down at once, and waits; those in O(order) follow
    one by one. A guest that has not ended in time is named, the others are started again, and the module fails, unless O(force_off=true).
  - Names of guests that were shut down are kept on the node (C(/var/lib/realtime-kvm/stopped-guests.json)) until they run again, also over a killed run.
  - V(started) starts them, in the reverse order. A guest on a real-time network is started when the switch has the guest's ports, since QEMU would wait
    for the switch without limit.
options:
  state:
    description: Whether guests are shut down (V(stopped)), or those that were shut down so are started again (V(started)).
    type: str
    choices: [stopped, started]
    required: true
  allowed:
    description: Whether guests may be shut down. Otherwise V(stopped) refuses and names those that run.
    type: bool
    default: false
  order:
    description: Guests that shut down after all others, one by one in this order; they start first, in the reverse order. Names that do not run are ignored.
    type: list
    elements: str
    default: []
  shutdown_timeout_s:
    description: How many seconds guests have to shut down (agent or ACPI), at least 1; each guest in O(order) has as long again.
    type: int
    default: 120
  force_off:
    description:
      - Whether to switch off guests that have not shut down in time.
      - Also allows V(stopped) to leave guests that run without the node's libvirt to the reboot, which cuts them off, and to shut down guests without a
        persistent definition, which nothing can start again. Otherwise V(stopped) refuses and names them.
    type: bool
    default: false
  switch_timeout_s:
    description: How many seconds V(started) waits for the switch before it starts a guest on a real-time network.
    type: int
    default: 60
  packages_timeout_s:
    description:
      - How many seconds V(started) waits for a package manager (apt, dpkg, rpm) that changes packages on the node, before it starts any guest; it fails if
        that has not ended by then. V(0) does not look.
    type: int
    default: 0
  guests:
    description: Guests that the same run would have shut down. Used in check mode only, so that V(started) shows them.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - realtime.kvm.attributes
  - realtime.kvm.changes
  - realtime.kvm.disruption
requirements:
  - libvirt and python3-libvirt on nodes with guests
seealso:
  - module: realtime.kvm.rt_domain
"""

EXAMPLES = r"""
- name: Shut down all guests, the database last
  realtime.kvm.rt_domain_power:
    state: stopped
    allowed: true
    order: [database]
  register: shut_down

- name: Reboot
  ansible.builtin.reboot:

- name: Start them again
  realtime.kvm.rt_domain_power:
    state: started
    order: [database]
    guests: "{{ shut_down.guests }}"
"""

RETURN = r"""
running:
  description: For V(stopped), the guests that ran before; for V(started), those that run now, empty if none had been shut down.
  returned: success
  type: list
  elements: str
guests:
  description: The guests that were shut down or started.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import LIMIT
from ansible_collections.realtime.kvm.plugins.module_utils._module._door import run_module
from ansible_collections.realtime.kvm.plugins.module_utils._module._switch_edges import SwitchEdges
from ansible_collections.realtime.kvm.plugins.module_utils._module.rt_domain_power import run


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            **LIMIT,
            "state": {"type": "str", "choices": ["stopped", "started"], "required": True},
            "allowed": {"type": "bool", "default": False},
            "order": {"type": "list", "elements": "str", "default": []},
            "shutdown_timeout_s": {"type": "int", "default": 120},
            "force_off": {"type": "bool", "default": False},
            "switch_timeout_s": {"type": "int", "default": 60},
            "packages_timeout_s": {"type": "int", "default": 0},
            "guests": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    run_module(module, "rt_domain_power", run, edges=SwitchEdges)


if __name__ == "__main__":
    main()
