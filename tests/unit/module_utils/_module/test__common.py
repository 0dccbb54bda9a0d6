# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one flow of all modules: plan, limit, changes, what is read back, and how a refusal is told."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError, RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import Change, DisruptionError, Planner
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import (
    Edges,
    Outcome,
    carry_out,
    failure,
)
from unit.hosts import SYSCTL, tree

DEFINED, STOPPED = Change("domain a", None, "x"), Change("domain a: state", "running", "shut off", "guest")


class Flow:
    """A planner and a body that plans two changes; ``said`` is what happened, in its order."""

    def __init__(self, *, check_mode=False, **outcome):
        self.planner = Planner(check_mode=check_mode)
        self.outcome, self.said = outcome, []
        self.fails = ""

    def make(self, name):
        if name == self.fails:
            raise HostError(f"{name} failed")
        self.said.append(name)

    def body(self, edges, parameters):
        assert edges.planner is self.planner
        parameters["own"] = "copy"
        self.planner.follow_up(DEFINED, lambda: self.make("define"))
        self.planner.follow_up(STOPPED, lambda: self.make("stop"))
        return Outcome(**{"results": {"a": "planned", "b": "planned"}, **self.outcome})

    def run(self, **parameters):
        return carry_out(self, self.body, parameters)


# -- carry_out -------------------------------------------------------------------------------------


def test_changes_are_made_and_then_read_back_and_what_is_found_wins():
    flow = Flow(after=lambda: flow.said.append("look") or {"b": "found", "c": "found"})
    result = flow.run()
    assert flow.said == ["define", "stop", "look"]
    assert {key: result[key] for key in "abc"} == {"a": "planned", "b": "found", "c": "found"}
    assert (result["changed"], result["disruption"]) == (True, "guest")
    assert [change["resource"] for change in result["changes"]] == ["domain a", "domain a: state"]


def test_check_mode_makes_nothing_and_reads_nothing_back():
    flow = Flow(check_mode=True, after=lambda: flow.said.append("look") or {"b": "found"})
    result = flow.run()
    assert flow.said == []
    assert (result["a"], result["b"], result["changed"]) == ("planned", "planned", True)
    assert [change["resource"] for change in result["changes"]] == ["domain a", "domain a: state"]


def test_what_is_planned_while_it_is_read_back_is_made_and_reported():
    late = Change("late", "1", "2")
    flow = Flow(after=lambda: flow.planner.follow_up(late, lambda: flow.make("late")) or {})
    result = flow.run()
    assert flow.said == ["define", "stop", "late"]
    assert [change["resource"] for change in result["changes"]][-1] == "late"


@pytest.mark.parametrize(("limit", "refused"), [("guest", True), ("reboot", False), (None, False)])
def test_what_is_planned_while_it_is_read_back_obeys_the_limit_too(limit, refused):
    late = Change("late", "1", "2", "reboot")
    flow = Flow(after=lambda: flow.planner.follow_up(late, lambda: flow.make("late")) or {})
    if not refused:
        assert flow.run(max_disruption=limit)["changes"][-1]["resource"] == "late"
        return
    with pytest.raises(
        DisruptionError, match=r"needs more than the limit guest: late \(reboot\)\. The changes before were made"
    ) as error:
        flow.run(max_disruption=limit)
    assert flow.said == ["define", "stop"]
    result = failure(flow.planner, "rt_domain", error.value)
    assert (result["changed"], result["disruption"]) == (True, "guest")
    assert [change["resource"] for change in result["changes"]] == ["domain a", "domain a: state"]


def test_without_anything_to_read_back_the_plan_is_the_result():
    assert {"a": "planned", "b": "planned"}.items() <= Flow().run().items()


def test_a_body_gets_parameters_of_its_own():
    given = {"max_disruption": None}
    flow = Flow()
    carry_out(flow, flow.body, given)
    assert given == {"max_disruption": None}


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize(
    ("limit", "refused"), [("none", True), ("stall", True), ("guest", False), ("reboot", False), (None, False)]
)
def test_a_plan_above_the_limit_is_refused_before_the_first_change(check_mode, limit, refused):
    flow = Flow(check_mode=check_mode, after=lambda: flow.said.append("look") or {})
    if refused:
        with pytest.raises(DisruptionError, match=r"domain a: state \(guest\)") as error:
            flow.run(max_disruption=limit)
        assert [change["resource"] for change in error.value.results["changes"]] == ["domain a", "domain a: state"]
        assert (flow.said, flow.planner.committed) == ([], False)
    else:
        assert flow.run(max_disruption=limit)["changed"]


