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


@pytest.mark.parametrize("feature", ["cpu_partition", "cpu_power", "irq_affinity", "kernel_arguments"])
@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", "null", '{"tokens": 7}', '{"tokens": [1], "default_kernel": null}', '{"unknown": 1}']
)
def test_info_names_damaged_options(snap, refuse, feature, text):
    fill(snap, {DOCUMENT: json.dumps(PARTITION), config_path(feature): text})
    message = refuse("cpu_partition_info")
    assert re.search(rf"{config_path(feature)} is damaged.*; run the \w+ role to write it again", message)
