# SPDX-License-Identifier: GPL-3.0-or-later
"""The partition, the owners of its CPUs, and the kernel. Edge, read-only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from .._boot.compared import compare
from .._cpus.answers import AnswerError, decode
from .._cpus.cmdline import key_of
from .._cpus.cpulist import parse_or_empty
from .._cpus.errors import HostError
from .._cpus.machine import CPU_ROOT
from .._cpus.partition import ISOLATED_SETS, SETS, Partition
from .._host.document import read_partition
from .._host.host import Host
from .._host.kernel import read_kernel, read_online
from .._host.paths import config_path
from .._host.threads import SWITCH_PID, guest_name, guest_pids
from .._isolation.holders import HOLDERS
from .look import Look
from .samples import Samples

NODES = "/sys/devices/system/node"
_VCPU = re.compile(r"CPU (\d+)/\w+")
_PMD = re.compile(r"pmd-c(\d+)")
#: A real-time guest has an ordinary vCPU and a real-time one at least.
_LEAST = 2


def partition_samples(look: Look, out: Samples) -> None:
    """The sets. A file that cannot be read, or is of a newer release, leaves all that depends on it without series."""
    try:
        partition = look.partition = read_partition(look.host)
    finally:
        out.add("partition_valid", look.partition is not None and _is_present(look.host, look.partition))
    if partition is None:
        out.add("info", 1, look.release, "", "")
        return
    out.add("info", 1, look.release, partition.isolation, partition.smt)
    for name, cpus in sets_of(partition).items():
        out.add("set_cpus", len(cpus), name)


def sets_of(partition: Partition) -> dict[str, frozenset[int]]:
    """Return the sets, and the threads that are left idle."""
    return {**{name: partition.sets[name] for name in SETS}, "idle": partition.idle}


def _is_present(host: Host, partition: Partition) -> bool:
    """Whether the CPUs of the file are those that are online, in their NUMA nodes. Cores and caches are the audit's to compare."""
    online = read_online(host)
    nodes = {node: parse_or_empty(host.value(f"{NODES}/node{node}/cpulist")) & online for node in partition.nodes}
    if not any(nodes.values()):  # a kernel without NUMA
        return online == frozenset().union(*partition.nodes.values())
    return nodes == dict(partition.nodes) and online == frozenset().union(*nodes.values())


# -- owners ----------------------------------------------------------------------------------------


def owner_samples(look: Look, out: Samples) -> None:
    """Who owns each isolated CPU, and what is free."""
    partition = look.partition
    if partition is None:
        return
    owners = {cpu: ("held", f"holder of {name}") for name in ISOLATED_SETS for cpu in _held(look.host, name)}
    threads = sorted(_owners(look), key=lambda found: _RANK[found[1]])
    owners.update({cpu: (kind, owner) for cpu, kind, owner in reversed(threads)})
    names = {cpu: name for name, cpus in sets_of(partition).items() for cpu in cpus}
    for cpu in sorted(partition.isolated):
        kind, owner = owners.get(cpu, ("none", ""))
        out.add("cpu_owner_info", 1, cpu, names[cpu], owner, kind)
    busy = frozenset(cpu for cpu, (kind, _owner) in owners.items() if kind != "held") | look.taken
    largest = 0
    for node, cpus in sorted(partition.nodes.items()):
        mine = cpus & partition.sets["realtime"]
        out.add("realtime_cpus_free", len(mine - busy), node)
        largest = max(largest, sum(map(len, _free_cores(look.host, mine, busy))))
    out.add("largest_guest_vcpus", largest if largest >= _LEAST else 0)


_RANK = {"vcpu": 0, "pmd": 1, "program": 2}


def _held(host: Host, name: str) -> frozenset[int]:
    return parse_or_empty(host.value(f"{HOLDERS[name]}/cpuset.cpus"))


def _free_cores(host: Host, cpus: frozenset[int], busy: frozenset[int]) -> set[frozenset[int]]:
    """Return the cores of which no thread is in use, each with its threads among ``cpus``."""
    cores = {cpu: parse_or_empty(host.value(f"{CPU_ROOT}/cpu{cpu}/topology/thread_siblings_list")) | {cpu} for cpu in cpus}
    return {core & cpus for core in cores.values() if not core & busy}


def _owners(look: Look) -> Iterator[tuple[int, str, str]]:
    """Yield CPU, kind and name of the programs' threads that have isolated CPUs alone: vCPUs, poll-mode threads, and those bound to one CPU."""
    guests = {pid: name for name, pid in guest_pids(look.host).items()}
    switch = look.host.value(SWITCH_PID) or ""
    for pid in look.processes():
        for tid in look.threads(pid):
            cpus = look.allowed(pid, tid)
            if not cpus or not cpus <= look.isolated or look.is_kernel(pid):
                continue
            kind, owner = _described(look, pid, tid, guests, switch)
            if kind == "vcpu" or len(cpus) == 1:
                yield from ((cpu, kind, owner) for cpu in cpus)


def _described(look: Look, pid: int, tid: int, guests: dict[int, str], switch: str) -> tuple[str, str]:
    name = look.name(pid, tid)
    if vcpu := _VCPU.fullmatch(name):
        return "vcpu", f"{guests.get(pid) or guest_name(look.host, pid)} vcpu{vcpu[1]}"
    if pid in guests:
        return "program", f"{guests[pid]} {name}"
    polling = _PMD.match(name)
    return ("pmd", polling[0]) if polling and str(pid) == switch else ("program", name)


# -- kernel ----------------------------------------------------------------------------------------


def kernel_samples(look: Look, out: Samples) -> None:
    """The running kernel, and whether it is the documented one; without an opinion where kernel_arguments has never run."""
    kernel = read_kernel(look.host)
    out.add("kernel_info", 1, kernel.release, "true" if kernel.realtime else "false")
    if uptime := re.match(r"\d{1,12}(\.\d+)?(?=\s)", look.host.read("/proc/uptime") or "", re.ASCII):
        out.add("uptime_seconds", float(uptime[0]))
    path = config_path("kernel_arguments")
    text = look.host.read(path)
    if text is None or look.partition is None:
        return
    try:
        wanted = decode(text, {"default_kernel": (str, type(None)), "tokens": [str]})
    except AnswerError as error:
        raise HostError(f"{path} is damaged ({error}); run the rt_kernel role to write it again") from None
    pattern, keys = wanted["default_kernel"], {key_of(token) for token in wanted["tokens"]}
    same = compare([token for token in kernel.cmdline if key_of(token) in keys], wanted["tokens"]).equal
    named = not pattern or (fnmatchcase(kernel.release, pattern) and kernel.realtime)
    apart = look.partition.isolation != "boot" or kernel.isolated == look.partition.isolated
    out.add("kernel_as_documented", same and named and apart)
    isolates = look.partition.isolation != "boot" or bool(kernel.isolated) or not look.partition.isolated
    out.add("kernel_isolates", isolates and (not pattern or kernel.realtime))
