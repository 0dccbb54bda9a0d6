# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts resctrl and unmounts it. Edge."""

from __future__ import annotations

import subprocess

from .._cpus.errors import HostError
from .schemata import ROOT

#: Seconds; both calls return at once.
_LONGEST_S = 60


def mount(root: str, levels: frozenset[str]) -> None:
    """Mount resctrl; ``levels``: those with code and data apart."""
    options = [{"L3": "cdp", "L2": "cdpl2"}[level] for level in sorted(levels, reverse=True)]
    _run(["mount", "-t", "resctrl", *(["-o", ",".join(options)] if options else []), "resctrl", f"{root}{ROOT}"])


def unmount(root: str) -> None:
    """Unmount resctrl; the kernel then removes all groups, and every CPU may fill all caches again."""
    _run(["umount", f"{root}{ROOT}"])


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace", timeout=_LONGEST_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError(f"{' '.join(command)}: {error}") from None
    if done.returncode:
        raise HostError(
            f"{' '.join(command)} failed with exit code {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}"
        )
