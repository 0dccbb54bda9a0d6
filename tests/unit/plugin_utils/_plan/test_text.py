# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as people read it in a terminal: what it disturbs first, then guests, packages, remarks, and what nodes share."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._tables import WIDTH
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.document import Fleet, Node, node_plan, plan_document
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.text import cpus, guest_lines, memory, package_counts, plan_lines


def change(resource, before="a", after="b", disruption="none"):
    return {"resource": resource, "before": before, "after": after, "disruption": disruption, "reason": ""}


def text_of(**nodes):
    return plan_lines(plan_document(Fleet(nodes)))


def titles(lines):
    return [line.strip("= ") for line in lines if line.startswith("== ")]


def section(lines, title):
    begin = lines.index(f"== {title} ==") + 1
    rest = lines[begin:]
    return rest[: rest.index("")] if "" in rest else rest


def test_the_order_of_a_plan(node):
    lines = text_of(kvm1=node, kvm2=replace(node, refused=["no room"]))
    assert titles(lines) == [
        "Refused, or not planned",
        "What the run disturbs",
        "Guests",
        "Packages",
        "Remarks",
        "Policies",
        "kvm1, kvm2",
    ]
    assert section(lines, "Refused, or not planned") == ["kvm2: no room"]
    assert max(map(len, lines)) <= WIDTH


def test_the_most_disturbing_nodes_and_changes_come_first():
    calm, harsh = [change("/calm")], [change("/calm"), change("ovs:x", disruption="stall"), change("/boot", disruption="reboot")]
    lines = text_of(h1=Node({"host": {"changes": calm}}), h2=Node({"host": {"changes": harsh}}), h10=Node({}))
    rows = [line.split()[:3] for line in section(lines, "What the run disturbs")[2:]]
    assert rows == [["reboot", "h2", "3"], ["none", "h1", "1"], ["nothing", "h10", "0"]]
    assert [line.split()[0] for line in section(lines, "h2")[2:]] == ["reboot", "stall", "none"]


def test_the_limit_is_shown_where_there_is_one():
    lines = text_of(h1=Node({"host": {"changes": [change("ovs:x", disruption="stall")]}}, limit="none"), h2=Node({}))
    found = section(lines, "What the run disturbs")
    assert found[0].split() == ["disruption", "nodes", "allowed", "changes", "what"]
    assert found[-1] == "h1: above realtime_max_disruption: ovs:x (stall)"


BLIND = Node({"kernel": {"changes": [], "not_counted": ["the boot: no boot loader"]}})


def test_a_class_of_which_something_is_not_counted_is_the_least():
    changes = {"changes": [change("ovs:x", disruption="stall")]}
    refused = Node({"switch": changes, "kernel": {"failed": True}}, refused=["no room"])
    lines = text_of(h1=BLIND, h2=BLIND, h3=refused, h4=Node({"host": changes}))
    found = section(lines, "What the run disturbs")
    assert [line.split("  ")[0] for line in found[2:5]] == ["at least stall", "stall", "at least none"]
    assert found[5:] == ["h1, h2: not counted: the boot: no boot loader", "h3: not counted: what is refused"]
    assert lines[-1] != "nothing to change"
    assert section(lines, "h1, h2") == ["no change"]


def test_huge_pages_are_shown_with_their_users_where_something_changes():
    pages = [{"node": 1, "size": "2M", "wanted": 1536, "have": 512, "free": 512, "users": {"plc1": 1024, "switch": 512}}]
    shown = text_of(h1=Node({"host": {"hugepages": pages, "changes": [change("/x")]}}))
    assert section(shown, "h1") == [
        "huge pages    needed  there now  for",
        "------------  ------  ---------  ---------------------",
        "2M on node 1  1536    512        plc1 1024, switch 512",
    ]
    assert text_of(h1=Node({"host": {"hugepages": pages}}))[-1] == "nothing to change"


def test_values_that_wait_for_a_boot_are_named():
    waiting = {"changes": [change("/x")], "deferred": True}
    lines = text_of(h1=Node({"interrupts": waiting, "host": waiting, "power": {"deferred": False}}))
    assert " ".join(line.strip() for line in lines).endswith(
        "made after the reboot by the boot service, so not among these changes: values of interrupts, huge pages and KVM"
    )


