# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a cloud has to what is wanted: the changes, their order, and what is refused."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.errors import CloudError
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.flavor import Hosts
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.notes import notes
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.plan import Current, plan, settle
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.text import diffs, page
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.wanted import Node, read_wanted

NODES = [
    Node("node1", networks=[{"name": "control", "physical_network": "rt0"}]),
    Node("node2", plain_pinned=True, networks=[{"name": "field", "physical_network": "rt1"}]),
    Node("node3"),
]
HOSTS = {"node1": "node1", "node2": "node2", "node3": ""}
PLC = {"vcpus": 4, "realtime_vcpus": "1-3", "memory_mib": 2048}
ALL = {
    "flavors": [{"name": "rt.plc", "guest": PLC}],
    "aggregate": "realtime",
    "qos_policies": [{"name": "reachable"}],
    "networks": [{"name": "net", "physical_network": "rt0", "segmentation_id": 101, "qos_policy": "reachable"}],
    "ports": [{"name": "port", "network": "net", "mac": "52:54:00:00:00:01"}],
}
EXTENSIONS = frozenset({"qos", "ip_allocation", "port-security", "port-resource-request"})


def wanted(**variables):
    return read_wanted({"aggregate": "", **variables}, NODES, Hosts(2, "single"))


def present():
    """A cloud that has all of ``ALL``."""
    specs = dict(wanted(**ALL).flavors[0].flavor.extra_specs)
    return {
        "traits": frozenset(
            {
                "CUSTOM_REALTIME_KVM",
                *(f"CUSTOM_{name}_RT{number}" for name in ("REALTIME_PHYSNET", "PHYSNET") for number in (0, 1)),
            }
        ),
        "flavors": {
            "rt.plc": {"id": "f", "vcpus": 4, "ram": 2048, "disk": 0, "extra_specs": specs, "is_public": True, "description": None}
        },
        "aggregates": {
            "realtime": {"id": 1, "hosts": ["node1"], "metadata": {"trait:CUSTOM_REALTIME_KVM": "required", "availability_zone": "z"}}
        },
        "qos_policies": {"reachable": {"id": "q", "shared": False, "rules": [{"id": "r", "min_kbps": 1, "direction": "egress"}]}},
        "networks": {
            "net": {
                "id": "n", "provider_network_type": "vlan", "provider_physical_network": "rt0", "provider_segmentation_id": 101, "mtu": 1500,
                "shared": False, "port_security_enabled": False, "qos_policy_id": "q", "subnets": [],
            }
        },
        "ports": {
            "port": {
                "id": "p", "network_id": "n", "ip_allocation": "none", "mac_address": "52:54:00:00:00:01", "port_security_enabled": False,
                "qos_policy_id": None, "device_id": "", "device_owner": "", "kept": {},
            }
        },
        "extensions": EXTENSIONS,
    }  # fmt: skip


def changes(variables, kept_out=("node2",), **current):
    return plan(wanted(**variables), Current(**{"extensions": EXTENSIONS, **current}), HOSTS, kept_out)


def steps(found):
    return [step.request or step.module.rpartition(".")[2] for change in found for step in change.steps]


def test_an_empty_cloud_gets_everything_in_the_order_of_need():
    found = changes(ALL)
    assert [change.resource for change in found] == [
        "trait CUSTOM_REALTIME_KVM", "trait CUSTOM_REALTIME_PHYSNET_RT0", "trait CUSTOM_REALTIME_PHYSNET_RT1",
        "trait CUSTOM_PHYSNET_RT0", "trait CUSTOM_PHYSNET_RT1", "flavor rt.plc",
        "aggregate realtime", "QoS policy reachable", "network net", "port port",
    ]  # fmt: skip
    assert steps(found) == ["trait"] * 5 + [
        "compute_flavor",
        "host_aggregate",
        "create_policy",
        "add_rule",
        "create_network",
        "create_port",
    ]
    assert found[-1].steps[0].arguments["values"]["fixed_ips"] == []
    assert found[6].after == {"hosts": ["node1"], "metadata": {"trait:CUSTOM_REALTIME_KVM": "required"}}


def test_a_cloud_that_has_it_gets_nothing():
    assert changes(ALL, **present()) == []


