#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of the action rt_show, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rt_show
short_description: Show lines of text as they are
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Prints lines without the quotes and escapes that JSON and YAML need, so that tables can be read. Control characters and escape sequences are
    written as codes.
  - With a callback that prints JSON, nothing is printed, and the lines are in the result only.
options:
  lines:
    description: The lines, each at most 1000 characters, of which at most 5000 are shown; those wider than 118 columns are wrapped.
    type: list
    elements: str
    required: true
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the controller.
    support: full
  diff_mode:
    description: Returns what has changed (or would be changed in C(check_mode)).
    support: none
"""

EXAMPLES = r"""
- name: Show the findings of a node
  realtime.kvm.rt_show:
    lines: "{{ rt_verify_result.findings_table }}"
"""

RETURN = r"""
text:
  description: The text, if it was not printed because the callback prints JSON; else empty.
  returned: success
  type: list
  elements: str
"""
