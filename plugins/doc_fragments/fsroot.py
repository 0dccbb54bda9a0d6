# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fsroot option."""

from __future__ import annotations


class ModuleDocFragment:
    """Private to the collection."""

    DOCUMENTATION = r"""
options:
  fsroot:
    description:
      - Read C(/sys), C(/proc) and C(/etc) below this directory, to plan from a snapshot of another machine (such as C(hwloc-gather-topology) makes).
      - With a directory other than V(/), nothing is written; the result shows what would be changed.
    type: path
    default: /
"""
