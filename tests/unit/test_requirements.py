# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CI installs exact releases, each with the digests of its files, and they lie in the ranges that people get."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


def ranges(*names):
    """The requirements of files; the later ones include the earlier."""
    lines = [line for name in names for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-r"))]


RANGES = ranges("requirements.txt", "requirements-run.txt", "requirements-dev.txt")
LOCKED = re.split(r"\n(?=\S)", (ROOT / ".ci" / "requirements.lock").read_text(encoding="utf-8").partition("\n")[2])


def pinned(text):
    """Name and release of an entry."""
    requirement = Requirement(text.partition(" \\")[0])
    (release,) = requirement.specifier
    assert release.operator == "=="
    return canonicalize_name(requirement.name), release.version, requirement.marker


@pytest.mark.parametrize("wanted", RANGES, ids=str)
def test_the_lock_has_a_release_in_every_range(wanted):
    versions = [version for name, version, _marker in map(pinned, LOCKED) if name == canonicalize_name(wanted.name)]
    assert versions
    assert [version for version in versions if wanted.specifier.contains(version)]


def test_what_users_need_developers_have_and_an_execution_environment_asks_for():
    """As ansible-builder reads it: a path inside the collection, which must be shipped."""
    needed = ranges("requirements.txt")
    assert [requirement.name for requirement in needed] == ["netaddr"]
    assert set(needed) <= set(RANGES)
    environment = yaml.safe_load((ROOT / "meta" / "execution-environment.yml").read_text(encoding="utf-8"))
    assert environment["dependencies"] == {"python": "requirements.txt"}
    ignored = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["build_ignore"]
    assert not any(fnmatch.fnmatch("requirements.txt", pattern) for pattern in ignored)


def test_every_release_has_digests_and_names_no_place():
    assert len(LOCKED) > 50
    assert [entry for entry in LOCKED if "--hash=sha256:" not in entry] == []
    assert not re.search("--index-url|--find-links|https?://", "\n".join(LOCKED))
