#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limit CPU power management."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cpu_power
short_description: Keep isolated CPUs awake and all CPUs at a steady frequency
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Sets frequency governor, energy preference, turbo and per-CPU idle limits, now and after each reboot (by the boot service of
    M(realtime.kvm.cpu_partition)).
  - Skips files that the machine lacks (no cpufreq in a virtual machine, no C(intel_pstate) on AMD).
options:
  state:
    description: V(absent) undoes everything that the module has changed.
    type: str
    choices: [present, absent]
    default: present
  partition:
    description:
      - The partition to work from; the node's own partition file when not given.
      - A module that changes the node refuses one that is not that of the file, so that all parts of a node have the same partition.
        In check mode, or with O(fsroot), it may be any.
    type: dict
  governor:
    description:
      - V(performance) sets governor, energy-performance preference and bias, and C(min_perf_pct) of all CPUs to the fastest.
      - V(keep) leaves them.
    type: str
    choices: [performance, keep]
    default: performance
  turbo:
    description: V(off) forbids frequencies above the nominal one, for the steadiest timing; V(keep) leaves them.
    type: str
    choices: [keep, "off"]
    default: keep
  cstates:
    description:
      - The deepest idle state of realtime and dataplane CPUs, by C(pm_qos_resume_latency_us); other CPUs may sleep.
      - V(C1) admits C1, V(C0) none at all (the idle loop polls), V(keep) leaves the limit.
    type: str
    choices: [C1, C0, keep]
    default: C1
extends_documentation_fragment:
  - realtime.kvm.attributes
  - realtime.kvm.fsroot
  - realtime.kvm.changes
  - realtime.kvm.disruption
seealso:
  - module: realtime.kvm.cpu_partition
"""

EXAMPLES = r"""
- name: Apply the defaults
  realtime.kvm.cpu_power:

- name: Choose the shortest wake-up, which costs heat
  realtime.kvm.cpu_power:
    cstates: C0
    turbo: "off"
"""

RETURN = r"""
deferred:
  description: Whether the settings wait for a reboot; the boot service then makes them.
  returned: success
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._module._door import run_module
from ansible_collections.realtime.kvm.plugins.module_utils._module.cpu_power import OPTIONS, run


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    run_module(module, "cpu_power", run)


if __name__ == "__main__":
    main()
