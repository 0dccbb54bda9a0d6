# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses what a measurement is to do, after all checks that can refuse it: CPUs, programs, load."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from .._cpus.cpulist import CpuListError, format_cpulist, parse_cpulist, parse_or_empty
from .._cpus.document import to_document
from .._cpus.errors import HostError
from .._cpus.partition import Partition
from .._host.change import Change, check_limit
from .._host.current import check_current
from .._host.document import read_partition, require_partition
from .._host.packages import package_manager
from .._host.sysfs import read_topology
from .._time.state import describe
from .job import PACKAGES, PROGRAMS, TRACERS, Job, bins_for
from .machine import ask, locate, occupants, tool_version
from .place import Place
from .verdict import LIMITS_US, PROFILES, LatencyError, named_profile

#: Tools that stop the measured CPUs, to detect the effects of hardware and firmware.
STOPPING = ("hwlatdetect", "hwnoise")


def plan_job(place: Place) -> tuple[Job, dict[str, Any]]:
    """Return the job, after all checks that can refuse it."""
    parameters, tool = place.parameters, place.parameters["tool"]
    profile = parameters["profile"]
    seconds = parameters["seconds"] or PROFILES[profile]
    profile = named_profile(profile, seconds)
    if seconds < 1:
        raise LatencyError(f"seconds: {seconds} is not a duration")
    limit_us = parameters["limit_us"] or LIMITS_US[tool]
    if limit_us <= 0:
        raise LatencyError(f"limit_us: {limit_us} is not a limit; leave it out for {LIMITS_US[tool]} µs")
    if profile == "certify" and parameters["load"] == "none":
        raise LatencyError("load: certify measures under load; leave load out, or give seconds for a run that certifies nothing")
    partition = None if place.inside else _partition(place)
    cpus, left_out = _choose(place, partition)
    online = parse_or_empty(place.files.get("/sys/devices/system/cpu/online", ""))
    if absent := cpus - online:
        raise LatencyError(f"cpus: CPUs {format_cpulist(absent)} are not online; online are {format_cpulist(online)}")
    housekeeping = (partition.housekeeping & online if partition else online) - cpus
    if parameters["load"] != "none" and not housekeeping:
        raise LatencyError(
            f"cpus: CPUs {format_cpulist(cpus)} are all CPUs of the machine, so none is left for the load; "
            "measure fewer, or set load: none"
        )
    virtual = _virtual(place)
    job = Job(
        tool,
        profile,
        seconds,
        tuple(sorted(cpus)),
        tuple(sorted(housekeeping)),
        parameters["load"],
        limit_us,
        bins_for(tool, limit_us, virtual=virtual),
    )
    version, writes_json = _check_programs(place, job)
    job = replace(job, json=writes_json and tool in ("cyclictest", "oslat"))
    return job, _environment(place, job, version, virtual, left_out)


def _choose(place: Place, partition: Partition | None) -> tuple[frozenset[int], dict[int, str]]:
    """Return the CPUs to measure, and those left out because a program runs on them."""
    parameters = place.parameters
    where = place.machine.name
    if parameters["cpus"]:
        try:
            cpus = parse_cpulist(parameters["cpus"])
        except CpuListError as error:
            raise LatencyError(f"cpus: {error}") from None
        if not cpus:
            raise LatencyError("cpus: the list is empty; name CPUs or leave it out")
    elif place.inside:
        cpus = place.realtime
        if not cpus:
            raise LatencyError(f"guest: {where} has no real-time vCPU; name the CPUs to measure in cpus")
    elif parameters["platform"] and partition is None:  # a guest, which has no partition
        cpus = parse_or_empty(place.files.get("/sys/devices/system/cpu/isolated", ""))
        if not cpus:
            raise LatencyError(f"cpus: guest {parameters['guest']} isolates no CPU; name the CPUs to measure")
    else:
        name = parameters["cpu_set"]
        documented = partition or require_partition(place.host, None)
        check_current(documented, read_topology(place.host))
        cpus = documented.sets[name]
        if not cpus:
            raise LatencyError(f"cpu_set: the set {name} of {where} is empty; choose another, or CPUs by number with cpus")
    busy = _occupied(place, partition, cpus)
    if not busy or parameters["occupied"]:
        return cpus, {}
    users = ", ".join(f"{cpu}: {name}" for cpu, name in sorted(busy.items()))
    if parameters["cpus"] or not cpus - busy.keys():
        raise LatencyError(
            f"{where}: CPUs {format_cpulist(busy)} are in use ({users}), and a measurement would take them from these programs; "
            "measure others (cpus), "
            "measure inside the guest (guest), or set occupied: true if nothing depends on them"
        )
    return cpus - busy.keys(), busy


def _occupied(place: Place, partition: Partition | None, cpus: Iterable[int]) -> dict[int, str]:
    """Return the CPUs among ``cpus`` that a program is pinned to, each with the program."""
    if place.inside or partition is None:
        return {}
    wanted = frozenset(cpus)
    return {cpu: name for cpu, name in occupants(place.host, partition.isolated).items() if cpu in wanted}


