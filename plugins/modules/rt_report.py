#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of the action rt_report, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rt_report
short_description: Write accounting and report of a fleet from its nodes' results
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Turns the results of M(realtime.kvm.rt_node_info) and of the verification of many hosts, and stored latency results, into one HTML page that
    loads nothing, and into the accounting as JSON and CSV. Runs only on the controller and connects to no host.
  - A host that was unreachable, or whose result is missing or partial, is shown as such; all other hosts are shown too.
options:
  hosts:
    description: The hosts to report on.
    type: list
    elements: str
    required: true
  node_variable:
    description: Name of the variable in which each host keeps its result of M(realtime.kvm.rt_node_info).
    type: str
    required: true
  verify_variable:
    description: Name of the variable in which each host keeps the result of its verification; a host without it was not compared.
    type: str
    required: true
  firmware_variable:
    description: Name of the variable in which each host keeps its result of M(realtime.kvm.bios_baseline_info); a host without it was not asked.
    type: str
  folder:
    description:
      - Folder on the controller for C(report.html), C(accounting.json) and C(accounting.csv); it is made, and files there are replaced.
      - A relative folder is below the project's, as M(realtime.kvm.rt_latency_run) finds it; an empty one is C(results/report) there.
    type: path
    default: ""
  latency_folder:
    description:
      - Folder on the controller that holds stored latency results; it need not exist. Other files are named in the report and stay.
      - Relative and empty as O(folder); the default is C(results/latency).
    type: path
    default: ""
  placement:
    description:
      - Plan of placement (M(realtime.kvm.rt_placement)) that the page draws, which is only read. Empty for C(placement.yml) in O(placement_folder), if it is
        there; a file; or V(none), V(false) or V(no) for no plan. A relative file is below the project's folder.
      - A plan that was edited, damaged or is of another release is not drawn. The page says why, and has all else.
    type: str
    default: ""
  placement_folder:
    description: Folder in which M(realtime.kvm.rt_placement) has written its plan. Relative and empty as there; the default is C(results/place).
    type: str
    default: ""
  title:
    description: Title of the page.
    type: str
    default: Real-time nodes
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the controller.
    support: full
    details: Everything is computed; no file is written.
  diff_mode:
    description: Returns what has changed (or would be changed in C(check_mode)).
    support: none
    details: The page holds the time at which it was made, so it differs in every run.
seealso:
  - module: realtime.kvm.rt_node_info
  - module: realtime.kvm.rt_placement
"""

EXAMPLES = r"""
- name: Write the report
  realtime.kvm.rt_report:
    hosts: "{{ ansible_play_hosts_all }}"
    node_variable: rt_node_info_result
    verify_variable: rt_verify_result
    folder: results/report
    latency_folder: results/latency
  run_once: true
"""

RETURN = r"""
files:
  description: The files that were written (in check mode, would be).
  returned: success
  type: list
  elements: str
nodes:
  description: For each host its C(state) (V(ok), V(findings), V(half), V(captured), V(new), V(failed), V(unreachable)) and the
    C(reason).
  returned: success
  type: dict
summary:
  description: What the report says in a few lines of text. How the nodes are, what is found and free, and the files.
  returned: success
  type: list
  elements: str
findings:
  description: Number of findings on all nodes together.
  returned: success
  type: int
rejected:
  description: Files in O(latency_folder) that are no results, each with C(file) and C(reason).
  returned: success
  type: list
  elements: dict
placement:
  description: The C(file) of the plan of placement, and in C(refusal) why it is not drawn (empty if it is). Empty without a plan.
  returned: success
  type: dict
"""
