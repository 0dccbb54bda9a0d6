# SPDX-License-Identifier: GPL-3.0-or-later
"""A service of OpenStack on the node: how it is started, what it reads, where our file goes, its restart. Edge."""

from __future__ import annotations

import os
import posixpath
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from .._cpus.errors import HostError, RefusalError
from .._host.change import Change
from .._host.host import Host, Runner
from .._host.runner import plan_reload, systemctl
from .._host.threads import read_thread
from .ini import Option, Settings, check_last, parse_ini
from .kinds import Kind
from .launch import MARK, Added, LaunchError, Unit, added, command_words, parse_unit, script_arguments
from .order import Place, Reader, place, read_order, without

_UNITS = ("/usr/lib/systemd/system", "/lib/systemd/system", "/run/systemd/system", "/etc/systemd/system")
SOCKET = "/run/openvswitch/db.sock"
#: What Nova and Neutron connect to by default; Neutron's agent makes Open vSwitch listen there.
TCP = "tcp:127.0.0.1:6640"

#: Seconds that a restarted service must run to count, and between two looks.
SETTLE_S = 5
_LOOK_S = 0.5


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
    active: bool
    pid: int
    place: Place
    extra: Added | None  # what makes it read our file
    settings: Settings  # with our file, where it is read already
    environment: frozenset[str]  # names of its variables

    @property
    def others(self) -> Settings:
        """What the operator's files say."""
        return self.settings.without(self.place.path)


# -- reading ---------------------------------------------------------------------------------------


def find_service(host: Host, runner: Runner, kind: Kind) -> Service | None:
    """Return the service; None where it is not installed as a unit of this node."""
    name = next((unit for unit in kind.units if _unit_files(host, unit)), "")
    if not name:
        return None
    files = _unit_files(host, name)
    ours = f"/etc/systemd/system/{name}.d/realtime-kvm.conf"
    unit = parse_unit(name, [host.read(path) or "" for path in files if path != ours])
    active, pid = _state(host, runner, name)
    arguments = _arguments(host, kind, unit, pid)
    reader = Reader(kind.project, kind.program, _home(host, unit.user), host.exists, host.listdir)
    beside = f"/etc/{kind.project}/realtime-kvm.conf"
    base = without(arguments, beside)
    where = place(reader, base)
    extra = added(unit, kind.program, where.words) if where.argument else None
    order = read_order(reader.with_file(where.path), [*base, *([where.words] if where.argument else [])])
    files_of = [parse_ini(host.read(path) or "", path) for path in order]
    environment = unit.environment | _environment(host, pid)
    return Service(kind, unit, active, pid, where, extra, Settings(files_of), environment)


def _unit_files(host: Host, name: str) -> list[str]:
    """Return a unit's file and drop-ins, as systemd reads them: of two with one name, that in the more particular folder."""
    file = next((path for folder in reversed(_UNITS) for path in [f"{folder}/{name}"] if host.exists(path)), "")
    drop_ins = {posixpath.basename(path): path for folder in _UNITS for path in host.glob(f"{folder}/{name}.d/*.conf")}
    return [file, *(drop_ins[key] for key in sorted(drop_ins))] if file else []


def _state(host: Host, runner: Runner, name: str) -> tuple[bool, int]:
    if host.captured or not host.exists("/run/systemd/system"):
        return False, 0
    _code, out, _err = runner(["systemctl", "show", "--property=ActiveState,MainPID", "--", name])
    shown = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
    pid = shown.get("MainPID", "0")
    return shown.get("ActiveState") in ("active", "activating", "reloading"), int(pid) if pid.isdecimal() else 0