def test_what_goes_is_removed_afterwards_in_the_opposite_order():
    gone = {
        kind: [{"name": item["name"], "state": "absent"} for item in ALL[kind]]
        for kind in ("flavors", "qos_policies", "networks", "ports")
    }
    found = changes(
        {**gone, "aggregate": "realtime", "aggregate_state": "absent", "traits": [{"name": "CUSTOM_NEW"}]}, **present()
    )
    assert [change.resource for change in found] == [
        "trait CUSTOM_NEW", "port port", "network net", "QoS policy reachable", "aggregate realtime", "flavor rt.plc",
    ]  # fmt: skip
    assert all(change.after is None for change in found[1:])
    assert changes(gone) == [change for change in changes({}) if change.kind == "trait"]


@pytest.mark.parametrize(
    ("kind", "name", "changed", "made"),
    [
        ("flavors", "rt.plc", {"extra_specs": {"foreign:x": "1"}}, ["compute_flavor"]),
        ("flavors", "rt.plc", {"ram": 1024}, ["delete_flavor", "compute_flavor"]),
        ("aggregates", "realtime", {"hosts": ["node1", "node2", "other"]}, ["host_aggregate"]),
        ("aggregates", "realtime", {"metadata": {}}, ["host_aggregate"]),
        ("qos_policies", "reachable", {"rules": []}, ["add_rule"]),
        ("qos_policies", "reachable", {"rules": [{"id": "r", "min_kbps": 5, "direction": "egress"}]}, ["set_rule"]),
        ("networks", "net", {"provider_segmentation_id": 7}, ["set_network"]),
        ("networks", "net", {"qos_policy_id": None}, ["set_network"]),
        ("networks", "net", {"port_security_enabled": True}, ["set_network"]),
        ("ports", "port", {"mac_address": "52:54:00:00:00:09"}, ["set_port"]),
        ("ports", "port", {"ip_allocation": "immediate"}, ["delete_port", "create_port"]),
    ],
)
def test_a_difference_is_one_change(kind, name, changed, made):
    current = present()
    current[kind] = {name: {**current[kind][name], **changed}}
    found = changes(ALL, **current)
    assert len(found) == 1
    assert steps(found) == made
    assert found[0].before != found[0].after


def test_hosts_that_are_not_ours_stay_in_the_aggregate_and_plainly_pinned_nodes_leave_it():
    current = present()
    current["aggregates"]["realtime"]["hosts"] = ["foreign", "node2"]
    current["aggregates"]["realtime"]["metadata"]["own"] = "x"
    (found,) = changes(ALL, **current)
    assert found.steps[0].arguments["hosts"] == ["foreign", "node1"]
    assert found.steps[0].arguments["metadata"] == {"own": "x", "trait:CUSTOM_REALTIME_KVM": "required"}


def flavor(name, **more):
    return {
        name: {"id": name, "vcpus": 4, "ram": 1024, "disk": 20, "extra_specs": {}, "is_public": True, "description": None, **more}
    }


def test_a_flavor_that_is_made_again_keeps_what_the_variables_do_not_name():
    own = {"id": "abc", "is_public": False, "swap": 512, "ephemeral": 10, "rxtx_factor": 2.0, "description": "mine"}
    has = {**own, "access": ["t1", "t2"]}
    (found,) = [
        change for change in changes({"flavors": ALL["flavors"]}, flavors=flavor("rt.plc", **has)) if change.kind == "flavor"
    ]
    removed, made, *access = found.steps
    assert (removed.request, removed.arguments) == ("delete_flavor", {"id": "abc"})
    kept = {**own, "disk": 20, "ram": 2048}
    assert {name: made.arguments.get(name) for name in kept} == kept
    assert [(step.request, step.arguments["project"]) for step in access] == [("flavor_access", "t1"), ("flavor_access", "t2")]
    assert set(found.before) == {"ram", "extra_specs"}
    public = [{**ALL["flavors"][0], "public": True, "disk": 0}]
    found = [change for change in changes({"flavors": public}, flavors=flavor("rt.plc", **has)) if change.kind == "flavor"]
    assert steps(found) == ["delete_flavor", "compute_flavor"]
    assert (found[0].steps[1].arguments["is_public"], found[0].steps[1].arguments["disk"]) == (True, 0)


