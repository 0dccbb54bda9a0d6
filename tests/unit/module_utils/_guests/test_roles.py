# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles of a QEMU process's threads."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.roles import role_of


@pytest.mark.parametrize(
    ("name", "main", "role"),
    [
        ("CPU 0/KVM", False, "vcpu0"),
        ("CPU 17/TCG", False, "vcpu17"),
        ("IO iothread2", False, "iothread2"),
        ("qemu-system-x86", True, "emulator"),
        ("kvm-nx-lpage-re", False, "worker"),
        ("worker", False, "other"),
        ("IO mon_iothread", False, "other"),
        ("CPU 0/KVM x", False, "other"),
    ],
)
def test_roles(name, main, role):
    assert role_of(name, main=main) == role
