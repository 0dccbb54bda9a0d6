# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters that playbooks use: the report of a plan, and what disturbs more than the plan may."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.realtime.kvm.plugins.filter.report import FilterModule

FILTERS = FilterModule().filters()
plan_report, disruptions_above, printable = FILTERS["plan_report"], FILTERS["disruptions_above"], FILTERS["printable"]


def change(resource, before="a", after="b", disruption="none"):
    return {"resource": resource, "before": before, "after": after, "disruption": disruption, "reason": ""}


RESULTS = {
    "partition": {
        "table": ["the", "table"],
        "changes": [change("/etc/x", None, "text\nof lines"), change("/sys/mask", disruption="stall")],
    },
    "power": {"changes": []},
    "interrupts": {"changes": [change("IRQ")]},
    "kernel": {
        "arguments": [{"token": "skew_tick=1", "reason": "why", "disturbs": "what"}],
        "changes": [change("/boot/grub/grub.cfg", disruption="reboot")],
    },
}
REBOOT = {
    "reboot_required": True,
    "running": {"release": "6.1-amd64", "matches": False},
    "following": {"release": "6.1-rt", "tokens": []},
}


# -- plan_report -----------------------------------------------------------------------------------


def test_the_report_holds_sets_arguments_and_changes():
    lines = plan_report(RESULTS).splitlines()
    assert lines[:2] == ["== What the run disturbs ==", "disruption  changes  what"]
    assert lines[lines.index("the") + 1] == "table"
    assert "skew_tick=1      why" in lines
    assert [line.split(maxsplit=1)[0] for line in lines[-4:]] == ["reboot", "stall", "none", "none"], "the worst first"
    assert "none        /etc/x               absent -> 2 lines" in lines


def test_a_plan_without_the_partition_has_its_changes():
    text = plan_report(
        {"host": {"changes": []}, "switch": {"changes": [change("ovs:x", disruption="stall")]}, "guests": {"changes": []}}
    )
    assert [line.split()[0] for line in text.splitlines()[-3:]] == ["disruption", "----------", "stall"]
    assert plan_report({"guests": {"changes": []}}).endswith("nothing to change")


@pytest.mark.parametrize(
    "results",
    [
        {"host": {"changes": [change("x" * (1 << 20)), *(change("r") for _row in range(3000))]}},
        {
            "kernel": {
                "changes": [],
                "arguments": [{"token": "x" * (1 << 20), "reason": "x"}] + [{"token": "r", "reason": "r"}] * 3000,
            }
        },
        {"partition": {"changes": [], "table": ["x" * (1 << 20)] + ["r"] * 100_000}},
        {"kernel": {"changes": [], "protection": {"notes": ["x" * (1 << 20)] * 3}}},
        {
            "host": {
                "changes": [],
                "policies": [dict.fromkeys(("variable", "value", "before", "protects", "costs"), "x y " * (1 << 20))],
            }
        },
    ],
)
def test_an_answer_of_a_few_mib_makes_no_larger_report(results):
    assert len(plan_report(results)) < 2 << 20


@pytest.mark.parametrize(
    "results",
    [
        {"partition": {"changes": [], "table": ["\x1b]0;owned\x07\x9b31m\u202e"]}},
        {"host": {"changes": [change("\x1b]0;owned\x07", "\x1b[2J", "\x1b[2J")]}},
        {"host": {"changes": [], "policies": [dict.fromkeys(("variable", "value", "before", "protects", "costs"), "\x1b[2J")]}},
        {
            "kernel": {
                "changes": [],
                "arguments": [{"token": "\x1b[2J", "reason": "\x1b[2J"}],
                "protection": {"notes": ["\x1b[2J"]},
            }
        },
    ],
)
def test_no_answer_writes_to_the_terminal(results):
    shown = plan_report(results) + "".join(disruptions_above(results, "none"))
    assert shown.replace("\n", "").isprintable()
    assert printable([shown, "\x1b[2J", 7]) == [shown.replace("\n", r"\n"), r"\x1b[2J", "7"]


def test_what_an_answer_holds_is_printable():
    assert printable("a\n\x1b[2J\u202e") == "a\n\\x1b[2J\\u202e"
    assert printable(["x"] * 6000)[-1] == "... and 1000 more lines"
    with pytest.raises(AnsibleFilterError, match=r"realtime.kvm.printable: expected text or a list of lines, not dict"):
        printable({})


