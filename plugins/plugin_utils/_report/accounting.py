# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The owners of a node's CPUs, huge pages, ports, devices and interrupts, and since when. Pure.

The input is the result of ``rt_node_info``. A running guest's CPUs are those of its threads, a stopped guest's those of
its definition.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any, NamedTuple

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.pages import PAGE_MIB
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import (
    SETS,
    Partition,
    PartitionError,
    partition_from_document,
)
from ansible_collections.realtime.kvm.plugins.module_utils._guests.roles import VHOST
from ansible_collections.realtime.kvm.plugins.plugin_utils._natural import natural

from .facts import cpus_of, existing_of, memory_of, since_of, switch_memory, threads_of, topology_of
from .fit import Fit, Room, largest_on_node, largest_spread

#: Kinds of owners beside guests.
SWITCH, HOST, FREE = "switch", "host", "free"
#: Between the roles of one guest's threads on one CPU.
BESIDE = ", "
#: The names for sums without owner or project.
PLATFORM, UNTOLD = "(platform)", "(not named)"


#: The fields of a row that are no text.
_KINDS: Mapping[str, tuple[type, ...]] = {"amount": (int, float), "exclusive": (bool,)}


class Holding(NamedTuple):
    """A row of the accounting: one resource of one owner."""

    node: str
    kind: str  # cpu, hugepages, memory, port, device, irq
    resource: str
    cpus: str  # a cpulist, of CPUs and interrupts
    amount: int
    unit: str  # CPU, vCPU, thread, MiB, port, device, interrupt
    numa_node: str
    set: str  # of the partition
    exclusive: bool
    user_kind: str  # guest, switch, host, free
    user: str
    role: str
    owner: str
    project: str
    guest_class: str
    manager: str  # realtime.kvm, nova, or empty if unknown
    state: str  # running or reserved
    since: str
    basis: str  # the source of "since": process, created, definition, document, boot
    instance: str = ""  # the name of an instance of nova, whose domain is ``user``
    owner_id: str = ""  # of nova's user and project, since two may have one name
    project_id: str = ""


