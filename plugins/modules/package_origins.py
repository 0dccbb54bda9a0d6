#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages and daemons that a node had before."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: package_origins
short_description: Remember which packages and daemons a node had, and take back those of the roles
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Before a role installs packages, V(state=present) records in the node's journal which of them the node lacks, and which of the daemons that they bring
    (libvirt, Open vSwitch) are enabled and run; and which packages apt would remove for them, with the state of their units. It changes nothing else.
  - V(state=absent) installs those that were removed again, in one transaction in which the role's package goes. Where no repository has them, it stays.
  - V(state=absent), a step of the playbook C(undo), stops and disables the daemons that were off before. With O(remove=true) it also removes the packages, and
    those that came with them and that no other package needs.
  - Daemons stay on while others use them - libvirt while it knows a guest, Open vSwitch while it has a bridge - and then so do their packages; RV(stays) says
    so. The next call does what is left. It refuses to remove a package that others need which this collection did not install.
  - It expects that guests and switch of this collection were undone before; in check mode, where they are still there, they do not count as users.
options:
  state:
    description: Whether to record, or to take back.
    type: str
    choices: [present, absent]
    default: present
  role:
    description: The role that is about to install packages, for V(state=present).
    type: str
  names:
    description: The packages that it is about to install, for V(state=present).
    type: list
    elements: str
    default: []
  remove:
    description: Whether V(state=absent) removes the packages too. Otherwise they stay and the record of them is dropped.
    type: bool
    default: false
extends_documentation_fragment:
  - realtime.kvm.attributes
  - realtime.kvm.changes
  - realtime.kvm.disruption
seealso:
  - module: realtime.kvm.package_holds
"""

EXAMPLES = r"""
- name: Remember what is there before the packages of a role are installed
  realtime.kvm.package_origins:
    role: rt_latency
    names: [rt-tests]

- name: Switch off what was off, and remove the packages
  realtime.kvm.package_origins:
    state: absent
    remove: true
"""

RETURN = r"""
packages:
  description: The packages of the roles that stay installed; empty for V(state=present).
  returned: success
  type: list
  elements: str
stays:
  description: What stays as the roles made it, in sentences.
  returned: success
  type: list
  elements: str
  sample: ["packages that the roles installed stay: qemu-utils, rt-tests"]
remove_by_hand:
  description: The command that removes RV(packages) later; empty without any.
  returned: success
  type: str
  sample: apt-get purge qemu-utils rt-tests
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import LIMIT
from ansible_collections.realtime.kvm.plugins.module_utils._module._door import run_module
from ansible_collections.realtime.kvm.plugins.module_utils._module._switch_edges import SwitchEdges
from ansible_collections.realtime.kvm.plugins.module_utils._module.package_origins import run


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            **LIMIT,
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "role": {"type": "str"},
            "names": {"type": "list", "elements": "str", "default": []},
            "remove": {"type": "bool", "default": False},
        },
        required_if=[("state", "present", ["role"])],
        supports_check_mode=True,
    )
    run_module(module, "package_origins", run, edges=SwitchEdges)


if __name__ == "__main__":
    main()
