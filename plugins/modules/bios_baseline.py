#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stage a machine's latency baseline in its firmware."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: bios_baseline
short_description: Stage BIOS settings for low latency through the BMC
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Plans like M(realtime.kvm.bios_baseline_info), and writes the first stage of the plan as pending settings. They take effect at the next reboot, which
    this module does not make; run it again after the reboot for the next stage.
  - Writes only what differs, with C(If-Match) where the BMC has ETags and C(OnReset) where it asks for an apply time, and reads back what the BMC has
    accepted. An attribute that the BMC has not accepted is an error that names it, and what was staged.
  - Values are written as the machine shows them, by their names or by their display names in the attribute registry.
  - A BMC that refuses its own ETag gets it in other forms, and at last none, each time after its pending settings were read again and had not changed.
  - Settings of another user that wait for the reboot are overwritten only with O(overwrite_pending=true).
options:
  overwrite_pending:
    description: Whether to write attributes for which another user has staged another value; otherwise the run refuses.
    type: bool
    default: false
  without_registry:
    description: Whether to write although the BMC has no attribute registry, so that neither values nor locks can be checked.
    type: bool
    default: false
  without_locked:
    description:
      - Whether to write the rest although some wanted settings are locked and nothing in the plan unlocks them. Otherwise the run refuses and names them.
      - A machine in lockdown mode is refused in any case.
    type: bool
    default: false
  settle:
    description:
      - Seconds to wait until the BMC has ended a job that applies BIOS settings; until then it takes no other ones. An iDRAC has such jobs.
      - A job that waits for the next reset is not waited for.
    type: int
    default: 0
extends_documentation_fragment:
  - realtime.kvm.attributes
  - realtime.kvm.bios
  - realtime.kvm.disruption
notes:
  - Check mode returns the same RV(changes) as the run. RV(stages) has the values that runs after further reboots will write.
seealso:
  - module: realtime.kvm.bios_baseline_info
"""

EXAMPLES = r"""
- name: Stage the baseline
  realtime.kvm.bios_baseline:
    address: "{{ bios_address }}"
    username: "{{ bios_username }}"
    password: "{{ bios_password }}"
    baselines: "{{ bios_baselines }}"
    profile: balanced
    overrides:
      MemPatrolScrub: null
  delegate_to: localhost
  register: firmware
"""

RETURN = r"""
system:
  description: The system that was read.
  returned: success
  type: dict
  contains:
    id: {description: Last part of its path., type: str, sample: System.Embedded.1}
    manufacturer: {description: Its manufacturer., type: str}
    model: {description: Its model., type: str}
    bios_version: {description: Version of its BIOS., type: str}
    power: {description: Its power state., type: str}
bmc:
  description: Address of the BMC.
  returned: success
  type: str
baseline:
  description: C(name), C(title) and C(profile) of the baseline.
  returned: success
  type: dict
registry:
  description: Identity of the attribute registry; empty without one.
  returned: success
  type: str
attributes:
  description: Every attribute of the baseline and the overrides that the machine has.
  returned: success
  type: list
  elements: dict
  contains:
    attribute: {description: Name on this machine., type: str}
    baseline_name: {description: Name in the baseline; differs where the BIOS appends a suffix., type: str}
    current: {description: The present value., type: raw}
    pending: {description: The value that waits for the reboot; null without one., type: raw}
    wanted: {description: The wanted value., type: raw}
    state:
      description: V(ok), V(kept) (left as it is), V(differs) (to set), V(staged) (set, waits for the reboot), V(comes) (another attribute sets it),
        V(conflict) (another user has staged another value), V(blocked) (locked, and nothing in the baseline unlocks it), V(unsupported) (no such value here).
      type: str
    stage: {description: "The reboot that applies it, from 1; 0 for none.", type: int}
    topic: {description: Its subject., type: str}
    origin: {description: "V(baseline), V(override) or V(record).", type: str}
    reason: {description: Why it has the wanted value., type: str}
    cost: {description: What it costs., type: str}
    source: {description: The source of the recommendation., type: str}
    note: {description: A remark of the planner., type: str}
stages:
  description: The values to write, in order; a reboot follows each stage.
  returned: success
  type: list
  elements: dict
  sample: [{"SysProfile": "Custom"}, {"MemPatrolScrub": "Disabled"}]
planned:
  description: What all stages change, what waits for the reboot already included; as in RV(ignore:changes).
  returned: success
  type: list
  elements: dict
reboots:
  description: How many reboots the whole plan needs.
  returned: success
  type: int
reboot_required:
  description: Whether the node must reboot before it is as planned.
  returned: success
  type: bool
state:
  description:
    - V(compliant); V(differs) (some settings are to be set, or wait for the reboot); V(locked) (some cannot be set); V(unsupported) (the machine has no
      such value, or no such attribute). Of several the first of V(differs), V(locked), V(unsupported).
  returned: success
  type: str
outcome:
  description: The state and its cause, as a sentence.
  returned: success
  type: str
  sample: "locked: the system is in lockdown mode (Lockdown.1.SystemLockdown is Enabled)"
compliant:
  description: Whether every wanted setting has its wanted value. Never true while one is unsupported or locked.
  returned: success
  type: bool
lockdown:
  description: Why the BMC accepts no setting at all; empty where it does.
  returned: success
  type: str
job:
  description:
    - The job of the BMC that still applies BIOS settings, or waits to do so at the next reset; empty where there is none, or the BMC has no such jobs.
    - What the BIOS reports meanwhile may not be in effect, so a machine with one is never compliant, unless it only waits, for settings of other users.
  returned: success
  type: str
  sample: job JID_907777700987 (Running)
conflicts:
  description: Attributes for which another user has staged another value.
  returned: success
  type: list
  elements: str
blocked:
  description: Attributes that are locked and cannot be unlocked by the plan.
  returned: success
  type: list
  elements: str
unnamed:
  description: Attributes in O(restore) that are left alone, since neither the baseline nor O(overrides) names them.
  returned: success
  type: list
  elements: str
absent:
  description: Attributes of the baseline or the overrides that the machine does not have.
  returned: success
  type: list
  elements: str
foreign_pending:
  description: Values that wait for the reboot and do not belong to this plan. Possible secrets are hidden.
  returned: success
  type: dict
rollback:
  description: The present values of the attributes that the plan sets; as O(overrides) with O(profile=none) they undo it.
  returned: success
  type: dict
former:
  description: The present values of the attributes that the next stage writes.
  returned: success
  type: dict
bmc_messages:
  description: The BMC's messages about the last application of settings.
  returned: success
  type: list
  elements: str
notes:
  description: Remarks; also given as warnings.
  returned: success
  type: list
  elements: str
summary:
  description: The essence, for reports of a fleet. C(differences) are the attributes without their wanted value.
  returned: success
  type: dict
table:
  description: The report as lines of a table for people.
  returned: success
  type: list
  elements: str
requests:
  description: HTTP requests that the report took.
  returned: success
  type: int
changes:
  description: What was (in check mode, would be) staged. C(resource) is V(bios:) and the attribute.
  returned: always
  type: list
  elements: dict
  sample: [{"resource": "bios:ProcC1E", "before": "Enabled", "after": "Disabled", "disruption": "reboot", "reason": "..."}]
disruption:
  description: V(reboot) if anything was staged, else V(none).
  returned: always
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import LIMIT
from ansible_collections.realtime.kvm.plugins.module_utils._module.bios_baseline import ARGUMENTS, STAGE_ARGUMENTS, run, run_bios


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            **LIMIT,
            **STAGE_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    run_bios(module, run)


if __name__ == "__main__":
    main()