def test_nodes_with_equal_details_share_a_section():
    one, other = Node({"host": {"changes": [change("/x")]}}), Node({"host": {"changes": [change("/y")]}})
    assert titles(text_of(h1=one, h2=other, h10=one))[1:] == ["h1, h10", "h2"]


def test_changes_that_differ_in_their_numbers_alone_are_one_line():
    lines = text_of(h1=Node({"power": {"changes": [change(f"/cpu{cpu}/x") for cpu in range(80)]}}))
    assert section(lines, "h1")[2:] == ["none        /cpu*/x (80 times)  a -> b"]


def test_values_of_several_lines_are_counted():
    lines = text_of(h1=Node({"host": {"changes": [change("/x", None, "a\nb\n"), change("/y", "b" * 100, "")]}}))
    assert section(lines, "h1")[2:] == [
        "none        /x            absent -> 2 lines",
        f"none        /y            {'b' * 57}... ->",
    ]


def test_a_node_that_is_lost_has_no_section():
    lines = text_of(h1=Node({}, lost="it cannot be reached, and nothing was planned"), h2=Node({}))
    assert section(lines, "Refused, or not planned") == ["h1: it cannot be reached, and nothing was planned"]
    assert titles(lines) == ["Refused, or not planned", "What the run disturbs", "h2"]


def test_a_plan_of_one_node_without_a_name_names_none(node):
    lines = plan_lines(plan_document(Fleet({"": node})))
    assert section(lines, "What the run disturbs")[0].split() == ["disruption", "changes", "what"]
    assert section(lines, "Guests")[0].split()[:2] == ["guest", "happens"]
    assert section(lines, "Packages")[0] == "10 to install:"
    assert text_of() == []


def test_guests_as_a_table(node):
    lines = section(text_of(kvm1=node), "Guests")
    assert lines[0].split("  ")[0] == "guest"
    assert [line.split()[0] for line in lines[2:-1]] == ["historian", "motion", "plc1", "plc2"]
    assert "0->4, 1->6*, 2->8*, 3->10*" in lines[4]
    assert "2 GiB: 1024 x 2M on node 0" in lines[4]
    assert "control (PMD on 2)" in lines[4]
    assert "2 on 0-1,40-41" in lines[2]
    assert lines[-1] == "* real-time vCPU"
    assert guest_lines({"h1": {"guests": []}}) == []


def test_vhost_threads_stand_beside_the_emulator(node):
    one = node_plan(node)
    one["guests"][2]["vhost"] = "4"
    assert "0,40, vhost 4" in next(line for line in guest_lines({"kvm1": one}) if line.startswith("plc1"))


def test_of_a_large_fleet_only_the_guests_on_which_something_happens_are_shown(node):
    nodes = plan_document(Fleet({f"kvm{number}": node for number in range(30)}))["nodes"]
    for number, one in enumerate(nodes.values()):
        for guest in one["guests"]:
            guest["happens"] = ["starts"] if number == 7 and guest["name"] == "plc1" else []
    lines = guest_lines(nodes)
    assert [line.split()[:3] for line in lines[3:4]] == [["plc1", "kvm7", "starts"]]
    assert lines[-1] == "119 guests on which nothing happens are not shown"
    assert len(lines) == 6
    for one in nodes.values():
        for guest in one["guests"]:
            guest["happens"] = []
    assert guest_lines(nodes) == ["== Guests ==", "120 guests on which nothing happens are not shown"]


@pytest.mark.parametrize(
    ("vcpus", "realtime", "text"),
    [
        ({"0": "4", "1": "5", "2": "6", "3": "7"}, "1-3", "0->4, 1-3->5-7*"),
        ({"0": "4", "1": "5"}, "", "0-1->4-5"),
        ({"0": "4", "1": "6"}, "0-1", "0->4*, 1->6*"),
        ({"0": "5", "1": "4"}, "", "0->5, 1->4"),
        ({"10": "3", "9": "2"}, "9-10", "9-10->2-3*"),
        ({"0": "4-5", "1": "6"}, "", "0->4-5, 1->6"),
        ({"0": "", "1": "6"}, "", "0->, 1->6"),
    ],
)
def test_which_vcpu_gets_which_cpu(vcpus, realtime, text):
    assert cpus({"vcpus": vcpus, "realtime_vcpus": realtime, "floating": ""}) == text


