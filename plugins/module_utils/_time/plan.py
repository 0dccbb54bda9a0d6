# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans a time service: its files, its start, the end of others, and the way back. Edge."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

from .._cpus.cpulist import format_cpulist
from .._cpus.errors import HostError
from .._cpus.partition import Partition
from .._host.afterwards import afterwards, plan_reload
from .._host.change import Change
from .._host.daemons import UnitState, read_units
from .._host.host import Host, Runner
from .._host.runner import systemctl
from .answers import Running, heard_master, heard_servers
from .nic import Nic, stamped
from .ntp import first_answer
from .services import CHRONY_UNITS, RESTRICTED, Chrony, running, steers
from .state import KEPT
from .texts import MARK, PHC2SYS_UNIT, PTP4L, PTP4L_UNIT, chrony_drop_in, chrony_text, needs_configuration, ptp4l_words, ptp_units
from .wanted import CHRONY, TimeSyncError, Wanted

_UNITS, _WANTS = "/etc/systemd/system", "/etc/systemd/system/multi-user.target.wants"
_PTP = (PTP4L_UNIT, PHC2SYS_UNIT)
_STALL = "it may step the clock by what it is off"
#: Seconds that a new source has to answer before another is switched off, and a service to come up.
_PROOF_S, _UP_S, _SETTLE_S = 20, 10, 1.0
#: Of ptp4l's trial.
_SOCKET = "/run/realtime-kvm-ptp4l"


@dataclass(frozen=True)
class Service:
    """A unit as it is to run."""

    unit: str
    words: Sequence[str]  # that its command has, one after the other
    cpus: frozenset[int]
    fifo: int  # 0: as it is

    def suits(self, found: Running | None) -> bool:
        """Whether it runs so."""
        return (
            found is not None
            and found.cpus <= self.cpus
            and (not self.fifo or found.fifo == self.fifo)
            and " ".join(self.words) in " ".join(found.words)
        )

    def __str__(self) -> str:
        return f"running on CPUs {format_cpulist(self.cpus)}" + (f", SCHED_FIFO {self.fifo}" if self.fifo else "")


# -- present ---------------------------------------------------------------------------------------


def plan_chrony(
    host: Host, runner: Runner, partition: Partition, wanted: Wanted, chrony: Chrony, nic: Nic | None
) -> list[Service]:
    """Plan chrony's configuration and unit; return the services that are to run."""
    needed = needs_configuration(wanted)
    files = {chrony.drop_in: chrony_drop_in(wanted, partition.housekeeping, chrony.command, chrony.ours if needed else "")}
    if needed:
        files[chrony.ours] = chrony_text(wanted, chrony.main, nic.name if nic else "")
    _plan_files(host, runner, {KEPT: wanted.text, **files}, {})
    service = Service(chrony.unit, ["-f", chrony.ours] if needed else [], partition.housekeeping, wanted.priority)
    _plan_unit(host, runner, chrony.unit, UnitState(enabled=True, active=True))
    _plan_start(host, runner, [service], files)
    return [service]


def plan_ptp(host: Host, runner: Runner, partition: Partition, wanted: Wanted, nic: Nic) -> list[Service]:
    """Plan the units of ptp4l and, for a NIC with a clock, of phc2sys; return the services that are to run."""
    hardware = stamped(wanted, nic) == "hardware"
    texts = ptp_units(wanted, nic.name, partition.housekeeping, hardware=hardware)
    files = {f"{_UNITS}/{name}": text for name, text in texts.items()}
    _plan_files(host, runner, {KEPT: wanted.text, **files}, {f"{_WANTS}/{name}": f"{_UNITS}/{name}" for name in texts})
    stop_units(host, runner, [name for name in _PTP if name not in texts])
    services = [Service(name, _command(text), partition.housekeeping, wanted.priority) for name, text in texts.items()]
    _plan_start(host, runner, services, files)
    return services


def _command(text: str) -> list[str]:
    return next(line for line in text.split("\n") if line.startswith("ExecStart=")).partition("=")[2].split()


def _plan_files(host: Host, runner: Runner, files: Mapping[str, str], links: Mapping[str, str]) -> None:
    """Plan our files; those of another source are taken back."""
    for path, text in files.items():
        content = host.read_whole(path)
        if path != KEPT and content is not None and not content.startswith(MARK.encode()) and path not in host.entries("file"):
            raise TimeSyncError(f"{path} exists and is not this collection's; move it away, or leave time_sync_source out")
        host.set_file(path, text.encode(), reason="the time service keeps off isolated CPUs and starts before guests")
    host.restore_files([path for path in host.entries("file") if path not in files])
    for path, target in links.items():
        host.set_link(path, target, reason="it starts at boot")
    for path, original in host.entries("link").items():
        if path not in links:
            _drop_link(host, path, original["link"])
    plan_reload(host, runner, due=any(change.resource.startswith(_UNITS) for change in host.changes))


