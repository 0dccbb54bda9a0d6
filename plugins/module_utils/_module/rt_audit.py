# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_audit: compares the machine with its partition file and the guests' specs, and looks for every known conflict.

Each fault must have one finding. So once a rule has reported a thread or a file, rules that would follow from it stay
quiet; ``unchecked`` lists what could not be compared for that reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from .._audit.drift import (
    boot_run_findings,
    document_missing,
    feature_findings,
    interrupt_findings,
    kernel_findings,
    read_wanted_kernel,
    tuned_finding,
    with_gate,
)
from .._audit.findings import PLACES, Finding, check_document, finding_lines, in_order
from .._audit.guests import check_guests
from .._audit.inside import StealWatch, clock_findings, definition_findings
from .._audit.instances import instance_findings, power_finding
from .._audit.kernel import (
    check_arguments,
    check_idle,
    check_nova,
    check_platform,
    check_sets,
    check_untended,
    isolated_by,
    presumed_partition,
)
from .._audit.programs import check_programs, other_programs
from .._audit.read import (
    IdleWatch,
    daemon_findings,
    irqbalance_findings,
    kernel_priorities,
    read_actors,
    read_guests,
    read_platform,
    read_pmds,
)
from .._audit.slices import slice_findings, with_own_cpus
from .._audit.starved import StarvationWatch
from .._audit.switch import check_polling
from .._cpus.errors import HostError, RefusalError
from .._cpus.partition import Partition, PartitionError
from .._cpus.topology import Topology
from .._guests.kvm import SLICE, slices_of
from .._guests.libvirt import Domain
from .._guests.nova_options import read_nova
from .._host.document import read_partition
from .._host.journal import JOURNAL
from .._host.kernel import read_kernel
from .._host.paths import DOCUMENT, config_path
from .._host.sysfs import read_topology
from .._runtime.features import FEATURES
from .._runtime.options import read_options
from ._common import Outcome
from ._dry_runs import (
    Found,
    Specs,
    boot_findings,
    clock_outcome,
    guest_outcome,
    host_outcome,
    irqbalance_files,
    link_findings,
    named_threads,
    queue_findings,
    remote_ports,
    service_findings,
    switch_outcome,
    unconfigured,
    watcher_findings,
)
from ._ends import ENDS
from ._gathered import Gathered
from ._parts import check_interval
from ._specs import GUESTS, INSIDE
from ._switch_edges import SwitchEdges
from ._watching import switch_findings, watch_findings
from .cpu_partition_info import describe_node

HOST = {
    "socket_memory_mib": {"type": "int", "default": 0},
    "switch_pages": {"type": "str", "choices": ["2M", "1G"], "default": "2M"},
    "hugepages_reserve": {"type": "dict", "default": {}},
    "nx_huge_pages": {"type": "str", "choices": ["keep", "off", "never"], "default": "keep"},
    "halt_poll_ns": {"type": "int", "default": -1},
    "virtual_functions": {"type": "dict", "default": {}},
}
SWITCH = {
    "socket_memory_mib": {"type": "int", "default": 0},
    "pmd_sleep_max_us": {"type": "int", "default": 0},
    "dpdk_extra": {"type": "str", "default": ""},
    "socket_group": {"type": "str", "default": ""},
}
NOVA = {"priority": {"type": "int"}, "plain_pinned": {"type": "bool", "default": False}}
#: The module's options; M(rt_audit) describes them.
OPTIONS: dict[str, Any] = {
    **ENDS,
    "networks": GUESTS["networks"],
    "guests": GUESTS["guests"],
    "guest": INSIDE,
    "interval": {"type": "float", "default": 1.0},
    "priority_limit": {"type": "int"},
    "host": {"type": "dict", "default": {}, "options": HOST, "apply_defaults": True},
    "switch": {"type": "dict", "default": {}, "options": SWITCH, "apply_defaults": True},
    "nova": {"type": "dict", "default": {}, "options": NOVA, "apply_defaults": True},
    "fsroot": {"type": "path", "default": "/"},
}


def run(edges: SwitchEdges, parameters: dict[str, Any]) -> Outcome:
    """Read the node, compare, and return the broken rules; plans nothing."""
    check_interval(parameters["interval"])
    audit = _Audit(edges, parameters)
    audit.look()
    found = in_order(audit.findings)
    findings = [finding for finding in found if finding.severity != "info"]
    remarks = [finding for finding in found if finding.severity == "info"]
    results = {
        **describe_node(edges.host, audit.topology, audit.document),
        "findings": [finding.to_dict() for finding in findings],
        "findings_table": finding_lines(findings) or ["no finding: the machine is as it should be"],
        "remarks": [finding.to_dict() for finding in remarks],
        "remarks_table": finding_lines(remarks, PLACES),
        "unchecked": audit.parts.missing,
    }
    return Outcome(results)


