# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge to a cloud, on a stand-in for one: what is read, what is refused and how it is said."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud import client
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.client import MISSING, Access, Cloud
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.errors import CloudError
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.flavor import Hosts
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.plan import plan
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.requests import Requests
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.wanted import Node, read_wanted
from cloud.standin import PASSWORD, PROJECT, TOKEN, USER, Server

needs_sdk = pytest.mark.skipif(not client.HAS_SDK, reason="needs openstacksdk")
NODES = [Node("node1", networks=[{"name": "control", "physical_network": "rt0"}])]
POLICY = {"aggregate": "", "qos_policies": [{"name": "q", "min_kbps": 7}], "flavors": []}


@pytest.fixture(name="server")
def _server():
    server = Server()
    server.start()
    server.cloud.add_compute("node1", 6, 4, ("CUSTOM_REALTIME_KVM",), {"br-control": 1000})
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(name="cloud")
def _cloud(server):
    return Cloud(access(server))


def access(server, password=PASSWORD, timeout=20, **more):
    auth = {
        "auth_url": f"{server.base}/identity/v3", "username": USER, "password": password, "project_name": "admin",
        "user_domain_name": "Default", "project_domain_name": "Default", **more,
    }  # fmt: skip
    return Access(auth=auth, timeout=timeout)


def test_without_the_library_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setattr(client, "HAS_SDK", False)
    with pytest.raises(CloudError, match="pip install 'openstacksdk"):
        Cloud(Access(name="x"))
    assert "openstacksdk" in MISSING


@needs_sdk
def test_without_a_name_or_credentials_it_is_refused(monkeypatch):
    for name in ("OS_CLOUD", "OS_AUTH_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CloudError, match="openstack_cloud_name is empty"):
        Cloud(Access())


@needs_sdk
def test_what_is_made_with_the_library_is_read_back(server, cloud):
    wanted = read_wanted(POLICY, NODES, Hosts())
    server.cloud.traits += ["CUSTOM_REALTIME_KVM", "CUSTOM_REALTIME_PHYSNET_RT0", "CUSTOM_PHYSNET_RT0"]
    (change,) = plan(wanted, cloud.current(wanted), {})
    for step in change.steps:
        Requests(cloud).make(step.request, step.arguments)
    assert plan(wanted, cloud.current(wanted), {}) == []
    (policy,) = server.cloud.policies.values()
    assert [(rule["min_kbps"], rule["direction"]) for rule in policy["rules"]] == [(7, "egress")]


@needs_sdk
def test_providers_and_release_are_read(cloud):
    assert cloud.newest() == (2, 100)
    provider = cloud.providers(["node1", "unknown"])["node1"]
    assert provider.inventories["PCPU"]["total"] == 6
    assert list(provider.children) == ["node1:Open vSwitch agent:br-control"]
    assert (provider.state, provider.status) == ("up", "enabled")
    assert cloud.providers([]) == {}


@needs_sdk
def test_a_wrong_password_is_said_without_it(server):
    with pytest.raises(CloudError, match="was answered with 401") as caught:
        Cloud(access(server, password="wr0ng-secret"))
    assert "wr0ng-secret" not in str(caught.value)


@needs_sdk
@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, {"forbidden": {"code": 403, "message": f"no {PASSWORD} {TOKEN}"}}, "role admin"),
        (409, {"conflictingRequest": {"code": 409, "message": "busy"}}, "busy"),
        (503, "<html>down</html>", "not ready"),
        (200, "<html>login</html>", "no JSON"),
        (200, {"services": 7}, "services is a number"),
        (200, {"services": [{"binary": []}]}, "services"),
        (200, [], "not an object"),
        (200, "[" * 100000, "cannot be read"),
    ],
)
def test_answers_that_are_none_are_one_message(server, cloud, status, body, said):
    server.cloud.faults["GET /compute/v2.1/os-services"] = (status, body)
    with pytest.raises(CloudError, match=said) as caught:
        cloud.services()
    text = str(caught.value)
    assert "GET /os-services (compute)" in text
    assert PASSWORD not in text
    assert TOKEN not in text
    assert "\n" not in text
    assert len(text) < 700


@needs_sdk
def test_a_cloud_that_does_not_answer_in_time(server):
    server.cloud.slow["GET /placement/traits"] = 6
    with pytest.raises(CloudError, match=r"no answer within 1 s \(openstack_cloud_timeout\)"):
        Cloud(access(server, timeout=1)).current(read_wanted({}, NODES, Hosts()))


@needs_sdk
def test_a_page_that_names_another_host_sends_no_token_there(server, cloud):
    body = {
        "hypervisors": [{"id": "x", "service": {"host": "h"}}],
        "hypervisors_links": [{"rel": "next", "href": "http://192.0.2.1/evil?marker=x"}],
    }
    server.cloud.faults["GET /compute/v2.1/os-hypervisors/detail"] = (200, body)
    with pytest.raises(CloudError, match="more than 200 pages"):
        cloud.providers(["h"])
    assert not any("evil" in call for call in server.cloud.calls)


@needs_sdk
def test_two_networks_of_one_name_are_refused(server, cloud):
    for number in ("1", "2"):
        server.cloud.networks[number] = {"id": number, "name": "net", "subnets": [], "project_id": PROJECT}
    wanted = read_wanted({"networks": [{"name": "net", "state": "absent"}]}, NODES, Hosts())
    with pytest.raises(CloudError, match="two things that are called network net"):
        cloud.current(wanted)


