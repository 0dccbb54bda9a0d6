# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Owners: every CPU has a row, every row names an owner, sums agree."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import parse_cpulist
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.accounting import PLATFORM, UNTOLD, Account, sums
from unit.fleets import foreign, guest_spec, node_info

#: 8 cores of 2 threads on each of two NUMA nodes: housekeeping 0,16 and 8,24; dataplane 1,17 and 9,25; shared 2,18 and 10,26.
SPECS = (guest_spec(0), guest_spec(1, vcpus=3), guest_spec(2, realtime=False))


def account(specs=SPECS, **more):
    return Account("n1", node_info("n1", specs, **more))


def rows(books, **wanted):
    return [row for row in books.holdings if all(getattr(row, key) == value for key, value in wanted.items())]


def test_every_cpu_has_a_row_and_only_one_unless_it_has_two_users():
    books = account()
    cpus = [int(row.cpus) for row in rows(books, kind="cpu") if row.resource == f"CPU {row.cpus}"]
    assert sorted(cpus) == sorted(books.topology.cpus)


def test_a_realtime_cpu_is_its_guests_since_its_process_began():
    [row] = rows(account(), kind="cpu", cpus="3")
    assert (row.user, row.role, row.owner, row.project, row.exclusive) == ("plc1", "vcpu0", "automation", "line-1", True)
    assert (row.set, row.numa_node, row.state) == ("realtime", "0", "running")
    assert (row.since, row.basis) == ("2026-11-01T08:12:00Z", "process")


def test_a_guest_that_is_off_keeps_its_cpus_since_its_definition():
    found = rows(account(off=("relay2",)), kind="cpu", user="relay2", exclusive=True)
    assert {row.cpus for row in found} == {"4", "20", "5"}
    assert {(row.state, row.basis, row.since) for row in found} == {("reserved", "definition", "2026-10-02T07:00:00Z")}


def test_threads_of_a_running_guest_are_believed_not_its_definition():
    info = node_info("n1", SPECS)
    info["guests"][0]["threads"][0]["cpus"] = "6"  # moved by hand
    books = Account("n1", info)
    assert [row.user for row in rows(books, cpus="6", kind="cpu")] == ["plc1"]
    assert [row.user_kind for row in rows(books, cpus="3", kind="cpu")] == ["free"]


def test_a_vhost_thread_shares_the_cpu_of_the_vcpu_that_it_serves():
    info = node_info("n1", SPECS)
    info["guests"][0]["threads"].append({"role": "vhost", "tid": 9, "name": "vhost-7", "cpus": "3", "scheduler": "fifo 1"})
    books = Account("n1", info)
    assert [(row.user, row.role) for row in rows(books, kind="cpu", cpus="3")] == [("plc1", "vcpu0, vhost")]
    info["guests"][0]["threads"][-1]["cpus"] = "4"  # on another guest's
    assert sorted(row.role for row in rows(Account("n1", info), kind="cpu", cpus="4")) == ["vcpu0", "vhost"]


def test_two_users_of_a_cpu_are_two_rows():
    info = node_info("n1", SPECS)
    info["guests"].append(foreign("legacy", [3]))
    books = Account("n1", info)
    assert sorted(row.user for row in rows(books, kind="cpu", resource="CPU 3")) == ["legacy", "plc1"]
    assert books.capacity["cpus"]["realtime"]["used"] == 5


def test_poll_mode_threads_have_the_dataplane_cpus_since_the_switch_runs():
    found = rows(account(), kind="cpu", set="dataplane")
    assert {(row.user_kind, row.user, row.since) for row in found} == {("switch", "the switch", "2026-10-02T05:33:02Z")}
    assert {row.cpus for row in found} == {"1", "17", "9", "25"}


def test_free_threads_beside_a_guest_are_stranded():
    books = account()
    assert books.stranded == {21}  # relay2 has 4, 20 and 5
    assert books.capacity["cpus"]["realtime"] == {"capacity": 20, "used": 5, "stranded": 1, "free": 14}
    assert [row.role for row in rows(books, cpus="21")] == ["stranded"]


def test_floating_guests_share_and_own_nothing():
    [row] = rows(account(), kind="cpu", user="historian3", unit="vCPU")
    assert (row.amount, row.cpus, row.set, row.exclusive) == (2, "2,10,18,26", "shared", False)


def test_a_vcpu_pinned_to_a_shared_cpu_does_not_own_it():
    info = node_info("n1", [])
    info["guests"].append(foreign("legacy", [2]))
    [row] = rows(Account("n1", info), kind="cpu", resource="CPU 2")
    assert (row.exclusive, row.unit) == (False, "vCPU")


