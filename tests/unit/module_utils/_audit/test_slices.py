# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Slices of guests reach the CPUs that guests need."""

from __future__ import annotations

from types import SimpleNamespace
from xml.etree import ElementTree as ET

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._audit.slices import slice_findings, with_own_cpus
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from unit.trees import plan

PARTITION = plan(
    Intent(smt="together", cpus={"dataplane": "1,7"}), nodes=2, cores=3, threads=2
)  # housekeeping 0,3,6,9; realtime 2,4-5,8,10-11


@pytest.mark.parametrize(
    ("allowed", "found"), [(None, []), ("0-11", []), ("2,4-5,8,10-11", [("slice-limit", "machine-rt.slice")])]
)
def test_a_slice_without_housekeeping_cpus_is_found(tmp_path, allowed, found):
    if allowed:
        folder = tmp_path / "sys/fs/cgroup/machine.slice/machine-rt.slice"
        folder.mkdir(parents=True)
        (folder / "cpuset.cpus").write_text(f"{allowed}\n")
    findings = slice_findings(Host(str(tmp_path)), PARTITION, "machine-rt.slice")
    assert [(item.rule, item.resource) for item in findings] == found
    assert all("systemctl revert machine-rt.slice" in item.remedy for item in findings)


def test_only_domains_on_isolated_cpus_are_looked_at():
    trees = [
        ET.fromstring(f"<domain><cputune><vcpupin vcpu='0' cpuset='{cpus}'/></cputune></domain>") for cpus in ("0", "2", "0,8")
    ]
    assert with_own_cpus([SimpleNamespace(tree=tree) for tree in trees], PARTITION) == trees[1:]
