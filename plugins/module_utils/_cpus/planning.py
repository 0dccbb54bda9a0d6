# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans the partition of a machine: which CPU serves which set. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .answers import counted
from .counts import Counts, check_counts, on_node
from .cpulist import CpuListError, format_cpulist, parse_cpulist
from .partition import ISOLATED_SETS, ISOLATION_MODES, SETS, SMT_MODES, Partition, PartitionError
from .topology import Device, Topology


@dataclass(frozen=True)
class Intent:
    """The operator's request; the names are those of the module's options."""

    housekeeping_cores_per_node: Counts = 1
    dataplane_cores_per_node: Counts = 0
    dataplane_devices: tuple[str, ...] = ()
    shared_cores_per_node: Counts = 0
    realtime: str = "rest"  # or a number of cores per NUMA node
    smt: str = "single"
    isolation: str = "boot"
    cpus: Mapping[str, str] = field(default_factory=dict)


class _Planner:
    """One planning run: hands out whole cores, node by node, and records which set has them."""

    def __init__(self, topology: Topology, intent: Intent) -> None:
        self.topology = topology
        self.boot_cpu = topology.boot_cpu
        self.intent = intent
        self.nodes = {node: cpus for node, cpus in sorted(topology.nodes.items()) if cpus}
        barren = topology.without_memory & frozenset(self.nodes)
        #: The nodes whose cores the counts hand out: those with memory.
        self.served = [node for node in self.nodes if node not in barren]
        self.sets: dict[str, set[int]] = {name: set() for name in SETS}
        self.idle: set[int] = set()
        self.warnings: list[str] = []
        self._check_intent(barren)
        self.explicit = self._explicit_sets()
        self._check_barren(barren)
        self.free = {node: self._cores_in_order(node) for node in self.nodes}

    # -- input -------------------------------------------------------------------------------------

    def _check_intent(self, barren: frozenset[int]) -> None:
        intent = self.intent
        for variable, value, choices in (
            ("cpu_partition_smt", intent.smt, SMT_MODES),
            ("cpu_partition_isolation", intent.isolation, ISOLATION_MODES),
        ):
            if value not in choices:
                raise PartitionError(f"{variable}: {value!r} is neither {' nor '.join(choices)}")
        if "housekeeping" not in intent.cpus:
            check_counts("cpu_partition_housekeeping_cores_per_node", intent.housekeeping_cores_per_node, 1, self.nodes)
        for name in ("dataplane", "shared"):
            counts = getattr(intent, f"{name}_cores_per_node")
            check_counts(f"cpu_partition_{name}_cores_per_node", counts, 0, self.nodes, barren)

    def _explicit_sets(self) -> dict[str, frozenset[int]]:
        explicit: dict[str, frozenset[int]] = {}
        for name, text in self.intent.cpus.items():
            variable = f"cpu_partition_cpus.{name}"
            if name not in SETS:
                raise PartitionError(f"cpu_partition_cpus: {name!r} is not a CPU set; the sets are {', '.join(SETS)}")
            try:
                cpus = parse_cpulist(text)
            except CpuListError as error:
                raise PartitionError(f"{variable}: {error}") from None
            if not cpus:
                raise PartitionError(f"{variable}: the list {text!r} is empty; name CPUs or leave the key out")
            unknown = cpus - self.topology.possible
            if unknown:
                raise PartitionError(
                    f"{variable}: CPUs {format_cpulist(unknown)} do not exist; "
                    f"this node has {format_cpulist(self.topology.possible)}"
                )
            offline = cpus - self.topology.online
            if offline:
                raise PartitionError(
                    f"{variable}: CPUs {format_cpulist(offline)} are offline; "
                    f"online are {format_cpulist(self.topology.online)} (bring them online, or leave them out)"
                )
            for other, taken in explicit.items():
                if cpus & taken:
                    raise PartitionError(
                        f"{variable}: CPUs {format_cpulist(cpus & taken)} are also in cpu_partition_cpus.{other}; "
                        "every CPU belongs to one set"
                    )
            explicit[name] = cpus
        boot = self.boot_cpu
        for name in ISOLATED_SETS:
            if boot in explicit.get(name, ()):
                raise PartitionError(
                    f"cpu_partition_cpus.{name}: CPU {boot} is the boot CPU, which the kernel never isolates; "
                    f"leave CPUs {format_cpulist(self.topology.core_of(boot))} to housekeeping"
                )
        if boot in explicit.get("shared", ()) or ("housekeeping" in explicit and boot not in explicit["housekeeping"]):
            raise PartitionError(f"cpu_partition_cpus: the boot CPU {boot} must be in housekeeping")
        return explicit

    def _check_barren(self, barren: frozenset[int]) -> None:
        """Note NUMA nodes without memory, and refuse poll-mode threads there."""
        for node in sorted(barren):
            cpus = format_cpulist(self.nodes[node])
            polling = self.explicit.get("dataplane", frozenset()) & self.nodes[node]
            if polling:
                others = frozenset[int]().union(*(self.nodes[other] for other in self.served))
                raise PartitionError(
                    f"cpu_partition_cpus.dataplane: CPUs {format_cpulist(polling)} are on NUMA node {node}, which has no memory "
                    f"for packets; name CPUs of a node with memory ({format_cpulist(others)}), or fit memory there"
                )
            self.warnings.append(
                f"NUMA node {node} has CPUs {cpus} and no memory: they are housekeeping unless cpu_partition_cpus names them, "
                "and only guests with numa: spread can use them"
            )

    def _cores_in_order(self, node: int) -> list[frozenset[int]]:
        """Free cores of a node: the boot CPU's first, as housekeeping is served first; neighbours in cache together.

        Housekeeping and shared CPUs take slower cores before faster ones, since only the fastest kind is isolated unasked.
        """
        taken = frozenset().union(*self.explicit.values())  # one thread of a core is enough to keep it from the others
        members = self.nodes[node]

        def order(core: frozenset[int]) -> tuple[bool, bool, int, int]:
            cpu = self.topology.cpus[min(core)]
            return (self.boot_cpu not in core, not cpu.efficiency, cpu.l3, cpu.number)

        return sorted((core for core in self.topology.cores if core <= members and not core & taken), key=order)

    # -- handing out -------------------------------------------------------------------------------

    def _is_efficiency(self, core: frozenset[int]) -> bool:
        return self.topology.cpus[min(core)].efficiency

    def _give(self, name: str, cores: Iterable[frozenset[int]]) -> None:
        for core in cores:
            threads = {min(core)} if self.intent.smt == "single" and name in ISOLATED_SETS else set(core)
            self.sets[name] |= threads
            self.idle |= core - threads

    def _take(self, name: str, node: int, count: int, variable: str) -> None:
        isolated = name in ISOLATED_SETS
        usable = [core for core in self.free[node] if not (isolated and self._is_efficiency(core))]
        if len(usable) < count:
            slower = frozenset[int]().union(*(core for core in self.free[node] if core not in usable))
            kind = "free performance" if slower else "free"
            unasked = (
                f"; the slower CPUs {format_cpulist(slower)} are isolated only by cpu_partition_cpus.{name}" if slower else ""
            )
            raise PartitionError(
                f"{variable}: NUMA node {node} has {counted(len(usable), f'{kind} core')} left for {name}, {count} asked for; "
                f"the node's CPUs are {format_cpulist(self.nodes[node])} "
                f"({counted(sum(core <= self.nodes[node] for core in self.topology.cores), 'core')}){unasked}"
            )
        chosen = usable[:count]
        self.free[node] = [core for core in self.free[node] if core not in chosen]
        self._give(name, chosen)

    def _dataplane_cores(self) -> dict[int, int]:
        wanted = {node: on_node(self.intent.dataplane_cores_per_node, node, 0) for node in self.served}
        if not self.intent.dataplane_devices:
            return wanted
        counted = dict.fromkeys(self.served, 0)
        for device in self._devices().values():
            counted[self._polling_node(device)] += 1
        return {node: max(counted[node], wanted[node]) for node in self.served}

    def _devices(self) -> dict[str, Device]:
        """The devices to poll by PCI address or, without one, by name; a device named twice counts once."""
        found: dict[str, Device] = {}
        for wanted in self.intent.dataplane_devices:
            matches = [device for device in self.topology.devices if wanted in (device.name, device.address)]
            if not matches:
                known = ", ".join(d.name or str(d.address) for d in self.topology.devices) or "none"
                raise PartitionError(
                    f"cpu_partition_dataplane_devices: there is no network device {wanted!r} on this node; known are: {known}"
                )
            found.setdefault(matches[0].address or wanted, matches[0])
        return found

    def _polling_node(self, device: Device) -> int:
        """The node whose cores poll a device: its own, or the first when that is unknown or lacks CPUs or memory."""
        if device.node is not None and device.node in self.served:
            return device.node
        fallback = min(self.served)
        if len(self.nodes) > 1:
            lacks = "no memory" if device.node in self.nodes else "no CPUs"
            why, use = "the firmware names no NUMA node for it", ""
            if device.node is not None:
                why, use = (
                    f"its NUMA node {device.node} has {lacks}",
                    ", and ovs_dpdk refuses it, since a port's packet buffers are on its own node",
                )
            self.warnings.append(
                f"device {device.name or device.address}: {why}; its dataplane core is taken from NUMA node {fallback}{use}"
            )
        return fallback

    def plan(self) -> Partition:
        intent = self.intent
        for name, cpus in self.explicit.items():
            self._give_explicit(name, cpus)
        if "housekeeping" not in self.explicit:
            for node in self.nodes:
                if (self.free[node] and node in self.served) or self._hosts_isolated(node):
                    count = on_node(intent.housekeeping_cores_per_node, node, 1)
                    self._take("housekeeping", node, count, "cpu_partition_housekeeping_cores_per_node")
        if "dataplane" not in self.explicit:
            variable = "cpu_partition_dataplane_devices" if intent.dataplane_devices else "cpu_partition_dataplane_cores_per_node"
            for node, count in self._dataplane_cores().items():
                self._take("dataplane", node, count, variable)
        if "shared" not in self.explicit:
            for node in self.served:
                count = on_node(intent.shared_cores_per_node, node, 0)
                self._take("shared", node, count, "cpu_partition_shared_cores_per_node")
        if "realtime" not in self.explicit:
            self._give_realtime()
        self._give_what_is_left()
        partition = Partition(
            isolation=intent.isolation,
            smt=intent.smt,
            topology_digest=self.topology.digest(),
            sets={name: frozenset(cpus) for name, cpus in self.sets.items()},
            idle=frozenset(self.idle),
            nodes=self.nodes,
            boot_cpu=self.boot_cpu,
            warnings=tuple(self.warnings),
        )
        check_partition(partition, self.topology)
        if "dataplane" in self.explicit:
            self._check_device_nodes(partition)
        return partition

    def _give_explicit(self, name: str, cpus: frozenset[int]) -> None:
        self.sets[name] |= cpus
        if self.intent.smt == "single" and name in ISOLATED_SETS:
            everyone = frozenset().union(*self.explicit.values())
            for cpu in cpus:
                self.idle |= self.topology.core_of(cpu) - everyone

    def _give_what_is_left(self) -> None:
        """Give the CPUs that no variable names to housekeeping."""
        left = self.topology.online - set().union(*self.sets.values()) - self.idle
        if "housekeeping" not in self.explicit:
            self.sets["housekeeping"] |= left
        elif left:
            raise PartitionError(
                f"cpu_partition_cpus: CPUs {format_cpulist(left)} are in no set; add them to one, or leave housekeeping "
                "out of cpu_partition_cpus so that it takes what is left"
            )

    def _hosts_isolated(self, node: int) -> bool:
        return any(self.explicit.get(name, frozenset()) & self.nodes[node] for name in ISOLATED_SETS)

    def _give_realtime(self) -> None:
        wanted = self.intent.realtime
        if wanted == "rest":
            for node in self.served:
                self._give("realtime", [core for core in self.free[node] if not self._is_efficiency(core)])
            if not self.sets["realtime"]:
                efficiency = sum(map(self._is_efficiency, self.topology.cores))
                of_which = f" ({efficiency} efficiency, isolated only by cpu_partition_cpus.realtime)" if efficiency else ""
                raise PartitionError(
                    f"cpu_partition_realtime: no core is left for realtime; this node has "
                    f"{counted(len(self.topology.cores), 'core')} on {counted(len(self.nodes), 'NUMA node')}{of_which} "
                    "and the other sets take the rest (set cpu_partition_realtime: 0 for a node without realtime CPUs)"
                )
            return
        if not (wanted.isascii() and wanted.isdecimal()) or len(wanted) > 5:
            raise PartitionError(
                f"cpu_partition_realtime: {wanted!r} is neither 'rest' nor a number of cores per NUMA node; "
                "CPU lists go into cpu_partition_cpus.realtime"
            )
        for node in self.served:
            self._take("realtime", node, int(wanted), "cpu_partition_realtime")

    def _check_device_nodes(self, partition: Partition) -> None:
        for device in self._devices().values():
            if device.node is None or device.node not in self.served:
                continue  # its NUMA node is unknown, or cannot poll it
            if not partition.sets["dataplane"] & self.nodes[device.node]:
                raise PartitionError(
                    f"cpu_partition_cpus.dataplane: device {device.name or device.address} is on NUMA node {device.node}, "
                    f"where no dataplane CPU is; add one of CPUs {format_cpulist(self.nodes[device.node])}"
                )


