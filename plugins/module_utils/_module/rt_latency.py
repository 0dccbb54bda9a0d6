# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_latency: measures latency and returns a verdict on the measurement."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from typing import Any

from .._cpus.cpulist import CpuListError, format_cpulist, parse_cpulist, parse_or_empty
from .._cpus.document import to_document
from .._cpus.partition import Partition
from .._guests.domain_xml import describe, parse, read_schedulers
from .._guests.libvirt import CALL_S
from .._host.change import Change, Planner, check_limit
from .._host.current import check_current
from .._host.deadline import within
from .._host.document import read_partition, require_partition
from .._host.packages import package_manager
from .._host.sysfs import read_topology
from .._latency.job import (
    MARGIN_S,
    PACKAGES,
    PROGRAMS,
    TRACERS,
    Job,
    bins_for,
    interruption,
    interval_for,
    load_stored,
    read_output,
    stored,
    tool_failure,
)
from .._latency.machine import (
    Node,
    ask,
    connect_agent,
    guest_offset,
    is_running,
    locate,
    look,
    occupants,
    prolong,
    start,
    stop,
    tool_version,
    wait,
)
from .._latency.place import Place
from .._latency.verdict import (
    LIMITS_US,
    PROFILES,
    LatencyError,
    Run,
    Verdict,
    document,
    find_doubts,
    judge,
    named_profile,
    shortest,
    summary,
)
from ._common import Outcome
from ._guest_edges import GuestEdges

#: Tools that stop the measured CPUs, to detect the effects of hardware and firmware.
STOPPING = ("hwlatdetect", "hwnoise")
#: Exit codes that come with a result: hwlatdetect and rtla report an exceeded threshold by theirs.
_GOOD_CODES = {"hwlatdetect": ("0", "1"), "timerlat": ("0", "2"), "osnoise": ("0", "2"), "hwnoise": ("0", "2")}


@dataclass
class MeasuringEdges(GuestEdges):
    """The machine, its libvirt, and the steps of a measurement, which does not change the machine."""

    steps: Planner = field(default_factory=Planner)

    @property
    def planner(self) -> Planner:
        """The steps: a measurement takes no lock, since it may last for hours."""
        return self.steps


def run(edges: MeasuringEdges, parameters: dict[str, Any]) -> Outcome:
    """Plan to start, follow or end a measurement; none of these configures the node."""
    place = _find(edges, parameters)
    act = {"absent": _absent, "polled": _polled}.get(parameters["state"], _measure)
    outcome = act(edges.steps, place)
    return replace(outcome, results={**outcome.results, "platform": _platform(place)})


def _measure(steps: Planner, place: Place) -> Outcome:
    job, environment = _plan(place)
    facts = {
        "command": job.command(),
        "load_command": job.load_command(),
        "cpus": format_cpulist(job.cpus),
        "seconds": job.seconds,
        "interval": interval_for(job.seconds),
        "environment": environment,
        "virtual": environment["virtual"],
        **_left(job.seconds),
    }
    running = _runs_already(place, job)
    steps.perform(lambda: _start(place, job, environment))
    after = partial(_await, place, job) if place.parameters["state"] == "measured" else lambda: {"running": True}
    return Outcome({**facts, "running": running, "joined": running, "finished": False}, after, [_disturbance(place, job)])


def _await(place: Place, job: Job) -> dict[str, Any]:
    """Wait for the end of a measurement, return its result and remove its files."""
    machine, systemd = place.machine, place.systemd
    wait(machine, job.seconds + MARGIN_S, place.parameters["lease"], systemd=systemd)
    if is_running(machine, systemd=systemd):
        stop(machine, systemd=systemd)
    result = _poll(place)
    place.forget()
    return result


def _disturbance(place: Place, job: Job) -> Change:
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


def _polled(steps: Planner, place: Place) -> Outcome:
    result = _poll(place)
    if result["running"]:
        steps.perform(lambda: prolong(place.machine, place.parameters["lease"]))
    return Outcome(result)


def _absent(steps: Planner, place: Place) -> Outcome:
    running = is_running(place.machine, systemd=place.systemd)
    if running:
        steps.perform(lambda: stop(place.machine, systemd=place.systemd))
    steps.perform(place.forget)
    return Outcome({"running": running, "finished": False}, after=lambda: {"running": False})


