# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_node_info: a node's resources and their users, in one read; a part that cannot be read is named."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import partial
from typing import Any

from .._cpus.cpulist import format_cpulist
from .._cpus.document import describe_cpus, to_document
from .._cpus.pages import PAGE_MIB
from .._devices.marks import functions_of
from .._guests.domain_owner import owner_of
from .._guests.domain_xml import whole
from .._guests.libvirt import Domain
from .._guests.roles import WORKER
from .._guests.threads import guest_pid, polling_cpus
from .._host.document import read_partition
from .._host.host import Host
from .._host.kernel import read_kernel
from .._host.paths import DOCUMENT
from .._host.sysfs import read_topology
from .._host.threads import SWITCH_PID, read_thread
from .._interrupts.counts import Counts, load, parse_interrupt_counts, rates
from .._interrupts.interrupts import read_interrupts
from .._memory.pools import guest_memory_mib, process_pages, read_memory, read_pool
from .._switch.conflicts import AFFINITY_KEY
from .._switch.plan import parse_affinity
from .._switch.rows import Database, Row
from .._time.state import describe
from ._common import Outcome
from ._parts import Parts, check_interval
from ._switch_edges import SwitchEdges
from .rt_domain_info import describe_domain

FORMAT = 1
DEFINITIONS = "/etc/libvirt/qemu"


def run(edges: SwitchEdges, parameters: dict[str, Any]) -> Outcome:
    """Read and return the node; plans nothing."""
    check_interval(parameters["interval"])
    host, parts = edges.host, Parts()
    clock = _Clock(host)
    first, begun = _counts(host), time.monotonic()
    node: dict[str, Any] = {
        "format": FORMAT,
        "captured": host.captured,
        "read": _iso(time.time()),
        "hostname": host.value("/proc/sys/kernel/hostname") or "",
        "booted": clock.boot,
        "topology": parts.read("topology", lambda: describe_cpus(read_topology(host)), {}),
        "kernel": parts.read("kernel", lambda: _kernel(host), {}),
        "partition": parts.read("partition file", lambda: _partition(host, parts), {}),
        "partition_since": _modified(host, DOCUMENT),
        "memory": parts.read("memory", lambda: _memory(host, parts), {}),
        "guests": parts.read("libvirt", lambda: _guests(edges, parts, clock), []),
        "clock": parts.read("clock", lambda: describe(host, edges.runner), {}),
        "switch": parts.read("switch", lambda: _switch(edges, parts, clock), {}),
    }
    seconds = float(parameters["interval"]) if first.cpus and not host.captured else 0.0
    remaining = seconds - (time.monotonic() - begun)
    if remaining > 0:
        time.sleep(remaining)
    node["interrupts"] = parts.read("interrupts", lambda: _interrupts(host, parts, first, begun, seconds), {})
    return Outcome({"node": {**node, "missing": parts.missing}})


# -- time ------------------------------------------------------------------------------------------


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Clock:
    """Converts clock ticks after boot (proc(5), field starttime) to a time of day."""

    def __init__(self, host: Host) -> None:
        found = re.search(r"^btime (\d+)$", host.read("/proc/stat") or "", re.MULTILINE)
        self._boot = int(found[1]) if found else 0
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._host = host

    @property
    def boot(self) -> str:
        return _iso(self._boot) if self._boot else ""

    def process(self, pid: int | None) -> str:
        """Return when a process began; empty without a process."""
        thread = read_thread(self._host, pid) if pid else None
        return _iso(self._boot + thread.started / self._ticks) if thread and self._boot else ""


def _modified(host: Host, path: str) -> str:
    try:
        return _iso(os.stat(host.path(path)).st_mtime)
    except OSError:
        return ""


# -- parts -----------------------------------------------------------------------------------------


def _kernel(host: Host) -> dict[str, Any]:
    kernel = read_kernel(host)
    return {
        "release": kernel.release,
        "realtime": kernel.realtime,
        "cmdline": " ".join(kernel.cmdline),
        "isolated": format_cpulist(kernel.isolated),
        "nohz_full": format_cpulist(kernel.nohz_full),
    }


def _partition(host: Host, parts: Parts) -> dict[str, Any]:
    partition = read_partition(host)
    if partition is None:
        parts.absent("partition file", f"{DOCUMENT} does not exist: the cpu_partition role has not run here")
        return {}
    return to_document(partition)


def _memory(host: Host, parts: Parts) -> dict[str, Any]:
    memory, guests = read_memory(host), guest_memory_mib(host) or {}
    if not memory:
        parts.absent("memory", "the machine does not show the memory of its NUMA nodes")
    found = {}
    for node, amount in sorted(memory.items()):
        pools = {size: read_pool(host, node, size) for size in PAGE_MIB}
        found[str(node)] = {
            "total_mib": amount.total,
            "free_mib": amount.free,
            "guest_mib": guests.get(node, 0),
            "pages": {size: {"have": pool.have, "free": pool.free} for size, pool in pools.items() if pool is not None},
        }
    return found


