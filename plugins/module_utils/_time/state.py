# SPDX-License-Identifier: GPL-3.0-or-later
"""How the clock of a node is kept now: what was set up, what runs, what it follows, and how far it is off. Edge, read-only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .._cpus.answers import AnswerError
from .._cpus.cpulist import format_cpulist
from .._cpus.errors import HostError
from .._host.host import Host, Runner
from .._host.paths import config_path
from .answers import Running, State, chrony_state, phc_state, ptp_state
from .services import CHRONY_UNITS, running, steers
from .texts import PHC2SYS_UNIT, PTP4L_UNIT
from .wanted import CHRONY, Wanted, parse_kept

KEPT = config_path("time_sync")


def read_kept(host: Host) -> Wanted | None:
    """Return what time_sync has set up; None where it has not."""
    text = host.read(KEPT)
    if text is None:
        return None
    try:
        return parse_kept(text)
    except AnswerError as error:
        raise HostError(f"{KEPT} is damaged ({error}); run the time_sync role to write it again") from None


def services_of(host: Host, wanted: Wanted) -> dict[str, Running]:
    """Return the services of a source that run, by unit."""
    units = CHRONY_UNITS if wanted.source == CHRONY else (PTP4L_UNIT, PHC2SYS_UNIT)
    found = {unit: running(host, unit) for unit in units}
    return {unit: service for unit, service in found.items() if service is not None}


def read_state(host: Host, runner: Runner, wanted: Wanted) -> State:
    """Ask the services what they follow; with a NIC's clock, the offset is that of the system's clock to it if that is more."""
    if wanted.source == CHRONY:
        return chrony_state(_said(runner, "chronyc", "-c", "-n", "-m", "tracking", "sources"))
    domain = ["-d", str(wanted.domain)]
    state = ptp_state(_said(runner, "pmc", "-u", "-b", "0", *domain, "GET TIME_STATUS_NP", "GET PORT_DATA_SET"))
    if not state.synchronised or running(host, PHC2SYS_UNIT) is None:
        return state
    second = phc_state(
        _said(runner, "journalctl", "--unit", PHC2SYS_UNIT, "--lines", "3", "--output", "cat", "--no-pager", "--boot")
    )
    if not second.synchronised:
        return replace(state, synchronised=False, why=second.why)
    return max(state, replace(state, offset_us=second.offset_us), key=lambda one: abs(one.offset_us or 0))


def _said(runner: Runner, *command: str) -> str:
    _code, out, _err = runner(command)
    return out


def describe(host: Host, runner: Runner) -> dict[str, Any]:
    """Return the node's time service for a report, empty where none was set up."""
    wanted = read_kept(host)
    if wanted is None:
        return {}
    services = services_of(host, wanted)
    state = read_state(host, runner, wanted) if services and steers(host) else State(False, why="its service does not run")
    software = "-S" in services[PTP4L_UNIT].words if PTP4L_UNIT in services else True
    return {
        "source": wanted.source,
        "services": {unit: format_cpulist(found.cpus) for unit, found in sorted(services.items())},
        "interface": wanted.interface,
        "stamping": ("software" if software else "hardware")
        if wanted.source != CHRONY
        else "hardware"
        if wanted.interface
        else "software",
        "synchronised": state.synchronised,
        "reference": state.reference,
        "stratum": state.stratum,
        "offset_us": None if state.offset_us is None else round(state.offset_us, 3),
        "limit_us": wanted.offset_limit_us,
        "why": state.why,
    }