class Account:
    """The accounting of one node."""

    def __init__(self, name: str, info: Mapping[str, Any]) -> None:
        self.name = name
        self.info = info
        self.topology = topology_of(info.get("topology") or {})
        self.partition, self.refusal = self._read_partition()
        self.guests: Sequence[Mapping[str, Any]] = info.get("guests") or []
        self.switch: Mapping[str, Any] = info.get("switch") or {}
        self._threads: dict[str, dict[str, frozenset[int]]] = {}
        self.set_of: dict[int, str] = {}
        if self.partition:
            self.set_of = {cpu: name for name in SETS for cpu in self.partition.sets[name]}
            self.set_of.update(dict.fromkeys(self.partition.idle, "idle"))

    def _read_partition(self) -> tuple[Partition | None, str]:
        document = self.info.get("partition") or {}
        if not document:
            return None, "this node has no partition file"
        try:
            partition = partition_from_document(document)
        except PartitionError as error:
            return None, str(error)
        if self.topology is None or partition.topology_digest != self.topology.digest():
            return partition, "the partition file describes another topology than the node has; run the cpu_partition role"
        return partition, ""

    # -- rows ---------------------------------------------------------------------------------------

    @cached_property
    def holdings(self) -> list[Holding]:
        """Every row, in the order CPUs, memory, ports, devices, interrupts; ``TypeError`` where the node answered something else."""
        rows = [*self._cpus(), *self._memory(), *self._ports(), *self._devices(), *self._interrupts()]
        for row in rows:
            for name, value in zip(row._fields, row):
                if type(value) not in _KINDS.get(name, (str,)):
                    raise TypeError(f"{name} of {row.kind} {row.resource} is {value!r}")
        return rows

    def _row(
        self, kind: str, resource: str, amount: int, unit: str, *, guest: Mapping[str, Any] | None = None, **more: Any
    ) -> Holding:
        running = guest is None or guest["state"] == "running"
        fields: dict[str, Any] = {
            "cpus": "", "numa_node": "", "set": "", "exclusive": True, "user_kind": HOST, "user": "operating system", "role": "",
            "owner": "", "project": "", "guest_class": "", "manager": "", "since": self.info.get("booted", ""), "basis": "boot",
        }  # fmt: skip
        if guest is not None:
            since, basis = since_of(guest)
            fields.update(
                user_kind="guest", user=guest["name"], owner=guest["owner"], project=guest["project"], guest_class=guest["class"],
                manager=guest["manager"], since=since, basis=basis,
                **{key: guest.get(key, "") for key in ("instance", "owner_id", "project_id")},
            )  # fmt: skip
        fields.update(more)
        state = fields.pop("state", "running" if running else "reserved")
        return Holding(node=self.name, kind=kind, resource=resource, amount=amount, unit=unit, state=state, **fields)

    def threads(self, guest: Mapping[str, Any]) -> dict[str, frozenset[int]]:
        """Return the CPUs of each thread of a guest; parsed once."""
        name = guest["name"]
        if name not in self._threads:
            self._threads[name] = threads_of(guest)
        return self._threads[name]

    @cached_property
    def users(self) -> dict[int, list[tuple[str, str, str]]]:
        """Return the owner of each CPU with a single owner: kind, name and role."""
        found: dict[int, list[tuple[str, str, str]]] = {}
        for guest in self.guests:
            helpers: dict[int, list[str]] = {}  # an emulator and its I/O threads may have one CPU
            for role, cpus in self.threads(guest).items():
                if len(cpus) == 1 and role.startswith("vcpu"):
                    found.setdefault(min(cpus), []).append(("guest", guest["name"], role))
                elif len(cpus) == 1 and self.set_of.get(min(cpus)) == "realtime":
                    helpers.setdefault(min(cpus), []).append(role)
            for cpu, roles in helpers.items():
                beside = [user for user in found.get(cpu, ()) if user[1] == guest["name"]]
                if beside and roles == [VHOST]:  # on the CPU of the vCPU that it serves
                    found[cpu].remove(beside[0])
                    roles = [beside[0][2], *roles]
                found.setdefault(cpu, []).append(("guest", guest["name"], BESIDE.join(roles)))
        for cpu, thread in (self.switch.get("pmds") or {}).items():
            found.setdefault(int(cpu), []).append((SWITCH, "the switch", thread))
        return found

    def owns(self, guest: Mapping[str, Any], role: str, cpu: int) -> bool:
        """Whether a thread of a guest is an owner of a CPU."""
        return any(user[1] == guest["name"] and role in user[2].split(BESIDE) for user in self.users.get(cpu, ()))

    def _cpus(self) -> Iterator[Holding]:
        by_name = {guest["name"]: guest for guest in self.guests}
        document: dict[str, Any] = {"since": self.info.get("partition_since", ""), "basis": "document"}
        nodes = {number: str(cpu.node) for number, cpu in self.topology.cpus.items()} if self.topology else {}
        for cpu in sorted(nodes):
            place: dict[str, Any] = {
                "cpus": str(cpu),
                "numa_node": nodes[cpu],
                "set": self.set_of.get(cpu, ""),
            }
            for kind, user, role in self.users.get(cpu, ()):
                if kind == SWITCH:
                    since: dict[str, Any] = {"since": self.switch.get("running_since", ""), "basis": "process"}
                    yield self._row("cpu", f"CPU {cpu}", 1, "CPU", user_kind=kind, user=user, role=role, **place, **since)
                else:
                    alone = place["set"] not in (
                        "housekeeping",
                        "shared",
                    )  # in these sets other threads may run on the same CPU, pinned or not
                    unit = "CPU" if alone else "vCPU"
                    yield self._row("cpu", f"CPU {cpu}", 1, unit, guest=by_name[user], role=role, exclusive=alone, **place)
            if cpu in self.users:
                continue
            if place["set"] in ("realtime", "dataplane", "idle"):
                role = "stranded" if cpu in self.stranded else "left idle" if place["set"] == "idle" else ""
                yield self._row(
                    "cpu", f"CPU {cpu}", 1, "CPU", user_kind=FREE, user="", role=role, state="free", **place, **document
                )
            else:
                yield self._row("cpu", f"CPU {cpu}", 1, "CPU", exclusive=False, **place, **(document if place["set"] else {}))
        for guest in self.guests:
            yield from self._floating(guest)

    @cached_property
    def floating(self) -> dict[int, list[str]]:
        """Return for each CPU the guests with vCPUs that float there."""
        found: dict[int, list[str]] = {}
        for guest in self.guests:
            cpus: set[int] = set()
            for role, allowed in self.threads(guest).items():
                if role.startswith("vcpu") and len(allowed) > 1:
                    cpus |= allowed
            for cpu in cpus:
                found.setdefault(cpu, []).append(guest["name"])
        return found

    def _floating(self, guest: Mapping[str, Any]) -> Iterator[Holding]:
        """Yield threads that share their CPUs, one row for threads on the same CPUs."""
        groups: dict[tuple[str, frozenset[int]], list[str]] = {}
        for role, cpus in self.threads(guest).items():
            if len(cpus) != 1 or not self.owns(guest, role, min(cpus)):
                kind = "vCPU" if role.startswith("vcpu") else "thread"
                groups.setdefault((kind, cpus), []).append(role)
        for (unit, cpus), roles in groups.items():
            text = format_cpulist(cpus)
            role = f"{len(roles)} vCPUs" if unit == "vCPU" and len(roles) > 1 else ", ".join(roles)
            sets = "+".join(name for name in (*SETS, "idle") if any(self.set_of.get(cpu) == name for cpu in cpus))
            resource = f"CPUs {text}" if text else "any CPU"
            yield self._row("cpu", resource, len(roles), unit, guest=guest, cpus=text, role=role, set=sets, exclusive=False)

    @cached_property
    def stranded(self) -> frozenset[int]:
        """Free realtime CPUs on cores that a guest partly uses: guests share no core, so no other guest gets them."""
        if self.topology is None or self.partition is None:
            return frozenset()
        realtime = self.partition.sets["realtime"] & frozenset(self.topology.cpus)
        return frozenset(
            cpu for cpu in realtime if cpu not in self.users and any(other in self.users for other in self.topology.core_of(cpu))
        )

    def _memory(self) -> Iterator[Holding]:
        known: dict[tuple[str, str], int] = {}
        for guest in self.guests:
            for node, size, mib in memory_of(guest):
                kind = "memory" if size == "none" else "hugepages"
                where = f"NUMA node {node}" if node else "any NUMA node"
                resource = f"{where}, {size} pages" if kind == "hugepages" else where
                yield self._row(kind, resource, mib, "MiB", guest=guest, numa_node=node)
                if guest["state"] == "running":
                    known[node, size] = known.get((node, size), 0) + mib
        pools = {
            (node, size): (pool["have"] - pool["free"]) * PAGE_MIB[size]
            for node, memory in (self.info.get("memory") or {}).items()
            for size, pool in memory["pages"].items()
        }
        since: dict[str, Any] = {"since": self.switch.get("running_since", ""), "basis": "process"}
        for number, mib in switch_memory(self.switch).items():
            node = str(number)
            size = "1G" if pools.get((node, "2M"), 0) < mib <= pools.get((node, "1G"), 0) else "2M"
            resource = f"NUMA node {node}, {size} pages"
            yield self._row("hugepages", resource, mib, "MiB", user_kind=SWITCH, user="the switch", numa_node=str(node), **since)
            known[node, size] = known.get((node, size), 0) + mib
        for (node, size), used in pools.items():
            rest = used - known.get((node, size), 0)
            if rest > 0:
                resource = f"NUMA node {node}, {size} pages"
                yield self._row("hugepages", resource, rest, "MiB", user="not attributed", numa_node=node)

    def _ports(self) -> Iterator[Holding]:
        interfaces = [(port, item) for port in self.switch.get("ports") or () for item in port["interfaces"]]
        by_key = {key: pair for pair in interfaces for key in (pair[1]["socket"], pair[1]["mac"]) if key}
        taken = set()
        for guest in self.guests:
            for port in guest["ports"]:
                found = by_key.get(port["source"]) or by_key.get(port["mac"])
                if found:
                    taken.add(found[1]["name"])
                    resource = f"{found[0]['bridge']}/{found[1]['name']}"
                else:
                    resource = port["source"] or port["mac"]
                yield self._row("port", resource, 1, "port", guest=guest, role=port["type"], cpus=_queue_cpus(found))
        since: dict[str, Any] = {"since": self.switch.get("running_since", ""), "basis": "process"}
        by_name = {guest["name"]: guest for guest in self.guests}
        for port, item in interfaces:
            if item["name"] in taken:
                continue
            resource, cpus = f"{port['bridge']}/{item['name']}", _queue_cpus((port, item))
            role = item["type"] or "system"
            if item["guest"] in by_name:
                yield self._row("port", resource, 1, "port", guest=by_name[item["guest"]], role=role, cpus=cpus)
            else:
                user: dict[str, Any] = {"user_kind": SWITCH, "user": "the switch"}
                yield self._row(
                    "port", resource, 1, "port", role=" ".join(filter(None, (role, item["device"]))), cpus=cpus, **user, **since
                )

    def _devices(self) -> Iterator[Holding]:
        for guest in self.guests:
            for address in guest["devices"]:
                yield self._row("device", address, 1, "device", guest=guest, role="passed through")

    def _interrupts(self) -> Iterator[Holding]:
        owners = {address: guest for guest in self.guests for address in guest["devices"]}
        for irq in (self.info.get("interrupts") or {}).get("irqs", ()):
            actions = ", ".join(irq["actions"])
            guest = next((guest for address, guest in owners.items() if address in actions), None)
            sets = {self.set_of.get(cpu, "") for cpu in cpus_of(irq["cpus"])}
            names = "+".join(name for name in (*SETS, "idle") if name in sets)
            more = {"cpus": irq["cpus"], "set": names, "exclusive": False, "role": actions}
            yield self._row("irq", f"IRQ {irq['irq']}", 1, "interrupt", guest=guest, **more)

    # -- capacity ------------------------------------------------------------------------------------

    @cached_property
    def capacity(self) -> dict[str, Any]:
        """The total, used, free and stranded amounts, and the largest real-time guest that still fits."""
        return {
            "cpus": self._cpu_capacity(),
            "hugepages": self._page_capacity(),
            "memory": self._memory_capacity(),
            **self._largest(),
        }

    def _cpu_capacity(self) -> dict[str, dict[str, int]]:
        found = {}
        for name in (*SETS, "idle") if self.partition else ():
            cpus = {cpu for cpu, of in self.set_of.items() if of == name}
            alone = name in ("realtime", "dataplane")
            used = {cpu for cpu in cpus if cpu in self.users} if alone else set() if name == "idle" else cpus
            stranded = cpus & self.stranded
            free = len(cpus - used - stranded) if alone else 0
            found[name] = {"capacity": len(cpus), "used": len(used), "stranded": len(stranded), "free": free}
        return found

    def _page_capacity(self) -> list[dict[str, Any]]:
        found = []
        for node, memory in (self.info.get("memory") or {}).items():
            for size, pool in memory["pages"].items():
                if pool["have"]:
                    page = PAGE_MIB[size]
                    used, reserved = pool["have"] - pool["free"], 0
                    for guest in self.guests:
                        if guest["state"] != "running":
                            reserved += sum(mib for where, kind, mib in memory_of(guest) if (where, kind) == (node, size))
                    reserved = min(reserved, pool["free"] * page)
                    free = pool["free"] * page - reserved
                    figures = {"capacity": pool["have"] * page, "used": used * page, "reserved": reserved, "free": free}
                    found.append({"numa_node": node, "size": size, **figures})
        return found

    def _memory_capacity(self) -> list[dict[str, Any]]:
        return [
            {
                "numa_node": node,
                "total_mib": memory["total_mib"],
                "free_mib": memory["free_mib"],
                "guest_mib": memory["guest_mib"],
            }
            for node, memory in (self.info.get("memory") or {}).items()
        ]

    def _largest(self) -> dict[str, Any]:
        if self.partition is None or self.topology is None or self.refusal:
            nothing = asdict(Fit(reason=self.refusal or "the node's topology could not be read"))
            return {"largest": nothing, "largest_spread": nothing, "largest_by_numa_node": []}
        memory = {int(node): item["guest_mib"] for node, item in (self.info.get("memory") or {}).items()}
        for node, mib in switch_memory(self.switch).items():
            memory[node] = max(memory.get(node, 0) - mib, 0)
        polling = {int(cpu): name for cpu, name in (self.switch.get("pmds") or {}).items()}
        room = Room(self.partition, self.topology, [existing_of(guest) for guest in self.guests], memory or None, polling)
        nodes = [node for node in sorted(self.partition.nodes) if self.partition.nodes[node] & self.partition.sets["realtime"]]
        fits = [largest_on_node(room, node) for node in nodes]
        best = max(fits, key=lambda fit: (fit.vcpus, fit.memory_mib), default=Fit(reason="this node has no realtime CPUs"))
        spread = largest_spread(room) if len(nodes) > 1 else best
        return {"largest": asdict(best), "largest_spread": asdict(spread), "largest_by_numa_node": [asdict(fit) for fit in fits]}


