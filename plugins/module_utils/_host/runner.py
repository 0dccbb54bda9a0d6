# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that run on the node, and systemd's reloads. Edge."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from .._cpus.errors import HostError
from .host import Host, Runner

#: Seconds that a program may take, generously: some wait for disks or a switch that starts.
COMMAND_S = 900


class Transaction(tuple[str, ...]):
    """A command that changes packages. It is never killed: its children would go on, and half an update is worse than a wait."""


def late(command: Sequence[str]) -> HostError:
    """Return the refusal of a program that has not ended in its time."""
    return HostError(
        f"{' '.join(command)} has not ended within {COMMAND_S} s and was killed; look at what it waits for, and whether programs that it "
        "started still run"
    )


def run_checked(runner: Runner, command: Sequence[str]) -> str:
    """Run a program and return its output; ``HostError`` quotes the end of its output when it fails."""
    code, out, err = runner(command)
    if code != 0:
        raise HostError(f"{' '.join(command)} failed with exit code {code}: {(err or out).strip()[-500:]}")
    return out


def systemctl(runner: Runner, *arguments: str) -> None:
    """Run systemctl; ``HostError`` when it fails."""
    run_checked(runner, ["systemctl", *arguments])


def reload_systemd(host: Host, runner: Runner, *restart: str) -> None:
    """Make systemd read changed units, and restart those of the named services that run. Does nothing in check mode."""
    if host.dry or not host.exists("/run/systemd/system"):
        return
    systemctl(runner, "daemon-reload")
    for unit in restart:
        systemctl(runner, "try-restart", unit)


def plan_reload(host: Host, runner: Runner, *, due: bool) -> None:
    """Plan that systemd reads changed units, ``due`` for this plan's or left undone by an earlier run."""
    host.afterwards("systemd: changed units are read", partial(reload_systemd, host, runner), due=due)
