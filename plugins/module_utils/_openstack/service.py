# SPDX-License-Identifier: GPL-3.0-or-later
"""A service of OpenStack on the node: how it is started, what it reads, where our file goes, its restart. Edge."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._cpus.answers import counted
from .._cpus.errors import RefusalError
from .._host.host import Host, Runner
from .._host.unit_files import unit_files
from .ini import Option, Settings, check_last, parse_ini
from .kinds import Form, Kind
from .launch import MARK, Added, LaunchError, Unit, added, assigned, foreign_lines, parse_unit, plain_words, script_arguments
from .order import Place, Reader, check_sources, place, read_order, without
from .units import later_commands, unreadable

#: States of a unit that has a process, or gets one again.
RUNNING = ("active", "activating", "reloading")


class ServiceError(RefusalError):
    """The service is not there, or in a form whose files are not this node's own; ``results`` has the text for it."""

    def __init__(self, message: str, results: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.results = results or {}


@dataclass(frozen=True)
class Service:
    """A service as it is installed."""

    kind: Kind
    unit: Unit
    state: str  # systemd's ActiveState
    pid: int
    place: Place
    extra: Added | None  # what makes it read our file
    settings: Settings  # with our file, where it is read already
    environment: frozenset[str]  # names of its variables
    unread: Sequence[str] = ()  # files of variables that cannot be read before it runs
    later: Sequence[str] = ()  # drop-ins that are read after ours and say how it is started

    @property
    def active(self) -> bool:
        return self.state in RUNNING

    @property
    def failed(self) -> bool:
        return self.state == "failed"

    @property
    def others(self) -> Settings:
        """What the operator's files say."""
        return self.settings.without(self.place.path)


# -- reading ---------------------------------------------------------------------------------------


def drop_in(unit: str) -> str:
    """Return the path of our drop-in of a unit."""
    return f"/etc/systemd/system/{unit}.d/realtime-kvm.conf"


def find_service(host: Host, runner: Runner, kind: Kind) -> Service | None:
    """Return the service; None where it is not installed as a unit of this node."""
    name = next((unit for unit in kind.units if unit_files(host, unit)), "")
    if not name:
        return None
    ours = drop_in(name)
    texts = {path: host.read(path) or "" for path in unit_files(host, name) if path != ours}
    unit = parse_unit(name, texts.values())
    state, pid = state_of(host, runner, name)
    arguments = _arguments(host, kind, unit, pid)
    check_sources(name, arguments)
    reader = Reader(kind.project, kind.program, _home(host, unit.user), host.exists, host.listdir)
    beside = f"/etc/{kind.project}/realtime-kvm.conf"
    base = without(arguments, beside)
    where = place(reader, base)
    extra = added(unit, kind.program, where.words) if where.argument else None
    order = read_order(reader.with_file(where.path), [*base, *([where.words] if where.argument else [])])
    files_of = [parse_ini(host.read(path) or "", path) for path in order]
    environment, unread = _environment(host, unit, pid)
    return Service(kind, unit, state, pid, where, extra, Settings(files_of), environment, unread, later_commands(texts, ours))


def undo_service(host: Host, runner: Runner, kind: Kind) -> tuple[Service | None, RefusalError | None]:
    """Return the service whose files are taken back, and why they cannot be read; its unit and its state are enough to start it again."""
    try:
        return find_service(host, runner, kind), None
    except RefusalError as error:
        name = next(unit for unit in kind.units if unit_files(host, unit))
        state, pid = state_of(host, runner, name)
        unit = parse_unit(name, [host.read(path) or "" for path in unit_files(host, name)])
        return Service(kind, unit, state, pid, Place("", argument=False), None, Settings(), frozenset()), error


def state_of(host: Host, runner: Runner, name: str) -> tuple[str, int]:
    """Return a unit's ActiveState and the id of its main process; nothing where systemd does not run."""
    if host.captured or not host.exists("/run/systemd/system"):
        return "", 0
    _code, out, _err = runner(["systemctl", "show", "--property=ActiveState,MainPID", "--", name])
    shown = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
    pid = shown.get("MainPID", "0")
    return shown.get("ActiveState", ""), int(pid) if pid.isdecimal() else 0


def _arguments(host: Host, kind: Kind, unit: Unit, pid: int) -> list[str]:
    """Return the arguments with which the service starts, by its unit or script, else by its process."""
    if unit.script:
        found = script_arguments(_shell_texts(host, unit), kind.project, host.exists)
        if found is not None:
            return found
    elif unit.commands:
        words = plain_words(unit.commands[-1])
        if words and posixpath.basename(words[0]) == kind.program:
            return words[1:]
    running = process_arguments(host, kind, pid)
    if running is None:
        raise LaunchError(
            f"{unit.name}: which files it reads cannot be told from {unit.script or 'its ExecStart'}; start the service, then they are read "
            "from its process"
        )
    return running


def process_arguments(host: Host, kind: Kind, pid: int) -> list[str] | None:
    """Return the arguments of a running service, None where it is another program, or has a title without them.

    Neutron gives its processes titles (neutron/agent/linux/daemon.py, option ``setproctitle``): ``NAME (COMMAND)``, or with ``brief`` ``NAME`` alone.
    """
    words = (host.read(f"/proc/{pid}/cmdline") or "").rstrip("\0").split("\0") if pid else []
    title = re.fullmatch(r"(\S+) \((.*)\)\s*", words[0]) if len(words) == 1 else None
    if title and title[1] == kind.program:
        words = title[2].split()
    names = [posixpath.basename(word) for word in words[:2]]
    if names == [kind.program] == words:
        return None
    return words[names.index(kind.program) + 1 :] if kind.program in names else None


def _shell_texts(host: Host, unit: Unit) -> list[str]:
    """Return the init script of a unit and the files of defaults that it reads."""
    defaults = ["/etc/default/openstack", f"/etc/default/{posixpath.basename(unit.script)}"]
    return [host.read(path) or "" for path in [unit.script, *defaults]]


def _environment(host: Host, unit: Unit, pid: int) -> tuple[frozenset[str], list[str]]:
    """Return the names of a service's variables, of which the values may be secrets; and the files that only a process shows."""
    names = {item.partition("=")[0] for item in ((host.read(f"/proc/{pid}/environ") or "") if pid else "").split("\0")}
    named = [path.lstrip("-") for path in unit.environment_files]
    paths = [found for path in named if "%" not in path for found in host.glob(path)]
    texts = [host.read(path) or "" for path in paths] + (_shell_texts(host, unit) if unit.script else [])
    unread = [path for path in named if "%" in path and not pid]
    return unit.environment.union(names, *(assigned(text) for text in texts)), unread


def _home(host: Host, user: str) -> str:
    rows = [line.split(":") for line in (host.read("/etc/passwd") or "").split("\n")]
    return next((row[5] for row in rows if len(row) > 6 and row[0] == user), "")


def serving(host: Host, runner: Runner, kind: Kind) -> Service | None:
    """Return the service that serves the node; None where it is in another form, beside which a package's unit may be left over."""
    service = find_service(host, runner, kind)
    return None if service and not service.active and _form(host, kind) else service


def _form(host: Host, kind: Kind) -> Form | None:
    return next((form for path, form in kind.elsewhere.items() if host.exists(path)), None)


def copies(host: Host, kind: Kind) -> Settings:
    """Return what the files say that a container of the service reads, as far as this node has them."""
    form = _form(host, kind)
    paths = [path for pattern in (form.files if form else ()) for path in host.glob(pattern)]
    return Settings([parse_ini(host.read(path) or "", path) for path in paths])


def elsewhere(host: Host, kind: Kind, texts: Mapping[str, str]) -> ServiceError:
    """Return the refusal of a node that no unit serves: what works in its form, with the texts to put there."""
    form, there = _form(host, kind), [unit for unit in kind.units if unit_files(host, unit)]
    hint = (
        form.hint
        if form
        else f"install {kind.program} by the means of the cloud (its connection data are not this collection's), then run this again"
    )
    if form and form.takes_text and not copies(host, kind).files:
        hint += (
            ". What its own files say cannot be read here, so the lists in `text` (such as bridge_mappings and physnets) lack the cloud's own items: add "
            "them, since the last file wins"
        )
    why = f"this node has no {' or '.join(kind.units)}"
    if form and there:
        why = f"{there[0]} of this node does not run (start it if it is the one that serves)"
    return ServiceError(f"{why}: {hint}", texts)


def node_name(host: Host) -> str:
    """Return the node's host name, which services have by default."""
    return host.value("/proc/sys/kernel/hostname") or host.value("/etc/hostname") or ""


# -- writing ---------------------------------------------------------------------------------------


def plan_files(
    host: Host,
    service: Service,
    text: str,
    options: Sequence[Option],
    reads: Sequence[Option] = (),
    collected: Sequence[Option] = (),
    more: Mapping[str, str] | None = None,
) -> None:
    """Plan our file and what makes the service read it. What earlier runs wrote elsewhere goes.

    ``options`` are ours, ``reads`` others on whose values they rely; ``more`` are other files of ours, by path.
    """
    check_last(service.settings, service.place.path, options, collected)
    _check_environment(service, [*options, *reads])
    _check_folder(host, service)
    files = {service.place.path: text, **(more or {})}
    if service.extra is not None:
        _check_added(host, service)
        files[service.extra.path] = service.extra.text
    for path, content in files.items():
        if (closed := unreadable(host, service.unit, path)) and (closed != path or host.read(path) == content):
            raise ServiceError(
                f"{closed} cannot be read by the user {service.unit.user} of {service.unit.name}, so {service.kind.program} would not find {path}; chmod it to "
                f"{'0644' if closed == path else '0755'} (root as the owner), or give the user's group access"
            )
        host.set_file(
            path, content.encode(), reason=f"{service.kind.program} reads it last" if path == service.place.path else ""
        )
    host.restore_files([path for path in host.entries("file") if path not in files])


def restore(host: Host) -> None:
    """Plan to remove our files: first what tells the service to read them, for it does not start where a file is missing."""
    first = [path for path in host.entries("file") if path.startswith(("/etc/default/", "/etc/systemd/"))]
    host.restore_files(first)
    host.notes.extend(
        f"{path}: {counted(lines, 'line')} that somebody has added {'goes' if lines == 1 else 'go'} with the file"
        for path in first
        if (lines := foreign_lines(host.read(path) or ""))
    )
    host.restore_files()


def _check_environment(service: Service, options: Sequence[Option]) -> None:
    """Refuse variables that win over all files (oslo_config/sources/_environment.py)."""
    names = {f"OS_{group.upper()}__{name.upper()}" for group, name in options}
    found = sorted(names & service.environment)
    if found:
        raise ServiceError(
            f"{', '.join(found)} in the environment of {service.unit.name} wins over all files; take it out of the unit, its EnvironmentFile or "
            "/etc/default, and restart the service"
        )
    if service.unread:
        raise ServiceError(
            f"{service.unit.name}: EnvironmentFile={service.unread[0]} has a specifier, and variables in it would win over all files; write the path "
            "itself, or start the service, then its process shows them"
        )


def _check_folder(host: Host, service: Service) -> None:
    """Refuse a node on which the folder of the project is missing: the service was never configured there."""
    folder = f"/etc/{service.kind.project}"
    if not host.exists(folder):
        raise ServiceError(
            f"{folder} does not exist on this node, so {service.kind.program} was never configured; configure it first"
        )


def _check_added(host: Host, service: Service) -> None:
    """Refuse a file of somebody else's where ours must be; the operator may write its line there."""
    extra = service.extra
    if extra is not None and extra.path == drop_in(service.unit.name) and service.later:
        raise ServiceError(
            f"{service.later[0]} sets ExecStart and is read after {extra.path}, so {service.kind.program} would never read {service.place.path}; "
            "give the drop-in a name that sorts before realtime-kvm.conf"
        )
    if extra is None or (there := host.read(extra.path)) is None:
        return
    if there.startswith(MARK):
        if lines := foreign_lines(there):
            raise ServiceError(
                f"{extra.path} is this collection's, and somebody has added {counted(lines, 'line')} to it, which would be lost; move that to "
                "/etc/default/openstack or into another drop-in"
            )
        return
    raise ServiceError(
        f"{extra.path} exists and is not this collection's, and {service.kind.program} reads {service.place.path} only when told so: move its "
        f"assignments to /etc/default/openstack or into a drop-in of {service.unit.name} (Environment=), and remove it"
    )
