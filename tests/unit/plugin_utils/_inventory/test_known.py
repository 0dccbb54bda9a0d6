# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every name that roles and playbooks read or set is known, and read from their argument specs."""

from __future__ import annotations

import re

import yaml
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.known import (
    EMPTY_IS_DEFAULT,
    INTERNAL_ROLES,
    PLACED,
    PLACED_FILE,
    PLACED_FILES,
    PLACED_LEAVE,
    PLAYBOOK_OPTIONS,
    ROLES,
    SET,
    read_known,
)
from unit.documents import PLAYBOOK_DEFAULTS, ROOT, everything_read
from unit.documents import ROLES as NAMES

KNOWN = read_known(ROLES)


def tasks(node):
    """All mappings in a file of tasks or plays."""
    if isinstance(node, dict):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from tasks(inner)


def written():
    """Variables that roles and playbooks register, set, export or give to others."""
    for path in [*ROOT.glob("roles/*/tasks/**/*.yml"), *ROOT.glob("playbooks/**/*.yml")]:
        for task in tasks(yaml.safe_load(path.read_text(encoding="utf-8"))):
            yield from [task["register"]] if isinstance(task.get("register"), str) else []
            for key in ("ansible.builtin.set_fact", "vars"):
                yield from task[key] if isinstance(task.get(key), dict) else ()
            yield from (task.get("ansible.builtin.set_stats") or {}).get("data", ())


def test_whatever_is_set_is_known():
    ours = {name for name in written() if name.startswith(KNOWN.prefixes)}
    assert len(ours) > 20
    assert ours - KNOWN.names == set()


#: What looks like a variable in roles and playbooks: a group, options of modules.
NO_VARIABLES = {
    "realtime_nodes",
    "realtime_guest_os",
    "realtime_vcpus",
    "realtime_due",
    "realtime_found",
    "realtime_failed",
    "realtime_unverified",
    "packages_timeout_s",
    "packages_variable",
}  # groups, options, a guest's key


def test_whatever_is_read_is_known():
    """So that a variable which only playbooks read is not refused: PLAYBOOK_OPTIONS must have it."""
    pattern = re.compile(rf"(?<![\w./])(?:{'|'.join(KNOWN.prefixes)})\w+")
    paths = [*ROOT.glob("roles/*/tasks/**/*.yml"), *ROOT.glob("roles/*/defaults/*.yml"), *ROOT.glob("playbooks/**/*.yml")]
    read = {name for path in paths for name in pattern.findall(path.read_text(encoding="utf-8"))}
    assert read - KNOWN.names == NO_VARIABLES


def test_nothing_is_known_in_vain():
    assert {*written(), PLACED, PLACED_FILE, PLACED_FILES, PLACED_LEAVE} >= SET


def test_every_option_of_every_role_is_known_with_its_type():
    for role in NAMES:
        for name, option in everything_read(role).items():
            assert {key: KNOWN.options[name].get(key) for key in ("type", "choices", "elements")} == {
                key: option.get(key) for key in ("type", "choices", "elements")
            }, f"{role}: {name}"


def test_variables_of_the_playbooks_are_known():
    assert PLAYBOOK_DEFAULTS.keys() <= KNOWN.options.keys()
    assert PLAYBOOK_OPTIONS.keys() - PLAYBOOK_DEFAULTS.keys() == {"realtime_known_variables"}
    assert PLAYBOOK_OPTIONS.keys() | {"realtime_max_disruption"} >= EMPTY_IS_DEFAULT


def test_every_role_has_its_prefix_and_its_result():
    assert KNOWN.prefixes == (*(f"{role}_" for role in NAMES), "realtime_")
    assert {f"{role}_result" for role in NAMES} <= KNOWN.names
    assert set(NAMES) >= INTERNAL_ROLES
