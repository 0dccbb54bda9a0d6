# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's partition file: read back, given by the caller, missing, damaged."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import PartitionError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._host.document import read_partition, require_partition
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import DOCUMENT
from unit.features import PARTITION
from unit.trees import fill, plan


def test_the_document_is_read_back(root):
    fill(root, {DOCUMENT: json.dumps(to_document(PARTITION))})
    assert read_partition(Host(str(root))) == PARTITION
    assert require_partition(Host(str(root)), None) == PARTITION


def test_a_plan_may_be_ahead_of_the_document(root):
    other = plan(Intent(smt="together", realtime="1"))
    for host in (Host(str(root), check_mode=True), Host(str(root), captured=True)):
        assert require_partition(host, to_document(other)) == other
        fill(root, {DOCUMENT: json.dumps(to_document(PARTITION))})


OTHERS = [
    (
        {"sets": {"realtime": frozenset({2, 3}), "housekeeping": frozenset({0, 1})}},
        "it is housekeeping 0-1, realtime 2-3 (isolation boot, smt single)",
    ),
    ({"isolation": "runtime"}, "it is housekeeping 0, realtime 1-3 (isolation runtime, smt single)"),
    ({"topology_digest": "other"}, "(isolation boot, smt single) of another topology: another run"),
]


@pytest.mark.parametrize(("differs", "said"), OTHERS, ids=lambda item: str(item)[:20])
def test_what_changes_a_node_must_be_given_the_documents_partition(root, differs, said):
    fill(root, {DOCUMENT: json.dumps(to_document(PARTITION))})
    other = replace(PARTITION, **{**differs, "sets": {**PARTITION.sets, **differs.get("sets", {})}})
    with pytest.raises(PartitionError) as refusal:
        require_partition(Host(str(root)), to_document(other))
    assert str(refusal.value).startswith("partition: it is ")
    assert said in str(refusal.value)
    assert str(refusal.value).endswith("Run the site playbook again, without --tags or with cpu_partition among them")
    told = replace(PARTITION, warnings=("an earlier release said it otherwise",))
    assert require_partition(Host(str(root)), to_document(told)) == PARTITION


def test_a_partition_that_was_undone_meanwhile_is_not_applied(root):
    with pytest.raises(
        PartitionError, match=rf"{DOCUMENT} is missing\); the given one is not applied. Run the site playbook again"
    ):
        require_partition(Host(str(root)), to_document(PARTITION))


def test_without_a_document_it_is_said_what_to_do(root):
    assert read_partition(Host(str(root))) is None
    with pytest.raises(
        PartitionError, match=rf"there is no partition on this node \({DOCUMENT} is missing\); run the cpu_partition role"
    ):
        require_partition(Host(str(root)), None)


@pytest.mark.parametrize("damaged", ["", "{", "[]", "null", "7", "{}", '{"schema": 2}', '{"schema": 1}', '"text"'])
def test_a_damaged_document_is_named(root, damaged):
    fill(root, {DOCUMENT: damaged})
    with pytest.raises(PartitionError, match=f"^{DOCUMENT}: "):
        read_partition(Host(str(root)))
