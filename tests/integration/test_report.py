# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of the lab: what it says of CPUs and guests is what the machines show, a node that is gone stops no other, nothing is changed.

    REPORT_PICTURES=write LAB_NODES=node1,node2,node3 python -m pytest tests/integration/test_report.py

takes the pictures of docs/report.md that show the lab again.
"""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from integration.conftest import NODES
from integration.lab import ROOT, Run, differences, fingerprint, lab, playbook, ssh
from integration.machine import look
from unit.browser import click, column, requests, start, type_into
from unit.fleets import latency

GONE = "nobody"
PICTURES = ROOT / "docs" / "images"


def small(name: str, owner: str, realtime_vcpus: str = "") -> dict:
    """Return a guest without a network."""
    disks = [{"path": f"/var/lib/libvirt/images/{name}.qcow2"}]
    wanted = {
        "name": name,
        "vcpus": 2 if realtime_vcpus else 1,
        "memory_mib": 128,
        "disks": disks,
        "owner": owner,
        "project": "line-4",
    }
    return {**wanted, "realtime_vcpus": realtime_vcpus, "siblings": "any"} if realtime_vcpus else wanted


#: Guests of the nodes that have none in the lab's inventory: with node1's, six on three nodes.
ELSEWHERE = {
    "node2": [small("press", "automation", "1"), small("panel", "operators")],
    "node3": [small("cutter", "automation", "1")],
}


def guests_of(node: str) -> list[dict]:
    """Return what a node's inventory lists."""
    path = ROOT / "inventories" / "lab" / "host_vars" / f"{node}.yml"
    return ELSEWHERE.get(node) or yaml.safe_load(path.read_text())["realtime_guests"]


