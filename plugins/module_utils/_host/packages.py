# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages that the roles install: which the node had before, and their removal with what came along. Edge.

apt-get(8): a simulated purge prints ``Purg NAME [OLD]`` or ``Remv``. dnf(8): ``--assumeno`` prints a table below ``Removing:`` and, for
packages that need these or that these needed, ``Removing dependent packages:`` and ``Removing unused dependencies:``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import partial

from .._cpus.errors import HostError
from .change import Change
from .holds import selections
from .host import Host, Runner
from .runner import Transaction, run_checked
from .updates import APT, parse_apt, run_apt

#: The names of all packages before the first of a role's was installed.
_BEFORE = "packages:before"
_WANTED = "installed:"
_SIMULATE = ("apt-get", "--simulate", "--allow-change-held-packages")
_DNF = ("dnf", "--quiet", "--setopt=disable_excludes=*")
_HEADINGS = ("Removing:", "Removing dependent packages:", "Removing unused dependencies:")


def record_packages(host: Host, runner: Runner, role: str, names: Iterable[str]) -> None:
    """Journal, with the next change, which packages a role is about to install, and once which there are."""
    apt = package_manager(host) == "apt"
    if not package_manager(host):
        return
    there = _installed(runner, apt)
    wanted = dict.fromkeys(
        _plain(name.partition("=")[0]) if apt else name for name in names
    )  # apt also takes NAME=VERSION and NAME:ARCHITECTURE
    new = [name for name in wanted if not _found(runner, apt, there, [name])]
    if new and _BEFORE not in host.journal.entries:
        host.keep(_BEFORE, "packages", sorted(there))
    for name in new:
        host.keep(f"{_WANTED}{name}", "package", role)


def plan_packages(host: Host, runner: Runner, kept: Collection[str], *, remove: bool, without: Collection[str] = ()) -> list[str]:
    """Plan to remove what the roles have installed, or drop the record of it; return the names of the packages that stay.

    The packages of the roles in ``kept`` stay, since their daemons are used, and a later undo may remove them. Those of the roles in
    ``without`` are planned elsewhere.
    """
    entries = {
        name: entry
        for name, entry in host.journal.entries.items()
        if entry["kind"] == "package" and entry["before"] not in without
    }
    apt = package_manager(host) == "apt"
    if _BEFORE not in host.journal.entries or not package_manager(host):
        return []
    there = _installed(runner, apt)
    going = [name for name, entry in entries.items() if entry["before"] not in kept]
    wanted = [name.removeprefix(_WANTED) for name in going]
    present = _found(runner, apt, there, wanted)
    if remove and present:
        before = frozenset(host.journal.entries[_BEFORE]["before"])
        names = (_plan_apt if apt else _plan_dnf)(runner, present, before)
        for number, name in enumerate(names):
            change = Change(f"package:{name}", "installed", None, reason="realtime_undo_packages")
            host.follow_up(change, partial(_remove, host, runner, apt, names) if number == 0 else _nothing)
    for name in going:
        host.restore(None, name, _nothing)
    left = [name.removeprefix(_WANTED) for name in entries if name not in going]
    if not left:
        host.restore(None, _BEFORE, _nothing)
    return sorted([*([] if remove else present), *_found(runner, apt, there, left)])


def installed_of(host: Host, role: str) -> list[str]:
    """Return the packages that a role has installed, by its record."""
    entries = host.journal.entries.items()
    return [name.removeprefix(_WANTED) for name, entry in entries if entry["kind"] == "package" and entry["before"] == role]


def recorded_roles(host: Host) -> set[str]:
    """Return the roles that have left a record of packages or daemons."""
    entries = host.journal.entries.items()
    return {str(entry["before"]) for _name, entry in entries if entry["kind"] == "package"} | {
        name.partition(":")[2] for name, entry in entries if entry["kind"] == "daemons"
    }


def _nothing() -> None:
    """Do nothing: the first change removes all packages."""


def package_manager(host: Host) -> str:
    """Return ``apt`` or ``dnf``; an empty text where the node has neither."""
    if host.exists("/usr/bin/apt-get"):
        return "apt"
    return "dnf" if host.exists("/usr/bin/dnf") and host.exists("/usr/bin/rpm") else ""


def _plain(name: str) -> str:
    return name.partition(":")[0]


