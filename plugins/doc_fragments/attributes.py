# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes of all modules."""

from __future__ import annotations


class ModuleDocFragment:
    """Private to the collection."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the node.
    support: full
  diff_mode:
    description: Returns what has changed (or would be changed in C(check_mode)); both runs return the same.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
"""

    INFO = r"""
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the node.
    support: full
    details: This module does not modify anything.
  diff_mode:
    description: Returns what has changed (or would be changed in C(check_mode)).
    support: N/A
    details: This module does not modify anything.
"""
