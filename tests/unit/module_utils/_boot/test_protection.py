# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Secure Boot and lockdown mean for a real-time node."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot.protection import protection_notes


@pytest.mark.parametrize(
    ("secure_boot", "lockdown", "said"),
    [
        (None, "", []),
        (False, "none", []),
        (True, "none", ["Secure Boot is on", "some kernels go into lockdown"]),
        (True, "integrity", ["Secure Boot is on", "in lockdown (integrity), which hides debugfs"]),
        (False, "confidentiality", ["in lockdown (confidentiality)"]),
        (None, "unheard of", []),
    ],
)
def test_each_is_said(secure_boot, lockdown, said):
    notes = protection_notes(secure_boot, lockdown)
    assert len(notes) == len(said)
    assert all(part in note for part, note in zip(said, notes))
    assert ("tracefs" in " ".join(notes)) is (lockdown == "confidentiality")
