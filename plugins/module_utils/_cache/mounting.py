# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts resctrl and unmounts it, with its groups or without. Edge."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

from .._cpus.errors import HostError, RefusalError
from .._host.change import Change
from .._host.host import Host
from .read import is_mounted
from .schemata import ROOT

#: The kind of our entries in the journal.
KIND = "resctrl"
REASON = "caches and memory bandwidth are not shared with other CPUs"
CLASS = "stall"

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


def mounted_as(levels: frozenset[str]) -> str:
    return f"mounted, code and data of {' and '.join(sorted(levels))} apart" if levels else "mounted"


def plan_mount(host: Host, levels: frozenset[str], before: str, groups: Iterable[str], divide: Callable[[str], None]) -> None:
    """Plan to mount resctrl and make the groups (``divide``, for the owner of the originals), in one step.

    The kernel tells the portions only then, so the plan does not name them; what cannot be met unmounts it again.
    """
    lines = [mounted_as(levels), *groups, "portions: chosen from info/, which the kernel shows once it is mounted"]
    change = Change(ROOT, before, "\n".join(lines), CLASS, REASON)
    make = partial(_mount, host, levels, divide, again=before != "not mounted", owner=host.owner)
    host.change(change, make, kind=KIND, original="not mounted")


def _mount(host: Host, levels: frozenset[str], divide: Callable[[str], None], *, again: bool, owner: str) -> None:
    if again:
        unmount(host.root)
    try:
        mount(host.root, levels)
    except HostError:
        _forget_now(host, owner)  # a mount that follows is not ours
        raise
    try:
        if not is_mounted(host):
            raise HostError(f"{ROOT} was mounted, but has no info/; look at the kernel's log")
        divide(owner)
    except RefusalError:
        with suppress(HostError):
            unmount(host.root)
            _forget_now(host, owner)
        raise


def _forget_now(host: Host, owner: str) -> None:
    """Drop the originals of a resctrl that is unmounted again."""
    for resource in host.journal.of(owner, KIND):
        host.forget(resource)
