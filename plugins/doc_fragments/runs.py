# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runs option."""

from __future__ import annotations


class ModuleDocFragment:
    """Private to the collection."""

    DOCUMENTATION = r"""
options:
  runs:
    description:
      - The playbooks that reach their end on the node with this call. Where M(realtime.kvm.rt_metrics) is set up, the node keeps the time for its metrics, in
        C(/var/lib/realtime-kvm/runs.json).
      - It is no change, and is not kept in check mode.
    type: list
    elements: str
    choices: [site, verify, guests]
    default: []
"""
