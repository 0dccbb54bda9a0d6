# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the report says about a plan whose hosts and guests are no longer those that it read."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.placement_now import Seen, differences
from unit.placing import EXAMPLE_GUESTS, example

BEGIN = {host: set(names) for host, names in EXAMPLE_GUESTS.items()}


def seen(reported=None, **guests):
    found = {host: names for host, names in {**BEGIN, **guests}.items() if names is not None}
    return Seen(reported or list(BEGIN), found)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (seen(), []),
        (seen(kvm02={"hmi1", "nobody-lists-me"}), []),
        (seen(kvm01={"plc2"}, kvm03={"plc1"}), ["1 of 2 guests that move are on their new host already"]),
        (
            seen(kvm01=set(), kvm03={"plc1", "plc2", "vision1"}),
            ["2 of 2 guests that move are on their new host already", "1 of 2 new guests are on their host already"],
        ),
        (seen(kvm01=set()), [f"plc{n} is on no host that was read; the plan has it moving from kvm01 to kvm03" for n in (1, 2)]),
        (seen(kvm02={"hmi1", "plc1"}, kvm01={"plc2"}), ["plc1 is on kvm02; the plan has it moving from kvm01 to kvm03"]),
        (seen(kvm03={"plc1"}), ["plc1 is on kvm01, kvm03; the plan has it moving from kvm01 to kvm03"]),
        (seen(kvm02=set()), ["hmi1 is on no host that was read; the plan has it staying on kvm02"]),
        (seen(kvm02=set(), kvm03={"hmi1"}), ["hmi1 is on kvm03; the plan has it staying on kvm02"]),
        (seen(kvm01={"plc1", "plc2", "vision1"}), ["vision1 is on kvm01; the plan has it new on kvm03"]),
        (seen(kvm01=None), ["1 host of the plan is not read, so their guests are not compared: kvm01"]),
        (seen(["kvm01", "kvm02"], kvm03=None), ["1 host of the plan is not in this report: kvm03"]),
        (seen([*BEGIN, "kvm9", "kvm10"]), ["2 hosts of this report are not in the plan: kvm9, kvm10"]),
        (Seen(list(BEGIN), {}), ["3 hosts of the plan are not read, so their guests are not compared: kvm01, kvm02, kvm03"]),
    ],
)  # fmt: skip
def test_what_is_not_as_the_plan_has_it(now, said):
    assert differences(example(), now) == said


def test_hosts_that_do_not_exist_are_not_missed_and_those_that_take_no_part_are_known():
    plan = copy.deepcopy(example())
    plan["hosts"]["kvm02+1"] = plan["hosts"]["kvm02"]
    plan.update(what_if={"hosts": ["kvm02+1"], "guests": {}}, left_out={"kvm04": "it cannot be reached"})
    assert differences(plan, seen([*BEGIN, "kvm04"])) == []


def test_many_guests_are_named_in_part():
    plan = copy.deepcopy(example())
    plan["guests"] = [{"guest": f"g{number}", "host": "kvm02", "node": 0, "change": "stays"} for number in range(50)]
    found = differences(plan, seen())
    assert len(found) == 21
    assert found[0].startswith("g0 is on no host that was read")
    assert found[2].startswith("g2 ")
    assert found[-1] == "and 30 more guests that are elsewhere"
