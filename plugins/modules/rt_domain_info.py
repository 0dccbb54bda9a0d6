#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Report the domains of a node."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rt_domain_info
short_description: Report the guests of a node, defined and running
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Reads every domain that libvirt knows, foreign ones too, and the threads of running ones from C(/proc). Changes nothing.
options:
  names:
    description: Only these domains; all of them when empty.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - realtime.kvm.attributes.info
seealso:
  - module: realtime.kvm.rt_domain
"""

EXAMPLES = r"""
- name: Read the guests
  realtime.kvm.rt_domain_info:
  register: guests

- name: Show them
  ansible.builtin.debug:
    msg: "{{ guests.table }}"
"""

RETURN = r"""
domains:
  description:
    - Each domain's C(name), C(ours), C(state), C(owner), C(project), C(class), C(vcpus) (vCPU to CPUs), C(schedulers), C(emulator), C(floating),
      C(memory_mib), C(hugepages), C(nodes), C(ports), C(disks) and C(autostart) as defined.
    - C(manager) is V(realtime.kvm), V(nova) for an instance of OpenStack's Nova, or empty. Of an instance, C(owner), C(project) and C(class) are
      user, project and flavor, C(owner_id) and C(project_id) their ids, and C(instance) is its name in Nova.
    - C(threads) are those of the running guest as the kernel shows them, and C(differs_live) lists where they differ from the definition.
  returned: success
  type: list
  elements: dict
table:
  description: The domains as lines of text.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._module._door import run_module
from ansible_collections.realtime.kvm.plugins.module_utils._module._guest_edges import GuestEdges
from ansible_collections.realtime.kvm.plugins.module_utils._module.rt_domain_info import run


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={"names": {"type": "list", "elements": "str", "default": []}},
        supports_check_mode=True,
    )
    run_module(module, "rt_domain_info", run, info=True, edges=GuestEdges)


if __name__ == "__main__":
    main()
