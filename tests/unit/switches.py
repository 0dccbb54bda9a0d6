# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch of a small node: networks, guests, its plan, and its database row by row."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import parse_guests
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import parse_networks
from ansible_collections.realtime.kvm.plugins.module_utils._switch.diff import plan_switch
from ansible_collections.realtime.kvm.plugins.module_utils._switch.plan import (
    Port,
    Switch,
    assign_queues,
    desired_ports,
    format_affinity,
)
from ansible_collections.realtime.kvm.plugins.module_utils._switch.rows import Database, Row
from property.machines import regular

#: Two nodes of four CPUs: housekeeping 0,4; dataplane 1-2 and 5; realtime 3,6-7.
TOPOLOGY = build_topology(regular(nodes=2, cores=4, threads=1).files())
PARTITION = plan_partition(TOPOLOGY, Intent(smt="together", cpus={"dataplane": "1-2,5", "realtime": "3,6-7"}))


def networks(*items):
    return parse_networks([{"name": item} if isinstance(item, str) else item for item in items])


def guests(known, *items):
    return parse_guests(
        [{"memory_mib": 64, "vcpus": 2, "realtime_vcpus": "1", **item} for item in items], known, site="n", priority_limit=1
    )


def port(name, queues=1, nodes=()):
    return Port(name, "br", "n", name, queues=queues, nodes=nodes)


class Rows:
    """A database that is put together by hand."""

    def __init__(self):
        self.bridges, self.ports, self.interfaces, self.on = {}, {}, {}, {}

    def bridge(self, name, network=None, datapath="netdev"):
        marks = {"realtime-kvm": network} if network else {}
        self.on[name] = []
        self.bridges[name] = (datapath, marks)
        self.port(name, name, marks=marks, type="internal")
        return self

    def port(
        self, bridge, name, *, marks=None, type="dpdkvhostuserclient", options=None, other=None, tag=None, status=None, mtu=1500
    ):
        common = {"name": name, "external_ids": marks or {}}
        self.ports[name] = Row(f"p-{name}", {**common, "tag": tag, "interfaces": (f"i-{name}",)})
        more = {
            "type": type,
            "options": options or {},
            "other_config": other or {},
            "status": status or {},
            "mtu_request": mtu,
            "error": None,
        }
        self.interfaces[name] = Row(f"i-{name}", {**common, **more})
        self.on[bridge].append(f"p-{name}")
        return self

    def database(self, other_config=None, external_ids=None, dpdk=True):
        bridges = {
            name: Row(
                f"b-{name}", {"name": name, "datapath_type": datapath, "external_ids": marks, "ports": tuple(self.on[name])}
            )
            for name, (datapath, marks) in self.bridges.items()
        }
        root = {"other_config": other_config or {}, "external_ids": external_ids or {}, "dpdk_initialized": dpdk}
        return Database(
            Row("root", {**root, "bridges": tuple(f"b-{name}" for name in bridges)}), bridges, self.ports, self.interfaces
        )


KNOWN = networks({"name": "control", "vlan": 5})
LISTED = guests(KNOWN, {"name": "plc1", "networks": [{"network": "control"}]})
SWITCH = Switch({}, {"br-control": "control"}, assign_queues(desired_ports(KNOWN, LISTED, {}, {}), PARTITION, {}), {})


def settled():
    """What the database holds once SWITCH is made."""
    wanted = SWITCH.ports["plc1.control"]
    marks = {"realtime-kvm": "control", "realtime-kvm-guest": "plc1"}
    pins = {"pmd-rxq-affinity": format_affinity(wanted.affinity)}
    return (
        Rows()
        .bridge("br-control", "control")
        .port("br-control", wanted.name, marks=marks, options=wanted.options, other=pins, tag=5)
    )


def compare(rows, switch=SWITCH, known=None, listed=("plc1",), **more):
    return plan_switch(rows.database(), switch, KNOWN if known is None else known, listed, **more)


def told(plan):
    return [(difference.resource, difference.before, difference.after) for difference in plan.differences]