def _left(seconds: float) -> dict[str, Any]:
    return {"seconds_left": max(round(seconds), 0), "minutes_left": max(-(-round(seconds) // 60), 0)}


# -- where -----------------------------------------------------------------------------------------


def _find(edges: MeasuringEdges, parameters: Mapping[str, Any]) -> Place:
    host, guest = edges.host, parameters["guest"]
    node = Node(host, edges.runner, parameters["host"] or host.value("/proc/sys/kernel/hostname") or "this node")
    if not guest or parameters["platform"]:  # a guest that is measured from inside gives its name only for the record
        return Place(host, node, node, ask(node), parameters, {}, frozenset())
    connection = edges.libvirt.connect(host)
    if connection is None:
        raise LatencyError(
            f"guest: {guest} cannot be reached, since libvirt is not installed on {node.name}; run the kvm_host role first"
        )
    domain = connection.lookup(guest)
    if not within(CALL_S, domain.isActive):
        raise LatencyError(f"guest: {guest} is not running; start it first")
    if "/" in guest:
        raise LatencyError(f"guest: {guest!r} is not the name of a guest")
    tree = parse(within(CALL_S, lambda: domain.XMLDesc(0)))
    agent = connect_agent(guest, domain)
    pins = describe(tree, running=True).vcpus
    return Place(host, node, agent, ask(agent), parameters, dict(pins), frozenset(read_schedulers(tree)))


# -- what ------------------------------------------------------------------------------------------


def _plan(place: Place) -> tuple[Job, dict[str, Any]]:
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
            [_disturbance(place, job)], place.parameters.get("max_disruption")
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


def _platform(place: Place) -> dict[str, Any]:
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
        "partition_digest": _platform(place)["partition_digest"],
        "tool_version": version,
        "command": " ".join(job.command()),
        "load": " ".join(job.load_command()),
        "virtual": virtual,
        "left_out": {str(cpu): name for cpu, name in sorted(left_out.items())},
    }


# -- the run ---------------------------------------------------------------------------------------


def _runs_already(place: Place, job: Job) -> bool:
    """Whether this job runs; another running job is an error."""
    machine = place.machine
    if not is_running(machine, systemd=place.systemd):
        return False
    files = place.job_files()
    other = load_stored(files["job.json"])[0] if "job.json" in files else None
    if other is None or other.key() != job.key():
        what = f"{other.tool} on CPUs {format_cpulist(other.cpus)}, {other.seconds} s" if other else "by another user"
        raise LatencyError(f"{machine.name}: a measurement already runs ({what}); wait for its end, or end it with state: absent")
    return True


def _start(place: Place, job: Job, environment: Mapping[str, Any]) -> None:
    """Start the job, or join it if it already runs; another running job is refused."""
    machine, systemd = place.machine, place.systemd
    if _runs_already(place, job):
        prolong(machine, place.parameters["lease"])
        return
    text = stored(
        job,
        before=_look(place, job),
        started=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        uptime=place.uptime(),
        boot=place.files.get("/proc/sys/kernel/random/boot_id", "").strip(),
        environment=dict(environment),
    )
    if place.inside:
        place.node.write(place.record, text)
    start(machine, job, None if place.inside else text, place.parameters["lease"], systemd=systemd)


def _look(place: Place, job: Job) -> dict[str, Any]:
    """Return the facts that are compared at both ends of the run: this node's and, for a guest, its clock's."""
    return {"node": look(place.host, place.here(job.cpus)), "guest": guest_offset(place.files) if place.inside else {}}


def _poll(place: Place) -> dict[str, Any]:
    """Return the measurement's progress and, once it has ended, its result."""
    machine = place.machine
    running = is_running(machine, systemd=place.systemd)
    files = place.job_files()
    if "job.json" not in files:
        raise LatencyError(
            f"{machine.name}: no measurement runs or has run here; "
            "it was removed, or the machine has rebooted since it was started"
        )
    job, rest = load_stored(files["job.json"])
    if running and "rc" not in files:
        left = job.seconds - (place.uptime() - rest["uptime"])
        return {"running": True, "finished": False, "seconds": job.seconds, "cpus": format_cpulist(job.cpus), **_left(left)}
    result = _result(place, job, rest, files)
    return {
        "running": False,
        "finished": True,
        "result": result,
        "summary": summary(result),
        "virtual": result["verdict"]["virtual"],
        **_left(0),
    }


def _result(place: Place, job: Job, rest: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    interrupted = interruption(files, running=False)
    reading = None
    try:
        reading = read_output(job, files)
    except LatencyError as error:
        if not interrupted:
            where = f"guest {place.machine.name}" if place.inside else place.machine.name
            raise LatencyError(f"{where}: {tool_failure(job, files) or error}") from None
    doubts = [interrupted] if interrupted else []
    if place.uptime() - rest["uptime"] < shortest(job.seconds) and not interrupted:
        doubts.append(f"it ended before its {job.seconds} s were over, by the node's clock")
    if failure := tool_failure(job, files):
        doubts += [] if files["rc"].strip() in _GOOD_CODES.get(job.tool, ()) else [failure]
    if "unloaded" in files:
        doubts.append(
            f"the load ended before the measurement did ({files.get('load.out', '').strip()[-200:] or 'without a message'})"
        )
    now = _look(place, job)
    doubts += find_doubts(rest["before"]["node"], now["node"])
    doubts += [f"in the guest, {doubt}" for doubt in find_doubts(rest["before"]["guest"], now["guest"])]
    environment = {**rest["environment"], "smi_counted": bool(now["node"]["smi"])}
    verdict: Verdict = judge(
        job.tool,
        reading,
        job.cpus,
        seconds=job.seconds,
        limit_us=job.limit_us,
        virtual=environment["virtual"],
        doubts=doubts,
    )
    host, guest = str(_platform(place)["host"]), place.parameters["guest"] or None
    run = Run(host, guest, job.tool, job.profile, rest["started"], job.seconds, job.cpus, job.limit_us)
    return document(run, reading, verdict, environment)
