#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of the action rt_recap, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rt_recap
short_description: Show in a few lines what a run has come to
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Shows the guests of many hosts with their CPUs, memory and ports, what became of each host, and what is left to do, such as guests that wait for a restart
    or are not listed any more.
  - Prints the text as it is, at most 118 columns wide, unless the callback prints JSON. Runs only on the controller and connects to no host.
options:
  states:
    description: For each host, what became of it.
    type: dict
    required: true
  results:
    description: Names of the variables in which each host keeps the results of the modules, by layer, as for M(realtime.kvm.rt_plan_report).
    type: dict
    default: {}
  planned:
    description: Whether the run has planned its hosts. A run that has not did nothing, or what nobody has seen before, so it fails here.
    type: bool
    default: true
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the controller.
    support: full
  diff_mode:
    description: Returns what has changed (or would be changed in C(check_mode)).
    support: none
seealso:
  - module: realtime.kvm.rt_plan_report
"""

EXAMPLES = r"""
- name: Show what became of the hosts
  realtime.kvm.rt_recap:
    states:
      kvm01.example.com: done
      kvm02.example.com: waits for its reboot
    results:
      guests: rt_guest_result
      switch: ovs_dpdk_result
  run_once: true
"""

RETURN = r"""
text:
  description: The text, if it was not printed because the callback prints JSON; else empty.
  returned: success
  type: list
  elements: str
"""
