# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/guests.yml: a removed guest's port goes with the guest, whichever tags are given, and is shown once."""

from __future__ import annotations

import pytest

#: The plan of the switch has something to do, so the node is not left alone.
CHANGES = {"ovs_dpdk": "stall"}
GONE = {"realtime_guests": [{"name": "plc1", "state": "absent"}]}


def asked(calls):
    return [(call["check"], call["remove_ports"]) for call in calls if call["module"] == "rt_domain"]


@pytest.mark.parametrize("tags", [[], ["--tags", "rt_guest"]])
def test_a_run_removes_the_ports_of_removed_guests(nodes, tags):
    code, said, calls = nodes.run("realtime.kvm.guests", CHANGES, "--limit", "node1", *tags, **GONE)
    assert code == 0, said
    assert asked(calls) == [(True, False), (False, True)], "the plan shows them by the switch's own plan"


@pytest.mark.parametrize(("tags", "shown"), [([], False), (["--tags", "rt_guest"], True), (["--skip-tags", "ovs_dpdk"], True)])
def test_check_mode_shows_each_port_once(nodes, tags, shown):
    code, said, calls = nodes.run("realtime.kvm.guests", CHANGES, "--check", "--limit", "node1", *tags, **GONE)
    assert code == 0, said
    assert asked(calls) == [(True, False), (True, shown)]


@pytest.mark.parametrize(("tags", "handed"), [([], True), (["--tags", "rt_guest"], False), (["--skip-tags", "ovs_dpdk"], False)])
def test_guests_count_on_the_plan_of_the_switch_only_where_the_run_makes_it(nodes, tags, handed):
    """Poll-mode threads on the CPUs of guests stay there where --tags leaves out the switch; the plan must not promise another thing."""
    answers = {**CHANGES, "results": {"ovs_dpdk": {"switch": {"pmd_cpus": "1"}}}}
    code, said, calls = nodes.run("realtime.kvm.guests", answers, "--check", "--limit", "node1", *tags, **GONE)
    assert code == 0, said
    given = [bool(call.get("switch")) for call in calls if call["module"] == "rt_domain"]
    assert given == [handed, handed]
