# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every refusal is one: modules catch the base, and show its text and results."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot.arguments import KernelArgumentError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import CpuListError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError, RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import PartitionError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import TopologyError
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.connection import RedfishError
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.registry import BiosError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import DomainError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import GuestError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import NetworkError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import PinningError
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.holders import IsolationError
from ansible_collections.realtime.kvm.plugins.module_utils._latency.verdict import LatencyError
from ansible_collections.realtime.kvm.plugins.module_utils._memory.hugepages import HugepageError
from ansible_collections.realtime.kvm.plugins.module_utils._switch.plan import SwitchError

REFUSALS = [
    BiosError,
    CpuListError,
    DomainError,
    GuestError,
    HostError,
    HugepageError,
    IsolationError,
    KernelArgumentError,
    LatencyError,
    NetworkError,
    PartitionError,
    PinningError,
    RedfishError,
    SwitchError,
    TopologyError,
]


@pytest.mark.parametrize("kind", REFUSALS, ids=lambda kind: kind.__name__)
def test_a_refusal_is_caught_as_one_and_keeps_its_text(kind):
    with pytest.raises(RefusalError) as caught:
        raise kind("CPU 7 is offline; leave it out")
    assert str(caught.value) == "CPU 7 is offline; leave it out"
    assert caught.value.results == {}


def test_results_of_one_refusal_are_not_those_of_the_next():
    first = RefusalError("x")
    first.results = {"plan": 1}
    assert RefusalError("y").results == {}
