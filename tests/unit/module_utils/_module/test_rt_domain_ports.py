# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest that is removed takes its ports off the switch, also where the ovs_dpdk role does not run; all else on the switch stays."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from unit.guests import OTHER, PLC, gone, resources
from unit.ovsdb import settled_switch


class Switch:
    """The edge to a switch's database."""

    def __init__(self):
        self.ovsdb, self.up, self.settled = settled_switch(), True, []

    def __call__(self, _host, _runner):
        return self

    def read(self):
        return self.ovsdb.database()

    def running(self):
        return self.up

    def transact(self, operations):
        self.ovsdb.run(operations)
        return 7

    def settle(self, number):
        self.settled.append(number)

    @property
    def ports(self):
        return sorted(self.ovsdb.contents()["br-control"]["ports"])


@pytest.fixture(name="switched")
def _switched(node):
    node.run(PLC, OTHER)
    node.ports = Switch()
    assert node.ports.ports == ["br-control", "dpdk-control", "plc1.control"]
    return node


def test_its_port_goes_and_nothing_else(switched):
    others = copy.deepcopy(switched.ports.ovsdb.contents())
    result = switched.run(gone(), OTHER, check=True, remove_ports=True)
    assert resources(result) == ["domain plc1: state", "domain plc1", "ovs:Port/plc1.control"]
    assert switched.ports.ports == ["br-control", "dpdk-control", "plc1.control"]
    assert switched.run(gone(), OTHER, remove_ports=True) == result
    del others["br-control"]["ports"]["plc1.control"]
    assert switched.ports.ovsdb.contents() == others
    assert switched.ports.settled == [7]
    assert switched.run(gone(), OTHER, remove_ports=True)["changed"] is False


def test_a_port_that_an_earlier_run_has_left_goes_too(switched):
    switched.run(gone(), OTHER)
    assert "plc1.control" in switched.ports.ports
    assert resources(switched.run(gone(), OTHER, remove_ports=True)) == ["ovs:Port/plc1.control"]
    assert "plc1.control" not in switched.ports.ports


def test_ports_of_guests_that_stay_or_are_not_listed_stay(switched):
    switched.run(PLC, remove_ports=True)
    switched.run(OTHER, gone(name="plc9"), remove_ports=True)
    assert "plc1.control" in switched.ports.ports


def test_the_port_of_a_switch_that_is_down_is_named(switched):
    switched.ports.up = False
    result = switched.run(gone(), OTHER, remove_ports=True)
    assert "plc1" not in switched.libvirt.definitions
    assert "ovs:Port/plc1.control" not in resources(result)
    assert "plc1.control" in switched.ports.ports


def test_a_node_without_a_switch_has_no_ports(switched):
    switched.ports.ovsdb.tables = {table: {} for table in switched.ports.ovsdb.tables}
    assert resources(switched.run(gone(), OTHER, remove_ports=True)) == ["domain plc1: state", "domain plc1"]


def test_a_switch_that_refuses_fails_the_run_after_the_guest_has_gone(switched, monkeypatch):
    def refuse(_operations):
        raise HostError("ovsdb-server refused the request: x")

    monkeypatch.setattr(switched.ports, "transact", refuse)
    with pytest.raises(HostError, match="refused the request"):
        switched.run(gone(), OTHER, remove_ports=True)
    assert "plc1" not in switched.libvirt.definitions
