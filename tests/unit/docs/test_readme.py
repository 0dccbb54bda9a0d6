# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""README.md and docs/playbooks.md show the real plan, the real arguments and the real defaults, and name every role, page and playbook."""

from __future__ import annotations

import re

import pytest
import yaml
from ansible_collections.realtime.kvm.plugins.module_utils._boot.planned_arguments import ArgumentPolicy, partition_arguments
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.machine import Machine
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._tables import plan_table
from unit.documents import PLAYBOOK_DEFAULTS, ROLES, ROOT, code_of, defaults_of, lab_node, table, text_of, written


def test_readme_shows_the_real_plan():
    wish = yaml.safe_load(text_of("inventories/lab/host_vars/node1.yml"))  # what the demo plans for
    intent = Intent(smt="together", dataplane_devices=tuple(wish["cpu_partition_dataplane_devices"]))
    lines = plan_table(plan_partition(lab_node(), intent), lab_node())
    assert "\n".join(lines) in text_of("README.md")


def test_readme_shows_real_arguments():
    plan = plan_partition(lab_node(), Intent(smt="together"))
    known = {a.token: a.reason for a in partition_arguments(plan, Machine(kernel_release="6.12.0"), ArgumentPolicy())}
    shown = re.findall(r"^((?:isolcpus|nohz_full)=\S+)\s+(.*?) \.\.\.$", text_of("docs/playbooks.md"), re.MULTILINE)
    assert len(shown) == 2
    for token, reason in shown:
        assert known[token].startswith(reason)


@pytest.mark.parametrize("row", table("docs/playbooks.md", ["Variable", "Default", "Meaning"]), ids=lambda row: row[0].strip("`"))
def test_variables_have_their_defaults(row):
    name, default = code_of(row[0]), code_of(row[1])
    if name in PLAYBOOK_DEFAULTS:
        path, where, value = PLAYBOOK_DEFAULTS[name]
        assert where in text_of(path)
        assert default == value
        return
    everything = {variable: value for role in ROLES for variable, value in defaults_of(role).items()}
    assert written(everything[name]) == default


def test_readme_is_two_screens():
    assert len(text_of("README.md").splitlines()) <= 100


def test_pages_name_every_role_and_every_page():
    page, playbooks = text_of("README.md"), text_of("docs/playbooks.md")
    missing = [role for role in ROLES if f"roles/{role}/README.md" not in playbooks]
    missing += [path.name for path in (ROOT / "docs").glob("*.md") if f"docs/{path.name}" not in page]
    assert missing == []


def test_every_playbook_is_named():
    pages = text_of("docs/playbooks.md") + text_of("docs/awx.md")
    names = [path.stem for path in (ROOT / "playbooks").glob("*.yml")]
    assert [name for name in names if f"realtime.kvm.{name}" not in pages] == []
