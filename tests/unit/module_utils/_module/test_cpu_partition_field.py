# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cpu_partition on machines from the field (tests/fixtures/field); each case gives its EXPECTED value."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import parse_cpulist
from unit import lopsided
from unit.loaders import field_values
from unit.trees import fill, machine_files


@pytest.fixture(name="planned")
def _planned(call, tmp_path):
    """The CPUs of the sets that are planned for a captured machine, and the plan's warnings."""

    def planned(files, **wishes):
        document = call("cpu_partition", fsroot=str(fill(tmp_path, files)), **wishes)["partition"]
        return {name: item["cpus"] for name, item in document["sets"].items() if item["cpus"]}, document["warnings"]

    return planned


def test_10_low_power_cores_keep_house(planned):
    kinds = {path: f"{cpus}\n" for path, cpus in field_values("10").items()}
    sets, _warnings = planned({**machine_files(nodes=1, cores=16, threads=1), **kinds})
    assert sets == {"housekeeping": "0,6-15", "realtime": "1-5"}


def test_13_cpus_without_memory_are_realtime_only_on_request(planned):
    sets, warnings = planned(lopsided.files(), dataplane_devices=["ens1f0"])
    assert parse_cpulist(sets["housekeeping"]) >= lopsided.NODES[1]
    assert parse_cpulist(sets["dataplane"]) | parse_cpulist(sets["realtime"]) <= lopsided.NODES[0]
    (warning,) = warnings
    assert warning.startswith("NUMA node 1 has CPUs 1,3,5,7,")
    assert "and no memory" in warning
    sets, warnings = planned({}, dataplane_devices=["ens1f0"], cpus={"realtime": "4,6,1,3"})
    assert sets["realtime"] == "1,3-4,6"
    assert warnings == [warning]