def _guests(edges: SwitchEdges, parts: Parts, clock: _Clock) -> list[dict[str, Any]]:
    host = edges.host
    connection = edges.libvirt.connect(host)
    if connection is None:
        parts.absent(
            "libvirt", "not looked for in a snapshot" if host.captured else "libvirt is not installed, or its service is off"
        )
        return []
    found = []
    for name, domain in sorted(connection.domains().items()):
        guest = parts.read(f"guest {name}", partial(_guest, host, domain, clock), None)
        if guest is not None:
            found.append(guest)
    return found


def _guest(host: Host, domain: Domain, clock: _Clock) -> dict[str, Any]:
    guest = describe_domain(host, domain)
    pid = guest_pid(host, domain.name) if domain.running else None
    held: Mapping[tuple[int, str], int] = {}
    if pid and guest["hugepages"] != "none" and not guest["nodes"]:
        held = process_pages(host, pid)  # a bound guest's definition shows it, and its memory map is not read
    vcpus = domain.tree.findtext("vcpu") or "1"
    return {
        **{key: value for key, value in guest.items() if key not in ("threads", "disks")},
        "created": owner_of(domain.tree)["created"],
        "vcpu_count": whole(vcpus) or 1,
        "threads": [thread for thread in guest["threads"] if thread["role"] not in ("other", WORKER)],
        "pages": [{"node": node, "size": size, "pages": pages} for (node, size), pages in sorted(held.items())],
        "devices": list(functions_of(domain.tree)),
        "running_since": clock.process(pid),
        "defined_since": _modified(host, f"{DEFINITIONS}/{domain.name}.xml"),
    }


def _switch(edges: SwitchEdges, parts: Parts, clock: _Clock) -> dict[str, Any]:
    host = edges.host
    if host.captured:
        parts.absent("switch", "not looked for in a snapshot")
        return {}
    database = edges.ovsdb(host, edges.runner).read()
    if database.root is None:
        parts.absent("switch", "Open vSwitch is not installed, or its database is empty")
        return {}
    pid = host.value(SWITCH_PID) or ""
    since = clock.process(int(pid)) if pid.isdecimal() else ""
    if not since:
        parts.broken(
            "switch", "ovs-vswitchd does not run, so its ports carry nothing; start it: systemctl start openvswitch-switch"
        )
    return {
        "running_since": since,
        "dpdk": database.dpdk_initialized,
        "socket_mib": database.other_config.get("dpdk-socket-mem", "") if database.dpdk_initialized else "",
        "pmds": {str(cpu): name for cpu, name in sorted(polling_cpus(host).items())},
        "ports": [port for bridge in database.bridges for port in _ports(database, bridge)],
    }


def _ports(database: Database, bridge: str) -> list[dict[str, Any]]:
    found = []
    for port in database.ports_of(bridge):
        interfaces = [_interface(row) for row in database.interfaces_of(port.name)]
        tag = port.columns.get("tag")
        found.append({"name": port.name, "bridge": bridge, "tag": tag, "network": port.network or "", "interfaces": interfaces})
    return found


def _interface(row: Row) -> dict[str, Any]:
    options = row.map("options")
    return {
        "name": row.name,
        "type": row.type,
        "guest": row.guest,
        "mac": row.map("external_ids").get("attached-mac", ""),
        "socket": options.get("vhost-server-path", ""),
        "device": options.get("dpdk-devargs", ""),
        "connected": row.connected,
        "error": str(row.columns.get("error") or ""),
        "queues": {str(queue): cpu for queue, cpu in parse_affinity(row.map("other_config").get(AFFINITY_KEY, "")).items()},
    }


# -- interrupts ------------------------------------------------------------------------------------


def _counts(host: Host) -> Counts:
    return parse_interrupt_counts(host.read("/proc/interrupts") or "")


def _interrupts(host: Host, parts: Parts, first: Counts, begun: float, seconds: float) -> dict[str, Any]:
    counts, passed = _counts(host), time.monotonic() - begun
    if not counts.cpus:
        parts.absent("interrupts", "/proc/interrupts shows no counts")
    per_second = rates(first, counts, passed) if seconds > 0 else None
    found = []
    for interrupt in read_interrupts(host):
        line = str(interrupt.number)
        found.append(
            {
                "irq": interrupt.number,
                "actions": list(interrupt.actions),
                "allowed": format_cpulist(interrupt.affinity),
                "cpus": format_cpulist(interrupt.effective or interrupt.affinity),
                "node": interrupt.node,
                "movable": interrupt.movable,
                "guest": interrupt.home.guest if interrupt.home else "",
                "counts": {str(cpu): count for cpu, count in counts.lines.get(line, {}).items()},
                "per_s": {str(cpu): rate for cpu, rate in (per_second or {}).get(line, {}).items()},
            }
        )
    return {"seconds": round(passed, 2) if seconds > 0 else 0, "irqs": found, "load": load(counts, per_second)}
