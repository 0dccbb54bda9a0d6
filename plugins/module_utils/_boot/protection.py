# SPDX-License-Identifier: GPL-3.0-or-later
"""What Secure Boot and lockdown keep a node from, said in the plan. Pure.

Sources: kernel_lockdown(7); Documentation/admin-guide/kernel-parameters.txt (lockdown=); Linux, security/security.c (which level hides what).
"""

from __future__ import annotations

#: Levels of lockdown that restrict, least first.
LEVELS = ("integrity", "confidentiality")


def protection_notes(secure_boot: bool | None, lockdown: str) -> list[str]:
    """Return what follows for a real-time node; ``secure_boot`` None: the firmware has no Secure Boot."""
    notes = []
    if secure_boot:
        notes.append(
            "Secure Boot is on: the firmware boots only signed kernels, so an unsigned real-time kernel or module does not start; "
            "use the distribution's own, or enrol the key that signed it (mokutil)"
        )
    if lockdown in LEVELS:
        notes.append(
            f"the kernel is in lockdown ({lockdown}), which hides debugfs: fair servers keep the kernel's budget, 50 ms of every second "
            "for ordinary tasks that wait (from 6.12)" + _TRACING * (lockdown == LEVELS[1])
        )
    elif secure_boot:
        notes.append(
            "with Secure Boot, some kernels go into lockdown, which hides debugfs; the one that runs now is not in lockdown"
        )
    return notes


_TRACING = "; it also hides tracefs, so rtla and hwlatdetect cannot measure"
