#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages whose update would disturb guests."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: package_holds
short_description: Keep updates of kernel, switch, QEMU and libvirt off a node
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Holds the installed packages of the kernel, Open vSwitch, DPDK, QEMU and libvirt, so that neither an administrator's update nor an unattended one
    replaces them while guests run. An update of Open vSwitch, for example, restarts it, which cuts all real-time networks.
  - On Debian and Ubuntu by dpkg's selection (apt-mark hold); on the RHEL family by a block of lines in C(/etc/dnf/plugins/versionlock.list), which needs
    the package python3-dnf-plugin-versionlock.
  - Packages that the administrator holds stay held.
options:
  state:
    description: V(present) holds the packages that are installed now; V(absent) releases those that this module has held.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - realtime.kvm.attributes
  - realtime.kvm.changes
  - realtime.kvm.disruption
"""

EXAMPLES = r"""
- name: No update of the kernel or the switch but in a maintenance window
  realtime.kvm.package_holds:

- name: Leave them to the package manager again
  realtime.kvm.package_holds:
    state: absent
"""

RETURN = r"""
held:
  description: The packages that are held.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._module._door import run_module
from ansible_collections.realtime.kvm.plugins.module_utils._module.package_holds import OPTIONS, run


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    run_module(module, "package_holds", run)


if __name__ == "__main__":
    main()
