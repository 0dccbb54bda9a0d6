# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flavors made of guests: the cloud takes their extra specs, and their instances get what the guest was described to have."""

from xml.etree import ElementTree

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import parse_cpulist
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.flavor import Hosts, nova_flavor
from cloud.fleet import FLEET

GUEST = {"vcpus": 2, "memory_mib": 64, "realtime_vcpus": "1"}
MANY, ONE = Hosts(numa_nodes=2, smt="single"), Hosts(numa_nodes=1, smt="single")
#: Guest, hosts, and the vCPUs that are real-time.
KINDS = {
    "mixed": (GUEST, MANY, {1}),
    "four": ({**GUEST, "vcpus": 4, "realtime_vcpus": "1-3"}, MANY, {1, 2, 3}),
    "isolate": ({**GUEST, "realtime_vcpus": "0-1", "guest_os": "other"}, MANY, {0, 1}),
    "share": ({**GUEST, "vcpus": 1, "realtime_vcpus": "0", "guest_os": "other"}, ONE, {0}),
    "pages": ({**GUEST, "hugepages": "2M"}, MANY, {1}),
}


@pytest.fixture(scope="module", params=KINDS)
def made(request, cloud, flavors):
    """A flavor as the cloud has it, with its guest."""
    guest, hosts, realtime = KINDS[request.param]
    wanted = nova_flavor(guest, hosts=hosts)
    name = f"guest.{request.param}"
    old = cloud.compute.find_flavor(name)
    flavor = old or cloud.compute.create_flavor(name=name, vcpus=wanted.vcpus, ram=wanted.ram, disk=wanted.disk)
    cloud.compute.create_flavor_extra_specs(flavor, wanted.extra_specs)
    flavors[name] = flavor
    yield name, wanted, realtime
    cloud.compute.delete_flavor(flavor)


def test_the_cloud_takes_it_and_an_instance_is_as_described(made, instances, isolated, fleet):
    name, wanted, realtime = made
    (server,) = instances.finished(instances.boot(name))
    assert (server.status, (server.fault or {}).get("message")) == ("ACTIVE", None), wanted
    host = fleet[server.compute_host]
    assert host.realtime
    tree = ElementTree.fromstring((FLEET / "xml" / f"{host.name}-{server.instance_name}.xml").read_text())
    pins = {int(pin.get("vcpu")): parse_cpulist(pin.get("cpuset")) for pin in tree.iter("vcpupin")}
    scheduled = [item for item in tree.iter("vcpusched") if item.get("scheduler") == "fifo"]
    assert set().union(*(parse_cpulist(item.get("vcpus")) for item in scheduled)) == realtime
    for vcpu in realtime:
        assert len(pins[vcpu]) == 1
        assert pins[vcpu] <= host.dedicated
    for vcpu in set(pins) - realtime:
        assert not pins[vcpu] & set().union(*(pins[other] for other in realtime))
    emulators = [parse_cpulist(pin.get("cpuset")) for pin in tree.iter("emulatorpin")]
    for emulator in emulators:
        assert not emulator & set().union(*(pins[vcpu] for vcpu in realtime))
    assert tree.find("memoryBacking/locked") is not None
    if "hw:mem_page_size" in wanted.extra_specs:
        assert tree.find("memoryBacking/hugepages/page") is not None


@pytest.mark.parametrize(
    ("specs", "why"),
    [
        ({"hw:cpu_polcy": "dedicated"}, "hw:cpu_polcy"),
        ({"hw:cpu_realtime": "sometimes"}, "sometimes"),
        ({"hw:cpu_realtime_mask": "a"}, "is not of the format"),
    ],
)
def test_the_cloud_refuses_misspelt_specs_itself(cloud, flavors, specs, why):
    """So that a flavor which it takes says something."""
    with pytest.raises(Exception, match=why):
        cloud.compute.create_flavor_extra_specs(flavors["pinned.1"], specs)