def _arguments(host: Host, kind: Kind, unit: Unit, pid: int) -> list[str]:
    """Return the arguments with which the service starts, by its unit or script, else by its process."""
    if unit.script:
        defaults = ["/etc/default/openstack", f"/etc/default/{posixpath.basename(unit.script)}"]
        texts = [host.read(unit.script) or "", *(host.read(path) or "" for path in defaults)]
        found = script_arguments(texts, kind.project, host.exists)
        if found is not None:
            return found
    elif unit.commands:
        words = command_words(unit.commands[-1])
        if words and posixpath.basename(words[0]) == kind.program and not any("$" in word for word in words):
            return words[1:]
    running = process_arguments(host, kind, pid)
    if running is None:
        raise LaunchError(
            f"{unit.name}: which files it reads cannot be told from {unit.script or 'its ExecStart'}; start the service, then they are read "
            "from its process"
        )
    return running


def process_arguments(host: Host, kind: Kind, pid: int) -> list[str] | None:
    """Return the arguments of a running service, None where it is another program."""
    words = (host.read(f"/proc/{pid}/cmdline") or "").rstrip("\0").split("\0") if pid else []
    names = [posixpath.basename(word) for word in words[:2]]
    return words[names.index(kind.program) + 1 :] if kind.program in names else None


def _environment(host: Host, pid: int) -> frozenset[str]:
    """Return the names of a process's variables; their values may be secrets."""
    text = (host.read(f"/proc/{pid}/environ") or "") if pid else ""
    return frozenset(item.partition("=")[0] for item in text.split("\0"))


def _home(host: Host, user: str) -> str:
    rows = [line.split(":") for line in (host.read("/etc/passwd") or "").splitlines()]
    return next((row[5] for row in rows if len(row) > 6 and row[0] == user), "")


def elsewhere(host: Host, kind: Kind, text: str) -> ServiceError:
    """Return the refusal of a node without the unit: what works in its form, with the text to put there."""
    form = next((hint for path, hint in kind.elsewhere.items() if host.exists(path)), "")
    units = " or ".join(kind.units)
    why = (
        form
        or f"install {kind.program} by the means of the cloud (its connection data are not this collection's), then run this again"
    )
    return ServiceError(f"this node has no {units}: {why}", {"text": text})


def node_name(host: Host) -> str:
    """Return the node's host name, which services have by default."""
    return host.value("/proc/sys/kernel/hostname") or host.value("/etc/hostname") or ""


def ovsdb_connection(host: Host, unit: Unit) -> str:
    """Return how a service reaches Open vSwitch's database: by its socket, where its user may write there, else by TCP on the node itself."""
    try:
        found = os.stat(host.path(SOCKET))
    except OSError:
        return TCP
    if host.captured:
        return TCP
    uids = {
        row[0]: (row[2], row[3])
        for line in (host.read("/etc/passwd") or "").splitlines()
        for row in [line.split(":")]
        if len(row) > 3
    }
    uid, gid = uids.get(unit.user, ("", ""))
    rows = [line.split(":") for line in (host.read("/etc/group") or "").splitlines()]
    groups = {row[2] for row in rows if len(row) > 3 and (unit.user in row[3].split(",") or row[0] in unit.groups)} | {gid}
    allowed = (
        unit.user == "root"
        or (uid == str(found.st_uid) and found.st_mode & 0o200)
        or (str(found.st_gid) in groups and found.st_mode & 0o020)
        or found.st_mode & 0o002
    )
    return f"unix:{SOCKET}" if allowed else TCP


# -- writing ---------------------------------------------------------------------------------------


def plan_files(
    host: Host,
    service: Service,
    text: str,
    options: Sequence[Option],
    collected: Sequence[Option] = (),
    more: Mapping[str, str] | None = None,
) -> None:
    """Plan our file and what makes the service read it; ``more`` are other files of ours, by path. What earlier runs wrote elsewhere goes."""
    check_last(service.settings, service.place.path, options, collected)
    _check_environment(service, options)
    _check_folder(host, service)
    files = {service.place.path: text, **(more or {})}
    if service.extra is not None:
        _check_added(host, service)
        files[service.extra.path] = service.extra.text
    for path, content in files.items():
        host.set_file(
            path, content.encode(), reason=f"{service.kind.program} reads it last" if path == service.place.path else ""
        )
    host.restore_files([path for path in host.entries("file") if path not in files])


