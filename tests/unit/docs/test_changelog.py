# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CHANGELOG.rst has an entry of this version, with what the collection brings."""

from __future__ import annotations

import re

import pytest
import yaml
from unit.documents import ROLES, ROOT, text_of

VERSION = yaml.safe_load(text_of("galaxy.yml"))["version"]
RELEASE = (yaml.safe_load(text_of("changelogs/changelog.yaml"))["releases"] or {}).get(VERSION, {})


def test_the_version_has_an_entry_with_words():
    entry = text_of("CHANGELOG.rst").partition(f"\nv{VERSION}\n======")[2]
    assert len(entry.split()) > 200
    assert RELEASE["changes"]["release_summary"].split()[0] in entry
    assert RELEASE["changes"]["known_issues"], "a first release says what was not tried"


@pytest.mark.skipif(VERSION != "1.0.0", reason="only the first release brings all of them")
def test_the_first_release_names_every_module_filter_role_and_playbook():
    """Add new modules and filters to the release in changelogs/changelog.yaml, then run antsibull-changelog generate."""
    modules = {path.stem for path in (ROOT / "plugins" / "modules").glob("*.py")}
    filters = {path.stem for path in (ROOT / "plugins" / "filter").glob("*.yml")}
    assert {item["name"] for item in RELEASE["modules"]} == modules
    assert {item["name"] for item in RELEASE["plugins"]["filter"]} == filters
    lookups = {path.stem for path in (ROOT / "plugins" / "lookup").glob("*.py")}
    assert {item["name"] for item in RELEASE["plugins"]["lookup"]} == lookups
    text = text_of("CHANGELOG.rst")
    playbooks = {path.stem for path in (ROOT / "playbooks").glob("*.yml")} - {
        "site",
        "plan",
        "partition",
        "guests",
    }  # by their roles
    assert sorted(name for name in playbooks if not re.search(rf"\b{name}\b", text)) == []
    roles = set(ROLES) - {"packages", "rt_verify", "rt_latency", "rt_report"}  # named by their playbooks
    assert sorted(name for name in roles if not re.search(rf"\b{name}\b", text)) == []
