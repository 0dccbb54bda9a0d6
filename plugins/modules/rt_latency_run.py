#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of the action rt_latency_run, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rt_latency_run
short_description: Measure latency on many nodes at the same time, without holding a connection to any of them
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - The controller's side of a measurement with M(realtime.kvm.rt_latency), in steps that never wait. The role C(rt_latency) puts them in order
    and waits between them, once for all nodes.
  - What one step has to know of another is passed to it as an option; nothing is kept between them.
  - What a node or guest answers is stored and shown. It chooses neither the file's name nor the host that is asked nor how long is waited.
options:
  state:
    description:
      - V(planned) returns the runs of a node in their order. Only where one of O(guests) is a host of the inventory, the node is asked what it is.
      - V(started) starts one of them; one with the same options that runs already is joined.
      - V(polled) asks how far it is, unless O(seen) has ended already.
      - V(kept) stores the result of O(seen) on the controller; a run that has not ended, and an answer that is no result of it, fail.
      - V(absent) ends it and removes what it has left on the machine.
      - V(judged) fails where O(results) have a verdict other than C(pass) that O(gate) counts.
      - V(started), V(polled) and V(absent) ask the host that C(machine) of the run names, by C(delegate_to).
    type: str
    choices: [planned, started, polled, kept, absent, judged]
    required: true
  tools:
    description: With O(state=planned), what measures, one after the other.
    type: list
    elements: str
    choices: [cyclictest, oslat, timerlat, osnoise, hwnoise, hwlatdetect]
    default: [cyclictest]
  profile:
    description: With O(state=planned), how long each run takes.
    type: str
    choices: [smoke, standard, certify]
    default: smoke
  seconds:
    description: With O(state=planned), another duration of each run; 0 is the profile's.
    type: int
    default: 0
  node:
    description: With O(state=planned), whether the node itself is measured.
    type: bool
    default: true
  guests:
    description: With O(state=planned), the guests to measure in. One that is a host of the inventory is asked itself, any other through its agent.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The guest's name in libvirt and, where it is asked itself, in the inventory.
        type: str
        required: true
      cpus:
        description: The vCPUs to measure.
        type: str
  cpu_set:
    description: With O(state=planned), which set of the node's partition is measured.
    type: str
    choices: [housekeeping, dataplane, realtime, shared]
    default: realtime
  cpus:
    description: With O(state=planned), the node's CPUs to measure in place of a set.
    type: str
  occupied:
    description: With O(state=planned), whether CPUs are measured although a program was put on them.
    type: bool
    default: false
  load:
    description: With O(state=planned), what runs on the housekeeping CPUs meanwhile.
    type: str
    choices: [stress-ng, none]
    default: stress-ng
  limits_us:
    description: With O(state=planned), tool to the highest latency in µs that passes, where it is another than the tool's own.
    type: dict
    default: {}
  lease:
    description: With O(state=planned), for how many seconds a measurement goes on without a question after it; at least three times the time between two.
    type: int
    default: 300
  max_disruption:
    description: With O(state=planned), the highest disruption class that a run may have.
    type: str
    choices: [none, stall, guest, reboot]
    default: reboot
  run:
    description: One of RV(runs). Required unless O(state) is V(planned) or V(judged).
    type: dict
  seen:
    description: What the last V(started) or V(polled) of the run returned. Required with O(state=polled) and O(state=kept).
    type: dict
  results:
    description: The results of earlier runs with O(state=kept), of all runs with O(state=judged).
    type: list
    elements: dict
    default: []
  folder:
    description:
      - With O(state=kept), the folder on the controller that keeps results, below it one folder for each host; V(planned) refuses one that cannot be
        written. A relative folder is below the project's; an empty one is C(results/latency) there.
      - The project's folder is that of the playbook, or the one above with the C(ansible.cfg) in use. For playbooks of the installed collection it is the
        folder of that C(ansible.cfg), else that of the inventory. Where none of these shows it, the run is refused.
    type: path
    default: ""
  install:
    description: With O(state=started), whether a node that lacks programs is reported in RV(lacks) rather than refused, so that the role can install them.
    type: bool
    default: false
  gate:
    description: With O(state=judged), whose verdicts count. V(physical) leaves virtual machines out, which measure no platform.
    type: str
    choices: [physical, always, never]
    default: physical
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the machine or the controller.
    support: full
    details: A run is refused as in a real run and its command lines are shown, but it is not started; RV(runs) are then asked after no times.
  diff_mode:
    description: Returns what has changed (or would be changed in C(check_mode)).
    support: none
    details: A result is always a new file.
seealso:
  - module: realtime.kvm.rt_latency
"""

EXAMPLES = r"""
- name: Plan a minute of cyclictest and a minute of oslat
  realtime.kvm.rt_latency_run:
    state: planned
    tools: [cyclictest, oslat]
  register: plan

- name: Start the first run
  realtime.kvm.rt_latency_run:
    state: started
    run: "{{ plan.runs[0] }}"
  delegate_to: "{{ plan.runs[0].machine }}"
  register: seen

- name: Ask how far it is; the role does so again and again
  realtime.kvm.rt_latency_run:
    state: polled
    run: "{{ plan.runs[0] }}"
    seen: "{{ seen }}"
  delegate_to: "{{ plan.runs[0].machine }}"
  register: seen

- name: Keep its result
  realtime.kvm.rt_latency_run:
    state: kept
    run: "{{ plan.runs[0] }}"
    seen: "{{ seen }}"
    folder: results/latency # below the project's folder
"""

RETURN = r"""
runs:
  description: The runs of a node in their order.
  returned: when O(state) is V(planned)
  type: list
  elements: dict
  contains:
    label: {description: The run in few words., type: str}
    machine: {description: The host of the inventory that is asked., type: str}
    interval: {description: How many seconds to wait between two questions after it., type: int}
    turns: {description: How many questions its duration allows; 0 in check mode., type: int}
    arguments: {description: The options of M(realtime.kvm.rt_latency)., type: dict}
finished:
  description: Whether the run has ended.
  returned: when O(state) is V(started) or V(polled)
  type: bool
summary:
  description: What runs (or would run), how far it is, or its result, in one line for people.
  returned: when O(state) is V(started), V(polled) or V(kept)
  type: str
result:
  description: The run in the format that is kept on the controller (docs/latency.md).
  returned: when O(state) is V(polled) and RV(finished)
  type: dict
lacks:
  description: The programs that the node lacks; it has not started then. Never those of a guest.
  returned: when O(state) is V(started)
  type: list
  elements: str
package_manager:
  description: What installs them, C(apt), C(dnf), or empty for neither.
  returned: when O(state) is V(started) and RV(lacks) is not empty
  type: str
own:
  description: What the controller knows of the run by itself - when it started it and, once it has ended, how long it took. It names the file.
  returned: when O(state) is V(started) or V(polled)
  type: dict
file:
  description: The file that keeps the result (in check mode, would keep it).
  returned: when O(state) is V(kept)
  type: str
results:
  description: O(results) and this one.
  returned: when O(state) is V(kept)
  type: list
  elements: dict
verdicts:
  description: Of each of RV(results) C(guest), C(tool), C(profile), C(max_us), C(result), C(virtual) and C(reasons).
  returned: when O(state) is V(kept)
  type: list
  elements: dict
"""
