# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which plan of placement the report draws, and files that are none."""

from __future__ import annotations

import os

import pytest
from ansible_collections.realtime.kvm.plugins.action.rt_report import plan_path, read_plan
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.plan_file import MOST_TEXT, to_yaml
from unit.placing import example

BOMB = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 8)}]\n" for a, b in zip("abcdefghijklmno", "bcdefghijklmnop")
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{b}: &{b} {{<<: [{', '.join([f'*{a}'] * 8)}]}}\n" for a, b in zip("abcdefghijklmno", "bcdefghijklmnop")
)


@pytest.fixture(name="variables")
def _variables(tmp_path, monkeypatch):
    monkeypatch.setattr("ansible.constants.CONFIG_FILE", None)
    (tmp_path / "results" / "place").mkdir(parents=True)
    return {"playbook_dir": str(tmp_path)}


@pytest.mark.parametrize("given", ["none", "None", "false", "False", "no"])
def test_no_plan_where_none_is_wanted(given, variables, tmp_path):
    (tmp_path / "results" / "place" / "placement.yml").write_text(to_yaml(example()))
    assert plan_path(given, "", variables) == ""


@pytest.mark.parametrize("given", ["", "true", "True"])
def test_the_plan_of_place_is_found_where_place_writes_it(given, variables, tmp_path):
    assert plan_path(given, "", variables) == ""
    path = tmp_path / "results" / "place" / "placement.yml"
    path.write_text("x")
    assert plan_path(given, "", variables) == str(path)
    assert plan_path(given, str(tmp_path / "elsewhere"), variables) == ""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "placement.yml").write_text("x")
    assert plan_path(given, "mine", variables) == str(tmp_path / "mine" / "placement.yml")


def test_a_file_that_is_named_need_not_exist_to_be_named(variables, tmp_path):
    assert plan_path("plans/a.yml", "", variables) == str(tmp_path / "plans" / "a.yml")
    assert plan_path("/srv/a.yml", "", variables) == "/srv/a.yml"
    assert plan_path("~/a.yml", "", variables) == os.path.expanduser("~/a.yml")


def test_without_a_project_only_a_file_that_is_named_is_missed(monkeypatch):
    monkeypatch.setattr("ansible.constants.CONFIG_FILE", None)
    assert plan_path("", "", {}) == ""
    with pytest.raises(ValueError, match="rt_report_placement"):
        plan_path("a.yml", "", {})


def test_a_plan_is_read(tmp_path):
    path = tmp_path / "placement.yml"
    path.write_text(to_yaml(example()))
    assert read_plan(str(path)) == {"file": str(path), "plan": example(), "refusal": ""}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"\xff\xfe", "it is no text in UTF-8"),
        (b"", "placement.yml is no plan of place"),
        (b"[" * 5000, "placement.yml is no YAML"),
        (b"- !!python/object/apply:os.system [id]", "placement.yml is no YAML"),
        (b"{format: 2, digest: x}", "placement.yml has format 2"),
        (to_yaml(example()).replace("plc1", "plc7").encode(), "placement.yml was edited"),
        (b"format: 1\ndigest: x\n" + BOMB.encode(), "repeats parts of itself by aliases"),
        (b"format: 1\ndigest: x\na: &a [*a]\n", "repeats parts of itself by aliases"),
        (b"format: 1\ndigest: x\n" + MERGES.encode(), "it takes in other parts by <<"),
        (b"format: 1\ndigest: x\n1: 2\nnull: 3\n", "placement.yml was edited"),
        (b"format: 1\ndigest: x\na: 0x" + b"f" * 9000, "placement.yml was edited"),
        (b"x" * (MOST_TEXT + 1), "it has more than 16777216 characters"),
    ],
    ids=["bytes", "empty", "deep", "python", "format", "edited", "bomb", "ring", "merges", "keys", "number", "large"],
)
def test_other_files_are_not_used(text, why, tmp_path):
    path = tmp_path / "placement.yml"
    path.write_bytes(text)
    found = read_plan(str(path))
    assert found["plan"] is None
    assert why in found["refusal"]
    assert path.read_bytes() == text


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to(tmp_path / "gone")
    assert read_plan(str(tmp_path / "pipe"))["refusal"].startswith("it is no file; run place")
    assert read_plan(str(tmp_path))["refusal"].startswith("it is no file")
    assert read_plan(str(tmp_path / "broken"))["refusal"].startswith("it is no file")
    assert read_plan(str(tmp_path / "gone"))["refusal"].startswith("it does not exist")
