# SPDX-License-Identifier: GPL-3.0-or-later
"""Other tuning daemons, and systemd's reloads. Edge."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from .._cpus.errors import HostError
from .change import Change
from .host import Host, Runner
from .runner import systemctl

TUNED = "service:tuned"

#: Other daemons that change settings that a real-time node depends on: unit, and what it sets.
TUNING_DAEMONS = {
    "auto-cpufreq": "governors and turbo",
    "cpupower": "governors",
    "ksmtuned": "merging of equal pages",
    "numad": "the CPUs and memory of processes",
    "power-profiles-daemon": "governors and energy preference",
    "stalld": "the policy of threads that wait",
    "tlp": "governors and devices' power",
    "tuned-ppd": "tuned's profile",
}


def tuned_state(host: Host) -> str:
    """Return tuned's state: ``enabled active``, ``enabled``, ``active`` or an empty text."""
    words = []
    if host.glob("/etc/systemd/system/*.wants/tuned.service"):
        words.append("enabled")
    pid = host.value("/run/tuned/tuned.pid") or ""
    if pid.isdecimal() and "tuned" in (host.value(f"/proc/{pid}/comm") or "") + (host.read(f"/proc/{pid}/cmdline") or ""):
        words.append("active")
    return " ".join(words)


def tuning_daemons(host: Host, running: Collection[str]) -> dict[str, tuple[str, str]]:
    """Return the daemons that are enabled or run, each with its state and what it sets. ``running``: programs' names."""
    found = {}
    for name, what in TUNING_DAEMONS.items():
        words = ["enabled"] if host.glob(f"/etc/systemd/system/*.wants/{name}.service") else []
        words += ["active"] if name[:15] in running else []  # the kernel keeps 15 characters of a program's name
        if words:
            found[name] = (" ".join(words), what)
    return found


def plan_tuned(host: Host, runner: Runner, *, take_over: bool) -> None:
    """Refuse an active tuned, or plan to switch it off; it sets the same files to other values."""
    state = tuned_state(host)
    if not state:
        return
    profile = host.value("/etc/tuned/active_profile") or "no profile chosen"
    if not take_over:
        raise HostError(
            f"tuned is {state.replace(' ', ' and ')} on this node (profile: "
            f"{profile}) and would set CPU, sysctl and interrupt values "
            "against the partition; set cpu_partition_tuned: take_over to switch it off (undo switches it on again), "
            "or disable it yourself"
        )
    change = Change(TUNED, f"{state} (profile {profile})", "switched off", "none", "one tuning authority per node")
    host.change(change, partial(systemctl, runner, "disable", "--now", "tuned.service"), kind="service", original=state)


def restore_tuned(host: Host, runner: Runner) -> None:
    """Plan to switch tuned on again where it was on."""
    for resource, state in host.entries("service").items():
        current = tuned_state(host)
        steps = [
            step
            for word, step in (("enabled", "enable"), ("active", "start"))
            if word in state.split() and word not in current.split()
        ]
        change = Change(resource, current or "switched off", state, reason="restored") if steps else None
        host.restore(change, resource, partial(_each, runner, steps))


def _each(runner: Runner, steps: Sequence[str]) -> None:
    for step in steps:
        systemctl(runner, step, "tuned.service")
