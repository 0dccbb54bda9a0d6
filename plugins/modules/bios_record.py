#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep a node's former firmware values on it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: bios_record
short_description: Keep the firmware values that a node had before this collection staged others
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Runs on the node whose firmware is set, before M(realtime.kvm.bios_baseline) stages values through its BMC, which keeps no former ones.
  - Records each attribute once, with its value from before the first change, in C(/var/lib/realtime-kvm/firmware.json), which only root can read.
  - Without options it reads the record. It changes nothing else on the node, so it reports no change.
options:
  values:
    description: Attributes to record, with their present values. Attributes that are recorded already keep their value.
    type: dict
    default: {}
  machine:
    description: Manufacturer and model. A record of another machine is not added to.
    type: str
    default: ""
  forget:
    description: Attributes to drop from the record, such as those that have their former value again. The file ends with the last one.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - realtime.kvm.attributes
seealso:
  - module: realtime.kvm.bios_baseline
"""

EXAMPLES = r"""
- name: Record what the next stage changes
  realtime.kvm.bios_record:
    values: "{{ firmware.former }}"
    machine: "{{ firmware.system.manufacturer }} {{ firmware.system.model }}"
  become: true
"""

RETURN = r"""
recorded:
  description: The record, by attribute.
  returned: success
  type: dict
  sample: {"ProcC1E": "Enabled"}
added:
  description: Attributes that this call has recorded.
  returned: success
  type: list
  elements: str
machine:
  description: The machine that the record is of; empty without one.
  returned: success
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._module._door import run_module
from ansible_collections.realtime.kvm.plugins.module_utils._module.bios_record import ARGUMENTS, run


def main() -> None:
    """Entry point."""
    run_module(AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True), "bios_record", run)


if __name__ == "__main__":
    main()
