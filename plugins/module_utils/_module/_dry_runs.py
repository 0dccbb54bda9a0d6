# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles' planned changes as findings, from their own modules in check mode.

So the wanted state has no second implementation: a planned change of a module is a difference of the machine.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .._audit.clock import check_changes, check_state
from .._audit.findings import Finding, change_finding, rule_of
from .._audit.switch import SHOW_QUEUES, check_links, check_placement, parse_placement
from .._boot.arguments import KernelArgumentError, find_conflicts
from .._boot.loader import DROP_IN as GRUB_DROP_IN
from .._boot.loader import GRUB_CFG, find_boot_loader
from .._cpus.errors import HostError
from .._cpus.partition import Partition
from .._cpus.topology import Topology
from .._devices.marks import PCI
from .._devices.virtual import is_number_file
from .._guests.roles import VHOST
from .._host.change import Change
from .._host.host import Host, Runner
from .._host.kernel import read_kernel
from .._host.paths import ARCHIVE, CONFIG_DIR, config_path
from .._host.trial import trial_of
from .._interrupts.irqbalance import IRQBALANCE_DROP_IN, plan_irqbalance
from .._interrupts.watcher import WATCHER, WATCHER_UNIT, plan_watcher
from .._isolation.cgroups import plan_slices
from .._memory.pools import pool_path
from .._node.archive import plan_service
from .._runtime.feature import must_wait
from .._switch.changes import SERVICE
from .._switch.daemon import is_installed
from .._time.services import ConflictError
from .._time.state import KEPT, read_kept, read_state, services_of
from .._time.wanted import Wanted
from . import kvm_host, ovs_dpdk, rt_domain, time_sync
from ._common import Body
from ._switch_edges import SwitchEdges

_THREAD = re.compile(r"domain (.+): (vcpu\d+|emulator|iothread\d+|vhost) (?:cpus|scheduler)")


@dataclass
class Specs:
    """The inventory's guests, networks and host; the keys are those of the modules' options."""

    networks: list[dict[str, Any]]
    guests: list[dict[str, Any]]
    host: Mapping[str, Any]
    switch: Mapping[str, Any]
    priority_limit: int

    @property
    def given(self) -> bool:
        return bool(self.networks or self.guests)

    @property
    def wants_guests(self) -> bool:
        return any(guest.get("state") != "absent" for guest in self.guests)

    @property
    def wants_switch(self) -> bool:
        return any(
            item.get("realtime", True) and item.get("datapath") in (None, "switch") and item.get("state") != "absent"
            for item in self.networks
        )

    @property
    def names(self) -> frozenset[str]:
        return frozenset(str(guest.get("name")) for guest in self.guests if guest.get("state") != "absent")


@dataclass
class Found:
    """The findings of a module in check mode."""

    findings: list[Finding] = field(default_factory=list)
    result: Mapping[str, Any] = field(default_factory=dict)


def _run(edges: SwitchEdges, owner: str, body: Body, parameters: Mapping[str, Any]) -> tuple[Host, Mapping[str, Any]]:
    trial = trial_of(edges.host, owner)
    outcome = body(replace(edges, host=trial), {"state": "present", "partition": None, **parameters})
    return trial, outcome.results


def _notes(trial: Host) -> list[Finding]:
    return [Finding("note", trial.owner, "-", note, "none: for information") for note in trial.notes]


# -- memory, switch, guests ------------------------------------------------------------------------


def host_outcome(edges: SwitchEdges, specs: Specs) -> Found:
    """Compare huge pages, mounts and KVM's parameters with the needs of guests and switch."""
    given = {"networks": specs.networks, "guests": specs.guests, **specs.host}
    trial, result = _run(edges, "kvm_host", kvm_host.run, given)
    functions = any(
        map(is_number_file, [change.resource for change in trial.changes])
    )  # their driver's choice is no second difference
    mounts = any(
        change.resource.startswith("mount:") for change in trial.changes
    )  # the units of a mount are no second difference
    findings = [
        change_finding(change, "kvm_host", _host_rule(change))
        for change in trial.changes
        if not (functions and change.resource.endswith("/sriov_drivers_autoprobe"))
        and change.resource != ARCHIVE
        and not (mounts and change.resource.endswith(".mount"))
    ]
    for row in result["hugepages"]:
        if row["size"] == "1G" and row["have"] < row["wanted"]:
            path = f"{pool_path(row['node'], '1G')}/nr_hugepages"
            remedy = "reboot the node into its arguments (site playbook)"
            findings.append(Finding("hugepages", path, str(row["wanted"]), str(row["have"]), remedy))
    return Found([*findings, *_notes(trial)], result)


