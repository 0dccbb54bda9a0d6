# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that run on the node. Edge."""

from __future__ import annotations

from collections.abc import Sequence

from .._cpus.errors import HostError
from .host import Runner

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
