# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a small captured machine, made by the modules themselves."""

from __future__ import annotations

import pytest
from conformance.snapshots import snapshot_of
from unit.planned import planned_node


@pytest.fixture(name="node", scope="session")
def _node(tmp_path_factory):
    """A server of 80 CPUs on two NUMA nodes; nothing is configured or installed on it yet."""
    return planned_node(snapshot_of("openshift/worker1.internal").root(), tmp_path_factory.mktemp("planned"))
