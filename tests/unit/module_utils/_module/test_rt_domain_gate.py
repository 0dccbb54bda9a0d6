# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_domain on a node that is not ready for real-time guests."""

from __future__ import annotations

import json

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import DOCUMENT
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.gate import OVERRIDE
from unit.guests import DEFAULTS
from unit.trees import fill, snapshot

PLC1 = {"name": "plc1", "memory_mib": 256, "vcpus": 2, "realtime_vcpus": "1"}
OFFICE = {"name": "office", "memory_mib": 256, "vcpus": 1}


@pytest.fixture(name="bare")
def _bare(node):
    """A node that was booted without its arguments."""
    fill(node.root, {DOCUMENT: json.dumps(DEFAULTS["partition"]), "/sys/devices/system/cpu/isolated": "\n", "/run/": None})
    return node


def test_a_real_time_guest_that_would_be_refused_at_its_start_is_refused_before_any_change(bare):
    before = snapshot(bare.root), dict(bare.libvirt.definitions)
    with pytest.raises(HostError, match=r"^realtime_guests: plc1 cannot start: the running kernel does not isolate CPUs"):
        bare.run(OFFICE, PLC1)
    assert (snapshot(bare.root), bare.libvirt.definitions, bare.libvirt.calls) == (*before, [])
    assert bare.run(OFFICE)["changed"], "ordinary guests start"
    assert bare.run(OFFICE, {**PLC1, "state": "stopped"})["changed"], "a guest may be defined"


def test_check_mode_plans_it_since_a_reboot_may_come_first(bare):
    assert bare.run(PLC1, check=True)["changed"]


def test_an_operator_may_start_it(bare):
    fill(bare.root, {OVERRIDE: ""})
    assert bare.run(PLC1)["changed"]
