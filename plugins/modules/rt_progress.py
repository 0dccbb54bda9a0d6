#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of the action rt_progress, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rt_progress
short_description: Show how far a run in batches is
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Shows, at the start of a batch, its number and its hosts, how many hosts are done, about how many minutes are left, and which hosts were not begun.
  - Prints the text as it is, unless the callback prints JSON. Runs only on the controller and connects to no host.
options:
  nodes:
    description: All hosts of the play, in its order (C(ansible_play_hosts_all)).
    type: list
    elements: str
    required: true
  batch:
    description: The hosts of this batch (C(ansible_play_batch)).
    type: list
    elements: str
    required: true
  serial:
    description: The sizes of the batches, as the play has them; numbers of hosts or shares such as V(25%), of which the last one is repeated.
    type: list
    elements: str
    required: true
  forks:
    description: How many hosts are worked on at the same time (C(ansible_forks)); a larger batch takes more than one round.
    type: int
    default: 5
  started:
    description: When the first batch began, as this module returned it; seconds since 1970. Not given means now, as at the first batch.
    type: float
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the controller.
    support: full
  diff_mode:
    description: Returns what has changed (or would be changed in C(check_mode)).
    support: none
seealso:
  - module: realtime.kvm.rt_recap
"""

EXAMPLES = r"""
- name: Show how far the run is
  realtime.kvm.rt_progress:
    nodes: "{{ ansible_play_hosts_all }}"
    batch: "{{ ansible_play_batch }}"
    serial: [1, 25%]
    started: "{{ hostvars[ansible_play_hosts_all[0]].batch.started | default(omit) }}"
  run_once: true
  register: batch
"""

RETURN = r"""
batch:
  description: The hosts of the batch that were left when it began.
  returned: success
  type: list
  elements: str
started:
  description: When the first batch began; seconds since 1970.
  returned: success
  type: float
text:
  description: The text, if it was not printed because the callback prints JSON; else empty.
  returned: success
  type: list
  elements: str
"""
