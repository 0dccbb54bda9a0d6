# SPDX-License-Identifier: GPL-3.0-or-later
"""All updates of a node's packages, also of held ones: listed, and installed at once; what was held is held again. Edge.

apt-get(8): a simulated run prints ``Inst NAME [OLD] (NEW ...)``, ``Remv NAME [OLD]`` or ``Purg``, and ``Conf NAME (NEW ...)`` also for a
package that an earlier run has unpacked and not configured. dnf(8): ``check-update`` ends with 100 where there are updates, and prints
``NAME.ARCH NEW REPOSITORY``, over several lines where the row is too long.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from .._cpus.errors import HostError
from .change import Change
from .holds import HELD, hold_again, manager, mark, selections
from .host import Host, Runner
from .package_locks import LOCKS, package_manager_at_work
from .runner import Transaction, run_checked

#: The administrator's configuration files stay; needrestart only lists, since the node reboots.
APT = ("env", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_MODE=l", "apt-get", "--yes", "--option=DPkg::Lock::Timeout=300")
_UPGRADE = (
    "--ignore-hold", "--allow-change-held-packages", "--option=Dpkg::Options::=--force-confdef", "--option=Dpkg::Options::=--force-confold",
    "dist-upgrade",
)  # fmt: skip
#: Finishes what a run that was cut off has unpacked; apt-get refuses to begin before it.
_CONFIGURE = ("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--force-confdef", "--force-confold", "--configure", "-a")
_UNPACKED = "unpacked, not configured"
#: dpkg's own journal: a file whose name is a number is left by a run that was cut off.
_DPKG = "/var/lib/dpkg/updates"
#: Locks for which apt-get and dpkg do not wait themselves, seconds of the wait for them, and between two tries.
_APT_LOCKS = ("/var/lib/apt/lists/lock", "/var/cache/apt/archives/lock")
_LOCKED = re.compile("Could not get lock|locked by another process|Unable to lock directory")
_WAIT_S, _PAUSE_S = 300.0, 3.0
_SIMULATE = ("apt-get", "--simulate", "--ignore-hold", "dist-upgrade")
_DNF = ("dnf", "--quiet", "--assumeyes", "--disableplugin=versionlock")
#: What dnf and dnf5 print above the packages that others replace.
_REPLACED = re.compile(r"^obsoleting packages", re.IGNORECASE | re.MULTILINE)
_REASON = "what it replaces runs until the node reboots"
#: Journalled until the node reboots, also over a killed run.
_RESTART = "update: the node's reboot"


def parse_apt(text: str) -> list[tuple[str, str | None, str | None]]:
    """Return name, present and new version of each package that a simulated run names."""
    found: list[tuple[str, str | None, str | None]] = []
    waiting: dict[str, str] = {}
    for line in text.splitlines():
        installs = re.match(r"Inst (\S+)(?: \[([^\]]*)\])? \((\S+)", line)
        removes = re.match(r"(?:Remv|Purg) (\S+)(?: \[([^\]]*)\])?", line)
        configures = re.match(r"Conf (\S+)(?: \(([^\s)]+))?", line)
        if installs:
            found.append((installs[1], installs[2], installs[3]))
        elif removes:
            found.append((removes[1], removes[2], None))
        elif configures:
            waiting[configures[1]] = configures[2] or "configured"
    listed = {name for name, _before, _after in found}
    return found + [(name, _UNPACKED, version) for name, version in waiting.items() if name not in listed]


def parse_dnf(text: str) -> list[tuple[str, str | None, str | None]]:
    """Return name and new version of each package that check-update prints; those that others replace follow the updates."""
    found: list[tuple[str, str | None, str | None]] = []
    row: list[str] = []
    for line in _REPLACED.split(text)[0].splitlines():
        row = row + line.split() if line[:1].isspace() and 0 < len(row) < 3 else line.split()
        if len(row) == 3 and "." in row[0]:
            found.append((row[0], "installed", row[1]))
    return found


def _listed(host: Host, runner: Runner) -> list[tuple[str, str | None, str | None]]:
    if manager(host) == "apt":
        return parse_apt(run_checked(runner, _SIMULATE))
    code, out, err = runner([*_DNF, "check-update"])
    if code not in (0, 100):
        raise HostError(f"dnf check-update failed with exit code {code}: {(err or out).strip()[-500:]}")
    found = parse_dnf(out)
    if code == 100 and not found and not _REPLACED.search(out):
        raise HostError(
            f"dnf check-update ended with 100, so there are updates, but none could be read from what it printed: {out.strip()[:500]!r}; "
            "update this node by hand (dnf upgrade), and reboot it"
        )
    return found


def run_apt(host: Host, runner: Runner, command: Sequence[str]) -> None:
    """Run apt-get or dpkg; while another program holds a lock, try again for some minutes, then name who holds it."""
    end = time.monotonic() + _WAIT_S
    while True:
        code, out, err = runner(command)
        if code == 0:
            return
        said = (err or out).strip()[-500:]
        if not _LOCKED.search(said):
            raise HostError(f"{' '.join(command)} failed with exit code {code}: {said}")
        if time.monotonic() >= end:
            holder = package_manager_at_work(host, paths=(*_APT_LOCKS, *LOCKS))
            raise HostError(
                f"{' '.join(command)} was tried for {_WAIT_S:g} s, but another program holds a lock{f' ({holder})' if holder else ''}: {said}; "
                "wait until that program has ended, or end it, and run again"
            )
        time.sleep(_PAUSE_S)


def plan_updates(host: Host, runner: Runner, *, refresh: bool) -> None:
    """Plan the updates; ``refresh``: the package sources are read first, which changes the manager's cache alone."""
    apt = manager(host) == "apt"
    if refresh and apt:
        run_apt(host, runner, [*APT, "update"])
    elif refresh:
        run_checked(runner, [*_DNF, "makecache"])
    listed = sorted(_listed(host, runner), key=lambda row: row[0])
    changes = [Change(f"package:{name}", before, after, "reboot", _REASON) for name, before, after in listed]
    cut_off = apt and dpkg_cut_off(host)
    if cut_off:
        changes.insert(0, Change("dpkg", "cut off", "finished", "reboot", _REASON))
    if apt:
        (_keep_holds if changes else hold_again)(host, runner)
    if changes:
        host.keep(_RESTART, "after", None)
    unfinished = cut_off or any(change.before == _UNPACKED for change in changes)
    for number, change in enumerate(changes):
        host.follow_up(change, partial(_install, host, runner, apt, unfinished) if number == 0 else _nothing)


