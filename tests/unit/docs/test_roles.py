# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The README of each role: every variable with its default and choices, and what a role promises."""

from __future__ import annotations

import re

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot.arguments import is_list_key
from unit.documents import RESULTS, ROLES, ROOT, defaults_of, everything_read, options, table, text_of, written


@pytest.mark.parametrize("role", ROLES)
def test_shared_variables_have_the_documented_default_wherever_they_are_used(role):
    findings = []
    for name, spec in options(role).items():
        if not name.startswith("realtime_"):
            continue
        files = [path for folder in ("tasks", "vars") for path in (ROOT / "roles" / role / folder).glob("*.yml")]
        used = [
            use
            for path in files
            for use in re.findall(
                rf"(?<![\w.]){name}\b(?! \| default\({re.escape(repr(spec['default']))}\)|: \w| is\b)", path.read_text()
            )
        ]
        findings += [f"{name} without its default" for _use in used]
    assert findings == []


def sections(role):
    """Variable to its paragraph, of a role's README."""
    parts = re.split(r"^### `(\w+)`\n", text_of(f"roles/{role}/README.md"), flags=re.MULTILINE)
    return {name: re.split(r"^#", body, flags=re.MULTILINE)[0] for name, body in zip(parts[1::2], parts[2::2])}


@pytest.mark.parametrize("role", ROLES)
def test_role_readme_names_the_results_that_it_reads(role):
    told = re.findall(r"Reads (.*?) where earlier roles", " ".join(text_of(f"roles/{role}/README.md").split()))
    assert sorted(name for text in told for name in re.findall(r"`(\w+)`", text)) == sorted(set(everything_read(role)) & RESULTS)


@pytest.mark.parametrize("role", ROLES)
def test_role_readme_has_every_variable(role):
    assert sorted(sections(role)) == sorted(options(role)) == sorted(defaults_of(role))


@pytest.mark.parametrize("role", ROLES)
def test_role_readme_has_the_defaults_and_choices(role):
    findings = []
    for name, body in sections(role).items():
        value, spec = defaults_of(role)[name], options(role)[name]
        computed = isinstance(value, str) and "{{" in value
        expected = "Default: as `" if computed else f"Default: `{written(value)}`."
        if not body.startswith(expected):
            findings.append(f"{name}: {expected} expected")
        if "choices" in spec:
            empty = "; empty: the default" if spec["choices"][-1] == "" else ""
            named = spec["choices"][:-1] if empty else spec["choices"]
            choices = "Choices: " + ", ".join(f"`{choice}`" for choice in named) + f"{empty}."
            if choices not in body:
                findings.append(f"{name}: {choices} expected")
    assert findings == []


@pytest.mark.parametrize("role", ROLES)
def test_role_readme_keeps_the_contract(role):
    page = text_of(f"roles/{role}/README.md")
    wanted = ["## Requirements", "Control node", "Managed node", "## Variables", "exported by the role", "## Example playbook"]
    wanted += ["Rollback capability", "Idempotent", "Atomic", "Tag in `site`"]
    assert [text for text in wanted if text not in page] == []
    assert len(page.splitlines()) <= 110


def test_repeatable_keys_are_documented():
    page = text_of("roles/rt_kernel/README.md")
    keys = re.search(r"Keys that may repeat \((.*?)\)", page)[1]
    named = re.findall(r"`(.*?)`", keys)
    assert all(is_list_key(key) for key in named)


#: Modules that playbooks call beside the roles, and that show lines for some.
OF_PLAYBOOKS = {"rt_inventory", "rt_placement", "rt_plan", "rt_plan_report", "rt_progress", "rt_recap", "rt_show"}


def test_one_table_names_the_module_of_each_role():
    rows = table("docs/concepts.md", ["role, tag of `site`", "module", "result in plays", "what it manages"])
    documented = {re.match(r"\[(\w+)\]", role)[1]: set(re.findall(r"`(\w+)`", modules)) for role, modules, _result, _what in rows}
    called = {}
    for role in ROLES:
        text = "".join(path.read_text() for path in (ROOT / "roles" / role / "tasks").glob("*.yml"))
        called[role] = set(re.findall(r"^ +realtime\.kvm\.(\w+):", text, re.MULTILINE))
    assert sorted(documented) == ROLES
    everything = {path.stem for path in (ROOT / "plugins" / "modules").glob("*.py")}
    assert set().union(*documented.values()) == everything - OF_PLAYBOOKS, "each module is in the table; playbooks call that one"
    for role, modules in called.items():
        assert modules - {"cpu_partition_info", "kernel_arguments", "bmc_reset", *OF_PLAYBOOKS} <= documented[role], role
