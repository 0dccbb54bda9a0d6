# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of files on the controller that the role rt_latency makes of what a node or guest answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).resolve().parents[3]


def variables(tasks):
    """All variables of nested tasks."""
    found = {}
    for task in tasks:
        found.update(task.get("vars", {}))
        found.update(variables(task.get("block", [])))
    return found


def file_name(started):
    """What the role names the file of a run that began then."""
    text = variables(yaml.safe_load((ROOT / "roles" / "rt_latency" / "tasks" / "measure.yml").read_text()))["__rt_latency_time"]
    return Templar(DataLoader(), variables={"__rt_latency_poll": {"result": {"started": started}}}).template(
        trust_as_template(text)
    )


def test_a_file_is_named_by_the_time_of_its_run():
    assert file_name("2026-11-28T04:05:06Z") == "20261128T040506Z"


@pytest.mark.parametrize(
    "started",
    [
        "../../../inventory/group_vars/all",
        "2026-11-28T04:05:06Z/../../x",
        "/etc/cron.d/x",
        "{{ lookup('pipe', 'id') }}",
        "2026-11-28T04:05:06Z\n",
        "2026-11-28T04:05:06Z\0",
        "",
        None,
        7,
        ["2026-11-28T04:05:06Z"],
        {"a": 1},
    ],
)
def test_anything_else_names_no_file(started):
    with pytest.raises(AnsibleError):
        file_name(started)
