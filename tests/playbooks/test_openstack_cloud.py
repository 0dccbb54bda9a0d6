# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role openstack_cloud as Ansible runs it, with openstacksdk and openstack.cloud's modules, on a stand-in for a cloud (tests/cloud/standin.py).

They run where both are installed (tests/cloud/installed.py).
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cloud.installed import FOLDER, FOLDERS, needs_both
from cloud.standin import PASSWORD, PROJECT, TOKEN, USER, Server

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = {
    "smt": "single",
    "sets": {
        "housekeeping": {"cpus": "0-1", "nodes": {"0": "0-1"}},
        "realtime": {"cpus": "4-7", "nodes": {"0": "4-7"}},
        "dataplane": {"cpus": "2-3", "nodes": {"0": "2-3"}},
        "shared": {"cpus": "", "nodes": {}},
    },
}
NODE = {
    "__openstack_cloud_partition": {"partition": DOCUMENT, "topology": {"cores": []}},
    "__openstack_cloud_packages": {"files": [{"path": "/usr/lib/python3/dist-packages/nova-31.0.0.egg-info"}]},
    "realtime_networks": [{"name": "control", "device": "ens1f0", "physical_network": "rt0"}],
}
WANTED = {
    "openstack_cloud_flavors": [
        {
            "name": "rt.plc",
            "guest": {"vcpus": 4, "realtime_vcpus": "^0", "memory_mib": 2048, "networks": [{"network": "control"}]},
        },
    ],
    "openstack_cloud_qos_policies": [{"name": "reachable"}],
    "openstack_cloud_networks": [{"name": "net", "physical_network": "rt0", "segmentation_id": 101, "qos_policy": "reachable"}],
    "openstack_cloud_ports": [{"name": "port", "network": "net"}],
}


@pytest.fixture(name="server")
def _server():
    server = Server()
    server.start()
    server.cloud.add_compute("node1", 4, 2, ("CUSTOM_REALTIME_KVM", "CUSTOM_REALTIME_PHYSNET_RT0"), {"br-control": 1000000})
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(name="run")
def _run(server, tmp_path):
    """Run the role for two nodes, of which the cloud knows one."""

    def run(*arguments, collections=FOLDER, password=PASSWORD, **variables):
        auth = {
            "auth_url": f"{server.base}/identity/v3", "username": USER, "password": password, "project_name": "admin",
            "user_domain_name": "Default", "project_domain_name": "Default",
        }  # fmt: skip
        given = {**WANTED, "openstack_cloud_auth": auth, "openstack_cloud_timeout": 20, **variables}
        group = {"hosts": {"node1": NODE, "node2": NODE}, "vars": {**given, "ansible_become": True, "ansible_host": "192.0.2.1"}}
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump(json.loads(json.dumps({"realtime_nodes": group}))))
        play = [{"hosts": "realtime_nodes", "gather_facts": False, "roles": ["realtime.kvm.openstack_cloud"]}]
        (tmp_path / "play.yml").write_text(yaml.safe_dump(play))
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(filter(None, [str(ROOT / "collections"), collections])),
            "ANSIBLE_NOCOLOR": "1",
        }
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "hosts.yml", "play.yml", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=2400, check=False, cwd=tmp_path)
        said = done.stdout + done.stderr
        assert "Traceback" not in said
        assert PASSWORD not in said
        assert TOKEN not in said
        return done.returncode, " ".join(said.split())

    return run


def page_of(said):
    """Return the page and the differences; in which order hosts answer before it is chance."""
    return said.partition("== Cloud")[2].partition("PLAY RECAP")[0].replace("skipping: [node2] ", "")


