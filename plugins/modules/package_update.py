#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All updates of a node's packages."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: package_update
short_description: Install all updates of a node, held packages included
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Lists every update that the node's package manager has (apt or dnf), and installs all of them in one run. Each is a change of class V(reboot), since what
    it replaces runs until the node reboots.
  - For a node whose guests are down; the playbook C(update) does that, and reboots.
  - Configuration files that the administrator has changed stay. Held packages are updated too, and held again; the lines in the list of dnf's plugin
    versionlock stay as they are.
  - The package manager has no time limit and is never killed, since half an update is worse than a wait.
options:
  refresh:
    description: Whether to read the package sources first, in check mode too. That changes the package manager's cache alone.
    type: bool
    default: true
extends_documentation_fragment:
  - realtime.kvm.attributes
  - realtime.kvm.changes
  - realtime.kvm.disruption
seealso:
  - module: realtime.kvm.package_holds
"""

EXAMPLES = r"""
- name: Install all updates
  realtime.kvm.package_update:
"""

RETURN = r"""
restart_owed:
  description: Whether updates are installed by this call, or were installed or begun since the node booted, so that it runs what they have replaced.
  returned: success
  type: bool
left:
  description: Packages with an update that the package manager keeps back.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import LIMIT
from ansible_collections.realtime.kvm.plugins.module_utils._module._door import run_module
from ansible_collections.realtime.kvm.plugins.module_utils._module.package_update import run


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec={**LIMIT, "refresh": {"type": "bool", "default": True}}, supports_check_mode=True)
    run_module(module, "package_update", run)


if __name__ == "__main__":
    main()
