#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reset a machine that does not answer, through its BMC."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: bmc_reset
short_description: Reset a node that does not answer, through its BMC
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Asks the BMC (Redfish) for a reset of its system without the operating system's part in it (C(ForceRestart), else C(PowerCycle)); a system that is
    off is switched on.
  - The role rt_kernel calls it when a node does not come back after its reboot. A boot on trial is spent then, so the node comes up in its former entry.
  - Every call resets the system. Runs where the BMC can be reached, usually on the controller; needs no connection to the node.
options:
  address:
    description: Address of the BMC, as C(host), C(host:port) or C(https://host:port). Plain C(http) needs O(validate_certs=false).
    type: str
    required: true
  username:
    description: User of the BMC. It needs the right to reset the system.
    type: str
    required: true
  password:
    description: Its password. It is sent only to O(address), never to another address that the BMC names.
    type: str
    required: true
  validate_certs:
    description: Whether the BMC's certificate must be valid.
    type: bool
    default: true
  ca_path:
    description: File with the certificate of the authority that signed the BMC's, or the BMC's own.
    type: path
  timeout:
    description: Seconds to wait for the BMC each time. A whole answer may take four times as long, all of one reading twelve times (and O(wait) once).
    type: int
    default: 30
  wait:
    description: For how many seconds requests to a busy BMC are repeated (HTTP 429, 502, 503, 504).
    type: int
    default: 60
  system:
    description: The system (the last part of its path), if a BMC has several with a BIOS.
    type: str
    default: ""
extends_documentation_fragment:
  - realtime.kvm.attributes
  - realtime.kvm.changes
  - realtime.kvm.disruption
seealso:
  - module: realtime.kvm.kernel_arguments
"""

EXAMPLES = r"""
- name: Reset a node that hangs
  realtime.kvm.bmc_reset:
    address: "{{ bios_address }}"
    username: "{{ bios_username }}"
    password: "{{ bios_password }}"
    ca_path: /etc/ssl/certs/bmc-ca.pem
  delegate_to: localhost
"""

RETURN = r"""
bmc:
  description: Address of the BMC.
  returned: success
  type: str
reset_type:
  description: The type of the reset.
  returned: success
  type: str
  sample: ForceRestart
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import LIMIT
from ansible_collections.realtime.kvm.plugins.module_utils._module.bios_baseline import run_bios
from ansible_collections.realtime.kvm.plugins.module_utils._module.bmc_reset import ARGUMENTS, run


def main() -> None:
    """Entry point."""
    run_bios(AnsibleModule(argument_spec={**LIMIT, **ARGUMENTS}, supports_check_mode=True), run)


if __name__ == "__main__":
    main()
