# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action rt_report as Ansible runs it: its files, hosts without a result, files that are no results, folders that cannot be written."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.plan_file import to_yaml
from unit.fleets import guest_spec, latency, node_info
from unit.placing import example

ROOT = Path(__file__).resolve().parents[2]
FINDING = {"rule": "interrupt", "resource": "IRQ 24", "expected": "CPUs 0", "actual": "CPUs 5", "remedy": "irq_affinity role"}


@pytest.fixture(name="report")
def _report(tmp_path):
    """Run the action for hosts whose variables are what modules would have returned."""

    def report(hosts, *arguments, folder=None, latency_folder="latency", **options):
        inventory = {"all": {"hosts": hosts, "vars": {"ansible_connection": "local"}}}
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump(json.loads(json.dumps(inventory))))  # its names carry Ansible's tags
        task = {
            "realtime.kvm.rt_report": {
                "hosts": "{{ ansible_play_hosts_all }}", "node_variable": "told", "verify_variable": "verified",
                "folder": str(folder or tmp_path / "out"), "latency_folder": str(tmp_path / latency_folder), **options,
            },
            "run_once": True, "register": "result",
        }  # fmt: skip
        show = {
            "ansible.builtin.copy": {"content": "{{ result | to_json }}", "dest": str(tmp_path / "result.json")},
            "run_once": True,
            "check_mode": False,
        }
        play = [{"hosts": "all", "gather_facts": False, "tasks": [task, show]}]
        (tmp_path / "play.yml").write_text(yaml.safe_dump(play))
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        }
        environment["ANSIBLE_PYTHON_INTERPRETER"] = sys.executable
        command = [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i",
            str(tmp_path / "hosts.yml"),
            str(tmp_path / "play.yml"),
            *arguments,
        ]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False, cwd=ROOT)
        output = done.stdout + done.stderr
        assert "Traceback" not in output
        told = tmp_path / "result.json"
        return output, json.loads(told.read_text()) if done.returncode == 0 else None

    return report


def good(name):
    return {"told": {"node": node_info(name, [guest_spec(0)])}, "verified": {"findings": []}}


def test_files_are_written_and_hosts_that_told_nothing_are_reported(report, tmp_path):
    hosts = {
        "good": good("good"),
        "drifted": {**good("drifted"), "verified": {"findings": [FINDING]}},
        "gone": {"told": {"unreachable": True, "msg": "Task failed: no route to host"}},
        "failed": {"told": {"failed": True, "msg": "python3 is too old"}},
        "silent": {},
        "unsure": {**good("unsure"), "verified": {"failed": True, "msg": "the partition file is damaged"}},
        "skipped": {**good("skipped"), "verified": {"skipped": True}},
    }
    _output, result = report(hosts)
    states = {host: (item["state"], item["reason"]) for host, item in result["nodes"].items()}
    assert states == {
        "good": ("ok", ""), "drifted": ("findings", "1 finding"), "gone": ("unreachable", "no route to host"),
        "failed": ("failed", "python3 is too old"), "silent": ("failed", "it returned no result"),
        "unsure": ("half", "the partition file is damaged"), "skipped": ("half", "it was not compared with its partition file"),
    }  # fmt: skip
    assert result["findings"] == 1
    assert sorted(os.listdir(tmp_path / "out")) == ["accounting.csv", "accounting.json", "report.html"]
    assert [Path(path).name for path in result["files"]] == ["report.html", "accounting.json", "accounting.csv"]
    document = json.loads((tmp_path / "out" / "accounting.json").read_text())
    told_nothing = {"state": "not asked", "outcome": ""}
    assert document["nodes"]["gone"] == {"state": "unreachable", "reason": "no route to host", "firmware": told_nothing}
    with open(tmp_path / "out" / "accounting.csv", newline="") as stream:
        users = {row["user"] for row in csv.DictReader(stream) if row["node"] == "good" and row["kind"] == "cpu"}
    assert {"plc1", "the switch", "operating system"} <= users


