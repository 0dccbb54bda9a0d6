# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who does its work: boot service, watcher, hook."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import ARCHIVE
from ansible_collections.realtime.kvm.plugins.module_utils._interrupts import watcher
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.programs import (
    BOOT_STATE,
    HOOK,
    WATCHER_UNIT,
    program_samples,
)
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.samples import Samples
from ansible_collections.realtime.kvm.plugins.module_utils._node import hook
from ansible_collections.realtime.kvm.plugins.module_utils._runtime import gate
from unit.watched import PARTITION, found, look_at, node, samples_of, task


def up(look):
    return {name: value for (name,), value in samples_of(program_samples, look)["program_up"].items()}


@pytest.mark.parametrize(
    ("state", "works"),
    [(None, 0), ({}, 1), ({"cpu_partition": "", "irq_affinity": ""}, 1), ({"cpu_partition": "", "cpu_power": "no room"}, 0)],
)
def test_the_boot_service_has_made_all_values_of_this_boot(tmp_path, state, works):
    files = {} if state is None else {BOOT_STATE: json.dumps(state)}
    assert up(node(tmp_path, files)) == {"boot_service": works}


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}'])
def test_a_damaged_state_is_named(tmp_path, text):
    out = Samples()
    with pytest.raises(HostError, match=r"boot\.json is damaged"):
        program_samples(node(tmp_path, {BOOT_STATE: text}), out)
    assert found(out) == {"program_up": {("boot_service",): 0}}


def test_a_watcher_that_is_set_up_runs_or_not(tmp_path):
    look = node(tmp_path, {WATCHER_UNIT: "[Service]\n"})
    assert up(look)["watcher"] == 0
    look = node(tmp_path, {"/sys/fs/cgroup/system.slice/realtime-kvm-watch.service/cgroup.procs": "12\n"})
    assert up(look)["watcher"] == 1


@pytest.mark.parametrize(("allowed", "state", "works"), [("0", "S", 1), ("0", "T", 0), ("0-1", "S", 0)])
def test_a_watcher_that_was_stopped_or_runs_on_isolated_cpus_does_not_do_its_work(tmp_path, allowed, state, works):
    thread = {name: text.replace(") S ", f") {state} ") for name, text in task(12, 12, "python3", allowed).items()}
    status = {"/proc/12/status": thread["/proc/12/task/12/status"]}
    files = {WATCHER_UNIT: "[Service]\n", "/sys/fs/cgroup/system.slice/realtime-kvm-watch.service/cgroup.procs": "12\n"}
    look = node(tmp_path, {**files, **thread, **status})
    look.partition = PARTITION
    assert up(look)["watcher"] == works


def test_a_watcher_on_shared_cpus_is_as_wrong_as_for_the_audit(tmp_path):
    """The alert does not look at the audit's finding where it has this metric."""
    thread = task(12, 12, "python3", "1")
    files = {WATCHER_UNIT: "[Service]\n", "/sys/fs/cgroup/system.slice/realtime-kvm-watch.service/cgroup.procs": "12\n"}
    look = node(tmp_path, {**files, **thread, "/proc/12/status": thread["/proc/12/task/12/status"]})
    look.partition = replace(PARTITION, sets={**PARTITION.sets, "shared": frozenset({1}), "realtime": frozenset({2, 3})})
    assert up(look)["watcher"] == 0
    look.partition = None
    assert up(look)["watcher"] == 1, "nothing says where it belongs"


def test_a_hook_works_while_it_can_be_started_and_has_its_archive(tmp_path):
    look = node(tmp_path, {HOOK: "#!/bin/sh\n", ARCHIVE: b"PK"})
    script = tmp_path / HOOK[1:]
    assert up(look)["hook"] == 0
    script.chmod(0o755)
    assert up(look)["hook"] == 1
    (tmp_path / ARCHIVE[1:]).unlink()
    assert up(look)["hook"] == 0


def test_a_node_that_is_not_set_up_has_no_programs(tmp_path):
    assert samples_of(program_samples, look_at(tmp_path)) == {}


def test_names_are_those_of_the_other_parts():
    assert (BOOT_STATE, WATCHER_UNIT, HOOK) == (gate.BOOT_STATE, watcher.WATCHER_UNIT, hook.HOOK)