def _drop_link(host: Host, path: str, original: str | None) -> None:
    present = host.exists(path)
    change = Change(path, f"{_UNITS}/{path.rpartition('/')[2]}", original, reason="restored") if present else None
    host.restore(change, path, partial(host.write_file, path, None))


def _plan_start(host: Host, runner: Runner, services: Sequence[Service], files: Collection[str]) -> None:
    """Plan to start what does not run as it should, or has files that it has not read."""
    if not steers(host):
        return
    changed = any(change.resource in files for change in host.changes)
    for service in services:
        found = running(host, service.unit)
        before = (
            "stopped"
            if found is None
            else f"running on CPUs {format_cpulist(found.cpus)}" + (f", SCHED_FIFO {found.fifo}" if found.fifo else "")
        )
        if found is not None and (changed or not service.suits(found)):
            before += ", with another configuration" if str(service) == before else ""
        afterwards(
            host,
            f"service:{service.unit}",
            partial(systemctl, runner, "restart", service.unit),
            due=changed or not service.suits(found),
            change=Change(f"service:{service.unit}", before, str(service), "stall", _STALL),
        )


def plan_take_over(host: Host, runner: Runner, wanted: Wanted, nic: Nic | None, others: Mapping[str, UnitState]) -> None:
    """Plan to end what else steers the clock, once the new source has answered: other services, and ours of another source."""
    ours = [unit for unit in _PTP if wanted.source == CHRONY and steers(host) and running(host, unit) is not None]
    if not others and not ours:
        return
    host.perform(partial(prove, host, runner, wanted, nic, [*others, *ours]))
    for name, state in others.items():
        _plan_state(host, runner, name, state, UnitState(), "the clock has one master; the new one has answered")
    stop_units(host, runner, ours)


def plan_missing(host: Host, runner: Runner, source: str, others: Mapping[str, UnitState]) -> None:
    """Show, where the programs are missing, what follows their installation: the others end, and a service starts."""
    for name, state in others.items():
        _plan_state(host, runner, name, state, UnitState(), "the clock has one master; it ends once the new one has answered")
    host.follow_up(Change(f"service:{source}", "not installed", "running", "stall", _STALL), lambda: None)


def prove_missing(wanted: Wanted, others: Collection[str]) -> None:
    """Refuse to install chrony, whose package may remove what steers the clock, where none of its servers answers."""
    if wanted.source == CHRONY and others and wanted.servers and not first_answer(wanted.servers, _PROOF_S / 2):
        raise _silent(wanted, others)


def _silent(wanted: Wanted, others: Collection[str]) -> HostError:
    return HostError(
        f"time_sync_servers: none of {', '.join(wanted.servers)} has answered within {_PROOF_S // 2} s (UDP port 123); "
        f"{', '.join(others)} still steers the clock; nothing was changed"
    )


