#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan all layers of a node in one look."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rt_plan
short_description: Plan all layers of a node in one look
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Plans what the roles of this collection would change on a node, in one call. Each layer is planned by the module of its role, as in check
    mode, with the options that the role gives it; later layers are planned for what earlier ones plan.
  - A layer that is refused stops only those that need it. All refusals are returned together.
  - A layer for which the node has to be asked further, such as a real-time kernel on a distribution that the role does not know, is left to
    the role's own preflight; RV(open) names it.
  - Changes nothing. With O(keep), it keeps its own code on the node, compiled, so that the next look need not send it.
options:
  roles:
    description:
      - The roles to plan. Their variables are checked, and their options worked out, on the control node.
    type: list
    elements: str
    choices:
      [cpu_partition, power, irq_affinity, time_sync, kvm_host, ovs_dpdk, rt_kernel, rt_guest, rt_metrics, packages, nova_compute, neutron_agent, guest_os,
       rt_verify]
    required: true
  audit:
    description:
      - Whether a node on which nothing is to be done is audited in the same look, as by M(realtime.kvm.rt_audit).
    type: raw
  layers:
    description:
      - Options by module, as the roles give them. The action works them out; do not give it.
    type: dict
    default: {}
  keep:
    description:
      - Whether this module keeps its code in C(/var/cache/realtime-kvm), on a node with a partition file, and not in check mode. The next look
        of the same release then starts it there, in place of sending 1 MB that the node has to compile.
      - It is a cache. What is kept is of this very code, or it is not used; undo removes it.
      - Needs pipelining, C(/usr/bin/python3) as the node's Python, and root; without them, and where the code is not kept or does not answer,
        the module is sent as always.
    type: bool
    default: false
  release:
    description:
      - The digest of the module's code, by which it is kept. The action works it out; do not give it.
    type: str
    default: ""
extends_documentation_fragment:
  - realtime.kvm.attributes.info
  - realtime.kvm.guests.networks
  - realtime.kvm.guests.specs
  - realtime.kvm.fsroot
  - realtime.kvm.runs
seealso:
  - module: realtime.kvm.rt_audit
  - module: realtime.kvm.rt_plan_report
"""

EXAMPLES = r"""
- name: Plan the CPU sets, power management and interrupts
  realtime.kvm.rt_plan:
    roles: [cpu_partition, power, irq_affinity]
  register: look

- name: Show what is refused
  ansible.builtin.debug:
    msg: "{{ look.refused }}"
"""

RETURN = r"""
planned:
  description:
    - What each layer plans, by the name of the variable in which its role keeps it, such as C(power_result); as the layer's module returns it.
    - A layer that was refused has C(failed) and C(msg); one that was not asked for that reason has C(skipped).
  returned: success
  type: dict
refused:
  description: Why layers were refused.
  returned: success
  type: list
  elements: str
open:
  description: Roles that are not planned here, since their own preflight has to ask the node.
  returned: success
  type: list
  elements: str
further:
  description: Roles that are planned, and whose preflight has to ask more, such as whether packages can be installed.
  returned: success
  type: list
  elements: str
packages:
  description: The packages that several roles lack, to be tried at once; empty where one role alone lacks some.
  returned: success
  type: list
  elements: str
"""

import os
import platform
from functools import partial

from ansible.module_utils.facts.system.distribution import Distribution
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import DOCUMENT
from ansible_collections.realtime.kvm.plugins.module_utils._module._door import run_module
from ansible_collections.realtime.kvm.plugins.module_utils._module._guest_module import GuestAnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._module.rt_plan import OPTIONS, PlanEdges, run
from ansible_collections.realtime.kvm.plugins.module_utils._node.keep import keep
from ansible_collections.realtime.kvm.plugins.module_utils._watch.runs import leave_runs


def main() -> None:
    """Entry point."""
    module = GuestAnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    given = module.params
    if (
        given["keep"]
        and given["release"].isalnum()
        and given["fsroot"] == "/"
        and not module.check_mode
        and os.path.exists(DOCUMENT)
    ):
        keep(given["release"])

    def facts() -> dict[str, str]:
        """Return what the roles' own question for the distribution would, so that it need not be asked."""
        return {**Distribution(module).get_distribution_facts(), "architecture": platform.machine()}

    run_module(module, "rt_plan", run, info=True, edges=partial(PlanEdges, facts=facts), end=leave_runs)


if __name__ == "__main__":
    main()
