# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kvm_host on machines from the field (tests/fixtures/field); each case gives its EXPECTED value."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.realtime.kvm.plugins.modules import kvm_host
from unit import lopsided
from unit.trees import fill

PLC = {"name": "plc1", "memory_mib": 1024, "vcpus": 4, "realtime_vcpus": "1-3", "networks": [{"network": "control"}]}


@pytest.fixture(name="call")
def _call(capsys, tmp_path):
    def call(**arguments):
        given = {"networks": lopsided.NETWORKS, "fsroot": str(fill(tmp_path, lopsided.files())), **arguments}
        with patch_module_args(given), pytest.raises(SystemExit):
            kvm_host.main()
        return json.loads(capsys.readouterr().out)

    return call


def test_13_a_node_without_memory_gets_no_pages_and_no_strict_guest(call):
    result = call(guests=[PLC], partition=lopsided.partition(), hugepages_reserve={"2M": 64})
    assert result["pages"] == {"0": {"2M": 512 + 416 + 32}}
    assert result["placements"]["plc1"]["nodes"] == [0]