class _Audit(Gathered):
    """One audit of a node, part by part."""

    def __init__(self, edges: SwitchEdges, parameters: Mapping[str, Any]) -> None:
        super().__init__()
        self.edges = edges
        self.host = host = edges.host
        self.runner = edges.runner
        self.parameters = parameters
        self.kernel = read_kernel(host)
        self.topology: Topology | None = None
        self.document: Partition | None = None
        self.polling: frozenset[int] = frozenset()  # CPUs of poll-mode threads
        self.clock: frozenset[int] = frozenset()  # processes of the time service that a finding names

    # -- the audit ---------------------------------------------------------------------------------

    def look(self) -> None:
        self._documents()
        partition = self.document
        if partition is None and self.topology is not None:
            isolated = self.kernel.isolated | isolated_by(self.kernel.cmdline)
            partition = presumed_partition(self.topology, isolated)
        if partition is None:
            return  # neither document nor topology: all findings have been made
        watch = IdleWatch(self.host, partition, self.parameters["interval"])
        stealing = StealWatch(self.host, partition)
        starving = StarvationWatch(self.host, partition, self.parameters["interval"])
        self.add("kernel", lambda: self._kernel(partition))
        named: set[tuple[str, str]] = set()
        listed: frozenset[str] = frozenset()
        specs = self._specs()
        domains = self._domains(specs)
        self._slices(partition, domains or {})
        if self.document is not None:
            self._services(self.document)
            listed, featured = self._planned(specs, domains)
            self._switch_itself(self.document, specs, domains)
            self._features(self.document, specs, without=featured)
            self._clock(specs)
            named = named_threads(self.findings)
        self.add("interrupts", lambda: interrupt_findings(self.host, partition))
        self.add("guests", lambda: self._running(partition, domains, listed, named))
        self.add("platform", lambda: self._platform(partition, watch))
        self.add("waiting work", starving.findings)
        if self.document is not None:
            self.add("the guest's definition", lambda: definition_findings(partition, self.parameters.get("guest")))
        if partition.guest is not None:
            self.add("the guest's clock", lambda: clock_findings(self.host))
            self.add("stolen time", stealing.findings)
        self.refused()

    def _documents(self) -> None:
        self.topology = self.read("topology", lambda: read_topology(self.host), None)
        try:
            self.host.journal.paths()
        except HostError as error:
            self.damaged(JOURNAL, error, "restore it from a backup, or move it away to give up undo")
        try:
            self.document = read_partition(self.host)
        except PartitionError as error:
            self.damaged(DOCUMENT, error, "run the site playbook (role cpu_partition), which writes it again")
        else:
            if self.document is None:
                self.findings.append(document_missing())
        if self.document is not None and self.topology is not None:
            self.findings += self._powered_off(self.document, self.topology) or check_document(self.document, self.topology)

    def _powered_off(self, document: Partition, topology: Topology) -> list[Finding]:
        """Return the finding of CPUs that Nova's power management has switched off; it explains that the topology differs."""
        offline = document.sets["realtime"] & topology.present - topology.online
        nova = read_nova(self.host)
        return [power_finding(offline, nova.power_file)] if offline and nova.offlines else []

    def _kernel(self, partition: Partition) -> Iterable[Finding]:
        wanted = None
        try:
            wanted = read_wanted_kernel(self.host)
        except HostError as error:
            self.damaged(config_path("kernel_arguments"), error, "run the rt_kernel role")
        if self.document is not None:
            self.findings += kernel_findings(self.kernel, self.document, wanted)
        if wanted is not None and self.document is not None and not self.host.captured:
            pending = not self.has("kernel")  # otherwise the needed reboot has been reported
            self.add("boot loader", lambda: boot_findings(self.host, self.runner, wanted, pending=pending))
        if self.topology is not None and not self.has("topology-changed", "nova-power"):
            yield from check_sets(partition, self.topology, documented=self.document is not None)
        options = self._options("cpu_power") or {}
        yield from check_arguments(
            self.kernel.cmdline,
            partition.isolated,
            threads_per_core=self.topology.threads_per_core if self.topology else 1,
            realtime=self.kernel.realtime,
            limited=options.get("cstates", "keep") != "keep",
            pstate_written=options.get("governor") == "performance",
        )

    def _clock(self, specs: Specs) -> None:
        """Look at the time service; its threads have no second finding."""
        if self.host.captured or JOURNAL in self.damaged_files() or self.has("topology-changed", "nova-power"):
            return
        found = self.attempt("the clock", lambda: clock_outcome(self.edges, specs))
        self.clock = frozenset(found.result.get("named", ())) if found else frozenset()

    def _options(self, feature: str) -> Mapping[str, Any] | None:
        try:
            return read_options(self.host, FEATURES[feature])
        except HostError:
            return None  # reported where features are compared

    def _services(self, document: Partition) -> None:
        self.add("boot service", lambda: service_findings(self.host, document))
        if not self.host.captured and not self.has("topology-changed", "nova-power"):
            self.add("what the boot service did", lambda: boot_run_findings(self.host, document))
        if JOURNAL not in self.damaged_files():
            self.add("irqbalance", lambda: irqbalance_files(self.host, self.runner, document))
            self.add("watcher of interrupts", lambda: watcher_findings(self.host, self.runner, document))
            self.add("metrics", lambda: watch_findings(self.host, self.runner, document))

    def _features(self, document: Partition, specs: Specs, without: Iterable[str]) -> None:
        """Compare the boot service's options, except for features whose module has already compared them."""
        present = {"kernel_arguments"} if self.host.exists(config_path("kernel_arguments")) else set()
        for feature in FEATURES:
            try:
                options = read_options(self.host, FEATURES[feature])
            except HostError as error:
                present.add(feature)
                path = config_path(feature)  # a module that would write it again reports no other difference
                self.findings = [item for item in self.findings if (item.rule, item.resource) != ("options", path)]
                self.damaged(path, error, f"run the {FEATURES[feature].role} role")
                continue
            if options is None:
                continue
            present.add(feature)
            if feature not in without:
                look = partial(feature_findings, self.host, document, feature, options)
                self.attempt(f"settings of {feature}", lambda look=look: Found(look()))  # type: ignore[misc]
        self.findings += unconfigured(document, present, specs)
        if not self.host.captured and document.isolated and document.guest is None:
            self.findings = with_gate(self.host, self.findings)
        tuned = tuned_finding(self.host)
        self.findings += [tuned] if tuned else []

    # -- guests and switch -------------------------------------------------------------------------

    def _specs(self) -> Specs:
        given = self.parameters
        limit = given["priority_limit"] or (self._options("cpu_partition") or {}).get("priority_limit", 1)
        return Specs(given["networks"], given["guests"], given["host"], given["switch"], limit)

    def _domains(self, specs: Specs) -> dict[str, Domain] | None:
        """Return libvirt's domains; None where it does not answer."""
        if self.host.captured:
            self.parts.absent("libvirt", "not looked for in a snapshot")
            return None
        reason = "libvirt, or its Python library, is not installed, or its sockets are off"
        try:
            libvirt = self.edges.libvirt
            connection = libvirt.connect(self.host) if libvirt.installed(self.host) else None
            if connection is not None:
                return connection.domains()
        except RefusalError as error:
            reason = str(error)
        if specs.wants_guests:
            names = ", ".join(sorted(specs.names))
            remedy = "run systemctl start libvirtd (or virtqemud.socket); the kvm_host role installs it"
            self.findings.append(Finding("libvirt-missing", "libvirt", f"an answer, for guests {names}", reason, remedy))
        if self.document is None or self.document.guest is None:  # a guest's inside has none
            self.parts.absent("libvirt", reason)
        return None

    def _slices(self, partition: Partition, domains: Mapping[str, Domain]) -> None:
        """Look at the slices of the domains that use isolated CPUs, whoever defined them."""
        for unit in slices_of(self.read("slices of guests", lambda: with_own_cpus(domains.values(), partition), [])):
            self.findings += slice_findings(self.host, partition, unit)

    def _planned(self, specs: Specs, domains: Mapping[str, Domain] | None) -> tuple[frozenset[str], set[str]]:
        """Compare with the inventory; return the guests whose threads were compared, and the features."""
        document, host, runner = self.document, self.host, self.runner
        if document is None or not specs.given or self.has("topology-changed", "nova-power"):
            return frozenset(), set()
        if host.captured:
            self.parts.absent("inventory", "guests and switch are not compared with a snapshot")
            return frozenset(), set()
        if SLICE not in {item.resource for item in self.findings if item.rule == "slice-limit"}:
            self.findings += slice_findings(host, document)
        switch = self.attempt("the switch", lambda: switch_outcome(self.edges, specs))
        if switch and switch.result and specs.wants_switch and not self.has("switch"):
            self.add("queues of the switch", lambda: queue_findings(runner, switch.result))
            running = {name for name, domain in (domains or {}).items() if domain.running}
            self.add("links of the switch", lambda: link_findings(self.edges, running))
        if domains is None and specs.wants_guests:
            self.parts.absent("guests", "not compared with the inventory, since libvirt does not answer")
            return frozenset(), set()
        memory = self.attempt("guests' memory", lambda: host_outcome(self.edges, specs)) if not self.has("slice-limit") else None
        planned = memory.result if memory else {}
        planned_switch = switch.result if switch else {}
        guests = None
        if domains is not None:
            guests = self.attempt("guests", lambda: guest_outcome(self.edges, specs, planned, planned_switch))
        if switch and guests and self.topology is not None:
            self.findings += remote_ports(switch.result, guests.result, self.topology)
        return specs.names if guests else frozenset(), {"kvm_host"} if memory else set()

    def _switch_itself(self, document: Partition, specs: Specs, domains: Mapping[str, Domain] | None) -> None:
        """Look at a switch that no inventory describes."""
        if specs.given or self.host.captured or JOURNAL in self.damaged_files() or self.has("topology-changed", "nova-power"):
            return
        running = {name for name, domain in (domains or {}).items() if domain.running}
        self.add("the switch itself", lambda: switch_findings(self.edges, document, running))

    def _running(
        self, partition: Partition, domains: Mapping[str, Domain] | None, listed: frozenset[str], named: set[tuple[str, str]]
    ) -> Iterable[Finding]:
        if self.topology is None:
            return []
        documented = self.document is not None
        actors = read_actors(self.host)
        sharing = {item.get("name") for item in self.parameters["guests"] if item.get("siblings", "idle") != "idle"}
        unknown = domains is None and not self.host.captured  # a libvirt that starts just now has not said what a guest wishes
        guests = [
            replace(guest, wish=unknown or guest.name in sharing)
            for guest in read_guests(self.host, actors, domains or {}, partition, listed)
        ]
        pmds = read_pmds(self.host, actors)
        # a poll-mode thread elsewhere has a finding of its own
        at_home = [pmd for pmd in pmds if not documented or pmd.cpus <= partition.sets["dataplane"]]
        found = check_guests(guests, partition, self.topology, self._priorities(partition), pmds=at_home, named=named)
        found += check_polling(pmds, partition, documented=documented, masked=self.has("pmd-mask"))
        nova, wanted = read_nova(self.host), self.parameters["nova"]
        configured = int(nova.priority) if nova.priority.isascii() and nova.priority.isdecimal() else None
        found += instance_findings(
            guests,
            partition,
            self.topology,
            priority=configured if wanted["priority"] is None else wanted["priority"],
            plain_pinned=wanted["plain_pinned"],
            named=named,
        )
        others = other_programs(actors, guests, pmds, partition, [*self.findings, *found])
        others = [actor for actor in others if actor.process not in self.clock]
        found += check_programs(others, guests, pmds, partition, self.topology, self.kernel.isolated)
        found += irqbalance_findings(self.host, actors, partition)
        found += daemon_findings(self.host, actors, partition, documented=documented)
        self.polling = frozenset(cpu for pmd in pmds if len(pmd.cpus) == 1 for cpu in pmd.cpus)
        return found + check_nova(nova.dedicated, nova.shared, partition.sets["dataplane"] | self.polling)

    def _priorities(self, partition: Partition) -> dict[int, int]:
        """Return the lowest priority of kernel threads by CPU, from the roles' options, else from the machine.

        A kernel thread that differs from the options has its own finding.
        """
        options = self._options("cpu_partition") if self.document is not None else None
        if options is not None:
            return dict.fromkeys(partition.isolated, int(options["priority_limit"]) + 1)
        return kernel_priorities(self.host)

    # -- the rest ----------------------------------------------------------------------------------

    def _platform(self, partition: Partition, watch: IdleWatch) -> Iterable[Finding]:
        platform = read_platform(self.host, partition, watch.states())
        found = [*check_platform(platform, self.kernel.cmdline), *check_idle(platform, partition)]
        return found if self.document is not None else found + check_untended(platform, partition, polling=self.polling)