def _installed(runner: Runner, apt: bool) -> set[str]:
    if apt:
        return {_plain(name) for name in selections(runner)}
    return set(run_checked(runner, ["rpm", "-qa", "--qf", "%{NAME}\\n"]).split())


def _found(runner: Runner, apt: bool, there: Collection[str], names: Sequence[str]) -> list[str]:
    """Return the installed packages of these names; an rpm may also provide a name (``openvswitch3.3``)."""
    if apt or not names:
        return [name for name in names if name in there]
    _code, out, _err = runner(["rpm", "-q", "--whatprovides", "--qf", "%{NAME}\\n", *names])  # 1 where one is missing
    return list(dict.fromkeys(line.strip() for line in out.splitlines() if line.strip() in there))


# -- what would go ---------------------------------------------------------------------------------


def _plan_apt(runner: Runner, names: Sequence[str], before: Collection[str]) -> list[str]:
    manual = set(run_checked(runner, ["apt-mark", "showmanual"]).split())
    forced = _gone_apt(run_checked(runner, [*_SIMULATE, "purge", *names]))
    unused = _gone_apt(run_checked(runner, [*_SIMULATE, "--auto-remove", "purge", *names]))
    return _checked(names, forced, unused, before, {_plain(name) for name in manual})


def _gone_apt(text: str) -> list[str]:
    rows = parse_apt(text)
    if new := [name for name, _old, version in rows if version is not None]:
        raise HostError(
            f"realtime_undo_packages: apt would install or finish {', '.join(new)} if the packages were removed; do that by hand "
            "(apt-get purge), or leave the variable out"
        )
    return [_plain(name) for name, _old, _new in rows]


def _plan_dnf(runner: Runner, names: Sequence[str], before: Collection[str]) -> list[str]:
    manual = set(run_checked(runner, [*_DNF, "repoquery", "--userinstalled", "--qf", "%{name}\\n"]).split())
    forced = _gone_dnf(runner, ["--noautoremove", *names], names)
    unused = _gone_dnf(runner, names, names)
    return _checked(names, forced, unused, before, manual)


def _gone_dnf(runner: Runner, arguments: Sequence[str], names: Sequence[str]) -> list[str]:
    _code, out, err = runner(["dnf", "--assumeno", "remove", *arguments])  # 1: it was told not to
    found = parse_dnf_removal(out)
    if missing := set(names) - set(found):
        raise HostError(
            f"realtime_undo_packages: dnf does not say that it would remove {', '.join(sorted(missing))} ({(err or out).strip()[-300:]}); "
            "remove the packages by hand (dnf remove), or leave the variable out"
        )
    return found


def parse_dnf_removal(text: str) -> list[str]:
    """Return the names in the tables of what dnf would remove; a long row goes on in the next line, further in."""
    found: list[str] = []
    inside = False
    for line in text.splitlines():
        if not line.startswith(" "):
            inside = line.strip() in _HEADINGS
        elif inside and not line.startswith("  ") and line.strip():
            found.append(line.split()[0])
    return found


def _checked(
    names: Sequence[str], forced: Sequence[str], unused: Sequence[str], before: Collection[str], manual: Collection[str]
) -> list[str]:
    """Return what may go: the packages, and what came with them and serves nothing else; refuse to take anything along that others need."""
    others = sorted(name for name in set(forced) - set(names) if name in before or name in manual)
    if others:
        raise HostError(
            f"realtime_undo_packages: {', '.join(others)} would be removed too, since they need {', '.join(names)}, and this collection did not "
            "install them; remove them first, or leave the variable out"
        )
    return list(dict.fromkeys([*names, *forced, *(name for name in unused if name not in before)]))


def _remove(host: Host, runner: Runner, apt: bool, names: Sequence[str]) -> None:
    if apt:
        run_apt(host, runner, Transaction([*APT, "--allow-change-held-packages", "purge", *names]))
    else:
        run_checked(runner, Transaction([*_DNF, "--assumeyes", "--noautoremove", "remove", *names]))


def removal_command(host: Host, names: Iterable[str]) -> str:
    """Return the command by which the administrator removes packages."""
    return f"{'apt-get purge' if package_manager(host) == 'apt' else 'dnf remove'} {' '.join(names)}"
