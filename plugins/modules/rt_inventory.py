#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of the action rt_inventory, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rt_inventory
short_description: Refuse what is wrong in the inventory before any node is asked
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Checks the variables of many hosts at once. Runs only on the controller and connects to no host. The playbooks of this collection begin with it.
  - Names that begin like those of this collection and mean nothing are refused, with the name that was probably meant. Types and choices are those of the
    roles' argument specs; a value that is a template or comes from a vault is left to the role that reads it.
  - C(realtime_networks) and C(realtime_guests) are read by the code that the modules run on the node. A guest whose templates need what only its node
    knows is left to the module, except for its keys.
  - Two guests of one inventory must not have the same UUID or MAC, or the same name at one C(realtime_site). Hosts beyond the run count too.
  - Groups of the inventory must not have the names of groups that the playbooks make in a run, such as C(realtime_due).
  - All refusals of all hosts are one message.
options:
  hosts:
    description: The hosts to check; those of the play if not given.
    type: list
    elements: str
  guests:
    description: Whether to check networks and guests too.
    type: bool
    default: true
requirements:
  - netaddr (Python library) on the controller, unless O(guests=false)
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
    support: full
    details: It changes nothing.
  diff_mode:
    description: Returns what has changed (or would be changed in C(check_mode)).
    support: none
    details: It changes nothing.
notes:
  - Variables of other programs whose names begin like those of this collection are silenced by C(realtime_known_variables), a list of names or shell patterns.
seealso:
  - module: realtime.kvm.rt_domain
"""

EXAMPLES = r"""
- name: Refuse what is wrong in the inventory
  realtime.kvm.rt_inventory:
  run_once: true
"""

RETURN = r"""
guests:
  description: How many guests of these hosts were read; those with a refusal, or with a template that needs their node, do not count.
  returned: always
  type: int
"""
