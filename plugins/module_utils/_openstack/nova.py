# SPDX-License-Identifier: GPL-3.0-or-later
"""What nova-compute is told: options from partition, networks and guests, and what it must not be told besides. Pure.

Options and rules: nova/conf/{compute,libvirt,neutron}.py and nova/virt/libvirt/driver.py (``_get_pcpu_available``, ``init_host``).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .._cpus.answers import plain
from .._cpus.cpulist import CpuListError, format_cpulist, parse_cpulist
from .._cpus.errors import RefusalError
from .._cpus.pages import PAGE_MIB
from .._cpus.partition import Partition
from .._memory.hugepages import Need
from .ini import DEFAULT, Option, Settings, is_true, split_list
from .instances import Sets
from .physnets import Physnet

DEDICATED: Option = ("compute", "cpu_dedicated_set")
SHARED: Option = ("compute", "cpu_shared_set")
PROVIDERS: Option = ("compute", "provider_config_location")
PRIORITY: Option = ("libvirt", "realtime_scheduler_priority")
POWER: Option = ("libvirt", "cpu_power_management")
STRATEGY: Option = ("libvirt", "cpu_power_management_strategy")
RESERVED: Option = (DEFAULT, "reserved_huge_pages")
PHYSNETS: Option = ("neutron", "physnets")
OVSDB: Option = ("os_vif_ovs", "ovsdb_connection")
HOST: Option = (DEFAULT, "host")
_PIN_SET: Option = (DEFAULT, "vcpu_pin_set")
_HOST_CPUS: Option = (DEFAULT, "reserved_host_cpus")
STATE: Option = (DEFAULT, "state_path")
#: What is taken from the operator's files, or must not be there.
READS = (PROVIDERS, STRATEGY, HOST, STATE, _PIN_SET, _HOST_CPUS)
#: Options of many values: Nova adds them up over all files.
COLLECTED = (RESERVED,)
#: The highest priority of SCHED_FIFO (sched(7)).
_MOST = 99


class NovaError(RefusalError):
    """nova-compute cannot be configured so; the message names variable or file, and what would work."""


@dataclass(frozen=True)
class Node:
    """What a node's options come from."""

    sets: Sets
    priority: int
    reserved: Mapping[tuple[int, str], int]  # pages by NUMA node and size
    physnets: Sequence[Physnet]
    ovsdb: str


def nova_options(node: Node, others: Settings) -> dict[Option, list[str]]:
    """Return the options to write, in the order of their sections; lists of the operator's keep their other items."""
    options: dict[Option, list[str]] = {}
    if node.reserved:
        options[RESERVED] = [
            f"node:{numa},size:{PAGE_MIB[size] * 1024},count:{pages}" for (numa, size), pages in sorted(node.reserved.items())
        ]
    options[DEDICATED] = [format_cpulist(node.sets.dedicated)]
    options[SHARED] = [format_cpulist(node.sets.shared)]
    options[PRIORITY] = [str(node.priority)]
    options[POWER] = ["false"]
    near = {physnet.name: physnet.node for physnet in node.physnets if physnet.node is not None}
    if near:
        options[PHYSNETS] = [",".join(dict.fromkeys([*split_list(others.value(PHYSNETS)), *near]))]
        options.update({(f"neutron_physnet_{name}", "numa_nodes"): [str(numa)] for name, numa in near.items()})
    options[OVSDB] = [node.ovsdb]
    return options


def check_priority(priority: int, limit: int) -> None:
    """Refuse a priority that is none, or not below the kernel's threads; the rule of guests of our own."""
    where = f"nova_compute_priority: {priority}"
    if not 1 <= priority <= _MOST:
        raise NovaError(f"{where} is not in 1-{_MOST}")
    if priority > limit:
        raise NovaError(
            f"{where} is not below the kernel's own threads: ksoftirqd and ktimers run at {limit + 1}, and a spinning vCPU above them stops "
            f"the CPU's timers; the highest that works is {limit} (realtime_priority_limit raises it)"
        )


def check_sets(sets: Sets, partition: Partition, online: frozenset[int]) -> None:
    """Refuse sets that Nova takes and then fails with, or that take CPUs from the operating system or the switch."""
    named = {"cpu_dedicated_set": sets.dedicated, "cpu_shared_set": sets.shared}
    if both := sets.dedicated & sets.shared:
        raise NovaError(
            f"CPUs {format_cpulist(both)} would be in cpu_dedicated_set and in cpu_shared_set; each belongs to one of them"
        )
    if partition.boot_cpu in sets.dedicated:
        raise NovaError(f"cpu_dedicated_set would have CPU {partition.boot_cpu}, the boot CPU, which the operating system needs")
    for name, cpus in named.items():
        if off := cpus - online:
            raise NovaError(
                f"{name} would have CPUs {format_cpulist(off)}, which are offline: nova-compute would fail in each update and stay up; "
                "switch them on, or run the cpu_partition role again"
            )
        if polled := cpus & partition.sets["dataplane"]:
            raise NovaError(f"{name} would have CPUs {format_cpulist(polled)}, on which the switch's poll-mode threads run")
    if not sets.dedicated:
        raise NovaError(
            f"no realtime CPU is left for Nova (realtime: {format_cpulist(partition.sets['realtime']) or 'none'}, and guests of this node have "
            "theirs); give the partition more (cpu_partition_realtime), or leave this role out of the node"
        )