def test_results_that_are_none_stay_and_are_named(report, tmp_path):
    folder = tmp_path / "latency" / "good"
    folder.mkdir(parents=True)
    (folder / "1.json").write_text(json.dumps(latency("good", started="2026-11-01T00:00:00Z", peak=17)))
    bad = {
        "cut.json": '{"format": 1, "host": "go',
        "old.json": '{"format": 0}',
        "binary.json": b"\xff\xfe\x00",
        "deep.json": "[" * 100000,
    }
    for name, text in bad.items():
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    (folder / "notes.txt").write_text("not asked for")
    _output, result = report({"good": good("good")})
    assert sorted(item["file"] for item in result["rejected"]) == sorted(f"good/{name}" for name in bad)
    assert all(item["reason"] for item in result["rejected"])
    assert sorted(os.listdir(folder)) == sorted([*bad, "1.json", "notes.txt"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "max 17 µs" in page
    assert "good/cut.json" in page


def test_check_mode_works_everything_out_and_writes_nothing(report, tmp_path):
    _output, result = report({"good": good("good")}, "--check")
    assert result["changed"]
    assert result["nodes"]["good"]["state"] == "ok"
    assert not (tmp_path / "out").exists()


def test_a_second_report_replaces_the_first_and_leaves_nothing_else(report, tmp_path):
    report({"good": good("good")})
    (tmp_path / "out" / "mine.txt").write_text("kept")
    report({"good": good("good"), "other": good("other")})
    assert sorted(os.listdir(tmp_path / "out")) == ["accounting.csv", "accounting.json", "mine.txt", "report.html"]
    assert list(json.loads((tmp_path / "out" / "accounting.json").read_text())["nodes"]) == ["good", "other"]


def test_a_report_of_nodes_that_the_inventory_does_not_have_is_kept_beside_and_said(report, tmp_path):
    """As the slices of a job leave it, each with an inventory of its own."""
    report({"good": good("good")})
    output, _result = report({"other": good("other")})
    names = sorted(os.listdir(tmp_path / "out"))
    (kept,) = [name for name in names if name.startswith("accounting-") and name.endswith(".json")]
    assert len(names) == 6
    assert kept in " ".join(output.split())
    nodes = {name: list(json.loads((tmp_path / "out" / name).read_text())["nodes"]) for name in (kept, "accounting.json")}
    assert nodes == {kept: ["good"], "accounting.json": ["other"]}


def test_a_folder_that_cannot_be_made_is_refused_by_name(report, tmp_path):
    (tmp_path / "file").write_text("in the way")
    output, result = report({"good": good("good")}, folder=tmp_path / "file" / "out")
    assert result is None
    assert "rt_report_folder:" in output
    assert "cannot be written" in output


def test_a_plan_of_place_is_drawn_and_what_is_none_is_said_and_stops_nothing(report, tmp_path):
    folder = tmp_path / "place"
    folder.mkdir()
    path = folder / "placement.yml"
    kept = {"placement_folder": str(folder)}
    hosts = {"kvm01": good("kvm01"), "other": good("other")}
    page = tmp_path / "out" / "report.html"
    _output, result = report(hosts, **kept)
    assert result["placement"] == {}
    assert 'id="placement"' not in page.read_text()

    path.write_text(to_yaml(example()))
    _output, result = report(hosts, **kept)
    assert result["placement"] == {"file": str(path), "refusal": ""}
    text = page.read_text()
    assert 'id="placement"' in text
    assert "<li>2 hosts of the plan are not in this report: kvm02, kvm03</li>" in text
    assert "<li>1 host of this report is not in the plan: other</li>" in text
    assert "plc1 is on kvm01, other; the plan has it moving from kvm01 to kvm03" in text
    assert any(line.startswith("placement: 6 guests: 1 stay") for line in result["summary"])
    _output, result = report(hosts, **kept, placement=False)
    assert result["placement"] == {}
    assert 'id="placement"' not in page.read_text()

    edited = tmp_path / "edited.yml"
    edited.write_text(path.read_text().replace("motion1", "motion3"))
    _output, result = report(hosts, **kept, placement=str(edited))
    assert "edited.yml was edited" in result["placement"]["refusal"]
    text = page.read_text()
    assert "<b>The plan is not shown:</b> edited.yml was edited" in text
    assert "motion3" not in text
    assert result["nodes"]["kvm01"]["state"] == "ok", "the rest of the report is made"
    assert edited.read_text() != path.read_text(), "no plan is changed"