def _host_rule(change: Change) -> str:
    if change.resource.startswith(f"{CONFIG_DIR}/"):
        return "options"
    return rule_of(change) if change.resource.startswith(("/sys/", "/proc/")) else "host-file"


def switch_outcome(edges: SwitchEdges, specs: Specs) -> Found:
    """Compare the switch with the networks and the guests' ports."""
    devices = any(item.get("device") for item in specs.networks)
    if specs.wants_switch and not is_installed(edges.host, devices=devices):
        names = ", ".join(str(item.get("name")) for item in specs.networks)
        missing = Finding(
            "switch-missing", "Open vSwitch", f"installed with DPDK, for {names}", "not complete", "run the ovs_dpdk role"
        )
        return Found([missing])
    given = {"networks": specs.networks, "guests": specs.guests, **specs.switch, "restart_with_guests": True}
    trial, result = _run(edges, "ovs_dpdk", ovs_dpdk.run, given)
    changes = trial.changes
    if any(change.resource.startswith("ovs:") for change in changes):  # a restart for these changes is no second difference
        changes = [change for change in changes if change.resource != SERVICE or change.before == "stopped"]
    findings = [change_finding(change, "ovs_dpdk", "switch") for change in changes]
    for row in result["unlisted"]:
        what = f"port {row['port']}" if row["port"] else f"bridge {row['bridge']}"
        findings.append(
            Finding(
                "switch-unlisted",
                what,
                "a network and guest of the inventory",
                "neither",
                "list it with state: absent, which removes it",
            )
        )
    return Found([*findings, *_notes(trial)], result)


def queue_findings(runner: Runner, switch: Mapping[str, Any]) -> list[Finding]:
    """Compare which thread serves which queue with the request in the database."""
    code, out, err = runner(SHOW_QUEUES)
    if code != 0:
        raise HostError(f"{' '.join(SHOW_QUEUES)} failed: {(err or out).strip()[-200:]}")
    return check_placement(switch["ports"], parse_placement(out))


def link_findings(edges: SwitchEdges, running: Collection[str]) -> list[Finding]:
    """Look at the links of the switch's ports; ``running``: the guests that run."""
    return check_links(edges.ovsdb(edges.host, edges.runner).read().interfaces.values(), running)


def guest_outcome(edges: SwitchEdges, specs: Specs, host: Mapping[str, Any], switch: Mapping[str, Any]) -> Found:
    """Compare definitions, states, threads and devices of guests with the inventory; ``host``, ``switch``: the results of kvm_host and ovs_dpdk."""
    given = {
        "networks": specs.networks, "guests": specs.guests, "priority_limit": specs.priority_limit, "hugepages": host.get("pages"), "site": "",
        "virtual_functions": host.get("virtual_functions"), "switch": switch.get("switch"),
        "restart": False, "shutdown_timeout_s": 120, "force_off": False, "stop_running": False, "switch_timeout_s": 0,
    }  # fmt: skip
    trial, result = _run(edges, "rt_domain", rt_domain.run, given)
    changes = [change for change in trial.changes if not _explained(edges.host, change)]
    whole = {change.resource for change in changes if re.fullmatch(r"domain [^:]+", change.resource)}
    findings = [
        change_finding(change, "rt_guest", _guest_rule(change))
        for change in changes
        if change.resource in whole or change.resource.partition(":")[0] not in whole
    ]
    for name, elements in result["restart_required"].items():
        actual = f"runs with an old {', '.join(elements)}"
        findings.append(
            Finding(
                "guest-restart",
                f"domain {name}",
                "as defined",
                actual,
                "set rt_guest_restart: true and run the site playbook, or restart it",
            )
        )
    for name in result["unlisted"]:
        remedy = "list it; with state: absent to remove it"
        findings.append(Finding("guest-unlisted", f"domain {name}", "in realtime_guests", "not listed", remedy))
    return Found([*findings, *_notes(trial)], result)


