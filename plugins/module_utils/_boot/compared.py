# SPDX-License-Identifier: GPL-3.0-or-later
"""Two kernel command lines, compared by their meaning. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .._cpus.cmdline import canonical, kernel_part, key_of, values_by_key

#: Tokens that the boot loader itself adds (vt.handoff: Ubuntu's menus, as $vt_handoff).
BOOT_LOADER_KEYS = frozenset({"BOOT_IMAGE", "initrd", "vt.handoff"})
#: What marks the tried boot; the kernel leaves arguments with a dot to modules.
MARK = "realtime-kvm.trial=1"
#: Arguments of the tried boot alone. The kernel and initramfs-tools reboot after ``panic`` seconds; dracut needs the last two.
TRIAL_PANIC = "10"
TRIAL_TOKENS = (MARK, f"panic={TRIAL_PANIC}", "rd.shell=0", "rd.emergency=reboot")


@dataclass(frozen=True)
class Comparison:
    """How the running kernel's command line differs from the one that the boot loader will use next."""

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        return not self.missing and not self.unexpected

    @property
    def size(self) -> int:
        return len(self.missing) + len(self.unexpected)


def compare(running: Sequence[str], following: Sequence[str]) -> Comparison:
    """Compare two command lines by key, without regard to order, repeats, quotes and what the boot loader adds."""

    def known(tokens: Sequence[str]) -> dict[str, list[str]]:
        return values_by_key(
            canonical(token)
            for token in kernel_part(tokens)
            if key_of(token) not in BOOT_LOADER_KEYS and not token.startswith("$")
        )

    # after a boot on trial the kernel also has the trial's own arguments
    asked = {canonical(token) for token in following}
    ours = [token for token in TRIAL_TOKENS if token not in asked] if MARK in running else []
    now, then = known([token for token in running if token not in ours]), known(following)
    missing = [token for key, tokens in then.items() for token in tokens if token not in now.get(key, [])]
    unexpected = [token for key, tokens in now.items() for token in tokens if token not in then.get(key, [])]
    return Comparison(tuple(missing), tuple(unexpected))
