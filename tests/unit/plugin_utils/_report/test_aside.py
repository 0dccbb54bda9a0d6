# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several reports in one folder."""

from __future__ import annotations

import json
from threading import Thread

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.aside import write_report


def texts(*nodes, generated="2026-11-29T10:00:00Z"):
    document = {"nodes": {node: {} for node in nodes}, "generated": generated}
    return {"report.html": " ".join(nodes), "accounting.json": json.dumps(document), "accounting.csv": ",".join(nodes)}


def test_a_report_of_the_same_inventory_is_replaced(tmp_path):
    assert write_report(str(tmp_path), texts("a", "b"), ["a", "b"]) == []
    assert write_report(str(tmp_path), texts("a"), ["a", "b"]) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["accounting.csv", "accounting.json", "report.html"]
    assert (tmp_path / "report.html").read_text() == "a"


def test_a_report_of_another_slice_is_kept(tmp_path):
    write_report(str(tmp_path), texts("a", "b"), ["a", "b"])
    moved = write_report(str(tmp_path), texts("c"), ["c"])
    assert moved == [
        "report-20261129T100000Z.html", "accounting-20261129T100000Z.json", "accounting-20261129T100000Z.csv",
    ]  # fmt: skip
    assert (tmp_path / moved[0]).read_text() == "a b"
    assert (tmp_path / "report.html").read_text() == "c"
    assert write_report(str(tmp_path), texts("d"), ["d"])[0] == "report-20261129T100000Z-2.html", "in the same second"


def test_slices_that_end_together_lose_none(tmp_path):
    slices = [Thread(target=write_report, args=(str(tmp_path), texts(f"n{number}"), [f"n{number}"])) for number in range(8)]
    for one in slices:
        one.start()
    for one in slices:
        one.join()
    assert sorted(path.read_text() for path in tmp_path.glob("report*.html")) == [f"n{number}" for number in range(8)]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"nodes": 3}', "\x00", '{"nodes": {"x": {}}, "generated": "../../up"}'])
def test_a_file_that_is_no_report_is_no_hindrance(tmp_path, text):
    (tmp_path / "accounting.json").write_text(text)
    write_report(str(tmp_path), texts("a"), ["a"])
    assert json.loads((tmp_path / "accounting.json").read_text())["nodes"] == {"a": {}}
    assert {path.parent for path in tmp_path.rglob("*")} == {tmp_path}
