# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The max_disruption option."""

from __future__ import annotations


class ModuleDocFragment:
    """Private to the collection."""

    DOCUMENTATION = r"""
options:
  max_disruption:
    description:
      - The highest disruption class that may happen. A plan that needs more is refused before any change; the message names the changes
        above the limit, RV(ignore:changes) and RV(ignore:disruption) hold the whole plan. Check mode refuses too.
      - V(none) allows only what no real-time guest notices, V(stall) also brief stalls of a CPU or NIC, V(guest) also the restart of a real-time
        guest, V(reboot) everything.
    type: str
    choices: [none, stall, guest, reboot]
    default: reboot
"""
