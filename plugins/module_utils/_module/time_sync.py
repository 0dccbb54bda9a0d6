# SPDX-License-Identifier: GPL-3.0-or-later
"""time_sync: what steers the node's clock, on housekeeping CPUs and before guests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from .._cpus.answers import plain
from .._cpus.errors import HostError
from .._host.current import require_current_partition
from .._host.host import Host
from .._time.nic import Nic, find_nic, stamped
from .._time.plan import Service, plan_chrony, plan_missing, plan_ptp, plan_take_over, prove_missing, read_back, undo
from .._time.services import Chrony, check_alone, find_chrony, has_ptp, other_processes, other_units
from .._time.wanted import CHRONY, DELAYS, SOURCES, STAMPING, TRANSPORTS, Wanted, parse
from ._common import LIMIT, Edges, Outcome
from ._specs import NETWORKS

#: The module's options; M(time_sync) describes them.
OPTIONS: dict[str, Any] = {
    **NETWORKS,
    **LIMIT,
    "state": {"type": "str", "choices": ["present", "prepared", "absent"], "default": "present"},
    "partition": {"type": "dict"},
    "source": {"type": "str", "choices": list(SOURCES), "default": ""},
    "servers": {"type": "list", "elements": "str", "default": []},
    "makestep": {"type": "str", "default": ""},
    "interface": {"type": "str", "default": ""},
    "stamping": {"type": "str", "choices": list(STAMPING), "default": "auto"},
    "domain": {"type": "int", "default": 0},
    "transport": {"type": "str", "choices": list(TRANSPORTS), "default": "UDPv4"},
    "delay": {"type": "str", "choices": list(DELAYS), "default": "E2E"},
    "priority": {"type": "int", "default": 0},
    "priority_limit": {"type": "int", "default": 1},
    "offset_limit_us": {"type": "float", "default": 1000.0},
    "take_over": {"type": "bool", "default": False},
    "fsroot": {"type": "path", "default": "/"},
}


def run(edges: Edges, parameters: dict[str, Any]) -> Outcome:
    """Plan the time service; without a source, nothing is looked at."""
    host, runner = edges.host, edges.runner
    if parameters["state"] == "absent" or parameters["source"] == "none":
        undo(host, runner)
        return Outcome(_result(""))
    if not parameters["source"]:
        return Outcome(_result(""))
    wanted = parse(parameters)
    partition, _topology = require_current_partition(host, parameters["partition"])
    nic = find_nic(host, wanted, used_devices(parameters["networks"])) if wanted.interface else None
    others = other_units(host, runner, wanted.source)
    check_alone(others, other_processes(host, wanted.source), take_over=parameters["take_over"])
    found = _installed(host, wanted)
    stamping = stamped(wanted, nic) if nic else ""
    if parameters["state"] == "prepared":
        if found is None:
            host.perform(partial(prove_missing, wanted, others))
        return Outcome({**_result(wanted.source, stamping), "installed": found is not None, "others": sorted(others)})
    if found is None:
        plan_missing(host, runner, wanted.source, others)
        if not host.dry:
            raise HostError(f"{_NAMES[wanted.source]} is not installed; the role time_sync installs it")
        return Outcome({**_result(wanted.source, stamping), "installed": False, "others": sorted(others)})
    plan_take_over(host, runner, wanted, nic, others)
    if isinstance(found, Chrony):
        services = plan_chrony(host, runner, partition, wanted, found, nic)
    elif nic is not None:
        services = plan_ptp(host, runner, partition, wanted, nic)
    _note(host, wanted, nic, found)
    result = {**_result(wanted.source, stamping), "units": [service.unit for service in services], "others": sorted(others)}
    return Outcome(result, after=_after(host, services))


_NAMES = {"chrony": "chrony", "ptp": "linuxptp"}


def _result(source: str, stamping: str = "") -> dict[str, Any]:
    return {"source": source, "stamping": stamping, "installed": True, "units": [], "others": []}


def _installed(host: Host, wanted: Wanted) -> Chrony | bool | None:
    """Return what is installed for a source; None where that is missing."""
    return find_chrony(host) if wanted.source == CHRONY else has_ptp(host) or None


def _after(host: Host, services: Sequence[Service]) -> Any:
    if not any(change.resource.startswith("service:") for change in host.changes):
        return None
    return partial(_read_back, host, services)


def _read_back(host: Host, services: Sequence[Service]) -> Mapping[str, Any]:
    read_back(host, services)
    return {}


def _note(host: Host, wanted: Wanted, nic: Nic | None, found: Chrony | bool) -> None:
    if wanted.source == "ptp" and nic is not None and not nic.hardware:
        host.notes.append(
            f"time_sync: {nic.name} has no clock of its own, so PTP's packets are stamped by the kernel, to some microseconds"
        )
    if isinstance(found, Chrony) and wanted.servers:
        rows = [line.split() for line in (host.read(found.main) or "").splitlines()]
        own = [row[1] for row in rows if len(row) > 1 and row[0] in ("server", "pool", "peer")]
        if strangers := [plain(name, 80) for name in own if name not in wanted.servers]:
            host.notes.append(
                f"{found.main} names other sources too, which stay: {', '.join(strangers[:5])}; chrony prefers those of time_sync_servers"
            )


def used_devices(networks: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the devices of the switch's networks, each with its network."""
    found = {}
    for network in networks:
        device = network.get("device")
        if device and network.get("state", "present") == "present" and network.get("realtime", True):
            found[str(device)] = str(network.get("name", ""))
    return found
