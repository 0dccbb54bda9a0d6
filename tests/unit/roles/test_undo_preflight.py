# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What undo takes, its preflight takes too: else a wrong value is refused when half a node is restored."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

SPECS = {
    path.parents[1].name: yaml.safe_load(path.read_text())["argument_specs"]
    for path in sorted(Path(__file__).resolve().parents[3].glob("roles/*/meta/argument_specs.yml"))
}


LIMIT = "realtime_max_disruption"


@pytest.mark.parametrize("role", [role for role, spec in SPECS.items() if "undo" in spec])
def test_the_preflight_takes_all_that_undo_takes(role):
    """The limit is the playbook's, after it has shown the plan. The role packages has one entry for both, with a variable that says which."""
    undo = SPECS[role]["undo"].get("options", {})
    if "packages_preflight" in undo:
        return
    preflight = SPECS[role]["undo_preflight"].get("options", {})
    assert {name: option for name, option in preflight.items() if name != LIMIT} == {
        name: option for name, option in undo.items() if name != LIMIT
    }
