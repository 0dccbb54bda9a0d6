# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps CPUs awake and at a steady frequency."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.power_settings import (
    AWAKE,
    IdleLimit,
    power_settings,
    shallowest,
)
from unit.trees import plan

PLAIN = plan()
SWITCH = plan(Intent(smt="together", dataplane_cores_per_node=1, shared_cores_per_node=1, realtime="1"))


def values(settings):
    return {setting.path: setting.value for setting in settings}


@pytest.mark.parametrize(
    ("options", "present", "absent"),
    [
        (
            {"performance": True},
            {"scaling_governor": "performance", "min_perf_pct": "100", "energy_perf_bias": "0"},
            ["no_turbo"],
        ),
        ({"turbo": "off"}, {"no_turbo": "1", "boost": "0"}, ["scaling_governor", "pm_qos_resume_latency_us"]),
        (
            {"limits": dict.fromkeys((1, 2, 3), IdleLimit("2", "C1 (2 us)"))},
            {"pm_qos_resume_latency_us": "2"},
            ["no_turbo", "scaling_governor"],
        ),
        ({"limits": dict.fromkeys((1, 2, 3), AWAKE)}, {"pm_qos_resume_latency_us": "n/a"}, []),
        ({}, {}, ["no_turbo", "scaling_governor", "pm_qos_resume_latency_us"]),
    ],
)
def test_power(options, present, absent):
    settings = power_settings(PLAIN, **{"limits": {}, "turbo": "keep", "performance": False, **options})
    found = {path.rsplit("/", 1)[1]: value for path, value in values(settings).items()}
    assert present.items() <= found.items()
    assert not set(absent) & set(found)


def test_idle_limits_are_for_realtime_and_dataplane_cpus():
    found = values(power_settings(SWITCH, limits=dict.fromkeys(range(4), AWAKE), turbo="keep", performance=False))
    assert set(found) == {f"/sys/devices/system/cpu/cpu{cpu}/power/pm_qos_resume_latency_us" for cpu in (1, 3)}


@pytest.mark.parametrize(
    ("states", "limit", "named"),
    [
        ([], "1", "1 us"),
        ([("POLL", 0), ("C1", 2), ("C1E", 10), ("C6", 170)], "2", "C1 (2 us)"),
        ([("POLL", 0), ("C1_ACPI", 1), ("C2_ACPI", 127)], "1", "C1_ACPI (1 us)"),
        ([("C1-HSW", 2), ("C1E-HSW", 10), ("C3-HSW", 33)], "2", "C1-HSW (2 us)"),
        ([("POLL", 0), ("C1", 0), ("C2", 18)], "1", "C1 (0 us)"),
        ([("POLL", 0), ("haltpoll", 1)], "1", "haltpoll (1 us)"),
        # Alder Lake and its kin offer C1E instead of C1; with a limit of 1 us they would poll
        ([("POLL", 0), ("C1E", 2), ("C6", 220), ("C8", 280), ("C10", 680)], "2", "C1E (2 us)"),
        ([("WFI", 1), ("cpu-sleep-0", 400)], "1", "WFI (1 us)"),
        ([("POLL", 0), ("C6", 133)], "133", "C6 (133 us)"),
    ],
)
def test_the_limit_admits_the_quickest_state_and_nothing_deeper(states, limit, named):
    found = shallowest(states)
    assert (found.latency_us, found.state) == (limit, named)
    assert named in found.reason
    assert len([name for name, latency in states if name != "POLL" and latency <= int(limit)]) <= 1


def test_a_cpu_that_polls_says_so():
    assert AWAKE.reason == "this CPU enters no idle state; the others may sleep"
