# SPDX-License-Identifier: GPL-3.0-or-later
"""The time services of a node: which are installed, which run, and how. Edge, read-only."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .._cpus.answers import plain
from .._host.daemons import UnitState, read_units
from .._host.host import Host, Runner
from .._host.threads import cgroup_of, read_thread
from .._host.unit_files import unit_files
from .answers import Running
from .texts import PHC2SYS, PHC2SYS_UNIT, PTP4L, PTP4L_UNIT, environment_files, expanded, start_commands
from .wanted import CHRONY, TimeSyncError

#: chrony's unit and file on Debian and Ubuntu, and on the RHEL family.
CHRONY_UNITS = {"chrony.service": "/etc/chrony/chrony.conf", "chronyd.service": "/etc/chrony.conf"}
#: The other unit of the RHEL family's package, for a client with fewer rights.
RESTRICTED = "chronyd-restricted.service"
#: Units that steer the clock.
_STEERING = (
    RESTRICTED,
    "systemd-timesyncd.service",
    "ntp.service",
    "ntpd.service",
    "ntpsec.service",
    "openntpd.service",
    "ntpd-rs.service",
    "timemaster.service",
    "phc2sys.service",
)
#: Beside chrony, ptp4l may steer the clock of a NIC.
_OTHERS: Mapping[str, tuple[str, ...]] = {CHRONY: _STEERING, "ptp": (*CHRONY_UNITS, "ptp4l.service", *_STEERING)}
#: Their programs; the kernel shows 15 characters.
_PROGRAMS = ("chronyd", "ntpd", "systemd-timesyn", "openntpd", "ntp-daemon", "phc2sys", "timemaster")
#: Units of which each interface may have one, such as phc2sys@eno1.service (Debian, Ubuntu).
_TEMPLATES: Mapping[str, tuple[str, ...]] = {CHRONY: ("phc2sys@",), "ptp": ("ptp4l@", "phc2sys@")}
#: Where those that run are, and those that start at boot.
_INSTANCES = (
    "/sys/fs/cgroup/system.slice/*/{}*.service",
    "/etc/systemd/system/*.wants/{}*.service",
    "/etc/systemd/system/*.requires/{}*.service",
)
#: Options of chronyd: another configuration; and those with which it leaves the clock alone, or ends once it has set it.
_FILE, _NO_SERVICE = "-f", ("-x", "-q", "-Q")
#: In ``CapEff``: the right to set the clock (linux/capability.h: CAP_SYS_TIME).
_SYS_TIME = 1 << 25
_OURS = (PTP4L_UNIT, PHC2SYS_UNIT)
_SYSTEMD = "/run/systemd/system"


class ConflictError(TimeSyncError):
    """Something else steers the clock."""


@dataclass(frozen=True)
class Chrony:
    """chrony as it is installed."""

    unit: str
    main: str  # its own configuration
    command: str  # ExecStart without ours

    @property
    def drop_in(self) -> str:
        return f"/etc/systemd/system/{self.unit}.d/realtime-kvm.conf"

    @property
    def ours(self) -> str:
        """Our configuration: where Debian's AppArmor and the RHEL family's SELinux let chronyd read."""
        return "/etc/chrony/realtime-kvm.conf" if self.main.startswith("/etc/chrony/") else "/etc/chrony.realtime-kvm.conf"


def find_chrony(host: Host) -> Chrony | None:
    """Return chrony; None where it is not installed as a unit."""
    for unit, main in CHRONY_UNITS.items():
        found = Chrony(unit, main, "")
        texts = [host.read(path) or "" for path in unit_files(host, unit) if path != found.drop_in]
        commands = start_commands(texts)
        if not commands:
            _check_masked(host, unit)
            continue
        variables = environment_files(texts)
        words = expanded(commands[-1], (host.read(path) or "" for path in variables))
        if more := [word for word in words if word in _NO_SERVICE or word.startswith(_FILE)]:
            raise TimeSyncError(
                f"{unit} starts chronyd with {more[0]} ({', '.join(variables) or 'systemctl cat shows where'}), "
                + ("so its configuration is another one" if more[0].startswith(_FILE) else "so it does not keep the clock")
                + "; take that option out, or leave time_sync_source out"
            )
        if len(commands) > 1:
            raise TimeSyncError(
                f"{unit}: somebody else's drop-in starts it in another way ({commands[-1]!r}), so its configuration is not known; remove that "
                "drop-in (systemctl cat shows it), or leave time_sync_source out"
            )
        return Chrony(unit, main, commands[0])
    return None


def _check_masked(host: Host, unit: str) -> None:
    """Refuse a unit that is masked: it cannot be started, and its package does not change that."""
    path = f"/etc/systemd/system/{unit}"
    if host.exists(path) and not (host.read(path) or "").strip():
        raise TimeSyncError(f"{unit} is masked, so it cannot start; systemctl unmask {unit}, or leave time_sync_source out")


def has_ptp(host: Host) -> bool:
    """Whether linuxptp is installed."""
    return host.exists(PTP4L) and host.exists(PHC2SYS)


def running(host: Host, unit: str) -> Running | None:
    """Return how a unit runs; None where it does not."""
    cpus: set[int] = set()
    fifo, first = 0, 0
    for word in (host.read(f"/sys/fs/cgroup/system.slice/{unit}/cgroup.procs") or "").split():
        for task in host.listdir(f"/proc/{word}/task") if word.isdecimal() else ():
            thread = read_thread(host, int(task), f"/proc/{word}/task/{task}")
            if thread:
                first = first or int(word)
                cpus |= thread.allowed
                fifo = max(fifo, thread.priority)
    if not first:
        return None
    return Running(first, frozenset(cpus), fifo, tuple((host.read(f"/proc/{first}/cmdline") or "").rstrip("\0").split("\0")))


def steers(host: Host) -> bool:
    """Whether systemd runs here, so that services can be asked and started."""
    return not host.captured and host.exists(_SYSTEMD)


def other_units(host: Host, runner: Runner, source: str) -> dict[str, UnitState]:
    """Return the other units that steer the clock now, or will after a boot."""
    if not steers(host):
        return {}
    there = [name for name in _OTHERS[source] if unit_files(host, name)] + _instances(host, source)
    return {name: state for name, state in read_units(runner, there).items() if state.enabled or state.active}


def _instances(host: Host, source: str) -> list[str]:
    paths = [path for name in _TEMPLATES[source] for place in _INSTANCES for path in host.glob(place.format(name))]
    return list(dict.fromkeys(path.rpartition("/")[2] for path in paths))


def other_processes(host: Host, source: str) -> list[str]:
    """Return the programs that steer the clock and belong to no unit that is known, each with its process and cgroup."""
    known, found = {*CHRONY_UNITS, "ptp4l.service", *_STEERING, *_OURS}, []
    for path in host.glob("/proc/[0-9]*/comm"):
        name, pid = host.value(path) or "", path.split("/")[2]
        if name not in (*_PROGRAMS, *(["ptp4l"] if source != CHRONY else [])):
            continue
        groups = cgroup_of(host, pid).split("/")
        if known.isdisjoint(groups) and not groups[-1].startswith(_TEMPLATES["ptp"]) and _may_steer(host, pid, name):
            found.append(f"{name} (process {pid}, cgroup {plain(cgroup_of(host, pid) or '/', 120)})")
    return found


def _may_steer(host: Host, pid: str, name: str) -> bool:
    """Whether a process has the right to set the clock, and is not told to leave it alone, such as the NTP server of a container (``chronyd -x``)."""
    if name == "chronyd" and "-x" in (host.read(f"/proc/{pid}/cmdline") or "").split("\0"):
        return False
    rights = re.search(r"^CapEff:\s+([0-9a-f]{1,16})$", host.read(f"/proc/{pid}/status") or "", re.MULTILINE)
    return (rights is None or bool(int(rights[1], 16) & _SYS_TIME)) and _names(host, pid) == _names(host, "1")


def _names(host: Host, pid: str) -> str:
    """Return the user namespace of a process; rights in another than the first are none to the clock."""
    try:
        return os.readlink(host.path(f"/proc/{pid}/ns/user"))
    except OSError:
        return ""


def check_alone(units: Mapping[str, UnitState], processes: Sequence[str], *, take_over: bool) -> None:
    """Refuse a clock that something else steers too."""
    if processes:
        raise ConflictError(
            f"time_sync_source: the clock is steered by {'; '.join(processes[:5])} too, of no unit that this role knows; end it by what has started it"
        )
    if units and not take_over:
        names = ", ".join(f"{name} ({state})" for name, state in units.items())
        raise ConflictError(
            f"time_sync_source: {names} would steer the clock too; set time_sync_take_over: true, which switches it off once the new source has "
            "answered (undo switches it on again), or switch it off yourself"
        )