def _explained(host: Host, change: Change) -> bool:
    """Whether another rule names the reason of a change: interrupts have their own, and functions that are yet to be made."""
    address = re.match(r"pci:([^ ]+):\w+", change.resource)
    return change.resource.startswith("/proc/irq/") or bool(address and not host.exists(f"{PCI}/{address[1]}"))


def _guest_rule(change: Change) -> str:
    if change.resource.startswith("pci:"):
        return "device-driver" if change.resource.endswith(":driver") else "device-settings"
    if change.resource.startswith("/etc/"):
        return "host-file"
    thread = _THREAD.fullmatch(change.resource)
    if thread:
        return "vhost-thread" if thread[2] == VHOST else "guest-thread"
    return "guest-state" if change.resource.endswith((": state", ": restart")) else "guest-definition"


def named_threads(findings: Iterable[Finding]) -> set[tuple[str, str]]:
    """Return the threads of guests that findings name: guest and role."""
    found = (_THREAD.fullmatch(finding.resource) for finding in findings if finding.rule in ("guest-thread", "vhost-thread"))
    return {(match[1], match[2]) for match in found if match}


def remote_ports(switch: Mapping[str, Any], guests: Mapping[str, Any], topology: Topology) -> list[Finding]:
    """Return findings for guests' ports that are polled from another NUMA node than the guest's."""
    nodes = {guest["name"]: set(guest["nodes"]) for guest in guests.get("domains", ())}
    findings = []
    for port in switch.get("ports", ()):
        polled = {topology.cpus[cpu].node for cpu in port["affinity"].values() if cpu in topology.cpus}
        home = nodes.get(port["guest"], set())
        if home and polled - home:
            findings.append(
                Finding(
                    "pmd-remote",
                    f"port {port['name']}",
                    f"NUMA node {', '.join(map(str, sorted(home)))}",
                    f"polled from node {', '.join(map(str, sorted(polled - home)))}",
                    "add dataplane CPUs on that node (cpu_partition_dataplane_cores_per_node), or change numa_node of the guest",
                )
            )
    return findings


# -- the clock -------------------------------------------------------------------------------------


def clock_outcome(edges: SwitchEdges, specs: Specs) -> Found:
    """Compare the time service with what time_sync keeps on the node; nothing where it keeps nothing."""
    wanted = read_kept(edges.host)
    if wanted is None:
        lost = KEPT in trial_of(edges.host, "time_sync").entries("file")
        remedy = "run the site playbook (time_sync role)"
        return Found([Finding("unconfigured", KEPT, "the options of the time_sync role", "absent", remedy)] if lost else [])
    given = {**asdict(wanted), "networks": specs.networks, "take_over": True, "priority_limit": 99}
    try:
        trial, result = _run(edges, "time_sync", time_sync.run, given)
    except ConflictError as error:
        return Found([Finding("time-conflict", "clock", "one service", str(error), "end what has started it")])
    if not result["installed"]:
        return Found([Finding("time-service", wanted.source, "installed", "not installed", "run the time_sync role")])
    findings = check_changes(trial.changes, result["others"])
    named = [found.pid for found in services_of(edges.host, wanted).values()] if findings else []
    return Found(findings or _clock_state(edges, specs, wanted, result), {"named": named})


def _clock_state(edges: SwitchEdges, specs: Specs, wanted: Wanted, result: Mapping[str, Any]) -> list[Finding]:
    state, services = read_state(edges.host, edges.runner, wanted), services_of(edges.host, wanted)
    return check_state(wanted, state, services, hardware=result["stamping"] == "hardware", priority_limit=specs.priority_limit)


# -- boot loader, boot service, irqbalance ---------------------------------------------------------


