# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A feature: when it waits for the reboot, how its files are planned and its options kept, and undo."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import Change
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import config_path
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.cpu_settings import ChoiceSetting
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.feature import (
    Feature,
    must_wait,
    one_of,
    plan_feature,
    plan_settings,
    undo_feature,
)
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.features import FEATURES
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.settings import Setting
from unit.features import CPU, OPTIONS, PARTITION, apply, run
from unit.trees import fill, machine_files, plan, writable


@pytest.mark.parametrize(
    ("isolated", "partition", "waits"),
    [
        ("1-3", PARTITION, False),
        ("1-2", PARTITION, True),
        ("", PARTITION, True),
        ("(null)", PARTITION, True),
        ("0-3", PARTITION, False),
        ("", plan(Intent(smt="together", realtime="0")), False),
        ("", plan(Intent(smt="together", isolation="runtime")), False),
    ],
)
def test_values_wait_until_the_kernel_isolates(tmp_path, isolated, partition, waits):
    fill(tmp_path, machine_files(isolated=isolated))
    assert must_wait(Host(str(tmp_path)), partition) is waits


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_that_waits_keeps_its_options_alone(root, feature):
    fill(root, {f"{CPU}/isolated": "\n"})
    host = writable(root, feature)
    assert plan_feature(host, FEATURES[feature], PARTITION, OPTIONS[feature]) is True
    assert [change.resource for change in host.changes] == [config_path(feature)]


def test_undo_puts_values_back_before_the_options(root):
    """An undo that is killed can be repeated, since the options that say what was set are there until the end."""
    apply(root, "cpu_power")
    host = run(root, undo_feature, "cpu_power")
    kinds = [change.resource == config_path("cpu_power") for change in host.changes]
    assert len(kinds) > 2
    assert kinds == sorted(kinds)


def test_a_value_that_the_kernel_changes_while_writing_is_an_error(root, monkeypatch):
    real = Host.write_value
    monkeypatch.setattr(Host, "write_value", lambda self, path, _value: real(self, path, "3"))
    with pytest.raises(HostError, match=r"^/proc/sys/kernel/timer_migration: '0' was written, but the kernel shows '3'$"):
        apply(root, "cpu_partition")


def test_a_file_is_planned_once_although_two_patterns_match(root):
    host = writable(root)
    plan_settings(host, [Setting("/proc/sys/vm/swappiness", "1", "one"), Setting("/proc/sys/vm/*", "2", "two")])
    assert [(change.resource, change.after) for change in host.changes] == [("/proc/sys/vm/swappiness", "1")]


# -- options ---------------------------------------------------------------------------------------


def test_options_are_written_so_that_the_boot_service_reads_the_same(root):
    host = writable(root, "x")
    feature = Feature("x", "x", lambda *_arguments: None, {})
    assert plan_feature(host, feature, PARTITION, {"b": 1, "a": [True]}) is False
    host.commit()
    assert Path(f"{root}{config_path('x')}").read_text() == '{\n "a": [\n  true\n ],\n "b": 1\n}\n'


def test_a_feature_plans_with_the_options_that_it_is_given(root):
    seen = []
    feature = Feature("x", "x", lambda host, partition, options: seen.append((host, partition, options)), {})
    host = writable(root, "x")
    plan_feature(host, feature, PARTITION, {"a": 1})
    assert seen == [(host, PARTITION, {"a": 1})]


@pytest.mark.parametrize(
    ("value", "wrong"), [("a", ""), (1, ""), ("b", "not one of a, 1"), (None, "not one of a, 1"), ([], "not one of a, 1")]
)
def test_one_of_several_values(value, wrong):
    assert one_of("a", 1)(value) == wrong


# -- files -----------------------------------------------------------------------------------------


def test_files_that_the_kernel_lacks_are_passed_over_and_unreadable_ones_are_noted(root):
    fill(root, {"/proc/sys/locked/": None})
    host = writable(root)
    plan_settings(host, [Setting("/proc/sys/none", "1", "why"), Setting("/proc/sys/locked", "1", "why")])
    assert host.changes == []
    assert host.notes == ["/proc/sys/locked cannot be read, so it was left alone (is the kernel locked down?)"]


def test_a_change_has_the_settings_class_and_reason_and_what_would_be_written_back(root):
    fill(root, {"/sys/choice": "[always] never\n"})
    host = writable(root)
    plan_settings(host, [ChoiceSetting("/sys/choice", "never", "why", "what", "stall")])
    assert host.changes == [Change("/sys/choice", "always", "never", "stall", "why")]