def test_memory_of_a_guest():
    guest = {"memory_mib": 4096, "hugepages": "1G", "pages": {"0": 2, "1": 2}, "numa_nodes": [0, 1]}
    assert memory(guest) == "4 GiB: 2 x 1G on node 0, 2 x 1G on node 1"
    assert memory({**guest, "hugepages": "none", "pages": {}}) == "4 GiB on node 0, 1"
    assert memory({**guest, "pages": {}, "numa_nodes": []}) == "4 GiB"
    assert memory({**guest, "memory_mib": 0}) == "-"


def test_packages_are_counted_and_removed_ones_come_first():
    packages = [{"name": f"p{number}", "before": "", "after": "1"} for number in range(3)]
    packages += [{"name": "gone", "before": "1", "after": ""}, {"name": "newer", "before": "1", "after": "2"}]
    assert package_counts(packages) == "3 to install, 1 to update, 1 to remove"
    assert section(text_of(h1=Node({}, packages)), "Packages") == [
        "h1: 3 to install, 1 to update, 1 to remove:",
        "  gone (removed), newer, p0, p1, p2",
    ]


def test_many_packages_are_cut_and_counted():
    lines = section(
        text_of(h1=Node({}, [{"name": f"p{number}", "before": "", "after": "1"} for number in range(400)])), "Packages"
    )
    assert lines[0] == "h1: 400 to install:"
    assert lines[-1].endswith("and 250 more")
    assert max(map(len, lines)) <= WIDTH


def test_policies_of_the_nodes_that_change_are_said_once():
    def policy(value, before=""):
        return {"variable": "x", "value": value, "before": before, "protects": "the node " * 30, "costs": "time"}

    def node(item, *changes):
        return Node({"partition": {"policies": [item], "changes": list(changes)}})

    lines = section(text_of(h1=node(policy("a"), change("/x")), h2=node(policy("a"), change("/y"))), "Policies")
    assert [line for line in lines if not line.startswith(" ")] == ["x: a"]
    assert lines[-1] == "  costs: time"
    lines = section(text_of(h1=node(policy("a", "b"), change("/x")), h2=node(policy("c"), change("/x"))), "Policies")
    assert [line for line in lines if not line.startswith(" ")] == ["h1: x: a (was b)", "h2: x: c"]
    assert "Policies" not in titles(text_of(h1=node(policy("a"))))


def test_kernel_arguments_are_shown_where_something_changes():
    arguments = [{"token": "skew_tick=1", "reason": "why", "disturbs": "what"}]
    shown = text_of(h1=Node({"kernel": {"arguments": arguments, "changes": [change("/boot")]}}))
    assert "skew_tick=1      why" in shown
    assert text_of(h1=Node({"kernel": {"arguments": arguments, "changes": []}}))[-1] == "nothing to change"


FLEET = [f"kvm{number:03}.plant-north.example.com" for number in range(60)]


def test_the_names_of_a_large_fleet_cost_no_text():
    reboot = {"kernel": {"changes": [change("running kernel and arguments", disruption="reboot")], "running_guests": ["old"]}}
    new = [{"name": "p1", "before": "", "after": "1"}]
    lines = text_of(**{host: Node(reboot, new, refused=["no room; REMEDY"], limit="none") for host in FLEET})
    names = ", ".join(FLEET[:3])
    assert " ".join(line.strip() for line in section(lines, "Refused, or not planned")) == f"{names} and 57 more: no room; REMEDY"
    assert "above realtime_max_disruption: running kernel and arguments (reboot)" in " ".join(
        line.strip() for line in section(lines, "What the run disturbs")
    )
    assert " ".join(line.strip() for line in section(lines, "Packages")) == f"{names} and 57 more: 1 to install: p1"
    lost = text_of(**{host: Node({}, lost="it cannot be reached") for host in FLEET})
    assert "it cannot be reached" in " ".join(line.strip() for line in lost)
