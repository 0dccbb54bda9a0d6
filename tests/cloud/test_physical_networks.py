# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports of physical networks that are scheduled: networks without subnets, ports without addresses and with a minimum bandwidth of 1 kbit/s."""

import pytest
from cloud.fleet import placement

VLANS = {"rt0": 101, "rt1": 201, "nowhere": 301}


@pytest.fixture(scope="module")
def policy(cloud):
    found = cloud.network.find_qos_policy("reachable") or cloud.network.create_qos_policy(name="reachable")
    if not list(cloud.network.qos_minimum_bandwidth_rules(found)):
        cloud.network.create_qos_minimum_bandwidth_rule(found, min_kbps=1, direction="egress")
    return found


@pytest.fixture(scope="module")
def networks(cloud):
    return {
        name: cloud.network.find_network(name)
        or cloud.network.create_network(
            name=name,
            provider_network_type="vlan",
            provider_physical_network=name,
            provider_segmentation_id=vlan,
            port_security_enabled=False,
        )
        for name, vlan in VLANS.items()
    }


@pytest.fixture
def port(cloud, networks, policy, instances):
    made = []

    def make(network):
        made.append(
            cloud.network.create_port(
                network_id=networks[network].id,
                fixed_ips=[],
                port_security_enabled=False,
                qos_policy_id=policy.id,
                name=f"{network}-{len(made)}",
            )
        )
        return made[-1]

    yield make
    instances.delete()
    for item in made:
        cloud.network.delete_port(item, ignore_missing=True)


def fault_of(server):
    return (server.fault or {}).get("message", "")


def test_a_port_has_no_address_and_asks_for_its_physical_network(port):
    made = port("rt0")
    assert made.ip_allocation == "none"
    assert made.fixed_ips == []
    required = [trait for group in made.resource_request["request_groups"] for trait in group["required"]]
    assert "CUSTOM_PHYSNET_RT0" in required


def test_an_instance_goes_where_its_network_is(isolated, instances, port, cloud):
    (server,) = instances.finished(instances.boot("rt.1", port=port("rt0")))
    assert (server.status, fault_of(server)) == ("ACTIVE", "")
    assert server.compute_host in ("rt-32", "rt-64")
    used = placement(cloud, f"/allocations/{server.id}")["allocations"]
    assert {"NET_BW_EGR_KILOBIT_PER_SEC": 1} in [item["resources"] for item in used.values()]


@pytest.mark.usefixtures("isolated")
def test_a_network_that_no_host_has_fails_in_scheduling(instances, port, compute_logs):
    (server,) = instances.finished(instances.boot("rt.1", port=port("nowhere")))
    assert server.status == "ERROR"
    assert "No valid host was found" in fault_of(server)
    assert server.compute_host is None
    check_never_tried(compute_logs, server)


@pytest.mark.usefixtures("isolated")
def test_a_network_whose_hosts_have_no_free_cpu_fails_in_scheduling(fleet, instances, port, compute_logs):
    places = len(fleet["rt-4"].dedicated)
    for _number in range(places):
        (server,) = instances.finished(instances.boot("rt.1", port=port("rt1")))
        assert (server.status, server.compute_host) == ("ACTIVE", "rt-4")
    (server,) = instances.finished(instances.boot("rt.1", port=port("rt1")))
    assert server.status == "ERROR"
    assert "No valid host was found" in fault_of(server)
    check_never_tried(compute_logs, server)


def check_never_tried(logs, server):
    """Assert that no host was asked to build it: with networks that are not scheduled, the host fails, and Nova tries the next."""
    for host, text in logs().items():
        assert "PortBindingFailed" not in text, host
        assert server.id not in text, host
