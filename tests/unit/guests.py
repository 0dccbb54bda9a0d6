# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node with a libvirt that remembers, and runs of rt_domain on it: predicted, made, repeated, refused."""

from __future__ import annotations

import json

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import parse, to_text
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import SOCKET_DIR
from ansible_collections.realtime.kvm.plugins.module_utils._module import rt_domain
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import carry_out
from ansible_collections.realtime.kvm.plugins.module_utils._module._switch_edges import SwitchEdges
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.gate import BOOT_STATE
from ansible_collections.realtime.kvm.plugins.module_utils._switch.daemon import PID_FILE
from ansible_collections.realtime.kvm.plugins.module_utils._switch.plan import VHOST
from ansible_collections.realtime.kvm.plugins.module_utils._switch.rows import Database, Row
from unit.disk_runs import BASE, FOLDER
from unit.image_tools import GIB, TOOLS, ImageTools, put, qcow2
from unit.libvirts import FakeLibvirt, FakeLibvirtOf
from unit.trees import documented, fill, machine_files, memory_files, plan, snapshot, task, writable

SHAPE = {"nodes": 1, "cores": 10, "threads": 1}
#: Housekeeping 0, dataplane 1, realtime 2-9.
PARTITION = to_document(plan(Intent(smt="together", dataplane_cores_per_node=1), **SHAPE))
NETWORKS = [
    {"name": "control"},
    {"name": "office", "realtime": False, "bridge": "br0"},
    {"name": "cell", "datapath": "bridge", "bridge": "br0"},
    {"name": "field", "datapath": "macvtap", "device": "ens1"},
]
DEFAULTS = {
    "state": "present", "restart": False, "shutdown_timeout_s": 1, "force_off": False, "stop_running": False, "priority_limit": 1,
    "site": "n", "switch_timeout_s": 0, "hugepages": None, "partition": PARTITION, "networks": NETWORKS, "guests": [],
}  # fmt: skip
PLC = {
    "name": "plc1", "memory_mib": 256, "vcpus": 2, "realtime_vcpus": "1", "disks": [{"path": "/images/plc1.qcow2"}],
    "networks": [{"network": "control"}],
}  # fmt: skip
OTHER = {
    "name": "historian",
    "memory_mib": 512,
    "disks": [{"path": "/images/historian.qcow2"}],
    "networks": [{"network": "office"}],
}
FOREIGN = """
<domain type='kvm'><name>{name}</name><uuid>0cba19a0-58ba-54b8-99ac-0892790000ff</uuid><title>theirs</title><memory unit='MiB'>64</memory>
<vcpu>1</vcpu>{more}<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>{devices}</devices></domain>
"""


class Ports:
    """The database of a switch that has the guests' ports on the network control."""

    def __init__(self, *guests):
        self.rows = {}
        for guest in guests:
            name = f"{guest}.control"
            columns = {"name": name, "type": VHOST, "options": {"vhost-server-path": f"{SOCKET_DIR}/{name}"}, "error": None}
            self.rows[name] = Row(name, columns)

    def __call__(self, _host, _runner):
        return self

    def read(self):
        return Database(interfaces=self.rows)


def switch_files():
    """The switch's daemon, as it runs."""
    return {PID_FILE: "900\n", **task("/proc/900", "ovs-vswitchd")}


class Node:
    """A node, its libvirt and its switch, and runs of the module on it."""

    def __init__(self, root):
        self.root = fill(
            root,
            {
                **machine_files(isolated="1-9", **SHAPE),
                **memory_files({0: 8192}, pages={(0, "2M"): (1024, 1024)}),
                "/proc/sys/kernel/hostname": "node1\n",
                "/sys/class/net/br0/bridge/": None,
                **{f"/images/{name}.qcow2": qcow2() for name in ("plc1", "plc2", "plc3", "historian")},
                "/var/lib/": None,
                **documented(PARTITION),
                BOOT_STATE: json.dumps({"cpu_partition": ""}),
                "/run/": None,
                **TOOLS,
                **switch_files(),
            },
        )
        self.libvirt = FakeLibvirt(root)
        self.edge = FakeLibvirtOf(self.libvirt)
        self.tools = ImageTools(root)
        self.ports = Ports("plc1", "plc2", "plc3", "plc4")

    def run(self, *guests, check=False, **parameters):
        host = writable(self.root, "rt_domain", check_mode=check)
        self.libvirt.calls.clear()
        self.host = host
        edges = SwitchEdges(host, self.tools, self.edge, self.ports)
        return carry_out(edges, rt_domain.run, {**DEFAULTS, "guests": list(guests), **parameters})

    def converge(self, *guests, **parameters):
        """Predict, run, run again: the prediction is what is done, and then there is nothing left to do."""
        before = snapshot(self.root), dict(self.libvirt.definitions)
        predicted = self.run(*guests, check=True, **parameters)
        assert self.libvirt.calls == []
        assert (snapshot(self.root), self.libvirt.definitions) == before
        result = self.run(*guests, **parameters)
        assert result == predicted
        calls = list(self.libvirt.calls)
        again = self.run(*guests, **parameters)
        assert (again["changed"], again["changes"], self.libvirt.calls) == (False, [], [])
        self.libvirt.calls = calls
        return result

    def refuse(self, *guests, **parameters):
        """The words of a refusal; nothing was changed, and check mode says the same."""
        before = snapshot(self.root), dict(self.libvirt.definitions), dict(self.libvirt.live)
        messages = []
        for check in (True, False):
            with pytest.raises(RefusalError) as error:
                self.run(*guests, check=check, **parameters)
            messages.append(str(error.value))
        assert self.libvirt.calls == []
        now = {path: found for path, found in snapshot(self.root).items() if "/var/lib/realtime-kvm" not in path}
        assert (now, self.libvirt.definitions, self.libvirt.live) == before
        assert messages[0] == messages[1]
        return messages[0]

    def tree(self, name="plc1"):
        return parse(self.libvirt.definitions[name])

    def edit(self, old, new, name="plc1"):
        """virsh edit."""
        assert old in self.libvirt.definitions[name], self.libvirt.definitions[name]
        self.libvirt.definitions[name] = self.libvirt.definitions[name].replace(old, new)

    def foreign(self, name="theirs", more="", devices="", *, running=False):
        self.libvirt.definitions[name] = to_text(parse(FOREIGN.format(name=name, more=more, devices=devices)))
        if running:
            self.libvirt.run(name)


def node_with_base(root):
    """A node with the folder of images, and one image that others can be made from."""
    node = Node(root)
    fill(node.root, {f"{FOLDER}/": None})
    put(node.root, BASE, qcow2(4 * GIB, content=b"an operating system"))
    return node


def with_disks(*disks, name="plc1", **more):
    """A guest of the list with these disks."""
    return {**PLC, "name": name, "disks": list(disks), **more}


def resources(result):
    return [change["resource"] for change in result["changes"]]


BIGGER = {**PLC, "memory_mib": 512, "io_threads": 1}


def gone(**more):
    """The guest as the list has it when it must go."""
    return {"name": "plc1", "state": "absent", **more}
