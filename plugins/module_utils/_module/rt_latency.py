# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_latency: measures latency and returns a verdict on the measurement."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from typing import Any

from .._cpus.cpulist import format_cpulist
from .._cpus.errors import HostError
from .._guests.domain_xml import describe, parse, read_schedulers
from .._guests.libvirt import CALL_S
from .._host.change import Planner
from .._host.deadline import within
from .._host.host import Host
from .._latency.choice import clock_of, disturbance, plan_job, platform_of
from .._latency.job import (
    MARGIN_S,
    Job,
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
    look,
    prolong,
    start,
    stop,
    wait,
)
from .._latency.place import Place
from .._latency.verdict import (
    LatencyError,
    Run,
    Verdict,
    document,
    find_doubts,
    judge,
    shortest,
    summary,
)
from .._metrics.kept import keep_latency
from ._common import Outcome
from ._guest_edges import GuestEdges

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
    return replace(outcome, results={**outcome.results, "platform": platform_of(place)})


def _measure(steps: Planner, place: Place) -> Outcome:
    job, environment = plan_job(place)
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
    return Outcome({**facts, "running": running, "joined": running, "finished": False}, after, [disturbance(place, job)])


def _await(place: Place, job: Job) -> dict[str, Any]:
    """Wait for the end of a measurement, return its result and remove its files."""
    machine, systemd = place.machine, place.systemd
    wait(machine, job.seconds + MARGIN_S, place.parameters["lease"], systemd=systemd)
    if is_running(machine, systemd=systemd):
        stop(machine, systemd=systemd)
    result = _poll(place)
    place.forget()
    return result


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
    _keep(place.host, result)
    return {
        "running": False,
        "finished": True,
        "result": result,
        "summary": summary(result),
        "virtual": result["verdict"]["virtual"],
        **_left(0),
    }


def _keep(host: Host, result: Mapping[str, Any]) -> None:
    """Keep the verdict for the node's metrics; a disk that is full takes no measurement back."""
    started = datetime.strptime(result["started"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    with suppress(HostError):
        keep_latency(host, result, started.timestamp() + result["seconds"])


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
    if ended := clock_of(place):
        environment["clock_after"] = ended["clock"]
    verdict: Verdict = judge(
        job.tool,
        reading,
        job.cpus,
        seconds=job.seconds,
        limit_us=job.limit_us,
        virtual=environment["virtual"],
        doubts=doubts,
    )
    host, guest = str(platform_of(place)["host"]), place.parameters["guest"] or None
    run = Run(host, guest, job.tool, job.profile, rest["started"], job.seconds, job.cpus, job.limit_us)
    return document(run, reading, verdict, environment)
