# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real-time vCPUs of a guest, and the schedulers of its threads; test_guest_list.py has what is refused."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import GuestError, Scheduler
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import KEYS
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_reader import Reader
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_vcpus import (
    read_realtime_vcpus,
    read_scheduler,
    read_vcpu_schedulers,
)


def reader(**given):
    return Reader(given, "a guest", KEYS)


@pytest.mark.parametrize(
    ("mask", "vcpus", "realtime"),
    [
        ("^0", 4, {1, 2, 3}), ("^1", 4, {0, 2, 3}), ("^0-1", 4, {2, 3}), ("0", 4, {0}), ("1-2", 4, {1, 2}), ("^0,^2", 4, {1, 3}),
        ("^3", 4, {0, 1, 2}), ("0-3,^1", 4, {0, 2, 3}), ("^0,2", 4, {1, 2, 3}), (" ^0 ", 2, {1}), (0, 2, {0}), ("", 4, set()), (None, 4, set()),
    ],
)  # fmt: skip
def test_a_mask_means_what_it_means_to_nova(mask, vcpus, realtime):
    """nova/virt/hardware.py, get_realtime_cpu_constraint: a mask that begins with an exclusion starts from all vCPUs."""
    assert read_realtime_vcpus(reader(realtime_vcpus=mask), vcpus, "linux") == realtime


@pytest.mark.parametrize(("vcpus", "mask"), [(1, "0"), (4, "0-3")])
def test_another_operating_system_needs_no_ordinary_vcpu(vcpus, mask):
    assert len(read_realtime_vcpus(reader(realtime_vcpus=mask), vcpus, "other")) == vcpus
    with pytest.raises(GuestError, match=f"give {vcpus + 1} vcpus, or fewer realtime_vcpus"):
        read_realtime_vcpus(reader(realtime_vcpus=mask), vcpus, "linux")


def test_schedulers_of_single_vcpus():
    read = reader(policy="rr", vcpu_schedulers={"2-3": {"policy": "fifo"}, 4: {"priority": 1}})
    assert read_vcpu_schedulers(read, frozenset({1, 2, 3, 4}), 1) == {
        1: Scheduler("rr", 1),
        2: Scheduler("fifo", 1),
        3: Scheduler("fifo", 1),
        4: Scheduler("rr", 1),
    }


def test_a_higher_limit_is_the_kernels_matter():
    assert read_vcpu_schedulers(reader(priority=9), frozenset({1}), 9)[1].priority == 9
    with pytest.raises(GuestError, match="ksoftirqd and ktimers run at 10"):
        read_vcpu_schedulers(reader(priority=10), frozenset({1}), 9)


def test_other_threads_have_a_scheduler_only_where_it_is_given():
    assert read_scheduler(reader(), "emulator_scheduler", 1) is None
    assert read_scheduler(reader(emulator_scheduler={"policy": "rr"}), "emulator_scheduler", 1) == Scheduler("rr", 1)
    with pytest.raises(GuestError, match=r"^a guest: emulator_scheduler: priority 2 is not below the kernel's own threads"):
        read_scheduler(reader(emulator_scheduler={"priority": 2}), "emulator_scheduler", 1)
