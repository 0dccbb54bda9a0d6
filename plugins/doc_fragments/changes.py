# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes on the results that all changing modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """Private to the collection."""

    DOCUMENTATION = r"""
options: {}
notes:
  - Besides the values below, RV(ignore:changes) lists every change with C(resource), C(before), C(after), C(disruption) and C(reason); check mode
    returns the same list as the real run. RV(ignore:disruption) is the highest class among them, of V(none), V(stall) (a CPU or NIC may stall briefly),
    V(guest) (a real-time guest must restart) and V(reboot).
  - With captured files (O(ignore:fsroot)), RV(ignore:not_counted) lists what the changes lack, each with the reason, such as a boot loader that is not
    among the files. RV(ignore:disruption) is then the least that a run disturbs.
  - Original values are kept on the node in V(/var/lib/realtime-kvm/journal.json) and restored by O(ignore:state=absent).
"""