def _queue_cpus(found: tuple[Mapping[str, Any], Mapping[str, Any]] | None) -> str:
    return format_cpulist(found[1]["queues"].values()) if found else ""


# -- sums ------------------------------------------------------------------------------------------

SUMS = ("own_cpus", "guests", "nodes", "shared_vcpus", "memory_mib", "hugepages_mib", "ports", "devices", "interrupts")

#: The sums of a report, each with the column that they are by.
SUMS_BY = {"owners": "owner", "projects": "project", "classes": "guest_class"}


def sums(holdings: Iterable[Holding], key: str) -> list[dict[str, Any]]:
    """Return the sums of each owner, project or guest_class (``key``) by name; switch and host belong to the platform.

    Where several users or projects of nova have one name, their ids are added to it.
    """
    rows = [row for row in holdings if row.user_kind != FREE]
    names = _names(rows, key)
    found: dict[str, dict[str, Any]] = {}
    guests: dict[str, set[tuple[str, str]]] = {}
    nodes: dict[str, set[str]] = {}
    column = {"hugepages": "hugepages_mib", "memory": "memory_mib", "port": "ports", "device": "devices", "irq": "interrupts"}
    for row in rows:
        name = names[_identity(row, key)] if row.user_kind == "guest" else PLATFORM
        entry = found.setdefault(name, dict.fromkeys(SUMS, 0))
        nodes.setdefault(name, set()).add(row.node)
        if row.user_kind == "guest":
            guests.setdefault(name, set()).add((row.node, row.user))
        if row.kind == "cpu":
            entry["own_cpus"] += row.amount if row.exclusive else 0
            entry["shared_vcpus"] += row.amount if row.unit == "vCPU" else 0
        else:
            entry[column[row.kind]] += row.amount
    for name, entry in found.items():
        entry.update(guests=len(guests.get(name, ())), nodes=len(nodes[name]))
    return [{key: name, **found[name]} for name in sorted(found, key=natural)]


def _identity(row: Holding, key: str) -> tuple[str, str]:
    """Return the name and the id of a guest's owner, project or class; a class has no id."""
    return getattr(row, key), getattr(row, f"{key}_id", "")


def _names(rows: Iterable[Holding], key: str) -> dict[tuple[str, str], str]:
    """Return how each owner or project is called: by its name, with its id where another one has the same name."""
    known = {_identity(row, key) for row in rows if row.user_kind == "guest"}
    ids: dict[str, set[str]] = {}
    for name, number in known:
        ids.setdefault(name, set()).add(number)
    return {
        (name, number): f"{name or UNTOLD} ({number})" if number and (len(ids[name]) > 1 or not name) else name or UNTOLD
        for name, number in known
    }