def test_a_disk_that_is_not_given_stays():
    current = present()
    current["flavors"]["rt.plc"]["disk"] = 20
    assert changes(ALL, **current) == []


@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize("name", ["1", "1?x", "1#"])
def test_a_flavors_name_that_is_the_id_of_another_is_refused(state, name):
    wants = {"flavors": [{"name": name, "guest": PLC, "state": state}]}
    with pytest.raises(CloudError, match=r"is the id of the flavor m1\.tiny"):
        changes(wants, flavors=flavor("m1.tiny", id="1"))
    assert changes({"flavors": [{"name": "1", "state": "absent"}]}, flavors=flavor("1"))


def test_what_depends_on_nodes_that_did_not_answer_stays_as_it_is():
    wants = {
        "flavors": [{"name": "rt.rtos", "guest": {"vcpus": 2, "realtime_vcpus": "0-1", "memory_mib": 64, "guest_os": "other"}}]
    }
    full = read_wanted({"aggregate": "", **wants}, NODES, Hosts(1, "single"))
    specs = dict(full.flavors[0].flavor.extra_specs)
    assert specs["hw:emulator_threads_policy"] == "share"
    limited = read_wanted({"aggregate": "", **wants}, NODES, Hosts())
    has = Current(flavors=flavor("rt.rtos", vcpus=2, ram=64, disk=0, extra_specs=specs))
    settle(limited, has)
    assert [change for change in plan(limited, has, {}) if change.kind == "flavor"] == []
    settle(limited, Current())
    assert limited.flavors[0].flavor.extra_specs["hw:emulator_threads_policy"] == "share"


def test_a_flavor_is_made_again_under_a_new_id_where_the_id_names_another():
    current = {"rt.plc": flavor("rt.plc", id="x")["rt.plc"], "x": flavor("x", id="y")["x"]}
    (found,) = [change for change in changes({"flavors": ALL["flavors"]}, flavors=current) if change.kind == "flavor"]
    assert "id" not in found.steps[1].arguments


@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize("name", ["1", "01", "1?x"])
def test_an_aggregates_name_that_is_the_id_of_another_is_refused(state, name):
    others = {"prod-ssd": {"id": 1, "name": "prod-ssd", "hosts": ["h2"], "metadata": {"ssd": "true"}}}
    with pytest.raises(CloudError, match="is the id of the aggregate prod-ssd"):
        changes({"aggregate": name, "aggregate_state": state}, aggregates=others)


def test_an_aggregate_with_hosts_of_others_is_not_removed():
    current = present()
    current["aggregates"]["realtime"]["hosts"] = ["foreign", "node1"]
    with pytest.raises(CloudError, match="also holds foreign"):
        changes({"aggregate": "realtime", "aggregate_state": "absent"}, **current)


@pytest.mark.parametrize("kind", ["networks", "qos_policies", "ports"])
def test_a_name_that_looks_like_an_id_is_refused(kind):
    with pytest.raises(CloudError, match="has the form of an id"):
        wanted(**{kind: [{"name": "6a1e7f4e-0000-4000-8000-000000000001", "state": "absent"}]})


def test_a_port_that_is_made_again_keeps_what_it_has():
    current = present()
    kept = {
        "mac_address": "fa:16:3e:00:00:07", "description": "x", "admin_state_up": False, "qos_policy_id": "q", "tags": ["a"],
        "security_groups": ["g"], "allowed_address_pairs": [{"ip_address": "192.0.2.1"}], "binding:profile": {"k": "v"},
    }  # fmt: skip
    current["ports"]["port"].update(ip_allocation="immediate", kept=kept)
    wants = {**ALL, "ports": [{"name": "port", "network": "net"}]}
    (found,) = changes(wants, **current)
    assert steps([found]) == ["delete_port", "create_port", "tag_port"]
    values = found.steps[1].arguments["values"]
    secured = {"tags", "security_groups", "allowed_address_pairs"}
    assert values == {
        **{key: kept[key] for key in kept if key not in secured},
        "name": "port",
        "fixed_ips": [],
        "port_security_enabled": False,
    }
    current["extensions"] = EXTENSIONS - {"port-security"}
    (found,) = changes(wants, **current)
    assert found.steps[1].arguments["values"]["security_groups"] == ["g"]
    (found,) = changes({**ALL, "ports": [{**wants["ports"][0], "qos_policy": ""}]}, **current)
    assert "qos_policy_id" not in found.steps[1].arguments["values"]


