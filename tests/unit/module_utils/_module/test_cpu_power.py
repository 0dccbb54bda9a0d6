# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cpu_power: what its body plans, when it waits, and undo."""

from __future__ import annotations

import errno

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import PartitionError
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import DOCUMENT, config_path
from ansible_collections.realtime.kvm.plugins.module_utils._module import cpu_power
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import Edges, carry_out
from unit.features import CPU, KNOBS, OPTIONS, PARTITION, text
from unit.trees import documented, fill, machine_files, plan, refuse_reads, snapshot, writable

PARAMETERS = {"state": "present", "partition": to_document(PARTITION), **OPTIONS["cpu_power"]}


def run(root, *, check_mode=False, **parameters):
    edges = Edges(writable(root, "cpu_power", check_mode=check_mode), lambda command: pytest.fail(f"{command} was run"))
    return carry_out(edges, cpu_power.run, {**PARAMETERS, **parameters})


@pytest.fixture(name="root")
def _root(tmp_path):
    return fill(tmp_path, {**machine_files(isolated="1-3"), **KNOBS, "/var/lib/": None, **documented(PARTITION)})


def test_checked_made_repeated_and_taken_back(root):
    before = snapshot(root)
    predicted = run(root, check_mode=True)
    assert snapshot(root) == before
    assert run(root) == predicted
    assert (predicted["deferred"], predicted["changed"]) == (False, True)
    assert text(root, f"{CPU}/intel_pstate/no_turbo") == "1"
    assert run(root)["changed"] is False
    assert run(root, state="absent")["changed"] is True
    assert run(root, state="absent")["changed"] is False
    assert text(root, f"{CPU}/intel_pstate/no_turbo") == "0"
    assert not (root / config_path("cpu_power")[1:]).exists()


def test_before_the_reboot_options_alone_are_written(root):
    fill(root, {f"{CPU}/isolated": "\n"})
    result = run(root)
    assert result["deferred"] is True
    assert [change["resource"] for change in result["changes"]] == [config_path("cpu_power")]


def test_a_partition_of_another_topology_is_refused_before_any_change(root):
    fill(root, documented(plan(cores=3)))
    before = snapshot(root)
    with pytest.raises(PartitionError, match="another topology"):
        run(root, partition=to_document(plan(cores=3)))
    assert snapshot(root) == before


def test_without_a_partition_nothing_is_planned(root):
    (root / DOCUMENT[1:]).unlink()
    with pytest.raises(PartitionError, match="run the cpu_partition role"):
        run(root, partition=None)


def test_undo_while_a_cpu_is_off_keeps_its_governor_in_mind(root, monkeypatch):
    path = f"{CPU}/cpufreq/policy0/scaling_governor"
    run(root)
    again = refuse_reads(monkeypatch, path, number=errno.EBUSY)
    run(root, state="absent")
    again()  # the CPU is on again, with the governor that it had
    assert text(root, path) == "performance"
    assert [change["resource"] for change in run(root, state="absent")["changes"]] == [path]
    assert text(root, path) == "powersave"
