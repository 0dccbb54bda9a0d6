# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains that somebody made are taken over: what the list does not name stays theirs, also when keys leave the list."""

from __future__ import annotations

import pytest
from unit.guests import Node, resources

THEIRS = {"name": "theirs", "memory_mib": 64, "adopt": True}
#: What an adopted guest that does not run is changed in at first: the collection's mark, its floating CPUs, its state.
FIRST = ["domain theirs: metadata", "domain theirs: vcpu", "domain theirs: cputune", "domain theirs: autostart", "domain theirs: state"]


@pytest.fixture(name="node")
def _node(tmp_path):
    return Node(tmp_path)


def device_changes(result):
    return [resource for resource in resources(result) if "devices/" in resource]


# -- vCPUs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("restart", [False, True])
def test_the_number_of_vcpus_stays(node, restart):
    node.foreign(more="<cpu mode='custom'><topology sockets='1' cores='8' threads='1'/></cpu>")
    node.edit("<vcpu>1</vcpu>", "<vcpu current='2'>8</vcpu>", name="theirs")
    node.libvirt.run("theirs")
    result = node.converge(THEIRS, restart=restart)
    tree = node.tree("theirs")
    assert (tree.findtext("vcpu"), tree.find("vcpu").get("current")) == ("8", "2")
    assert tree.find("cpu/topology").get("cores") == "8"
    assert result["domains"][0]["vcpu_count"] == 8