def test_port_security_goes_with_what_needs_it():
    current = present()
    current["ports"]["port"].update(port_security_enabled=True, kept={"security_groups": ["g"]})
    (found,) = changes(ALL, **current)
    assert found.steps[0].arguments["values"] == {"port_security_enabled": False, "security_groups": []}


def test_a_port_may_be_in_a_network_of_another_project():
    current = present()
    current["networks"], current["foreign_networks"] = {}, {"net": "n"}
    assert changes({"ports": ALL["ports"]}, **{**current, "traits": present()["traits"]}) == []


def test_a_description_alone_does_not_make_the_flavor_again():
    found = changes({**ALL, "flavors": [{**ALL["flavors"][0], "description": "PLC"}]}, **present())
    assert steps(found) == ["describe_flavor"]


def test_not_given_stays_as_it_is():
    current = present()
    current["networks"]["net"].update(mtu=9000, shared=True)
    current["flavors"]["rt.plc"].update(is_public=False, description="x")
    current["ports"]["port"]["qos_policy_id"] = "q"
    assert changes(ALL, **current) == []


@pytest.mark.parametrize(
    ("kind", "name", "changed", "said"),
    [
        ("networks", "net", {"provider_physical_network": "rt9"}, "which Neutron cannot change"),
        ("ports", "port", {"ip_allocation": "immediate", "device_id": "vm"}, "instance vm has the port"),
        ("ports", "port", {"ip_allocation": "immediate", "device_owner": "network:dhcp"}, "while network:dhcp has the port"),
        ("ports", "port", {"mac_address": "52:54:00:00:00:09", "device_id": "vm"}, "instance vm has the port"),
        ("ports", "port", {"network_id": "other"}, "is in the network other, which Neutron cannot change"),
        (
            "networks",
            "net",
            {"provider_segmentation_id": 7, "instances": ["vm1", "vm2"]},
            "instances vm1, vm2 there would change the VLAN",
        ),
    ],
)
def test_what_cannot_be_changed_is_refused(kind, name, changed, said):
    current = present()
    current[kind] = {name: {**current[kind][name], **changed}}
    with pytest.raises(CloudError, match=said):
        changes(ALL, **current)


