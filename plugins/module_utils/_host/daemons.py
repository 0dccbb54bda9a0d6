# SPDX-License-Identifier: GPL-3.0-or-later
"""Daemons that the roles' packages bring: how they were before the first of these packages, and the way back. Edge.

Packages enable and start their daemons, so a node that had neither libvirt nor Open vSwitch runs both from then on, also after the rest is undone.
systemctl(1): ``show`` prints a block for each unit, ``LoadState=not-found`` for one that does not exist.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from .change import Change
from .host import Host, Runner
from .runner import systemctl

#: libvirt as one daemon (Debian, Ubuntu) and as one for each driver (RHEL family); https://libvirt.org/daemons.html
_LIBVIRT = (
    "libvirtd", "virtqemud", "virtproxyd", "virtinterfaced", "virtnetworkd", "virtnodedevd", "virtnwfilterd", "virtsecretd", "virtstoraged",
    "virtlockd", "virtlogd",
)  # fmt: skip
#: The units of each role's packages, by role.
DAEMONS: Mapping[str, tuple[str, ...]] = {
    "kvm_host": (
        "libvirt-guests.service",
        *(f"{name}{kind}" for name in _LIBVIRT for kind in (".service", ".socket", "-ro.socket", "-admin.socket")),
    ),
    "ovs_dpdk": (
        "openvswitch-switch.service",
        "openvswitch.service",
        "ovs-vswitchd.service",
        "ovsdb-server.service",
        "ovs-record-hostname.service",
    ),
    "time_sync": ("chrony.service", "chronyd.service", "timemaster.service"),
}
#: What people call them.
TITLES = {"kvm_host": "libvirt", "ovs_dpdk": "Open vSwitch", "time_sync": "chrony"}
_STARTED = ("active", "activating", "reloading", "refreshing")
_ENABLED = ("enabled", "enabled-runtime")


@dataclass(frozen=True)
class UnitState:
    """Whether a unit starts at boot, and whether it runs."""

    enabled: bool = False
    active: bool = False

    def __str__(self) -> str:
        return f"{'enabled' if self.enabled else 'disabled'}, {'active' if self.active else 'inactive'}"


def _resource(role: str) -> str:
    return f"daemons:{role}"


def record_daemons(host: Host, runner: Runner, role: str) -> None:
    """Journal how a role's daemons are, with the next change; once for each role, until undo."""
    if host.captured or role not in DAEMONS or _resource(role) in host.journal.entries:
        return
    if host.exists("/run/systemd/system"):
        found = read_units(runner, DAEMONS[role])
        on = {name: {"enabled": unit.enabled, "active": unit.active} for name, unit in found.items() if unit != UnitState()}
        host.keep(_resource(role), "daemons", on)


def restore_daemons(
    host: Host, runner: Runner, used: Mapping[str, str], *, going: Collection[str] = (), stuck: Collection[str] = ()
) -> list[str]:
    """Plan to stop and disable the daemons that were off before; return why some of them stay on.

    ``used``: role to whoever else needs its daemons. ``going``: the roles whose packages give way to those that they replaced, and ``stuck``:
    those whose packages stay in their place. What was on is never started again: nothing here switches it off.
    """
    stays = []
    for role, title in TITLES.items():
        entry = host.journal.entries.get(_resource(role))
        if entry is None or role in stuck:
            continue
        if role in going:
            host.restore(None, _resource(role), lambda: None)
            continue
        before = {name: UnitState(**state) for name, state in entry["before"].items()}
        now = read_units(runner, DAEMONS[role]) if host.exists("/run/systemd/system") else {}
        stopped = [name for name, unit in now.items() if unit.active and not before.get(name, UnitState()).active]
        disabled = [name for name, unit in now.items() if unit.enabled and not before.get(name, UnitState()).enabled]
        if (stopped or disabled) and role in used:
            stays.append(f"{title} stays on, although it was off before, since {used[role]}")
            continue
        kept = {name: unit for name, unit in before.items() if unit.enabled}
        changed = [name for name in now if name in stopped or name in disabled]
        after = {
            name: UnitState(now[name].enabled and name not in disabled, now[name].active and name not in stopped)
            for name in changed
        }
        change = Change(_resource(role), _lines({name: now[name] for name in changed}), _lines(after), reason=f"{title} was off")
        host.restore(change if changed else None, _resource(role), partial(_switch_off, runner, stopped, disabled, kept))
    return stays


def _lines(units: Mapping[str, UnitState]) -> str:
    return "\n".join(f"{name}: {unit}" for name, unit in units.items())


def _switch_off(runner: Runner, stopped: Iterable[str], disabled: Iterable[str], kept: Iterable[str]) -> None:
    """Stop all in one job, whose order systemd knows: a socket that outlives its service would start that again."""
    if names := list(stopped):
        systemctl(runner, "stop", *names)
    if names := list(disabled):
        systemctl(runner, "disable", *names)
        state = read_units(runner, kept)  # Also= of a disabled unit may have taken others along (systemd.unit(5))
        if lost := [name for name in kept if not state.get(name, UnitState()).enabled]:
            systemctl(runner, "enable", *lost)


def read_units(runner: Runner, names: Iterable[str]) -> dict[str, UnitState]:
    """Return the units that exist, in the order given; an alias is not its unit."""
    wanted = list(names)
    if not wanted:
        return {}
    _code, out, _err = runner(["systemctl", "show", "--property=Id,LoadState,UnitFileState,ActiveState", "--", *wanted])
    found = {}
    for block in out.split("\n\n"):
        shown = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if shown.get("LoadState") not in (None, "", "not-found"):
            found[shown.get("Id", "")] = UnitState(shown.get("UnitFileState") in _ENABLED, shown.get("ActiveState") in _STARTED)
    return {name: found[name] for name in wanted if name in found}
