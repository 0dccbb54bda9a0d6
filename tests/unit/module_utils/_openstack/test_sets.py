# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nova's two CPU sets, from the document."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.sets import nova_sets


def document(**sets):
    return {"sets": {name: {"cpus": cpus} for name, cpus in sets.items()}}


@pytest.mark.parametrize(
    ("sets", "taken", "dedicated", "shared"),
    [
        ({"housekeeping": "0-1,6-7", "dataplane": "2-3", "realtime": "4-5,8-11", "shared": ""}, (), "4-5,8-11", "0-1,6-7"),
        ({"housekeeping": "0", "dataplane": "", "realtime": "3-4", "shared": "1-2"}, (), "3-4", "1-2"),
        ({"housekeeping": "0", "dataplane": "1", "realtime": "2-9", "shared": ""}, (4, 5, 99), "2-3,6-9", "0"),
        ({"housekeeping": "0-3", "dataplane": "", "realtime": "", "shared": ""}, (), "", "0-3"),
    ],
)
def test_sets(sets, taken, dedicated, shared):
    assert nova_sets(document(**sets), taken) == {"dedicated": dedicated, "shared": shared}


def test_cpus_of_the_switch_are_in_neither_set():
    damaged = document(housekeeping="0-2", dataplane="2-3", realtime="3-5", shared="")
    assert nova_sets(damaged) == {"dedicated": "4-5", "shared": "0-1"}