@pytest.mark.parametrize(
    ("variables", "current", "said"),
    [
        ({"qos_policies": [{"name": "q"}]}, {"extensions": frozenset()}, "Neutron has no QoS"),
        ({"ports": [{"name": "p", "network": "net"}], "networks": ALL["networks"][:0]}, {}, "no network net"),
        ({"ports": [{"name": "p", "network": "net"}]}, {"extensions": frozenset({"qos"})}, "ip_allocation"),
        ({"networks": ALL["networks"]}, {}, "no QoS policy reachable"),
        ({"networks": ALL["networks"]}, {"foreign_policies": {"reachable": ""}}, "several projects have a QoS policy reachable"),
        ({"ports": [{"name": "p", "network": "net"}]}, {"foreign_networks": {"net": ""}}, "several projects have a network net"),
        (
            {"ports": [{"name": "port", "state": "absent"}]},
            {"ports": {"port": {"id": "p", "network_id": "n", "device_id": "vm"}}},
            "detach it first",
        ),
    ],
)
def test_what_the_cloud_cannot_have_is_refused(variables, current, said):
    with pytest.raises(CloudError, match=said):
        changes(variables, **current)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"flavors": {"name": "x"}}, "openstack_cloud_flavors is no list"),
        ({"flavors": ["x"]}, r"openstack_cloud_flavors\[0\]"),
        ({"flavors": [{"guest": PLC}]}, "name is missing"),
        ({"flavors": [{"name": " x ", "guest": PLC}]}, "no blank at its ends"),
        ({"flavors": [{"name": "x"}]}, "guest is missing"),
        ({"flavors": [{"name": "x", "guest": PLC}] * 2}, "listed twice"),
        ({"flavors": [{"name": "x", "guest": PLC, "disc": 1}]}, "did you mean disk"),
        ({"flavors": [{"name": "x", "guest": PLC, "disk": True}]}, "disk is bool"),
        ({"flavors": [{"name": "x", "guest": PLC, "state": "gone"}]}, "present or absent"),
        ({"flavors": [{"name": "x", "guest": {**PLC, "priority": 2}}]}, "openstack_cloud_flavors: x: priority"),
        ({"networks": [{"name": "n"}]}, "physical_network is missing"),
        ({"networks": [{"name": "n", "physical_network": "rt9"}]}, "those of realtime_networks are: rt0, rt1"),
        ({"networks": [{"name": "n", "physical_network": "rt0", "segmentation_id": 4095}]}, "1-4094"),
        ({"networks": [{"name": "n", "physical_network": "rt0", "type": "vxlan"}]}, "not vlan or flat"),
        ({"networks": [{"name": "n", "physical_network": "rt0", "type": "flat", "segmentation_id": 5}]}, "flat has no"),
        (
            {"networks": [{"name": name, "physical_network": "rt0", "segmentation_id": 5} for name in ("m", "n")]},
            "n: vlan 5 of rt0 is taken by m",
        ),
        ({"networks": [{"name": name, "physical_network": "rt0"} for name in ("m", "n")]}, "n: flat of rt0 is taken by m"),
        (
            {"ports": [{"name": name, "network": "n", "mac": "52:54:00:00:00:01"} for name in ("o", "p")]},
            "p: mac 52:54:00:00:00:01 is that of o",
        ),
        ({"qos_policies": [{"name": "q", "min_kbps": 0}]}, "min_kbps 0"),
        ({"qos_policies": [{"name": "q", "direction": "up"}]}, "direction"),
        ({"ports": [{"name": "p"}]}, "network is missing"),
        ({"ports": [{"name": "p", "network": "n", "mac": "01:00:5e:00:00:01"}]}, "no address of one interface"),
        ({"ports": [{"name": "p", "network": "n"}], "networks": [{"name": "n", "state": "absent"}]}, "the network n is absent"),
        (
            {"qos_policies": [{"name": "q", "state": "absent"}], "ports": [{"name": "p", "network": "n", "qos_policy": "q"}]},
            "policy q is absent",
        ),
        ({"traits": [{"name": "REALTIME"}]}, "CUSTOM_ and capitals"),
        ({"traits": [{"name": "CUSTOM_REALTIME_KVM", "state": "absent"}]}, "needs it"),
        ({"aggregate": "a\nb"}, "control character"),
    ],
)
def test_wrong_variables_are_refused_by_name(variables, said):
    with pytest.raises(CloudError, match=said):
        wanted(**variables)


def test_one_name_is_one_physical_network():
    nodes = [
        Node("a", networks=[{"name": "c", "physical_network": "x"}]),
        Node("b", networks=[{"name": "c", "physical_network": "y"}]),
    ]
    with pytest.raises(CloudError, match="on a, but y on b"):
        read_wanted({}, nodes, Hosts())


def test_traits_of_flavors_are_made_too():
    found = changes({"flavors": [{"name": "x", "guest": PLC, "extra_specs": {"trait:CUSTOM_SITE": "required"}}]})
    assert "trait CUSTOM_SITE" in [change.resource for change in found]


def test_notes_name_what_is_to_be_known():
    current = Current(
        services=[{"binary": "nova-scheduler", "host": "c", "state": "down", "status": "enabled"}],
        aggregates={"realtime": {"id": 1, "hosts": ["foreign"], "metadata": {}}},
        networks={"net": {"subnets": ["s"]}},
    )
    text = " ".join(notes(wanted(**ALL), current, NODES, HOSTS))
    for said in (
        "no nova-compute of node3", "node2: nova_compute_plain_pinned", "holds foreign", "409", "no nova-scheduler is up", "port-resource-request",
        "has a subnet",
    ):  # fmt: skip
        assert said in text


def test_the_page_and_the_differences_show_every_change():
    found = changes(ALL)
    text = "\n".join(page("Cloud", wanted(**ALL), found, ["a note"]))
    assert all(change.name in text for change in found)
    assert "note: a note" in text
    assert max(map(len, text.splitlines())) <= 118
    assert [diff["after_header"] for diff in diffs(found)] == [change.resource for change in found]
    assert page("Cloud", wanted(), [], [])[-1] == "nothing to change"