class MissingError(LatencyError):
    """Programs are missing; ``results`` names them, with what would run."""

    def __init__(self, message: str, results: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.results = results


def _check_programs(place: Place, job: Job) -> tuple[str, bool]:
    """Refuse if a program or a tracer is missing; return the tool's version and whether it writes JSON."""
    where = f"guest {place.machine.name}" if place.inside else place.machine.name
    found = locate(place.machine, job.programs())
    missing = [program for program in job.programs() if program not in found]
    if missing:
        check_limit(
            [disturbance(place, job)], place.parameters.get("max_disruption")
        )  # nothing is installed for a run that is refused
        remedy = ", or set load: none" if "stress-ng" in missing else ""
        packages = ", ".join(dict.fromkeys(PACKAGES[program] for program in missing))
        facts: dict[str, Any] = {
            "lacks": missing,
            "command": job.command(),
            "load_command": job.load_command(),
            "seconds": job.seconds,
        }
        facts["package_manager"] = "" if place.inside else package_manager(place.host)
        raise MissingError(f"{where}: {', '.join(missing)} is not installed; install the package {packages}{remedy}", facts)
    tracers = [place.files[path] for path in place.files if path.endswith("/available_tracers")]
    wanted = TRACERS.get(job.tool)
    if wanted and tracers and wanted not in tracers[0].split():
        raise LatencyError(
            f"tool: the kernel of {where} has no {wanted} tracer, which {job.tool} needs (its tracers: {tracers[0].strip()}); "
            "use cyclictest or oslat"
        )
    return tool_version(place.machine, PROGRAMS.get(job.tool, job.tool))


def _virtual(place: Place) -> bool:
    """Whether the platform is a virtual machine: for a guest, whether its node is one."""
    platform = place.parameters["platform"]
    if platform:
        return bool(platform.get("virtual", True))
    files = ask(place.node) if place.inside else place.files
    if "flags" in files:
        return "hypervisor" in files["flags"].split()
    return place.node.run(["systemd-detect-virt", "--quiet", "--vm"])[0] == 0


def _partition(place: Place) -> Partition | None:
    """Return the partition of this node, None where it has none."""
    given = place.parameters["partition"]
    return require_partition(place.host, given) if given else read_partition(place.host)


def platform_of(place: Place) -> dict[str, Any]:
    """Return the node's facts that a guest's measurement needs."""
    given = place.parameters["platform"]
    if given:
        return {"host": place.node.name, "virtual": True, "partition_digest": "", **given}
    partition = _partition(place)
    text = json.dumps(to_document(partition), sort_keys=True) if partition else ""
    digest = hashlib.sha256(text.encode()).hexdigest()[:16] if text else ""
    return {"host": place.node.name, "virtual": _virtual(place), "partition_digest": digest}


def _environment(place: Place, job: Job, version: str, virtual: bool, left_out: Mapping[int, str]) -> dict[str, Any]:
    files = place.files
    return {
        "kernel": files.get("/proc/sys/kernel/osrelease", "").strip(),
        "kernel_version": files.get("/proc/sys/kernel/version", "").strip(),
        "arguments": files.get("/proc/cmdline", "").strip(),
        "processor": files.get("model name", ""),
        "microcode": files.get("microcode", ""),
        "product": files.get("/sys/class/dmi/id/product_name", "").strip(),
        "partition_digest": platform_of(place)["partition_digest"],
        "tool_version": version,
        "command": " ".join(job.command()),
        "load": " ".join(job.load_command()),
        "virtual": virtual,
        "left_out": {str(cpu): name for cpu, name in sorted(left_out.items())},
        **clock_of(place),
    }


def clock_of(place: Place) -> dict[str, Any]:
    """Return what this node's clock follows and how far it is off, where time_sync has set that up; nothing of a guest's."""
    if place.inside or place.host.captured:
        return {}
    try:
        found = describe(place.host, place.node.runner)
    except HostError as error:  # the audit says so too; a measurement does not depend on it
        return {"clock": {"source": "", "why": str(error)}}
    return {"clock": found} if found else {}


def disturbance(place: Place, job: Job) -> Change:
    """Return how a measurement disturbs its machine: load, stopped CPUs and CPUs taken from a program are stalls."""
    reasons = []
    if job.load != "none":
        reasons.append("it makes load")
    if job.tool in STOPPING:
        reasons.append(f"{job.tool} stops the CPUs that it measures")
    taken = place.parameters["occupied"] and _occupied(place, None if place.inside else _partition(place), job.cpus)
    if taken:
        reasons.append(f"CPUs {format_cpulist(taken)} are in use")
    what = f"measurement with {job.tool} on CPUs {format_cpulist(job.cpus)} of {place.machine.name}"
    return Change(what, None, "runs", "stall" if reasons else "none", ", ".join(reasons))