@needs_both
def test_a_run_does_what_check_mode_said_and_a_second_run_nothing(server, run):
    cloud = server.cloud
    (
        code,
        said,
    ) = run("--check", "--diff")
    assert code == 0, said
    assert not any(
        call.startswith(("PUT", "DELETE")) or (call.startswith("POST") and "tokens" not in call) for call in cloud.calls
    )
    assert "changed=1" in said
    assert cloud.flavors == {}
    checked = page_of(said)

    code, said = run("--diff")
    assert code == 0, said
    assert page_of(said) == checked
    assert cloud.traits[1:] == ["CUSTOM_REALTIME_KVM", "CUSTOM_REALTIME_PHYSNET_RT0", "CUSTOM_PHYSNET_RT0"]
    (flavor,) = cloud.flavors.values()
    assert flavor["extra_specs"]["hw:cpu_realtime_mask"] == "1-3"
    (aggregate,) = cloud.aggregates.values()
    assert (aggregate["hosts"], aggregate["metadata"]) == (["node1"], {"trait:CUSTOM_REALTIME_KVM": "required"})
    (network,), (port,), (policy,) = cloud.networks.values(), cloud.ports.values(), cloud.policies.values()
    assert (network["qos_policy_id"], network["port_security_enabled"]) == (policy["id"], False)
    assert (port["ip_allocation"], port["fixed_ips"]) == ("none", [])
    calls = [call for call in cloud.calls if not call.startswith("GET") and "tokens" not in call]
    order = [
        next(number for number, call in enumerate(calls) if part in call)
        for part in ("traits", "flavors", "aggregates", "qos", "networks", "ports")
    ]
    assert order == sorted(order)
    assert "the cloud has no nova-compute of node2" in said
    assert "a nova-compute of the node" in said

    cloud.calls.clear()
    code, said = run("--diff")
    assert code == 0, said
    assert "changed=0" in said
    assert "changed=1" not in said
    assert all(call.startswith("GET") or "tokens" in call for call in cloud.calls)


@needs_both
@pytest.mark.parametrize("secured", [True, False])
def test_a_cloud_without_security_groups_has_ports_too(server, run, secured):
    server.cloud.extensions.remove("security-group")
    if not secured:
        server.cloud.extensions.remove("port-security")
    code, said = run()
    assert code == 0, said
    (port,) = server.cloud.ports.values()
    assert "security_groups" not in port
    assert "changed=0" in run()[1]


@needs_both
def test_a_refusal_in_the_middle_says_what_was_made_and_the_next_run_goes_on(server, run):
    server.cloud.faults["POST /compute/v2.1/os-aggregates"] = (
        409,
        {"conflictingRequest": {"code": 409, "message": f"busy {PASSWORD}"}},
    )
    code, said = run()
    assert code != 0
    assert "was answered with 409" in said
    assert (
        "Made before that: trait CUSTOM_REALTIME_KVM, trait CUSTOM_REALTIME_PHYSNET_RT0, trait CUSTOM_PHYSNET_RT0, flavor rt.plc."
        in said
    )
    server.cloud.faults.clear()
    code, said = run()
    assert code == 0, said
    assert len(server.cloud.flavors) == 1


#: The flavor rt.plc as somebody else made it, and a port that has an address.
FLAVOR = {
    "id": "abc", "name": "rt.plc", "vcpus": 2, "ram": 128, "disk": 20, "swap": 512, "OS-FLV-EXT-DATA:ephemeral": 10, "rxtx_factor": 1.0,
    "extra_specs": {}, "os-flavor-access:is_public": False, "description": "mine", "links": [],
}  # fmt: skip
PORT = {
    "id": "p1", "name": "port", "project_id": PROJECT, "network_id": "n1", "mac_address": "fa:16:3e:00:00:07", "device_id": "",
    "fixed_ips": [{"ip_address": "192.0.2.5", "subnet_id": "s"}], "ip_allocation": "immediate", "port_security_enabled": True, "qos_policy_id": None,
    "security_groups": ["g"], "description": "mine",
}  # fmt: skip
NETWORK = {
    "id": "n1", "name": "net", "project_id": PROJECT, "subnets": [], "mtu": 1500, "shared": False, "port_security_enabled": False,
    "qos_policy_id": None, "provider:network_type": "vlan", "provider:physical_network": "rt0", "provider:segmentation_id": 101,
}  # fmt: skip


