# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The map of a node's CPUs as it will be, drawn like that of the report. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import UNREADABLE
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import parse_or_empty
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.accounting import Account
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.map import cpu_map

from .changes import Results


def planned_map(host: str, results: Results, plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return sockets, NUMA nodes, cores and threads with their planned users; nothing where the topology cannot be read."""
    try:
        return cpu_map(Account(host, _info(results, plan)))
    except UNREADABLE:
        return []


def _info(results: Results, plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return a planned node as rt_node_info describes one that runs."""
    partition = results.get("partition", {})
    polled = parse_or_empty(str((results.get("switch", {}).get("switch") or {}).get("pmd_cpus") or ""))
    return {
        "topology": partition.get("topology"),
        "partition": partition.get("partition"),
        "guests": [_guest(guest) for guest in plan["guests"] if guest["state"] != "absent"],
        "switch": {"pmds": {str(cpu): "poll-mode thread" for cpu in polled}},
    }


def _guest(guest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a planned guest as rt_node_info describes one that runs."""
    realtime = parse_or_empty(guest["realtime_vcpus"])
    on = {vcpu: guest["vcpus"].get(str(vcpu), guest["floating"]) for vcpu in range(guest["vcpu_count"])}
    threads = [
        {"role": f"vcpu{vcpu}", "cpus": text, "scheduler": "RT" if vcpu in realtime else "other"} for vcpu, text in on.items()
    ]
    threads.append({"role": "emulator", "cpus": guest["emulator"], "scheduler": "other"})
    if guest["vhost"]:
        threads.append({"role": "vhost", "cpus": guest["vhost"], "scheduler": "other"})
    return {"name": guest["name"], "threads": threads}