def boot_findings(host: Host, runner: Runner, wanted: Mapping[str, Any], *, pending: bool) -> list[Finding]:
    """Compare the boot loader's next kernel and arguments with the plan, and look for conflicts in its files.

    ``pending``: report that another kernel runs than boots next.
    """
    trial = trial_of(host, "kernel_arguments")
    loader = find_boot_loader(trial, runner)
    conflicts = find_conflicts(loader.foreign(), wanted["tokens"])
    if conflicts:
        remedy = "remove it there, or change the variables that the plan is made from (cpu_partition_*, rt_kernel_*)"
        return [Finding("argument-conflict", item.where, item.wanted, item.foreign, remedy) for item in conflicts]
    try:
        following = loader.plan(wanted["tokens"], wanted["default_kernel"])
    except KernelArgumentError as error:
        remedy = "repair the named file, then run the site playbook (rt_kernel role)"
        return [Finding("boot-configuration", "boot loader", "passes the planned arguments", str(error), remedy)]
    edited = any(
        change.resource == GRUB_DROP_IN for change in trial.changes
    )  # the menu generated from it is no second difference
    findings = [
        change_finding(change, "rt_kernel", "boot-configuration")
        for change in trial.changes
        if not (edited and change.resource == GRUB_CFG)
    ]
    release = read_kernel(host).release
    if pending and following is not None and following.release != release and not findings:
        findings.append(
            Finding("reboot-pending", "running kernel", following.release, release, "reboot the node (site playbook)")
        )
    return findings


def service_findings(host: Host, partition: Partition) -> list[Finding]:
    """Compare the boot service with the role's version; an archive of another release and the files beside it are one finding."""
    trial = trial_of(host, "cpu_partition")
    plan_service(trial)
    other = [change for change in trial.changes if change.before is not None]
    if not any(change.resource == ARCHIVE for change in other):
        other = []
    findings = [change_finding(change, "cpu_partition", "boot-service") for change in trial.changes if change not in other]
    if other:
        found = change_finding(
            next(change for change in other if change.resource == ARCHIVE), "cpu_partition", "boot-service-old"
        )
        beside = ", ".join(change.resource for change in other if change.resource != ARCHIVE)
        findings.append(replace(found, actual=f"{found.actual}; beside it {beside}" if beside else found.actual))
    if partition.isolation == "runtime":
        slices = trial_of(host, "cpu_partition")
        plan_slices(slices, partition)
        findings += [change_finding(change, "cpu_partition", "host-file") for change in slices.changes]
    return findings


def irqbalance_files(host: Host, runner: Runner, partition: Partition) -> list[Finding]:
    """Compare the configuration of irqbalance's unit, if the role has made one; the process itself has its own rule."""
    trial = trial_of(host, "irq_affinity")
    if IRQBALANCE_DROP_IN not in trial.entries("file"):
        return []
    plan_irqbalance(trial, runner, partition)
    changes = [change for change in trial.changes if not change.resource.startswith("service:")]
    return [change_finding(change, "irq_affinity", "host-file") for change in changes]


def watcher_findings(host: Host, runner: Runner, partition: Partition) -> list[Finding]:
    """Compare the watcher of interrupts with its unit, if the role has made one, and say where it does not run."""
    trial = trial_of(host, "irq_affinity")
    if WATCHER_UNIT not in trial.entries("file") and not host.exists(WATCHER_UNIT):
        return []
    plan_watcher(trial, runner, partition, waits=must_wait(host, partition))
    findings = [change_finding(change, "irq_affinity", "host-file") for change in trial.changes if change.resource != WATCHER]
    if findings:
        return findings  # a watcher that does not run for this reason is no second difference
    remedy = "run the irq_affinity role; why it ended: journalctl -u realtime-kvm-watch"
    return [
        Finding("interrupt-watcher", "realtime-kvm-watch.service", change.after or "", change.before or "", remedy)
        for change in trial.changes
    ]


def unconfigured(partition: Partition, present: Iterable[str], specs: Specs) -> list[Finding]:
    """Name the roles that have not run on a node with a partition file; ``present`` are the features with options on the node."""
    if not partition.isolated:
        return []
    roles = {"cpu_partition": "cpu_partition", "cpu_power": "power", "irq_affinity": "irq_affinity"}
    roles.update({"kernel_arguments": "rt_kernel"} if partition.isolation == "boot" else {})
    roles.update({"kvm_host": "kvm_host"} if specs.given else {})
    there = set(present)
    return [
        Finding(
            "unconfigured",
            config_path(feature),
            f"the options of the {role} role",
            "absent",
            f"run the site playbook ({role} role)",
        )
        for feature, role in roles.items()
        if feature not in there
    ]
