#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of the action rt_placement, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rt_placement
short_description: Put guests on hosts, as a plan for review
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Finds a host and a NUMA node for every guest of a fleet, from what the nodes have answered and the inventory says, and writes a plan in YAML. Runs only
    on the controller, connects to no host and changes none.
  - The rules are those of M(realtime.kvm.rt_domain), by its own code, so that no node refuses a guest that was placed. A guest that has a host keeps it,
    unless the host is drained or another guest finds no room otherwise (O(moves)).
  - Equal input gives an equal plan, to the byte. A plan is applied as it is (O(apply)), and refused once it was edited or its inputs have changed.
options:
  hosts:
    description: The hosts that take part. A host that cannot be read takes no part; its guests stay, and rules count them.
    type: list
    elements: str
    required: true
  node_variable:
    description: Name of the variable in which each host keeps the result of M(realtime.kvm.rt_node_info).
    type: str
    required: true
  guests:
    description:
      - Guests that may be on any host, with the keys of O(realtime.kvm.rt_domain#module:guests) and C(placement), a mapping of C(hosts) (only these;
        names or patterns), C(devices) (which the host must have in C(realtime_place_devices),
        one for each guest; a list of names, or a mapping of names to numbers) and C(movable) (V(false) keeps it where it is).
      - The guests of each host's C(realtime_guests) take part too, and are on that host. An entry here wins over one there.
    type: list
    elements: raw
    default: []
  guests_variable:
    description: Name of the variable that holds O(guests), from which O(apply) takes entries as they are written, templates and vaults included.
    type: str
    default: realtime_place_guests
  rules:
    description:
      - Relations between guests, each with C(kind) (V(anti-affinity) or V(affinity)), C(guests) (names or patterns) or C(class), C(by) (V(host), or a kind of
        fault domain in C(realtime_place_domains)), C(most) (guests of an anti-affinity rule in one domain, 1 if not given), C(required) and C(name).
    type: raw
    default: []
  drain:
    description: Hosts that lose their guests and get none; names or patterns, as list or separated by commas.
    type: raw
    default: []
  strategy:
    description: Whether hosts are filled one after the other (V(pack), the default), or the emptiest first (V(spread)).
    type: str
  moves:
    description:
      - Which guests may lose their host. With V(needed), the default, those of drained hosts, and others where a guest finds no room otherwise; with
        V(drain) only the former; with V(none) none.
    type: str
  overcommit:
    description: Most vCPUs of guests without real time for each CPU that they float on; 4 if not given.
    type: raw
  work:
    description: Most attempts of the search for room, 60000 if not given. It is counted, not timed, so that a slow controller finds the same.
    type: raw
  what_if:
    description:
      - V(hosts) is a list of C(like), C(count) and C(domains), with as many empty copies of that host added.
      - V(guests) is a list of names, of which the plan says how many more fit.
    type: dict
    default: {}
  folder:
    description:
      - Folder on the controller for C(placement.yml) and the folder C(guests); it is made, and files there are replaced. A relative folder is below the
        project's, as M(realtime.kvm.rt_latency_run) finds it; without this option it is C(results/place) there.
    type: str
  apply:
    description:
      - Writes C(guests), the folder of an inventory with C(realtime_guests) of each host as C(placement.yml) has it, in place of a plan. Only its owner can
        read it.
    type: bool
    default: false
  steps:
    description: With O(apply), makes only so many of the plan's moves, and places no new guests before the last; all of them if not given.
    type: int
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
    support: full
    details: The plan is shown and not written.
  diff_mode:
    description: Returns what has changed (or would be changed in C(check_mode)).
    support: none
    details: The plan is a file for review.
seealso:
  - module: realtime.kvm.rt_domain
  - module: realtime.kvm.rt_node_info
"""

EXAMPLES = r"""
- name: Read each node's resources and their users
  realtime.kvm.rt_node_info:
    interval: 0
  register: node

- name: Place the guests
  realtime.kvm.rt_placement:
    hosts: "{{ ansible_play_hosts_all }}"
    node_variable: node
    guests: "{{ realtime_place_guests }}"
    rules:
      - {kind: anti-affinity, guests: ["plc*"], by: rack}
  run_once: true
"""

RETURN = r"""
plan:
  description: Path of the plan.
  returned: success, unless O(apply)
  type: str
inventory:
  description: Path of the inventory of guests.
  returned: with O(apply)
  type: str
digest:
  description: Digest of the plan.
  returned: success
  type: str
summary:
  description: Numbers of guests that are new, move, stay, and have no host.
  returned: success, unless O(apply)
  type: dict
unplaced:
  description: Guests without a host, each with the reason, the smallest change that would help, and whether it is proven that there is no room.
  returned: success, unless O(apply)
  type: list
  elements: dict
text:
  description: The plan as lines of text, where the callback prints JSON; otherwise they were printed.
  returned: success
  type: list
  elements: str
"""