def test_modules_get_the_access():
    given = Access(name="plant", region="r", validate_certs=False, timeout=5)
    assert given.module_arguments() == {
        "cloud": "plant",
        "region_name": "r",
        "interface": "public",
        "api_timeout": 5,
        "validate_certs": False,
    }


FOREIGN = {
    "networks": {
        "id": "fn",
        "name": "net",
        "subnets": ["s"],
        "shared": False,
        "provider:segmentation_id": 55,
        "qos_policy_id": None,
    },
    "ports": {
        "id": "fp",
        "name": "port",
        "network_id": "fn",
        "mac_address": "fa:16:3e:00:00:02",
        "fixed_ips": [{"ip_address": "192.0.2.9"}],
    },
    "policies": {"id": "fq", "name": "q", "shared": True, "rules": []},
}
NETWORKED = {
    "aggregate": "", "qos_policies": [{"name": "q"}], "ports": [{"name": "port", "network": "net", "qos_policy": "q"}],
    "networks": [{"name": "net", "physical_network": "rt0", "segmentation_id": 101}],
}  # fmt: skip


@needs_sdk
@pytest.mark.parametrize("owner", ["project_id", "tenant_id"])
def test_what_belongs_to_other_projects_is_neither_changed_nor_removed(server, cloud, owner):
    for kind, item in FOREIGN.items():
        getattr(server.cloud, kind)[item["id"]] = {**item, owner: "tenant"}
    before = copy.deepcopy([getattr(server.cloud, kind)[item["id"]] for kind, item in FOREIGN.items()])
    wanted = read_wanted(NETWORKED, NODES, Hosts())
    for change in plan(wanted, cloud.current(wanted), {}):
        for step in change.steps:
            if step.request:
                Requests(cloud).make(step.request, step.arguments)
    assert [change.kind for change in plan(wanted, cloud.current(wanted), {}) if change.kind != "trait"] == []
    (network,) = (item for item in server.cloud.networks.values() if item.get("project_id") == PROJECT)
    (port,) = (item for item in server.cloud.ports.values() if item.get("project_id") == PROJECT)
    assert port["network_id"] == network["id"]
    assert port["qos_policy_id"] not in (None, "fq")
    gone = read_wanted(
        {"ports": [{"name": "port", "state": "absent"}], "networks": [{"name": "net", "state": "absent"}]}, NODES, Hosts()
    )
    for change in plan(gone, cloud.current(gone), {}):
        for step in change.steps:
            if step.request:
                Requests(cloud).make(step.request, step.arguments)
    assert [getattr(server.cloud, kind)[item["id"]] for kind, item in FOREIGN.items()] == before
    assert (len(server.cloud.networks), len(server.cloud.ports)) == (1, 1)


@needs_sdk
def test_a_network_and_a_policy_of_another_project_can_be_used(server, cloud):
    server.cloud.networks["fn"] = {**FOREIGN["networks"], "project_id": "tenant"}
    server.cloud.policies["fq"] = {**FOREIGN["policies"], "project_id": "tenant"}
    wanted = read_wanted({"ports": NETWORKED["ports"]}, NODES, Hosts())
    (change,) = (change for change in plan(wanted, cloud.current(wanted), {}) if change.kind == "port")
    for step in change.steps:
        Requests(cloud).make(step.request, step.arguments)
    (port,) = server.cloud.ports.values()
    assert (port["network_id"], port["qos_policy_id"]) == ("fn", "fq")
    assert [change for change in plan(wanted, cloud.current(wanted), {}) if change.kind == "port"] == []


@needs_sdk
def test_a_vlan_that_instances_use_is_not_changed(server, cloud):
    server.cloud.networks["n"] = {
        "id": "n", "name": "net", "project_id": PROJECT, "subnets": [], "provider:network_type": "vlan", "provider:physical_network": "rt0",
        "provider:segmentation_id": 7,
    }  # fmt: skip
    server.cloud.ports["p"] = {"id": "p", "name": "", "network_id": "n", "device_id": "vm1", "device_owner": "compute:nova"}
    wanted = read_wanted({"networks": NETWORKED["networks"]}, NODES, Hosts())
    with pytest.raises(CloudError, match="instance vm1 there would change the VLAN"):
        plan(wanted, cloud.current(wanted), {})


@needs_sdk
def test_credentials_without_a_project_have_no_networks(server, cloud, monkeypatch):
    monkeypatch.setattr("cloud.standin.PROJECT", "")
    with pytest.raises(CloudError, match="of no project"):
        Cloud(access(server)).current(read_wanted(NETWORKED, NODES, Hosts()))
    assert Cloud(access(server)).current(read_wanted({}, NODES, Hosts())).networks == {}


@pytest.mark.parametrize(
    "address", ["http://u:hunter2@keystone/v3", "http://u:hun@ter2@keystone/v3", "https://hunter2@keystone/v3"]
)
def test_a_password_in_the_address_is_not_shown(address, monkeypatch):
    monkeypatch.delenv("OS_CLOUD", raising=False)
    assert Access(auth={"auth_url": address}).shown.endswith("//********@keystone/v3")
    monkeypatch.setenv("OS_AUTH_URL", address)
    assert "ter2" not in Access().shown
    assert Access(name="plant").shown == "plant"


@needs_sdk
@pytest.mark.parametrize("text", ["clouds: [", "clouds:\n", "clouds:\n  plant:\n    auth:\n", "7\n"])
def test_a_clouds_yaml_that_is_none_is_named_as_the_file_to_mend(text, tmp_path, monkeypatch):
    (tmp_path / "clouds.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CloudError) as caught:
        Cloud(Access(name="plant"))
    said = str(caught.value)
    assert "clouds.yaml" in said
    assert "the service's log" not in said
