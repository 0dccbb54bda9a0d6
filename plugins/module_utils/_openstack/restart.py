# SPDX-License-Identifier: GPL-3.0-or-later
"""The restart of a service of OpenStack, and its read-back. Edge."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from .._cpus.errors import HostError
from .._host.afterwards import afterwards, plan_reload
from .._host.change import Change
from .._host.host import Host, Runner
from .._host.runner import systemctl
from .._host.threads import read_thread
from .service import RUNNING, Service, process_arguments, state_of

#: Seconds that a restarted service must run to count, and between two looks.
SETTLE_S = 5
_LOOK_S = 0.5


def plan_restart(host: Host, runner: Runner, service: Service, disruption: str) -> bool:
    """Plan the restart of a running service; return whether it is due.

    It is due where files change, where an earlier run has left it undone or has not seen it succeed, and where the process was not told to
    read our file. A service that has failed since an earlier run restarted it is started again; one that was stopped is left alone.
    """
    name = service.unit.name
    changed = {change.resource for change in host.changes}
    plan_reload(host, runner, due=any(path.startswith(f"/etc/systemd/system/{name}.d/") for path in changed))
    what = f"service:{name}"
    if host.captured and changed:
        host.not_counted.append(f"the restart of {name}: captured files do not show whether it runs")
    left = _resource(service) in host.entries("after")
    if not service.active and not (left and service.failed):
        if left:  # it was stopped meanwhile, and reads its files when it is started
            host.restore(None, _resource(service), lambda: None)
        return False
    deaf = bool(service.active and service.pid and not changed) and not _reads(host, service, service.pid)
    change = Change(
        what,
        f"was not told to read {service.place.path}" if deaf else "runs with what it read at its start",
        "started again",
        disruption,
        "it reads its files only at its start",
    )
    before = len(host.changes)
    restart = partial(_restart, host, runner, service)
    afterwards(host, what, restart, due=bool(changed) or deaf, change=change, kept=True)
    return len(host.changes) > before


def _resource(service: Service) -> str:
    """Return the journal's entry of the restart; it stays until the service was seen to run as it should."""
    return f"after:service:{service.unit.name}"


def _restart(host: Host, runner: Runner, service: Service) -> None:
    if not host.dry and host.exists("/run/systemd/system"):
        systemctl(runner, "restart" if service.failed else "try-restart", service.unit.name)


def read_back(host: Host, runner: Runner, service: Service, started: int, seconds: int) -> dict[str, Any]:
    """Wait until the service runs as another process than before, with our file, and has stayed up; refuse when its time is over.

    ``started``: when the process of before started.
    """
    end, since, seen = time.monotonic() + seconds, 0.0, (0, 0)
    why = "it does not run"
    while time.monotonic() < end:
        state, pid = state_of(host, runner, service.unit.name)
        active = state in RUNNING
        found = (pid, start_of(host, pid))
        if not active or not pid or found == (service.pid, started):
            why, seen = ("it still is the process of before" if active and pid else "it does not run"), (0, 0)
        elif found != seen:
            seen, since = found, time.monotonic()
        elif not _reads(host, service, pid):
            why = f"its process was not told to read {service.place.path}"
        elif time.monotonic() - since >= SETTLE_S:
            host.forget(_resource(service))
            return {"active": True, "restarted": True}
        time.sleep(_LOOK_S)
    raise HostError(
        f"{service.unit.name} was restarted, but {why} within {seconds} s. Its files are written; see journalctl -u {service.unit.name}. The next "
        "run restarts it again, and undo takes the files back"
    )


def _reads(host: Host, service: Service, pid: int) -> bool:
    """Whether a process was told to read our file, as far as it has to be told, there is one, and its title does not hide it."""
    if not (service.place.argument and host.exists(service.place.path)):
        return True
    arguments = process_arguments(host, service.kind, pid)
    if arguments is None:
        return (host.read(f"/proc/{pid}/cmdline") or "").strip("\0 ") == service.kind.program
    return service.place.words in arguments


def start_of(host: Host, pid: int) -> int:
    """Return when a process started, in clock ticks after boot; 0 where there is none."""
    thread = read_thread(host, pid) if pid else None
    return thread.started if thread else 0
