# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's partition file: read back, given by the caller, missing, damaged."""

from __future__ import annotations

import json

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


def test_the_partition_given_wins_over_the_document(root):
    fill(root, {DOCUMENT: json.dumps(to_document(PARTITION))})
    other = plan(Intent(smt="together", realtime="1"))
    assert require_partition(Host(str(root)), to_document(other)) == other


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