def _keep_holds(host: Host, runner: Runner) -> None:
    """Journal what is held, since apt releases each held package that it installs."""
    for name in sorted(name for name, selection in selections(runner).items() if selection == "hold"):
        host.keep(f"hold:{name}", HELD, None)


def finish_dpkg(host: Host, runner: Runner) -> None:
    """Finish what dpkg has unpacked and not configured, as far as it can be."""
    with suppress(HostError):  # what needs a package that is not there yet is finished by the next command, or refused
        run_apt(host, runner, Transaction(_CONFIGURE))


def dpkg_cut_off(host: Host) -> bool:
    """Whether a run of dpkg was cut off."""
    return any(name.isdecimal() for name in host.listdir(_DPKG))


def _install(host: Host, runner: Runner, apt: bool, unfinished: bool) -> None:
    try:
        if unfinished:
            finish_dpkg(host, runner)
        if apt:
            run_apt(host, runner, Transaction([*APT, *_UPGRADE]))
        else:
            run_checked(runner, Transaction([*_DNF, "upgrade"]))
    finally:  # a failed run has installed a part
        found = selections(runner) if apt else {}
        for resource in host.entries(HELD):
            name = resource.partition(":")[2]
            if found.get(name, "hold") != "hold":
                mark(runner, "hold", name)
            host.forget(resource)


def _nothing() -> None:
    """Do nothing: the first change installs all updates."""


def restart_owed(host: Host) -> bool:
    """Whether updates were installed, or begun, since the node booted."""
    return _RESTART in host.entries("after")


def names_left(host: Host, runner: Runner) -> list[str]:
    """Return the packages that have an update after all were installed: the manager keeps them back."""
    return sorted(name for name, _before, _after in _listed(host, runner))