def check_partition(partition: Partition, topology: Topology) -> None:
    """Raise ``PartitionError`` when an invariant is broken: the last check before anything is written."""
    sets = {**partition.sets, "idle": partition.idle}
    names = list(sets)
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            both = sets[one] & sets[other]
            if both:
                raise PartitionError(f"CPUs {format_cpulist(both)} are in {one} and in {other}; every CPU belongs to one set")
    everyone = frozenset().union(*sets.values())
    if everyone != topology.online:
        raise PartitionError(
            f"CPUs {format_cpulist(everyone ^ topology.online)}: the sets hold {format_cpulist(everyone)}, "
            f"online are {format_cpulist(topology.online)}"
        )
    _check_cores(partition, topology)
    housekeeping = partition.housekeeping
    if topology.boot_cpu not in housekeeping:
        raise PartitionError(f"cpu_partition_cpus: the boot CPU {topology.boot_cpu} must be in housekeeping")
    for node in topology.nodes_of(partition.sets["realtime"] | partition.sets["dataplane"]):
        if not housekeeping & topology.nodes[node]:
            isolated = format_cpulist(partition.isolated & topology.nodes[node])
            raise PartitionError(
                f"cpu_partition_cpus.housekeeping: NUMA node {node} has isolated CPUs {isolated} but no housekeeping CPU "
                "for their emulator threads and interrupts; leave it at least one whole core"
            )


