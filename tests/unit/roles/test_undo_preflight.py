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


#: Their undo is its own preflight, by a variable.
OWN = [role for role, spec in SPECS.items() if f"{role}_preflight" in spec.get("undo", {}).get("options", {})]


@pytest.mark.parametrize("role", [role for role, spec in SPECS.items() if "undo" in spec and role not in OWN])
def test_the_preflight_takes_all_that_undo_takes_but_the_limit(role):
    """The limit is the playbook's, after it has shown the plan."""
    undo, preflight = (
        {name: option for name, option in SPECS[role][entry].get("options", {}).items() if name != "realtime_max_disruption"}
        for entry in ("undo", "undo_preflight")
    )
    assert preflight == undo
