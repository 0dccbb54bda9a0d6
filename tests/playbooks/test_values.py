# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A wrong value is refused before the first change of a playbook, also one that only its last role reads."""

from __future__ import annotations

import pytest
import yaml


@pytest.mark.parametrize(
    ("playbook", "name", "value"),
    [
        ("undo", "realtime_reboot_allowed", "maybe"),
        ("undo", "rt_kernel_reboot_with_guests", ""),
        ("undo", "rt_kernel_reboot_timeout", 0),
        ("undo", "rt_guest_force_off", ""),
        ("site", "rt_kernel_reboot_timeout", 0),
    ],
)
def test_a_wrong_value_is_refused_before_the_first_change(nodes, playbook, name, value):
    code, said, calls = nodes.run(f"realtime.kvm.{playbook}", {}, "--limit", "node1", **{name: value})
    assert code != 0
    assert name.removeprefix("realtime_") in said, "rt_kernel_reboot_allowed follows realtime_reboot_allowed"
    assert [call["module"] for call in calls if not call["check"]] == [], said[-500:]


START = "Show the plan"


def test_a_plan_whose_begin_was_left_out_is_refused_with_what_to_do(nodes):
    code, said, calls = nodes.run("realtime.kvm.guests", {}, "--start-at-task", START)
    assert code != 0
    assert "node1: parts of the plan are missing, since --start-at-task, --step or --skip-tags has left them out" in said
    assert "undefined" not in said
    assert [call["module"] for call in calls if not call["check"]] == []


@pytest.mark.parametrize("playbook", ["undo", "update"])
def test_a_playbook_without_tags_does_not_end_well_with_a_tag(nodes, playbook):
    code, said, calls = nodes.run(f"realtime.kvm.{playbook}", {}, "--tags", "rt_guest")
    assert code != 0
    assert (
        "--tags rt_guest: this playbook has no tags, since it does all of its work or none. Nothing was changed on any node."
        in said
    )
    assert calls == []


def test_a_playbook_of_ones_own_may_give_undo_a_tag(nodes):
    book = nodes.folder / "own.yml"
    book.write_text(yaml.safe_dump([{"ansible.builtin.import_playbook": "realtime.kvm.undo", "tags": ["back"]}]))
    code, said, calls = nodes.run(str(book), {}, "--tags", "back")
    assert code == 0, said[-500:]
    assert "rt_domain" in {call["module"] for call in calls if not call["check"]}
