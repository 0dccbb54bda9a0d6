# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every play of the playbooks says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

BOOKS = sorted((Path(__file__).resolve().parents[3] / "playbooks").glob("*.yml"))


@pytest.mark.parametrize("book", BOOKS, ids=lambda path: path.stem)
def test_no_configuration_chooses_a_strategy_that_ignores_errors_of_other_nodes(book):
    """free and host_pinned know no any_errors_fatal, max_fail_percentage and run_once, so a play that is refused on one node goes on on others."""
    plays = [play for play in yaml.safe_load(book.read_text()) if "hosts" in play]
    assert [play["name"] for play in plays if play.get("strategy") != "linear"] == []


def roles_of(tasks):
    """The roles of tasks, and of their blocks, in their order."""
    for task in tasks:
        named = next((value for key, value in task.items() if key.endswith((".import_role", ".include_role"))), None)
        yield from [named["name"]] if named else roles_of(task.get("block", ()))


def test_undo_takes_back_each_role_of_a_guest_in_the_group_of_guests():
    """With what it takes away first: what a role of guest_os changed last."""
    by_name = {book.stem: yaml.safe_load(book.read_text()) for book in BOOKS}
    made = next(play for play in by_name["guest_os"] if "serial" in play)
    plan, undo = (next(play for play in by_name["undo"] if ("serial" in play) is changing) for changing in (False, True))
    changing = set(roles_of(made["tasks"])) - {"realtime.kvm.rt_verify"}
    for play in (plan, undo):
        assert "realtime_nodes:realtime_guest_os" in play["hosts"]
        assert changing <= set(roles_of(play["tasks"]))


@pytest.mark.parametrize(
    ("groups", "chosen"),
    [
        ({}, ""),
        ({"realtime_nodes": ["kvm1"], "realtime_guest_os": ["plc1"]}, "5"),
        ({"realtime_nodes": ["kvm1"], "realtime_guest_os": ["plc1"], "realtime_due": ["plc1"]}, "2"),
        ({"realtime_nodes": ["kvm1"], "realtime_guest_os": ["plc1"], "realtime_due": ["kvm1"]}, "5"),
    ],
)
def test_undo_takes_the_batches_of_those_that_are_due(groups, chosen):
    """Guests have batches of their own."""
    hosts = {"kvm1": {"rt_kernel_reboot_serial": 5}, "plc1": {"rt_kernel_reboot_serial": 2}}
    given = {"groups": groups, "hostvars": hosts, "batch_variable": "rt_kernel_reboot_serial"}
    texts = yaml.safe_load((BOOKS[0].parent / "vars" / "batches.yml").read_text())
    variables = {**given, **{name: trust_as_template(text) for name, text in texts.items()}}
    wanted = trust_as_template("{{ batch_host[batch_variable] | default('') }}")
    assert str(Templar(DataLoader(), variables=variables).template(wanted)) == chosen
