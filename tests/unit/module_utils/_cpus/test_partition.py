# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The partition of a partition file: read again, and refused where it is damaged."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import PartitionError, partition_from_document
from unit.partitions import plan


def test_fields_of_later_versions_are_let_be():
    partition = plan()
    assert partition_from_document({**to_document(partition), "new": {"a": 1}}) == partition


def damaged(*path, value=None, drop=False):
    document = copy.deepcopy(to_document(plan()))
    place = document
    for key in path[:-1]:
        place = place[key]
    if drop:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


@pytest.mark.parametrize(
    "document",
    [
        *(
            {"drop": True, "path": (key,)}
            for key in ("schema", "isolation", "smt", "topology_digest", "sets", "idle", "numa_nodes", "boot_cpu")
        ),
        {"drop": True, "path": ("sets", "shared")},
        {"drop": True, "path": ("sets", "realtime", "cpus")},
        {"path": ("sets",), "value": []},
        {"path": ("sets", "realtime"), "value": "1-3"},
        {"path": ("sets", "realtime", "cpus"), "value": 3},
        {"path": ("sets", "realtime", "cpus"), "value": "1-"},
        {"path": ("sets", "realtime", "cpus"), "value": "0-3,5-7,9-11,13-15"},  # 0 is housekeeping's
        {"path": ("sets", "realtime", "cpus"), "value": "1-3"},  # the others have no job
        {"path": ("idle", "cpus"), "value": "3"},
        {"path": ("numa_nodes",), "value": {"x": "0-15"}},
        {"path": ("numa_nodes",), "value": "0-15"},
        {"path": ("numa_nodes", "1"), "value": ""},
        {"path": ("boot_cpu",), "value": 1},
        {"path": ("boot_cpu",), "value": "0"},
        {"path": ("smt",), "value": "both"},
        {"path": ("isolation",), "value": None},
        {"path": ("warnings",), "value": 3},
    ],
    ids=str,
)
def test_a_damaged_document_is_refused_with_the_way_out(document):
    broken = damaged(*document["path"], value=document.get("value"), drop=document.get("drop", False))
    with pytest.raises(PartitionError, match=r"damaged \(.*run the cpu_partition role"):
        partition_from_document(broken)


@pytest.mark.parametrize("document", [None, [], "", "text", 3, {}])
def test_what_is_no_document_is_refused(document):
    with pytest.raises(PartitionError, match="damaged"):
        partition_from_document(document)


@pytest.mark.parametrize("schema", [0, "1", "2", None])
def test_another_schema_is_refused(schema):
    with pytest.raises(PartitionError, match=rf"schema {schema!r}, this collection knows 1; run the cpu_partition role"):
        partition_from_document(damaged("schema", value=schema))


def test_a_document_of_a_newer_release_is_not_written_over():
    with pytest.raises(
        PartitionError, match=r"written by a newer release \(schema 2, this release knows 1\); run that release"
    ) as error:
        partition_from_document(damaged("schema", value=2))
    assert "write it again" not in str(error.value)


def test_a_document_need_not_hold_warnings():
    document = to_document(plan())
    del document["warnings"]
    assert partition_from_document(document).warnings == ()


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("smt",), "both", "ValueError: smt 'both', isolation 'boot'"),
        (("isolation",), None, "ValueError: smt 'together', isolation None"),
        (("sets", "shared", "cpus"), "1", "ValueError: a CPU is in two sets"),
        (("numa_nodes", "1"), "", "ValueError: the sets do not hold the CPUs of the NUMA nodes"),
        (("boot_cpu",), 1, "ValueError: the boot CPU 1 is not in housekeeping"),
        (("idle",), {}, "KeyError: 'cpus'"),
        (("topology_digest",), ["{{ x }}"], "ValueError: topology_digest or a warning is no text"),
        (("warnings",), [{}], "ValueError: topology_digest or a warning is no text"),
        (("boot_cpu",), [], "TypeError: unhashable type: 'list'"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_damaged_document_is_said(place, value, said):
    with pytest.raises(PartitionError) as error:
        partition_from_document(damaged(*place, value=value))
    assert f"damaged ({said}); run the cpu_partition role" in str(error.value)
