# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs: a guest's own CPUs."""

from __future__ import annotations

from unit.actors import PARTITION, VCPUS, actor, guest


def test_a_vhost_thread_is_no_owner_of_a_cpu():
    plc = guest(*VCPUS, actor("vhost", "2", priority=1, name="vhost-100"))
    assert {cpu: item.role for cpu, item in plc.owned(PARTITION).items()} == {2: "vcpu0", 8: "vcpu1"}