def test_what_a_run_disturbs_beside_its_changes_counts_for_the_limit_and_is_no_change():
    boot = Change("running kernel", "a", "b", "reboot")
    flow = Flow(disturbs=[boot, STOPPED])
    with pytest.raises(DisruptionError) as error:
        flow.run(max_disruption="guest")
    assert [change["resource"] for change in error.value.results["changes"]] == ["domain a", "domain a: state", "running kernel"]
    assert flow.said == []
    result = Flow(disturbs=[boot]).run(max_disruption="reboot")
    assert (len(result["changes"]), result["disruption"]) == (2, "guest")


def test_the_machine_is_locked_from_the_first_look_to_the_last(tmp_path):
    host, held = Host(str(tree(tmp_path)), owner="test"), []

    def body(edges, _parameters):
        held.append(edges.host.exists("/var/lib/realtime-kvm/lock"))
        edges.host.set_value(SYSCTL, "5")
        return Outcome({}, after=lambda: held.append(edges.host.exists("/var/lib/realtime-kvm/lock")) or {})

    carry_out(Edges(host, lambda _command: (0, "", "")), body, {})
    assert held == [True, True]


# -- failure ---------------------------------------------------------------------------------------


class ExplainedError(RefusalError):
    def __init__(self, message):
        super().__init__(message)
        self.results = {"left_off": "2", "changed": "told"}


def test_a_refusal_before_any_change_says_unchanged():
    planner = Planner()
    planner.follow_up(DEFINED, lambda: None)
    assert failure(planner, "rt_domain", HostError("no libvirt")) == {"changed": False, "msg": "rt_domain: no libvirt"}


def test_a_refusal_after_the_first_change_says_what_was_made():
    flow = Flow()
    flow.fails = "stop"
    with pytest.raises(HostError) as error:
        flow.run()
    result = failure(flow.planner, "rt_domain", error.value)
    assert (result["changed"], result["disruption"], result["msg"]) == (
        True, "none", "rt_domain: stop failed. Changed before it failed: domain a",
    )  # fmt: skip
    assert [change["resource"] for change in result["changes"]] == ["domain a"]


def test_a_refusal_of_the_first_change_has_changed_nothing():
    flow = Flow()
    flow.fails = "define"
    with pytest.raises(HostError) as error:
        flow.run()
    result = failure(flow.planner, "x", error.value)
    assert (result["changed"], result["changes"]) == (False, [])


def test_of_many_changes_before_a_failure_a_message_names_ten():
    planner = Planner()
    for number in range(12):
        planner.follow_up(Change(f"file {number}", None, "x"), lambda: None)
    planner.commit()
    assert failure(planner, "x", HostError("no"))["msg"].endswith(
        "before it failed: file 0, file 1, file 2, file 3, file 4, file 5, file 6, file 7, file 8, file 9 and 2 more"
    )


def test_what_a_refusal_brings_along_wins():
    assert failure(Planner(), "x", ExplainedError("why")) == {"changed": "told", "left_off": "2", "msg": "x: why"}


@pytest.mark.parametrize(
    ("text", "msg"),
    [
        ("realtime_guests: plc1: no", "realtime_guests: plc1: no"),
        ("realtime_networks[0]: no", "realtime_networks[0]: no"),
        ("cpu_partition_cpus.realtime: no", "cpu_partition_cpus.realtime: no"),
        ("no libvirt", "x: no libvirt"),
        ("/etc/file: no", "x: /etc/file: no"),
        ("CPUs 2 are off: why", "x: CPUs 2 are off: why"),
    ],
)
def test_a_message_that_names_no_variable_begins_with_its_module(text, msg):
    assert failure(Planner(), "x", HostError(text))["msg"] == msg
