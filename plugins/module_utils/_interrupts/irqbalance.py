# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon irqbalance: CPUs that it must leave alone. Edge."""

from __future__ import annotations

from functools import partial

from .._cpus.cpulist import format_cpulist
from .._cpus.partition import Partition
from .._host.afterwards import afterwards, plan_reload
from .._host.change import Change
from .._host.host import Host, Runner
from .._host.runner import systemctl
from .._host.threads import service_pids

_IRQBALANCE_ENVIRONMENT = "/etc/realtime-kvm/irqbalance.env"


IRQBALANCE_DROP_IN = "/etc/systemd/system/irqbalance.service.d/realtime-kvm.conf"


def plan_irqbalance(host: Host, runner: Runner, partition: Partition) -> None:
    """Plan irqbalance's list of banned CPUs, and its restart if it runs with another list; without isolated CPUs it has none."""
    if not partition.isolated:
        undo_irqbalance(host, runner)
        return
    banned = f"IRQBALANCE_BANNED_CPULIST={format_cpulist(partition.isolated)}"
    # a second EnvironmentFile wins over the distribution's and over Environment=
    host.set_file(_IRQBALANCE_ENVIRONMENT, f"{banned}\n".encode(), reason="irqbalance keeps off isolated CPUs")
    drop_in = f"[Service]\nEnvironmentFile=-{_IRQBALANCE_ENVIRONMENT}\n"
    host.set_file(IRQBALANCE_DROP_IN, drop_in.encode(), reason="irqbalance keeps off isolated CPUs")
    plan_reload(host, runner, due=IRQBALANCE_DROP_IN in {change.resource for change in host.changes})
    running = _irqbalance_environment(host)
    before = next((line for line in running or () if line.startswith("IRQBALANCE_BANNED")), "no banned CPUs")
    _plan_restart(
        host, runner, before, banned, due=running is not None and banned not in running, reason="restarted to read its list"
    )


def undo_irqbalance(host: Host, runner: Runner) -> None:
    """Plan to remove the list, and to restart an irqbalance that runs with it."""
    touched = IRQBALANCE_DROP_IN in host.entries("file")
    ours = host.value(_IRQBALANCE_ENVIRONMENT)
    host.restore_files(only=(_IRQBALANCE_ENVIRONMENT, IRQBALANCE_DROP_IN))
    plan_reload(host, runner, due=touched)
    due = touched and ours in (_irqbalance_environment(host) or [])
    _plan_restart(host, runner, ours or "our list", "no list of ours", due=due, reason="restored")


def _plan_restart(host: Host, runner: Runner, before: str, after: str, *, due: bool, reason: str) -> None:
    """Plan to restart an irqbalance that runs with another list; a run that is cut off before leaves that to the next."""
    afterwards(
        host,
        "service:irqbalance",
        partial(systemctl, runner, "try-restart", "irqbalance.service"),
        due=due,
        change=Change("service:irqbalance", f"running with {before}", f"running with {after}", reason=reason),
    )


def _irqbalance_environment(host: Host) -> list[str] | None:
    """Return the environment that a running irqbalance was started with, None where it does not run."""
    for pid in service_pids(host, "irqbalance.service"):
        return (host.read(f"/proc/{pid}/environ") or "").split("\0")
    return None
