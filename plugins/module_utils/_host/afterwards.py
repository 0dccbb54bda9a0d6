# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes need once they are made, such as a daemon that reads its files again. Edge."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .change import Change, Step
from .host import Host, Runner
from .runner import systemctl


def afterwards(
    host: Host, what: str, make: Callable[[], object], *, due: bool, change: Change | None = None, kept: bool = False
) -> None:
    """Plan what changes need once they are made.

    ``due``: this plan has such changes; ``change`` shows it. It is journalled with them, so the next run does what a
    failed or killed run has left undone; a reboot ends it. ``kept``: the entry stays until ``forget``, since what was made is
    read back first.
    """
    resource = f"after:{what}"
    if not due and resource not in host.entries("after"):
        return
    if not due:
        disruption = change.disruption if change else "none"
        change = Change(what, "left undone by an earlier run", "done", disruption, "an earlier change needs it")
    entry = {"owner": host.owner, "kind": "after", "before": None, "disruption": "none"}
    host.take(Step(change, make, resource, entry, forget=not kept))


def reload_systemd(host: Host, runner: Runner, *restart: str) -> None:
    """Make systemd read changed units, and restart those of the named services that run. Does nothing in check mode."""
    if host.dry or not host.exists("/run/systemd/system"):
        return
    systemctl(runner, "daemon-reload")
    for unit in restart:
        systemctl(runner, "try-restart", unit)


def plan_reload(host: Host, runner: Runner, *, due: bool) -> None:
    """Plan that systemd reads changed units, ``due`` for this plan's or left undone by an earlier run."""
    afterwards(host, "systemd: changed units are read", partial(reload_systemd, host, runner), due=due)
