# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_domain_info: the domains of a node, defined and running."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from .._cpus.answers import plain
from .._cpus.cpulist import format_cpulist
from .._guests.domain_owner import NOVA, owner_of
from .._guests.domain_xml import OURS, describe, read_schedulers
from .._guests.libvirt import Domain
from .._guests.roles import VHOST
from .._guests.threads import GuestThread, read_guest_threads
from .._guests.vhost import read_vhost
from .._host.host import Host
from .._tables import text_table
from ._common import Outcome
from ._guest_edges import GuestEdges


def run(edges: GuestEdges, parameters: dict[str, Any]) -> Outcome:
    """Read and return the domains; plans nothing."""
    host = edges.host
    connection = edges.libvirt.connect(host)
    domains = connection.domains() if connection else {}
    wanted = parameters["names"]
    found = [describe_domain(host, domain) for name, domain in sorted(domains.items()) if not wanted or name in wanted]
    header = ["guest", "state", "owner", "vCPU on CPU (actual policy)", "memory", "node", "ports"]
    rows = [[_cell(item, column) for column in header] for item in found]
    return Outcome({"domains": found, "table": text_table(header, rows) if rows else ["no domains"]})


def describe_domain(host: Host, domain: Domain) -> dict[str, Any]:
    """Return a domain's definition and, where it runs, its threads as the kernel shows them."""
    existing = describe(domain.tree, running=domain.running)
    threads = read_guest_threads(host, domain.name) if domain.running else []
    told = owner_of(domain.tree)
    return {
        "name": domain.name,
        "ours": existing.ours,
        "state": "running" if domain.running else "shut off",
        "autostart": domain.autostart,
        **{key: told[key] for key in ("owner", "project", "class", "manager", "instance", "owner_id", "project_id")},
        "memory_mib": existing.memory_mib,
        "hugepages": existing.hugepages,
        "nodes": list(existing.nodes),
        "vcpus": {str(vcpu): format_cpulist(cpus) for vcpu, cpus in sorted(existing.vcpus.items())},
        "schedulers": {str(vcpu): text for vcpu, text in sorted(read_schedulers(domain.tree).items())},
        "floating": format_cpulist(existing.floating),
        "emulator": format_cpulist(existing.emulator),
        "threads": [_thread(item) for item in threads],
        "ports": [_port(element) for element in domain.tree.findall("devices/interface")],
        "disks": [_source(element) for element in domain.tree.findall("devices/disk")],
        "differs_live": _differences(domain, threads),
    }


def _thread(item: GuestThread) -> dict[str, Any]:
    cpus = format_cpulist(item.thread.allowed)
    return {"role": item.role, "tid": item.thread.pid, "name": item.thread.name, "cpus": cpus, "scheduler": item.scheduler}


def _port(element: ET.Element) -> dict[str, str]:
    mac, source = element.find("mac"), element.find("source")
    where = {} if source is None else source.attrib
    return {
        "type": element.get("type", ""),
        "mac": "" if mac is None else mac.get("address", ""),
        "source": where.get("path") or where.get("bridge") or where.get("network") or where.get("dev") or "",
    }


def _source(element: ET.Element) -> str:
    source = element.find("source")
    return "" if source is None else source.get("file") or source.get("dev") or ""


def _differences(domain: Domain, threads: list[GuestThread]) -> list[str]:
    """Return where the running threads differ from the definition."""
    existing, schedulers, found = describe(domain.tree), read_schedulers(domain.tree), []
    found += _vhost_differences(domain, threads)
    for item in threads:
        vcpu = int(item.role[4:]) if item.role.startswith("vcpu") else None
        pinned = (
            existing.emulator
            if item.role == "emulator"
            else existing.vcpus.get(vcpu, existing.floating)
            if vcpu is not None
            else None
        )
        if pinned and item.thread.allowed != pinned:
            found.append(
                f"{item.role} is allowed on CPUs {format_cpulist(item.thread.allowed)}, "
                f"its definition has {format_cpulist(pinned)}"
            )
        expected = schedulers.get(vcpu, "other") if vcpu is not None else None
        if expected is not None and item.scheduler != expected:
            found.append(f"{item.role} runs as {item.scheduler}, its definition has {expected}")
    return found


def _vhost_differences(domain: Domain, threads: list[GuestThread]) -> list[str]:
    """Return the vhost threads that are not beside the thread that the definition names, or have another policy."""
    beside, policy = read_vhost(domain.tree.find(f"metadata/{OURS}")) or ("", "")
    leader = next((item.thread for item in threads if item.role == beside), None)
    found = []
    for item in threads if leader else ():
        if item.role == VHOST and leader and item.thread.allowed != leader.allowed:
            found.append(
                f"{item.role} is allowed on CPUs {format_cpulist(item.thread.allowed)}, "
                f"its definition has {format_cpulist(leader.allowed)}, beside {beside}"
            )
        if item.role == VHOST and item.scheduler != policy:
            found.append(f"{item.role} runs as {item.scheduler}, its definition has {policy}")
    return found


def _owner(item: dict[str, Any]) -> str:
    if item["manager"] == NOVA:
        names = [text for key in ("project", "instance") if (text := plain(item[key], 60))]
        return f"nova: {', '.join(names)}" if names else "nova"
    return str(item["owner"]) or ("-" if item["ours"] else "not ours")


def _cell(item: dict[str, Any], column: str) -> str:
    if column.startswith("vCPU"):
        actual = {thread["role"]: thread for thread in item["threads"]}
        cells = []
        for vcpu, cpus in item["vcpus"].items():
            thread = actual.get(f"vcpu{vcpu}")
            cells.append(
                f"{vcpu} on {thread['cpus'] if thread else cpus} "
                f"({thread['scheduler'] if thread else item['schedulers'].get(vcpu, 'other')})"
            )
        return ", ".join(cells) or f"floating on {item['floating'] or 'all'}"
    values = {
        "guest": item["name"],
        "state": item["state"],
        "owner": _owner(item),
        "memory": f"{item['memory_mib']} MiB{'' if item['hugepages'] == 'none' else ' in ' + item['hugepages']}",
        "node": format_cpulist(item["nodes"]) or "any",
        "ports": ", ".join(port["source"].rpartition("/")[2] for port in item["ports"]) or "-",
    }
    return str(values[column])