def prove(host: Host, runner: Runner, wanted: Wanted, nic: Nic | None, others: Sequence[str]) -> None:
    """Refuse to go on where the new source does not answer; the clock is not touched, and what steers it goes on."""
    if host.dry:
        return
    stays = f"{', '.join(others)} still steers the clock; nothing was changed"
    if wanted.source == CHRONY:
        servers = [f"server {name} iburst maxsamples 1" for name in wanted.servers]
        if not servers or any(running(host, unit) for unit in (*CHRONY_UNITS, RESTRICTED)):
            return  # its own file names the servers, or it has followed them all the time
        command = ["chronyd", "-u", "root", "-Q", "-t", str(_PROOF_S // 2), *servers]
        _code, out, err = runner(command)
        if heard_servers(out + err) is None:
            raise _silent(wanted, others)
        return
    if nic is None:
        return
    words = ptp4l_words(wanted, nic.name, hardware=stamped(wanted, nic) == "hardware")
    trial = [*words, "--free_running=1", f"--uds_address={_SOCKET}", "-m", "-q"]
    if b"uds_ro_address" in (
        host.read_bytes(PTP4L) or b""
    ):  # else it would take that of the ptp4l that runs (not before linuxptp 4 and EL's 3.1)
        trial.append(f"--uds_ro_address={_SOCKET}ro")
    _code, out, err = runner(["timeout", str(_PROOF_S), *trial])
    if not heard_master(out + err):
        raise HostError(
            f"time_sync_interface: no grandmaster of domain {wanted.domain} is heard on {nic.name} within {_PROOF_S} s ({wanted.transport}, "
            f"{wanted.delay}; its port may be {_last(out + err)}); {stays}"
        )


def _last(text: str) -> str:
    found = [line.partition(" to ")[2].split() for line in text.splitlines() if "port 1: " in line and " to " in line]
    return found[-1][0] if found and found[-1] else "down"


# -- units -----------------------------------------------------------------------------------------


def _resource(unit: str) -> str:
    return f"daemons:clock:{unit}"


def _plan_unit(host: Host, runner: Runner, unit: str, after: UnitState) -> None:
    """Plan that a unit starts at boot; its start now is planned with its files."""
    if not steers(host):
        return
    now = read_units(runner, [unit]).get(unit, UnitState())
    if not now.enabled:
        _plan_state(host, runner, unit, now, after, "it starts at boot", verbs=["enable"])
    else:  # also where it runs: it may not come up with what is asked for, and undo starts it again
        host.keep(_resource(unit), "daemons", {unit: asdict(now)})


def _plan_state(
    host: Host,
    runner: Runner,
    unit: str,
    now: UnitState,
    after: UnitState,
    reason: str,
    *,
    verbs: Sequence[str] = ("stop", "disable"),
) -> None:
    change = Change(_resource(unit), str(now), str(after), "none" if after.active else "stall", reason)
    host.change(change, partial(_each, runner, verbs, unit), kind="daemons", original={unit: asdict(now)})


def _each(runner: Runner, verbs: Sequence[str], unit: str) -> None:
    for verb in verbs:
        systemctl(runner, verb, unit)


def stop_units(host: Host, runner: Runner, units: Sequence[str]) -> None:
    """Plan to stop units of ours that run."""
    for unit in units if steers(host) else ():
        if running(host, unit) is not None:
            host.follow_up(
                Change(f"service:{unit}", "running", "stopped", "stall", "not wanted"), partial(systemctl, runner, "stop", unit)
            )


# -- absent ----------------------------------------------------------------------------------------


def undo(host: Host, runner: Runner) -> None:
    """Plan to take everything back: our units end, chrony reads its own file again, and what was switched off is on again."""
    ours = set(host.entries("file"))
    for resource in [name for name in host.entries("after") if name.startswith("after:service:")]:
        host.restore(None, resource, lambda: None)  # of a run that was cut off
    stop_units(host, runner, [unit for unit in _PTP if f"{_UNITS}/{unit}" in ours])
    host.restore_links()
    host.restore_files()
    plan_reload(host, runner, due=any(path.startswith(_UNITS) for path in ours))
    restart = [
        unit for unit in CHRONY_UNITS if f"{_UNITS}/{unit}.d/realtime-kvm.conf" in ours and steers(host) and running(host, unit)
    ]
    stopped = _restore_units(host, runner)
    for unit in restart:
        if unit not in stopped:
            change = Change(f"service:{unit}", "running as this role has set it up", "running as before", "stall", _STALL)
            host.follow_up(change, partial(systemctl, runner, "restart", unit))


def _restore_units(host: Host, runner: Runner) -> set[str]:
    """Plan that units are as they were before; return those that are stopped."""
    stopped: set[str] = set()
    for resource, original in host.entries("daemons").items():
        for unit, found in original.items():
            before, now = UnitState(**found), read_units(runner, [unit]).get(unit) if steers(host) else None
            if now is None or now == before:
                host.restore(None, resource, lambda: None)
                continue
            verbs = [("enable" if before.enabled else "disable")] * (now.enabled != before.enabled)
            verbs += [("start" if before.active else "stop")] * (now.active != before.active)
            stopped |= {unit} if "stop" in verbs else set()
            host.restore(
                Change(resource, str(now), str(before), "stall", "restored"), resource, partial(_each, runner, verbs, unit)
            )
    return stopped


# -- read back -------------------------------------------------------------------------------------


def read_back(host: Host, services: Sequence[Service]) -> None:
    """Wait until the services run as they should and stay so; refuse when their time is over."""
    for service in services if steers(host) else ():
        end, since, seen = time.monotonic() + _UP_S, time.monotonic(), 0
        while True:
            found = running(host, service.unit)
            pid = found.pid if found is not None and service.suits(found) else 0
            if pid != seen:
                seen, since = pid, time.monotonic()
            if seen and time.monotonic() - since >= _SETTLE_S:
                break
            if time.monotonic() > end:
                raise HostError(
                    f"{service.unit} was started, but does not stay {service} (it {_described(found)}); see journalctl -u {service.unit}. Its files "
                    "are written; the next run starts it again, and undo takes them back"
                )
            time.sleep(0.1)


def _described(found: Running | None) -> str:
    return "is stopped" if found is None else f"runs on CPUs {format_cpulist(found.cpus)} as {' '.join(found.words)!r}"