def test_huge_pages_are_guests_the_switchs_or_not_attributed():
    info = node_info("n1", [guest_spec(0)])
    info["memory"]["1"]["pages"]["2M"]["free"] -= 50  # 100 MiB without an owner
    found = {(row.user, row.numa_node): row.amount for row in rows(Account("n1", info), kind="hugepages")}
    assert found == {("plc1", "0"): 512, ("the switch", "0"): 1024, ("the switch", "1"): 1024, ("not attributed", "1"): 100}


def test_huge_pages_of_guests_that_are_off_are_not_free():
    pages = account([guest_spec(0)], off=("plc1",)).capacity["hugepages"][0]
    assert pages == {"numa_node": "0", "size": "2M", "capacity": 16384, "used": 1024, "reserved": 512, "free": 14848}


def test_ports_are_guests_by_socket_or_mac_else_the_switchs():
    info = node_info("n1", [guest_spec(0)])
    mac = "52:54:00:00:00:09"
    info["guests"].append(foreign("legacy", [2], ports=[{"type": "bridge", "mac": mac, "source": "br-control"}]))
    tap = {
        "name": "vnet9",
        "type": "",
        "guest": "",
        "mac": mac,
        "socket": "",
        "device": "",
        "connected": False,
        "error": "",
        "queues": {},
    }
    info["switch"]["ports"].append({"name": "vnet9", "bridge": "br-office", "tag": None, "network": "", "interfaces": [tap]})
    found = {row.resource: (row.user, row.cpus) for row in rows(Account("n1", info), kind="port")}
    assert found["br-control/plc1.control"][0] == "plc1"
    assert found["br-office/vnet9"][0] == "legacy"
    assert found["br-control/ens1"] == ("the switch", "1")


def test_an_interrupt_of_a_passed_through_device_is_its_guests():
    info = node_info("n1", [guest_spec(0)])
    info["guests"][0]["devices"] = ["0000:41:00.1"]
    more = {"allowed": "0", "cpus": "0", "node": 0, "movable": True, "counts": {}, "per_s": {}}
    info["interrupts"]["irqs"].append({"irq": 99, "actions": ["vfio-msix[0](0000:41:00.1)"], **more})
    books = Account("n1", info)
    assert [row.user for row in rows(books, resource="IRQ 99")] == ["plc1"]
    assert [row.user for row in rows(books, kind="device")] == ["plc1"]
    assert {row.user for row in rows(books, kind="irq", resource="IRQ 24")} == {"operating system"}


def test_sums_by_owner_and_project_close_over_all_rows():
    books = account([*SPECS, guest_spec(3, owner="", project="")])
    for key in ("owner", "project"):
        found = {entry[key]: entry for entry in sums(books.holdings, key)}
        assert PLATFORM in found
        assert UNTOLD in found
        owned = sum(row.amount for row in books.holdings if row.kind == "cpu" and row.exclusive and row.user_kind != "free")
        assert sum(entry["own_cpus"] for entry in found.values()) == owned
    automation = next(entry for entry in sums(books.holdings, "owner") if entry["owner"] == "automation")
    assert (automation["guests"], automation["own_cpus"], automation["hugepages_mib"], automation["ports"]) == (1, 2, 512, 1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"partition": {}}, "this node has no partition file"),
        ({"partition": {"schema": 1}}, "damaged"),
        ({"topology": {}}, "another topology"),
    ],
)
def test_a_half_configured_node_is_accounted_for_as_far_as_it_tells(change, reason):
    books = Account("n1", {**node_info("n1", SPECS), **change})
    assert rows(books, kind="port")
    assert reason in books.capacity["largest"]["reason"]
    assert books.capacity["largest"]["vcpus"] == 0


def test_a_document_of_another_topology_promises_nothing():
    info = node_info("n1", [])
    info["partition"]["topology_digest"] = "0" * 16
    assert "run the cpu_partition role" in Account("n1", info).capacity["largest"]["reason"]


def test_the_largest_guest_leaves_the_switchs_memory_alone():
    books = account([])
    assert books.capacity["largest"] == {"vcpus": 5, "memory_mib": 64512, "numa_node": 0, "reason": ""}
    assert books.capacity["largest_spread"]["vcpus"] == 10


def test_guests_of_the_sample_are_where_the_planner_puts_them():
    info = node_info("n1", SPECS)
    realtime = parse_cpulist(info["partition"]["sets"]["realtime"]["cpus"])
    pins = [parse_cpulist(cpus) for guest in info["guests"] for cpus in guest["vcpus"].values()]
    assert all(len(cpus) == 1 and cpus <= realtime for cpus in pins)