def restore(host: Host) -> None:
    """Plan to remove our files: first what tells the service to read them, for it does not start where a file is missing."""
    host.restore_files([path for path in host.entries("file") if path.startswith(("/etc/default/", "/etc/systemd/"))])
    host.restore_files()


def _check_environment(service: Service, options: Sequence[Option]) -> None:
    """Refuse variables that win over all files (oslo_config/sources/_environment.py)."""
    names = {f"OS_{group.upper()}__{name.upper()}" for group, name in options}
    found = sorted(names & service.environment)
    if found:
        raise ServiceError(
            f"{', '.join(found)} in the environment of {service.unit.name} wins over all files; take it out of the unit"
        )


def _check_folder(host: Host, service: Service) -> None:
    """Note that the folder of the project is missing: then the service was never configured."""
    folder = f"/etc/{service.kind.project}"
    if not host.exists(folder):
        raise ServiceError(
            f"{folder} does not exist on this node, so {service.kind.program} was never configured; configure it first"
        )


def _check_added(host: Host, service: Service) -> None:
    """Refuse a file of somebody else's where ours must be; the operator may write its line there."""
    extra = service.extra
    if extra is None or (there := host.read(extra.path)) is None or there.startswith(MARK):
        return
    raise ServiceError(
        f"{extra.path} exists and is not this collection's, and {service.kind.program} reads {service.place.path} only when told so: move its "
        f"assignments to /etc/default/openstack or into a drop-in of {service.unit.name} (Environment=), and remove it"
    )


def plan_restart(host: Host, runner: Runner, service: Service, disruption: str) -> bool:
    """Plan the restart of a running service whose files change, or whose restart an earlier run has left undone; return whether it is due."""
    name = service.unit.name
    changed = {change.resource for change in host.changes}
    plan_reload(host, runner, due=any(path.startswith(f"/etc/systemd/system/{name}.d/") for path in changed))
    what = f"service:{name}"
    if not service.active:
        if f"after:{what}" in host.entries("after"):  # it was stopped meanwhile, and reads its files when it is started
            host.restore(None, f"after:{what}", lambda: None)
        return False
    change = Change(
        what, "runs with what it read at its start", "started again", disruption, "it reads its files only at its start"
    )
    before = len(host.changes)
    host.afterwards(what, partial(_restart, host, runner, service), due=bool(changed), change=change if changed else None)
    return len(host.changes) > before


def _restart(host: Host, runner: Runner, service: Service) -> None:
    if not host.dry and host.exists("/run/systemd/system"):
        systemctl(runner, "try-restart", service.unit.name)


def read_back(host: Host, runner: Runner, service: Service, started: int, seconds: int) -> dict[str, Any]:
    """Wait until the service runs as another process than before, with our file, and has stayed up; refuse when its time is over.

    ``started``: when the process of before started.
    """
    end, since, seen = time.monotonic() + seconds, 0.0, (0, 0)
    why = "it does not run"
    while time.monotonic() < end:
        active, pid = _state(host, runner, service.unit.name)
        found = (pid, start_of(host, pid))
        if not active or not pid or found == (service.pid, started):
            why, seen = ("it still is the process of before" if active and pid else "it does not run"), (0, 0)
        elif found != seen:
            seen, since = found, time.monotonic()
        elif service.place.argument and not _reads(host, service, pid):
            why = f"its process was not told to read {service.place.path}"
        elif time.monotonic() - since >= SETTLE_S:
            return {"active": True, "restarted": True}
        time.sleep(_LOOK_S)
    raise HostError(
        f"{service.unit.name} was restarted, but {why} within {seconds} s. Its files are written; see journalctl -u {service.unit.name}, and "
        "undo takes them back"
    )


def _reads(host: Host, service: Service, pid: int) -> bool:
    """Whether a process was told to read our file, as far as there is one."""
    return not host.exists(service.place.path) or service.place.words in (process_arguments(host, service.kind, pid) or [])


def start_of(host: Host, pid: int) -> int:
    """Return when a process started, in clock ticks after boot; 0 where there is none."""
    thread = read_thread(host, pid) if pid else None
    return thread.started if thread else 0
