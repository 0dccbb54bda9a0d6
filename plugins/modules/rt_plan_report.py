#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of the action rt_plan_report, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rt_plan_report
short_description: Show the plan of a fleet, and write it as page and JSON
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Turns what the modules of this collection returned in check mode on many hosts into one plan. It shows refusals first, then what the run disturbs, the
    guests with their CPUs, memory and ports, the packages, remarks, and the details of each node; nodes with equal details share one section.
  - Prints the text as it is, at most 118 columns wide, unless the callback prints JSON. Runs only on the controller and connects to no host.
  - It decides nothing. RV(refused) and RV(unchanged) are for the tasks after it.
options:
  hosts:
    description: The hosts of the plan.
    type: list
    elements: str
    required: true
  present:
    description: Those of O(hosts) that still take part in the play.
    type: list
    elements: str
    required: true
  results:
    description:
      - Names of the variables in which each host keeps the results of the modules, by layer. The layers are V(partition), V(power), V(interrupts),
        V(host), V(switch), V(kernel), V(guests) and V(packages), for an undo also V(origins) and V(firmware).
      - A host without such a variable was not asked for that layer.
    type: dict
    required: true
  looked_variable:
    description: Name of the variable that shows whether a host could be reached at all.
    type: str
    required: true
  refused_variable:
    description: Name of the variable in which each host keeps the messages of parts that were refused.
    type: str
    required: true
  packages_variable:
    description: Name of the variable in which each host keeps the packages to install, as the filter P(realtime.kvm.planned_packages#filter) returns them.
    type: str
    required: true
  audit_variable:
    description:
      - Name of the variable in which each host keeps an audit of the same look (M(realtime.kvm.rt_audit)). Hosts on which nothing is found and nothing is to be
        done are then in the artefact C(realtime_drift), with an empty list; those of a cloud are not, since the cloud is asked later.
    type: str
  folder:
    description:
      - Folder on the controller for C(plan.html) and C(plan.json); it is made, and files there are replaced. Empty means that no file is written.
      - A relative folder is below the project's, as M(realtime.kvm.rt_latency_run) finds it; without this option it is C(results/plan) there.
    type: str
  title:
    description: Title of the page.
    type: str
    default: Plan
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the controller.
    support: none
    details: A plan is what check mode is for, so its files are written there too. No host is changed.
  diff_mode:
    description: Returns what has changed (or would be changed in C(check_mode)).
    support: none
    details: The page holds the time at which it was made, so it differs in every run.
seealso:
  - module: realtime.kvm.rt_recap
"""

EXAMPLES = r"""
- name: Show the plan of all hosts
  realtime.kvm.rt_plan_report:
    hosts: "{{ ansible_play_hosts_all }}"
    present: "{{ ansible_play_hosts }}"
    results:
      partition: cpu_partition_result
      guests: rt_guest_result
    looked_variable: cpu_partition_result
    refused_variable: refusals
    packages_variable: packages_planned
    folder: results/plan
  run_once: true
"""

RETURN = r"""
files:
  description: The files that were written.
  returned: success
  type: list
  elements: str
disruption:
  description: The highest disruption class of all changes.
  returned: success
  type: str
  sample: reboot
at_least:
  description: Whether a run may disturb more than RV(disruption), since a part was refused, a host was lost, or a layer could not count something.
  returned: success
  type: bool
refused:
  description: Hosts with a part that was refused, and hosts that were lost after they could be reached.
  returned: success
  type: list
  elements: str
unchanged:
  description: Hosts on which nothing is left to do. There is nothing to change, to install, to boot or to start.
  returned: success
  type: list
  elements: str
due:
  description: For each host, the layers (names of O(results)) whose roles have work, be it in consequence of another layer's; none on an unchanged host.
  returned: success
  type: dict
text:
  description: The text, if it was not printed because the callback prints JSON; else empty.
  returned: success
  type: list
  elements: str
"""
