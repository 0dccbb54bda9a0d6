# SPDX-License-Identifier: GPL-3.0-or-later
"""All updates of a node's packages, also of held ones: listed, and installed at once; what was held is held again. Edge.

apt-get(8): a simulated run prints ``Inst NAME [OLD] (NEW ...)`` and ``Remv NAME [OLD]``. dnf(8): ``check-update`` ends with 100 where
there are updates, and prints ``NAME.ARCH NEW REPOSITORY``.
"""

from __future__ import annotations

import re
from functools import partial

from .._cpus.errors import HostError
from .change import Change
from .holds import HELD, hold_again, manager, mark, selections
from .host import Host, Runner
from .runner import Transaction, run_checked

#: The administrator's configuration files stay; needrestart only lists, since the node reboots.
_APT = ("env", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_MODE=l", "apt-get", "--yes", "--option=DPkg::Lock::Timeout=300")
_UPGRADE = (
    "--ignore-hold", "--allow-change-held-packages", "--option=Dpkg::Options::=--force-confdef", "--option=Dpkg::Options::=--force-confold",
    "dist-upgrade",
)  # fmt: skip
_SIMULATE = ("apt-get", "--simulate", "--ignore-hold", "dist-upgrade")
_DNF = ("dnf", "--quiet", "--assumeyes", "--disableplugin=versionlock")
_REASON = "what it replaces runs until the node reboots"
#: Journalled until the node reboots, also over a killed run.
_RESTART = "update: the node's reboot"


def parse_apt(text: str) -> list[tuple[str, str | None, str | None]]:
    """Return name, present and new version of each package that a simulated run names."""
    found: list[tuple[str, str | None, str | None]] = []
    for line in text.splitlines():
        installs = re.match(r"Inst (\S+)(?: \[([^\]]*)\])? \((\S+)", line)
        removes = re.match(r"Remv (\S+)(?: \[([^\]]*)\])?", line)
        if installs:
            found.append((installs[1], installs[2], installs[3]))
        elif removes:
            found.append((removes[1], removes[2], None))
    return found


def parse_dnf(text: str) -> list[tuple[str, str | None, str | None]]:
    """Return name and new version of each package that check-update prints; those that others replace follow the updates."""
    found: list[tuple[str, str | None, str | None]] = []
    for line in text.partition("Obsoleting Packages")[0].splitlines():
        fields = line.split()
        if len(fields) == 3 and "." in fields[0]:
            found.append((fields[0], "installed", fields[1]))
    return found


def _listed(host: Host, runner: Runner) -> list[tuple[str, str | None, str | None]]:
    if manager(host) == "apt":
        return parse_apt(run_checked(runner, _SIMULATE))
    code, out, err = runner([*_DNF, "check-update"])
    if code not in (0, 100):
        raise HostError(f"dnf check-update failed with exit code {code}: {(err or out).strip()[-500:]}")
    return parse_dnf(out)


def plan_updates(host: Host, runner: Runner, *, refresh: bool) -> None:
    """Plan the updates; ``refresh``: the package sources are read first, which changes the manager's cache alone."""
    apt = manager(host) == "apt"
    if refresh:
        run_checked(runner, [*_APT, "update"] if apt else [*_DNF, "makecache"])
    listed = sorted(_listed(host, runner))
    if apt:
        (_keep_holds if listed else hold_again)(host, runner)
    if listed:
        host.keep(_RESTART, "after", None)
    for number, (name, before, after) in enumerate(listed):
        make = partial(_install, host, runner, apt) if number == 0 else _nothing
        host.follow_up(Change(f"package:{name}", before, after, "reboot", _REASON), make)


def _keep_holds(host: Host, runner: Runner) -> None:
    """Journal what is held, since apt releases each held package that it installs."""
    for name in sorted(name for name, selection in selections(runner).items() if selection == "hold"):
        host.keep(f"hold:{name}", HELD, None)


def _install(host: Host, runner: Runner, apt: bool) -> None:
    try:
        run_checked(runner, Transaction([*_APT, *_UPGRADE] if apt else [*_DNF, "upgrade"]))
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
