# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages that an installation replaces, since both cannot be there at once; undo puts them back in one transaction. Edge.

apt removes what conflicts with a new package: systemd-timesyncd, when chrony comes. dnf takes nothing away unless it is told to.
apt-get(8): of a package whose name has a plus behind it, ``purge`` installs it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from .._cpus.errors import HostError
from .change import Change
from .daemons import UnitState, read_units
from .holds import mark, selections
from .host import Host, Runner
from .packages import installed_of, package_manager
from .runner import Transaction, run_checked, systemctl
from .updates import APT, dpkg_cut_off, finish_dpkg, parse_apt, run_apt

_KIND, _PREFIX = "replaced", "replaced:"
_SIMULATE = ("apt-get", "--simulate", "--no-install-recommends", "--allow-change-held-packages")
_UNIT = re.compile(r"(?:/usr)?/lib/systemd/system/([^/@]+\.(?:service|socket|timer))")


def record_replaced(host: Host, runner: Runner, role: str, names: Iterable[str]) -> None:
    """Journal, with the next change, which packages go when a role's come, and how their units are; once, until undo."""
    if package_manager(host) != "apt" or not (wanted := list(names)):
        return
    code, out, _err = runner([*_SIMULATE, "install", *wanted])
    rows = parse_apt(out) if code == 0 else []  # else the installation says why it cannot be
    going = {name: before or "" for name, before, after in rows if after is None and _PREFIX + name not in host.journal.entries}
    manual = run_checked(runner, ["apt-mark", "showmanual"]).split() if going else []
    for name, version in going.items():
        before = {"role": role, "version": version, "manual": name in manual, "units": _units(host, runner, name)}
        host.keep(_PREFIX + name, _KIND, before)


def _units(host: Host, runner: Runner, name: str) -> dict[str, dict[str, bool]]:
    """Return the states of a package's units, as they were before this collection's first change of them."""
    if not host.exists("/run/systemd/system"):
        return {}
    _code, out, _err = runner(["dpkg", "-L", name])
    names = sorted({found[1] for line in out.splitlines() if (found := _UNIT.fullmatch(line.strip()))})
    states = {unit: asdict(state) for unit, state in read_units(runner, names).items()}
    for entry in host.journal.entries.values():
        if entry["kind"] == "daemons":
            states.update({unit: state for unit, state in entry["before"].items() if unit in states})
    return states


@dataclass(frozen=True)
class Return:
    """What undo puts back: the roles whose packages go for it, and of those that cannot be exchanged why."""

    done: frozenset[str]
    stuck: Mapping[str, str]


def plan_return(host: Host, runner: Runner, *, remove: bool) -> Return:
    """Plan that packages which were replaced are there again, with their units as before; what replaced them goes in the same transaction.

    ``remove``: it is purged. Where no repository offers the old package any more, nothing is changed, so that a node never lacks both.
    """
    entries = {name: entry for name, entry in host.journal.entries.items() if entry["kind"] == _KIND}
    if not entries or package_manager(host) != "apt":
        return Return(frozenset(), {})
    there = {name.partition(":")[0] for name in selections(runner)}
    done, stuck = set(), {}
    for role in sorted({entry["before"]["role"] for entry in entries.values()}):
        old = {name.removeprefix(_PREFIX): entry["before"] for name, entry in entries.items() if entry["before"]["role"] == role}
        missing = {name: before for name, before in old.items() if name not in there}
        own = [name for name in installed_of(host, role) if name in there]
        for name in [name for name in old if name not in missing]:
            _plan_units(host, runner, name, old[name]["units"])
        if not missing:
            continue
        command, why = _command(host, runner, missing, own, remove=remove)
        if why:
            stuck[role] = why
            continue
        done.add(role)
        _plan_exchange(host, runner, missing, own, command)
    return Return(frozenset(done), stuck)


def _command(
    host: Host, runner: Runner, missing: Mapping[str, Any], own: Sequence[str], *, remove: bool
) -> tuple[Sequence[str], str]:
    """Return apt-get's command, with the former versions where they can be had; or why there is none."""
    why = ""
    for exact in (True, False):
        words = [f"{name}={before['version']}" if exact and before["version"] else name for name, before in missing.items()]
        command = ["purge", *own, *(f"{word}+" for word in words)] if remove and own else ["install", *words]
        code, out, err = runner([*_SIMULATE, *command])
        why = f"apt: {(err or out).strip()[-300:]}" if code else _surplus(out, {*own, *missing})
        if not why and not host.dry:
            try:  # before anything goes: the package may be in no mirror any more
                run_apt(
                    host, runner, [*APT, "--no-install-recommends", "--allow-change-held-packages", "--download-only", *command]
                )
            except HostError as error:
                why = str(error)
        if not why:
            return command, ""
    return (
        [],
        f"{', '.join(missing)} cannot be installed again ({why}), so {', '.join(own) or 'what replaced it'} stays in its place",
    )


def _surplus(out: str, known: Collection[str]) -> str:
    """Say what else apt would update or remove; what it has to install along is new, so it disturbs nothing."""
    rows = [row for row in parse_apt(out) if row[0].partition(":")[0] not in known]
    more = [name for name, before, after in rows if before is not None or after is None]
    return f"apt would also change {', '.join(more)}" if more else ""


def _plan_exchange(host: Host, runner: Runner, missing: Mapping[str, Any], own: Sequence[str], command: Sequence[str]) -> None:
    made = False
    for name in own:
        change = Change(f"package:{name}", "installed", None, "stall", f"{', '.join(missing)} comes back")
        host.restore(change, f"installed:{name}", partial(_exchange, host, runner, missing, command) if not made else _nothing)
        made = True
    for name, before in missing.items():
        change = Change(f"package:{name}", None, "installed", "stall", "restored")
        host.restore(change, _PREFIX + name, partial(_exchange, host, runner, missing, command) if not made else _nothing)
        made = True
        if before["units"]:
            host.perform(partial(_set_units, runner, before["units"]))


def _nothing() -> None:
    """Do nothing: the first step makes the whole exchange."""


def _exchange(host: Host, runner: Runner, missing: Mapping[str, Any], command: Sequence[str]) -> None:
    if dpkg_cut_off(host):
        finish_dpkg(host, runner)
    run_apt(host, runner, Transaction([*APT, "--no-install-recommends", "--allow-change-held-packages", *command]))
    for name, before in missing.items():
        if not before["manual"]:
            mark(runner, "auto", name)


def _plan_units(host: Host, runner: Runner, name: str, units: Mapping[str, Any]) -> None:
    """Plan the units of a package that is there, after an exchange that was cut off."""
    now = read_units(runner, units) if host.exists("/run/systemd/system") else {}
    wrong = {unit: state for unit, state in now.items() if state != UnitState(**units[unit])}
    change = Change(
        f"daemons:{name}",
        "\n".join(f"{unit}: {state}" for unit, state in wrong.items()),
        "\n".join(f"{unit}: {UnitState(**units[unit])}" for unit in wrong),
        "stall",
        "restored",
    )
    host.restore(change if wrong else None, _PREFIX + name, partial(_set_units, runner, units))


def _set_units(runner: Runner, units: Mapping[str, Any]) -> None:
    for unit, now in read_units(runner, units).items():
        before = UnitState(**units[unit])
        if now.enabled != before.enabled:
            systemctl(runner, "enable" if before.enabled else "disable", unit)
        if now.active != before.active:
            systemctl(runner, "start" if before.active else "stop", unit)
