# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_domain_info: guests of ours and of others, as they are defined and as their threads run (the edge to libvirt is replaced)."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.module_utils._module import rt_domain_info
from ansible_collections.realtime.kvm.plugins.module_utils._module._guest_edges import GuestEdges
from unit.guests import OTHER, PLC
from unit.trees import snapshot, writable


def info(node, *names):
    before = snapshot(node.root), dict(node.libvirt.definitions), dict(node.libvirt.live)
    node.libvirt.calls.clear()
    host = writable(node.root, "rt_domain_info")
    result = rt_domain_info.run(GuestEdges(host, None, node.edge), {"names": list(names)}).results
    assert (snapshot(node.root), node.libvirt.definitions, node.libvirt.live) == before
    assert (node.libvirt.calls, host.changes) == ([], [])
    return result


def test_guests_as_they_are_defined_and_run(node):
    node.run({**PLC, "owner": "automation"}, {**OTHER, "state": "present"})
    node.foreign()
    other, plc, theirs = info(node)["domains"]
    assert [(one["name"], one["ours"], one["state"], one["owner"]) for one in (other, plc, theirs)] == [
        ("historian", True, "shut off", ""),
        ("plc1", True, "running", "automation"),
        ("theirs", False, "shut off", ""),
    ]
    assert (plc["vcpus"], plc["schedulers"], plc["emulator"], plc["nodes"]) == ({"0": "2", "1": "3"}, {"1": "fifo 1"}, "0", [0])
    threads = {thread["role"]: (thread["cpus"], thread["scheduler"]) for thread in plc["threads"]}
    assert (threads["vcpu0"], threads["vcpu1"], threads["emulator"]) == (("2", "other"), ("3", "fifo 1"), ("0", "other"))
    assert (plc["memory_mib"], plc["disks"], len(plc["ports"])) == (256, ["/images/plc1.qcow2"], 1)
    assert plc["differs_live"] == []
    assert (other["vcpus"], other["floating"], other["threads"]) == ({}, "0", [])
    assert theirs["memory_mib"] == 64


def test_threads_that_are_not_where_the_definition_says(node):
    node.run(PLC)
    node.libvirt.edit_thread("plc1", "vcpu0", cpus="0-9")
    node.libvirt.edit_thread("plc1", "vcpu1", scheduler="rr 7")
    node.libvirt.edit_thread("plc1", "emulator", cpus="3")
    (plc,) = info(node)["domains"]
    assert sorted(plc["differs_live"]) == [
        "emulator is allowed on CPUs 3, its definition has 0",
        "vcpu0 is allowed on CPUs 0-9, its definition has 2",
        "vcpu1 runs as rr 7, its definition has fifo 1",
    ]


def test_the_table_and_a_choice_of_names(node):
    node.run(PLC, OTHER)
    assert [one["name"] for one in info(node, "plc1", "nobody")["domains"]] == ["plc1"]
    table = "\n".join(info(node)["table"])
    assert "0 on 2 (other), 1 on 3 (fifo 1)" in table
    assert "floating on 0" in table


def test_a_node_without_guests_or_without_libvirt(node):
    assert info(node) == {"domains": [], "table": ["no domains"]}
    node.edge.connection = None
    assert info(node) == {"domains": [], "table": ["no domains"]}


def test_vhost_threads_and_where_they_should_be(node, monkeypatch):
    node.libvirt.settle(monkeypatch)
    node.run({**PLC, "networks": [{"network": "cell"}]})
    (plc,) = info(node)["domains"]
    assert [(item["cpus"], item["scheduler"]) for item in plc["threads"] if item["role"] == "vhost"] == [("2", "fifo 1")]
    assert (plc["differs_live"], [port["source"] for port in plc["ports"]]) == ([], ["br0"])
    node.libvirt.edit_thread("plc1", "vhost", cpus="0-9", scheduler="other")
    assert info(node)["domains"][0]["differs_live"] == [
        "vhost is allowed on CPUs 0-9, its definition has 2, beside vcpu0", "vhost runs as other, its definition has fifo 1",
    ]  # fmt: skip