def test_a_long_value_is_shortened():
    text = plan_report({"partition": {"changes": [change("x", "b" * 100, "a" * 100)]}})
    assert " ".join(text.split()).endswith(f"{'b' * 57}... -> {'a' * 57}...")


@pytest.mark.parametrize("results", [{"partition": {}}, {"partition": {"changes": []}, "kernel": {"reboot_required": False}}])
def test_nothing_to_change_is_said(results):
    assert plan_report(results).endswith("nothing to change")


@pytest.mark.parametrize(
    ("kernel", "line"),
    [
        (REBOOT, "6.1-amd64 -> 6.1-rt"),
        ({**REBOOT, "following": {"release": "6.1-amd64"}}, "6.1-amd64 -> the real-time kernel"),
        ({**REBOOT, "running": {"release": "6.1-rt", "matches": True}}, "6.1-rt -> 6.1-rt"),
        ({**REBOOT, "following": {}}, "6.1-amd64 -> ?"),
        ({**REBOOT, "arguments": [], "following": {"release": "6.1-amd64"}}, "6.1-amd64 -> 6.1-amd64"),
    ],
)
def test_a_reboot_is_a_change(kernel, line):
    text = plan_report({"partition": {}, "kernel": kernel})
    assert text.splitlines()[-1].split() == ["reboot", "running", "kernel", "and", "arguments", *line.split()]


# -- disruptions_above -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "found"),
    [
        ("none", ["/sys/mask (stall)", "/boot/grub/grub.cfg (reboot)"]),
        ("stall", ["/boot/grub/grub.cfg (reboot)"]),
        ("guest", ["/boot/grub/grub.cfg (reboot)"]),
        ("reboot", []),
    ],
)
def test_what_disturbs_more_than_allowed(limit, found):
    assert disruptions_above(RESULTS, limit) == found


def test_a_reboot_disturbs():
    assert disruptions_above({"kernel": REBOOT}, "guest") == ["running kernel and arguments (reboot)"]
    assert disruptions_above({}, "none") == []


@pytest.mark.parametrize("limit", ["", "None", "all", None, 1, ["none"], {}])
def test_an_unknown_class_is_named_with_the_variable(limit):
    with pytest.raises(
        AnsibleFilterError,
        match=r"^realtime_max_disruption: .* is not a disruption class; choose one of none, stall, guest, reboot$",
    ):
        disruptions_above(RESULTS, limit)


# -- wrong input -----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "text", 7, [], [RESULTS], {"partition": "text"}, {"partition": {}, "power": None}])
@pytest.mark.parametrize("name", ["plan_report", "disruptions_above"])
def test_what_is_no_dictionary_of_results_is_refused(name, value):
    arguments = ["none"] if name == "disruptions_above" else []
    with pytest.raises(
        AnsibleFilterError, match=r"expected a dictionary of module results by layer \(partition, power, interrupts, host"
    ):
        FILTERS[name](value, *arguments)


@pytest.mark.parametrize(
    "wrong",
    [
        {"changes": ["text"]},
        {"changes": [{}]},
        {"changes": 7},
        {"changes": None},
        {"reboot_required": True},
        {"reboot_required": True, "running": {}, "following": {}},
    ],
)
@pytest.mark.parametrize("name", ["plan_report", "disruptions_above"])
def test_what_is_no_result_of_ours_is_refused(name, wrong):
    arguments = ["none"] if name == "disruptions_above" else []
    words = "its results cannot be used" if name == "plan_report" else "one is not"
    with pytest.raises(AnsibleFilterError, match=rf"^realtime.kvm.{name}: expected results of realtime.kvm modules, {words}"):
        FILTERS[name]({"partition": wrong}, *arguments)


@pytest.mark.parametrize("value", [None, "text", 7, []])
def test_what_is_no_result_of_a_package_manager_is_refused(value):
    with pytest.raises(AnsibleFilterError, match=r"^realtime.kvm.planned_packages: expected a result of apt or dnf, not "):
        FILTERS["planned_packages"](value)


def test_planned_packages():
    assert FILTERS["planned_packages"]({"stdout": "Inst a (1 x)\n"}) == [{"name": "a", "before": "", "after": "1"}]
