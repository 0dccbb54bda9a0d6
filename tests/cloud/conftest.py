# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cloud that runs: molecule/openstack/create.yml and fleet.yml have started it. These tests run in its environment (make test-openstack)."""

from __future__ import annotations

import time

import openstack
import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.traits import KVM_TRAIT, physnet_trait
from cloud.fleet import STATE, Host, documents, placement

#: Seconds until an instance is active or in error; two to twelve are usual on an idle machine.
BOOT_S = 600
TRAIT = {f"trait:{KVM_TRAIT}": "required"}
REALTIME = {"hw:cpu_policy": "dedicated", "hw:cpu_realtime": "yes", "hw:emulator_threads_policy": "share", **TRAIT}
FLAVORS = {"rt.1": REALTIME, "pinned.1": {"hw:cpu_policy": "dedicated"}}


@pytest.fixture(scope="session")
def cloud():
    return openstack.connect(cloud="lab")


@pytest.fixture(scope="session")
def providers(cloud):
    return {provider.name: provider for provider in cloud.placement.resource_providers()}


@pytest.fixture(scope="session")
def fleet(cloud, providers):
    """The hosts by name."""
    hosts = {}
    for name, document in documents().items():
        provider = providers[name]
        found = {item.resource_class: item.total for item in cloud.placement.resource_provider_inventories(provider)}
        hosts[name] = Host(name, document, found, traits_of(cloud, provider))
    assert hosts
    return hosts


def traits_of(cloud, provider):
    return set(placement(cloud, f"/resource_providers/{provider.id}/traits")["traits"])


@pytest.fixture(scope="session")
def image(cloud):
    """An image without content: the hosts start nothing."""
    found = cloud.image.find_image("empty")
    return found or cloud.image.create_image(
        name="empty", data=b"\0" * 1024, disk_format="raw", container_format="bare", min_disk=0, validate_checksum=False
    )


@pytest.fixture(scope="session")
def flavors(cloud, fleet):
    """The flavors by name.

    Placement must know each trait before it is asked for, else the scheduler fails with TypeError instead of finding no host. Neutron makes
    CUSTOM_PHYSNET_... only where an agent has the network.
    """
    networks = ("rt0", "rt1", "nowhere")
    for trait in (KVM_TRAIT, *map(physnet_trait, networks), *(f"CUSTOM_PHYSNET_{name.upper()}" for name in networks)):
        cloud.placement.create_trait(trait)
    found = {}
    for name, specs in FLAVORS.items():
        old = cloud.compute.find_flavor(name)
        found[name] = old or cloud.compute.create_flavor(name=name, vcpus=1, ram=64, disk=0)
        cloud.compute.create_flavor_extra_specs(found[name], specs)
    return found


@pytest.fixture(scope="session")
def isolated(cloud, fleet, flavors):
    """The aggregate that keeps out what does not ask for real time."""
    aggregate = cloud.compute.find_aggregate("realtime") or cloud.compute.create_aggregate(name="realtime")
    for host in fleet.values():
        if host.realtime and host.name not in (aggregate.hosts or []):
            cloud.compute.add_host_to_aggregate(aggregate, host.name)
    return cloud.compute.set_aggregate_metadata(aggregate, TRAIT)


class Instances:
    """Instances that are deleted at the end of a test."""

    def __init__(self, cloud, image, flavors):
        self.cloud, self.image, self.flavors = cloud, image, flavors
        self.made = []

    def boot(self, flavor, number=1, *, port=None):
        """Request instances at once; ``finished`` waits for them."""
        networks = [{"port": port.id}] if port else "none"
        servers = [
            self.cloud.compute.create_server(
                name=f"{flavor}-{len(self.made) + index}",
                image_id=self.image.id,
                flavor_id=self.flavors[flavor].id,
                networks=networks,
            )
            for index in range(number)
        ]
        self.made += servers
        return servers

    def finished(self, servers):
        """The instances, once each is active or in error."""
        end, left = time.monotonic() + BOOT_S, [server.id for server in servers]
        done = {}
        while left and time.monotonic() < end:
            for server in map(self.cloud.compute.get_server, list(left)):
                if server.status in ("ACTIVE", "ERROR"):
                    done[server.id] = server
                    left.remove(server.id)
            time.sleep(0.5)
        assert not left, f"still building after {BOOT_S} s"
        return list(done.values())

    def delete(self):
        for server in self.made:
            self.cloud.compute.delete_server(server, ignore_missing=True)
        for server in self.made:
            self.cloud.compute.wait_for_delete(server, interval=0.5, wait=BOOT_S)


@pytest.fixture
def instances(cloud, image, flavors):
    made = Instances(cloud, image, flavors)
    yield made
    made.delete()


@pytest.fixture
def compute_logs():
    """What the computes log from here on, as text by host."""
    paths = {path.name.removeprefix("compute-").removesuffix(".log"): path for path in (STATE / "log").glob("compute-*.log")}
    assert paths
    sizes = {name: path.stat().st_size for name, path in paths.items()}

    def read():
        return {name: path.read_bytes()[sizes[name] :].decode(errors="replace") for name, path in paths.items()}

    return read
