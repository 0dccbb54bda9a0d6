# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ovs_dpdk on machines from the field (tests/fixtures/field); each case gives its EXPECTED value."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.realtime.kvm.plugins.modules import ovs_dpdk
from unit import lopsided
from unit.trees import fill


@pytest.fixture(name="call")
def _call(capsys, tmp_path):
    def call(files, **arguments):
        given = {
            "partition": lopsided.partition(),
            "networks": lopsided.NETWORKS,
            "fsroot": str(fill(tmp_path, files)),
            **arguments,
        }
        with patch_module_args(given), pytest.raises(SystemExit):
            ovs_dpdk.main()
        return json.loads(capsys.readouterr().out)

    return call


@pytest.mark.parametrize("cpus", [{}, {"realtime": "4,6,1,3"}])
def test_13_a_node_without_memory_gets_no_socket_memory(call, cpus):
    guest = {"name": "office", "memory_mib": 256, "networks": [{"network": "control"}]}
    result = call(lopsided.files(), guests=[guest], partition=lopsided.partition(cpus=cpus))
    assert result["switch"]["socket_memory_mib"] == {"0": 832, "1": 0}
    written = {change["resource"]: change["after"] for change in result["changes"]}
    assert written["ovs:Open_vSwitch other_config:dpdk-socket-mem"] == "832"


def test_13_a_device_there_would_have_no_memory_for_packets(call):
    """The remedy is one that works: no value of ovs_dpdk_socket_memory_mib does, nor more dataplane CPUs."""
    message = call(lopsided.files(node=1))["msg"]
    assert message.startswith("realtime_networks: control: device ens1f0 is on NUMA node 1, which has no memory")
    assert message.endswith("choose a device of a node with dataplane CPUs (0)")