def check_operator(others: Settings) -> None:
    """Refuse options in the operator's files that contradict ours."""
    for option, unset in (
        (_PIN_SET, r""),
        (_HOST_CPUS, r"[+-]?0*"),
    ):  # one is a list of CPUs, of which 0 is one; the other their number
        if not re.fullmatch(unset, (others.value(option) or "").strip()):
            raise NovaError(
                f"{others.file_of(option)}: [{option[0]}] {option[1]} is set, beside which nova-compute refuses cpu_dedicated_set and "
                "cpu_shared_set; remove it"
            )
    strategy = (others.value(STRATEGY) or "cpu_state").strip()
    if is_true(others.value(POWER)) and strategy == "cpu_state":
        raise NovaError(
            f"{others.file_of(POWER)}: [libvirt] cpu_power_management is on with strategy cpu_state, so nova-compute switches dedicated CPUs off "
            "at its start, under running guests and out of the partition; remove it (the power role sets idle states and frequencies)"
        )


def known_sets(settings: Settings) -> Sets:
    """Return the sets that nova-compute has by its files, as far as they can be read."""
    return Sets(*(_cpus(settings.value(option)) for option in (DEDICATED, SHARED)))


def _cpus(text: str | None) -> frozenset[int]:
    try:
        return parse_cpulist(text or "")
    except CpuListError:
        return frozenset()


def check_host(settings: Settings, given: str, node: str, role: str) -> str:
    """Return the name of the service's host; refuse one that nobody expects: ports are bound by it."""
    found = (settings.value(HOST) or "").strip() or node
    wanted = given or node
    if found != wanted:
        where = (
            f"{settings.file_of(HOST)}: [DEFAULT] host is {plain(found, 80)}"
            if settings.value(HOST)
            else f"the host name is {plain(found, 80)}"
        )
        raise NovaError(
            f"{where}, but {'nova_compute_host' if given else 'the host name of the node'} is {plain(wanted, 80)}. Nova and Neutron bind ports by "
            f"this name, and bandwidths by that of the hypervisor: set nova_compute_host: {plain(found, 80)} where all services of the node have "
            f"it ({role}), or remove the option"
        )
    return found


def overlaid(reserved: Iterable[tuple[int, str]], others: Settings) -> list[str]:
    """Return the operator's lines of reserved_huge_pages that ours replace; Nova takes the last of a node and size."""
    ours = {(str(node), PAGE_MIB[size] * 1024) for node, size in reserved}
    found = []
    for file in others.files:
        for line in file.values(RESERVED):
            said = dict(part.strip().partition(":")[::2] for part in line.split(","))
            if (said.get("node", "").strip(), _kib(said.get("size", ""))) in ours:
                found.append(f"{file.path}: {plain(line, 80)}")
    return found


def check_reserved_last(reserved: Iterable[tuple[int, str]], later: Settings) -> None:
    """Refuse lines of a node and size of ours in files that are read after it: Nova takes the last."""
    if lines := overlaid(reserved, later):
        raise NovaError(
            f"{lines[0]} ([DEFAULT] reserved_huge_pages) is read after this collection's file and would win over its count; take it out of there, or give "
            "the file a name that comes before"
        )


def _kib(size: str) -> int:
    """Return a page size in KiB; a number is KiB, others have a unit (oslo_utils/strutils.py, ``string_to_bytes``). 0 for another text."""
    found = re.fullmatch(r"(\d+)(?:([KMGT])i?B)?", size.strip())
    return int(found[1]) * (1024 ** "KMGT".index(found[2]) if found[2] else 1) if found else 0


def check_reserved(needs: Iterable[Need], total_mib: Mapping[int, int]) -> None:
    """Refuse more pages on a NUMA node than it has memory; nothing where the machine does not show its memory (a snapshot)."""
    by_node: dict[int, list[Need]] = {}
    for need in needs:
        by_node.setdefault(need.node, []).append(need)
    for node, wanted in sorted(by_node.items()):
        asked = sum(need.mib for need in wanted)
        if total_mib and asked > total_mib.get(node, 0):
            who = "; ".join(f"{need.size}: {need.describe(PAGE_MIB[need.size])}" for need in wanted)
            raise NovaError(
                f"NUMA node {node} has {total_mib.get(node, 0)} MiB of memory, of which Nova must leave {asked} MiB in huge pages (MiB of {who}); lower "
                "nova_compute_hugepages_reserve, or move guests"
            )


def provider_folder(others: Settings, default: str) -> str:
    """Return the folder of provider configurations; a relative one depends on the folder in which nova-compute runs."""
    found = others.value(PROVIDERS) or default
    if not posixpath.isabs(found):
        raise NovaError(
            f"{others.file_of(PROVIDERS)}: [compute] provider_config_location is {plain(found, 120)}, which is no whole path; write it as one"
        )
    return found.rstrip("/") or default