@needs_both
def test_what_is_made_again_keeps_what_the_variables_do_not_name(server, run):
    cloud = server.cloud
    cloud.flavors["abc"], cloud.access["abc"] = copy.deepcopy(FLAVOR), ["t1"]
    cloud.networks["n1"], cloud.ports["p1"] = copy.deepcopy(NETWORK), copy.deepcopy(PORT)
    code, said = run()
    assert code == 0, said
    (flavor,), (port,) = cloud.flavors.values(), cloud.ports.values()
    kept = ("id", "swap", "OS-FLV-EXT-DATA:ephemeral", "os-flavor-access:is_public", "description", "disk")
    assert {key: flavor[key] for key in kept} == {key: FLAVOR[key] for key in kept}
    assert (flavor["vcpus"], flavor["ram"], cloud.access) == (4, 2048, {"abc": ["t1"]})
    assert (port["mac_address"], port["description"], port["fixed_ips"]) == ("fa:16:3e:00:00:07", "mine", [])
    assert "changed=0" in run()[1]


@needs_both
@pytest.mark.parametrize(
    ("fault", "answer", "said"),
    [
        (
            "POST /compute/v2.1/flavors",
            (500, {"computeFault": {"message": "boom", "code": 500}}),
            "flavor rt.plc, which is removed and not made again; it had id=abc, vcpus=2, ram=128, disk=20, swap=512, ephemeral=10",
        ),
        (
            "POST /compute/v2.1/flavors/abc/os-extra_specs",
            (500, {"computeFault": {"message": "boom", "code": 500}}),
            "flavor rt.plc in part.",
        ),
        (
            "POST /network/v2.0/ports",
            (409, {"NeutronError": {"type": "OverQuota", "message": "Quota exceeded", "detail": ""}}),
            "port port, which is removed and not made again; it had id=p1",
        ),
        (
            "POST /network/v2.0/qos/policies/.*/minimum_bandwidth_rules",
            (503, "<html>down</html>"),
            "QoS policy reachable in part.",
        ),
    ],
)
def test_a_change_that_fails_within_says_which_part_was_made(server, run, fault, answer, said):
    cloud = server.cloud
    cloud.flavors["abc"], cloud.networks["n1"], cloud.ports["p1"] = (copy.deepcopy(item) for item in (FLAVOR, NETWORK, PORT))
    cloud.faults[fault] = answer
    code, output = run()
    assert code != 0
    assert said in output
    assert "Nothing was changed" not in output
    assert "changed: true" in output
    assert "changes:" not in output


@needs_both
@pytest.mark.parametrize(
    ("faults", "variables", "said"),
    [
        ({}, {"password": "wrong"}, "was answered with 401"),
        ({"GET /compute/v2.1/os-services": (403, {"forbidden": {"code": 403, "message": "Policy"}})}, {}, "role admin"),
        ({"GET /placement/traits": (503, "<html>down</html>")}, {}, "was answered with 503; the service is not ready"),
        ({"GET /compute/v2.1/os-aggregates": (200, "<html>login</html>")}, {}, "it is no JSON"),
        ({}, {"openstack_cloud_compute_version": "28.0.0"}, "node1 has nova-compute 28 (2023.2 Bobcat), service version 66"),
        (
            {},
            {"openstack_cloud_flavors": [{"name": "x", "guest": {"vcpus": 2, "memory_mib": 64, "realtime_vcpus": "0-1"}}]},
            "openstack_cloud_flavors: x:",
        ),
    ],
)
def test_refusals_are_one_message_and_change_nothing(server, run, faults, variables, said):
    server.cloud.faults.update(faults)
    code, output = run(**variables)
    assert code != 0
    assert said in output
    assert "Nothing was changed in the cloud." in output
    assert server.cloud.traits == ["COMPUTE_NODE"]


def test_what_is_missing_on_the_controller_is_said_first(run):
    code, said = run(collections="")
    if FOLDER and FOLDER in FOLDERS[2:]:
        pytest.skip("openstack.cloud is installed for all")
    assert code != 0
    assert "openstack.cloud, 2.4 or newer, is not there" in said
    assert "ansible-galaxy collection install" in said
