# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real-time and plainly pinned instances, told apart by trait and isolated aggregate: Nova itself has one set of dedicated CPUs for both."""

from xml.etree import ElementTree

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import parse_cpulist
from cloud.fleet import FLEET

EACH = 12


@pytest.fixture
def running(isolated, instances):
    """Twelve instances of each kind, requested in turn."""
    requested = [server for _number in range(EACH) for flavor in ("rt.1", "pinned.1") for server in instances.boot(flavor)]
    return instances.finished(requested)


def test_no_instance_is_on_a_host_of_the_other_kind(running, fleet):
    assert [(server.name, server.fault) for server in running if server.status != "ACTIVE"] == []
    kinds = [(server.name.split(".")[0], server.compute_host.split("-")[0]) for server in running]
    assert sorted(set(kinds)) == [("pinned", "plain"), ("rt", "rt")]
    assert kinds.count(("rt", "rt")) == kinds.count(("pinned", "plain")) == EACH
    check_domains(running, fleet)


def check_domains(servers, fleet):
    """Each domain as libvirt would get it: vCPU on a realtime CPU of its own, emulator beside it, real-time only where it was asked for."""
    used = {}
    for server in servers:
        host = fleet[server.compute_host]
        tree = ElementTree.fromstring((FLEET / "xml" / f"{host.name}-{server.instance_name}.xml").read_text())
        (cpus,) = [parse_cpulist(pin.get("cpuset")) for pin in tree.iter("vcpupin")]
        (emulator,) = [parse_cpulist(pin.get("cpuset")) for pin in tree.iter("emulatorpin")]
        taken = used.setdefault(host.name, set())
        assert len(cpus) == 1
        assert cpus <= host.dedicated - taken
        taken |= cpus
        scheduling = [(item.get("scheduler"), item.get("priority")) for item in tree.iter("vcpusched")]
        if server.name.startswith("rt."):
            assert scheduling == [("fifo", "1")]
            assert tree.find("memoryBacking/locked") is not None
            assert emulator == host.shared
        else:
            assert scheduling == []