@dataclass
class Report:
    """What one run of the playbook has written, and what it did to the nodes."""

    run: Run
    folder: Path
    before: dict[str, dict[str, str]]
    document: dict
    rows: list[dict[str, str]]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Report on the nodes and on one that does not answer, with a good, a foreign and a damaged latency result."""
    folder = tmp_path_factory.mktemp("report")
    hosts = folder / "hosts.yml"
    listed: dict[str, dict] = {node: {"realtime_guests": guests_of(node)} for node in NODES}
    listed[GONE] = {"ansible_host": "127.0.0.1", "ansible_port": 9}
    hosts.write_text(yaml.safe_dump({"realtime_nodes": {"hosts": listed}}))
    for node in NODES:
        lab("guests", node, realtime_guests=guests_of(node))
    playbook("site.yml", "-i", str(hosts), nodes=",".join(NODES), timeout=2400)
    results = folder / "latency"
    results.mkdir()
    for number, host in enumerate((NODES[0], "elsewhere")):
        (results / f"{number}.json").write_text(json.dumps(latency(host, started="2026-11-01T00:00:00Z", virtual=True)))
    (results / "cut.json").write_text('{"format": 1, "ho')
    before = {node: fingerprint(node) for node in NODES}
    extra = {"rt_report_folder": str(folder / "out"), "rt_report_latency_folder": str(results)}
    run = playbook("report.yml", "-vvv", "-i", str(hosts), nodes=",".join([*NODES, GONE]), extra=extra)
    out = folder / "out"
    with open(out / "accounting.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return Report(run, out, before, json.loads((out / "accounting.json").read_text()), rows)


def test_the_nodes_are_as_before_and_cost_two_remote_executions_each(report: Report) -> None:
    for node in NODES:
        assert differences(report.before[node], fingerprint(node)) == {}
    assert report.run.remote_executions() <= 2 * len(NODES) + 1  # the attempt on the one that is gone


def test_the_node_that_is_gone_is_reported_and_the_others_are_there(report: Report) -> None:
    states = {host: node["state"] for host, node in report.document["nodes"].items()}
    assert sorted(states) == sorted([*NODES, GONE])
    assert states.pop(GONE) == "unreachable"
    assert set(states.values()) <= {"ok", "findings", "half"}


@pytest.mark.parametrize("node", NODES)
def test_every_cpu_of_the_machine_is_accounted_for_once(report: Report, node: str) -> None:
    online = json.loads(ssh(node, "python3 -c 'import os, json; print(json.dumps(sorted(os.sched_getaffinity(1))))'"))
    singles = [
        row for row in report.rows if row["node"] == node and row["kind"] == "cpu" and row["resource"] == f"CPU {row['cpus']}"
    ]
    assert [cpu for cpu, count in Counter(int(row["cpus"]) for row in singles).items() if count > 1] == []
    assert {int(row["cpus"]) for row in singles} >= set(online)


@pytest.mark.parametrize("node", NODES)
def test_pinned_threads_and_pages_of_guests_are_the_machines(report: Report, node: str) -> None:
    guests, switch = look(node)
    told = {(row["user"], row["role"], row["cpus"]) for row in report.rows if row["node"] == node and row["exclusive"] == "yes"}
    pinned = {
        (name, f"vcpu{vcpu}", str(min(thread.cpus)))
        for name, guest in guests.items()
        for vcpu, thread in guest.vcpus.items()
        if len(thread.cpus) == 1
    }
    assert {item for item in told if item[1].startswith("vcpu") and item[0] in guests} == pinned
    polling = {str(min(thread.cpus)) for thread in switch if thread.name.startswith("pmd-")}
    assert {
        row["cpus"] for row in report.rows if row["node"] == node and row["kind"] == "cpu" and row["user_kind"] == "switch"
    } == polling
    for name, guest in guests.items():
        mib = {
            row["numa_node"]: int(row["amount"])
            for row in report.rows
            if (row["node"], row["user"], row["kind"]) == (node, name, "hugepages")
        }
        assert mib == {str(numa): count * 2 for numa, count in guest.pages.items()}, name


def test_owners_and_projects_are_those_of_the_inventory(report: Report) -> None:
    for node in NODES:
        for guest in guests_of(node):
            rows = [row for row in report.rows if (row["node"], row["user"]) == (node, guest["name"])]
            told = {(row["owner"], row["project"]) for row in rows}
            assert told == {(guest.get("owner", ""), guest.get("project", ""))}, guest["name"]


def test_the_damaged_result_is_named_and_stays(report: Report) -> None:
    page = (report.folder / "report.html").read_text(encoding="utf-8")
    assert "cut.json" in page
    assert "elsewhere" in page
    assert (report.folder.parent / "latency" / "cut.json").read_text() == '{"format": 1, "ho'


def test_the_page_works_in_a_browser(report: Report, tmp_path: Path) -> None:
    driver = start(tmp_path / "profile")
    try:
        driver.get((report.folder / "report.html").as_uri())
        assert sorted(column(driver, "t-nodes", 1)) == sorted([*NODES, GONE])
        click(driver, "#t-nodes th:nth-child(4) button")
        assert column(driver, "t-nodes", 1)[0] == GONE  # it has no free CPUs to show
        names = column(driver, "t-guests", 1)
        assert sorted(names) == sorted(guest["name"] for node in NODES for guest in guests_of(node))
        for name in names:
            type_into(driver, "Filter guests", name)
            assert name in column(driver, "t-guests", 1)
        assert driver.get_log("browser") == []
        assert requests(driver) == []
        if os.environ.get("REPORT_PICTURES") == "write":
            take_pictures(driver, report.folder / "report.html")
    finally:
        driver.quit()


def take_pictures(driver, page: Path) -> None:
    """Keep how the page looks, from its top and from a node on."""
    driver.get(page.as_uri())
    driver.save_screenshot(str(PICTURES / "report-lab-fleet.png"))
    driver.execute_script(
        "const n = [...document.querySelectorAll('#nodes > details.node')].find(d => d.querySelector('summary').textContent.includes(arguments[0]));"
        "n.open = true; n.scrollIntoView({behavior: 'instant'})",
        NODES[0],
    )
    driver.save_screenshot(str(PICTURES / "report-lab-node.png"))