def _check_cores(partition: Partition, topology: Topology) -> None:
    owner = {cpu: name for name, cpus in partition.sets.items() for cpu in cpus}
    split: dict[tuple[str, str], tuple[set[int], set[int]]] = {}
    for core in topology.cores:
        owners = sorted({owner[cpu] for cpu in core if cpu in owner}, key=lambda name: name not in ISOLATED_SETS)
        if len(owners) > 1:
            first, second = owners[:2]
            mine, theirs = split.setdefault((first, second), (set(), set()))
            mine |= {cpu for cpu in core if owner.get(cpu) == first}
            theirs |= {cpu for cpu in core if owner.get(cpu) == second}
        elif partition.smt == "single" and owners and owners[0] in ISOLATED_SETS:
            used = {cpu for cpu in core if cpu in owner}
            if len(used) > 1:
                raise PartitionError(
                    f"cpu_partition_cpus.{owners[0]}: CPUs {format_cpulist(used)} are threads of one core; "
                    "with cpu_partition_smt: single only one thread of an isolated core is used (name one of them, "
                    "or set smt to together)"
                )
    for (first, second), (mine, theirs) in split.items():
        remedy = "give whole cores"
        if partition.smt == "single":
            remedy = f"leave the siblings out of {second}"
        elif first in ISOLATED_SETS and second not in ISOLATED_SETS:
            remedy = "give whole cores or set cpu_partition_smt: single"
        raise PartitionError(
            f"cpu_partition_cpus: {first} CPUs {format_cpulist(mine)} are SMT siblings of "
            f"{second} CPUs {format_cpulist(theirs)}; {remedy}"
        )


def plan_partition(topology: Topology, intent: Intent) -> Partition:
    """Return the partition of a node.

    Each NUMA node gives its first cores to housekeeping (the boot CPU's core always), then to dataplane and
    shared as counted, and the rest to realtime. Explicit lists win over counts. Cores that share a last-level
    cache are handed out together; slower kinds of core are isolated only by explicit list, and serve the other sets first.
    Raises ``PartitionError`` when a request cannot be met.
    """
    return _Planner(topology, intent).plan()
