# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cpu_partition_info reads a node and changes nothing."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import DOCUMENT, config_path
from unit.calls import PARTITION
from unit.trees import fill


def test_info_reads_this_machine(call):
    result = call("cpu_partition_info")
    assert result["changed"] is False
    assert result["changes"] == []
    online = Path("/sys/devices/system/cpu/online").read_text().strip()
    assert result["topology"]["online"] == online
    assert result["kernel"]["release"] == os.uname().release
    if not os.path.exists(DOCUMENT):
        assert [finding["rule"] for finding in result["drift"]] == ["document-missing"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", "null", '{"tokens": 7}', '{"tokens": [1], "default_kernel": null}', '{"unknown": 1}']
)
def test_info_names_damaged_arguments(snap, refuse, text):
    fill(snap, {DOCUMENT: json.dumps(PARTITION), config_path("kernel_arguments"): text})
    message = refuse("cpu_partition_info")
    assert re.search(rf"{config_path('kernel_arguments')} is damaged.*; run the \w+ role to write it again", message)


@pytest.mark.parametrize("feature", ["cpu_partition", "cpu_power", "irq_affinity"])
@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null"])
def test_damaged_options_of_one_role_are_a_difference(snap, call, feature, text):
    fill(snap, {DOCUMENT: json.dumps(PARTITION), config_path(feature): text})
    found = [item for item in call("cpu_partition_info", fsroot=str(snap))["drift"] if item["rule"] == "file-damaged"]
    assert [item["resource"] for item in found] == [config_path(feature)]
    assert found[0]["actual"].startswith("damaged (")
