# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/place.yml: a plan for review, applied as it is, refused when edited or out of date; no module changes a node."""

from __future__ import annotations

import json
import sys

import pytest
import yaml
from unit.placing import answer, host

PLACE = "realtime.kvm.place"
#: Answers as the node of a host would; a host without an answer is not reached.
NODE_INFO = """
import json
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        with open({path!r}) as stream:
            found = json.load(stream).get(task_vars["inventory_hostname"])
        return {{"changed": False, **found}} if found else {{"unreachable": True, "msg": "no route to host"}}
"""
SIZES = {"kvm01": (1, 5), "kvm02": (1, 9), "kvm03": (2, 5)}


def plc(name, vcpus=2, **more):
    return {"name": name, "memory_mib": 1024, "vcpus": vcpus, "realtime_vcpus": f"1-{vcpus - 1}", **more}


class Fleet:
    """Three hosts that answer, and runs of place on them."""

    def __init__(self, nodes):
        self.nodes, self.folder = nodes, nodes.folder / "place"
        self.answers = nodes.folder / "nodes.json"
        self.own = nodes.base / "plugins" / "action" / "rt_node_info.py"
        self.own.write_text(NODE_INFO.format(path=str(self.answers)))
        self.hosts = {name: {} for name in SIZES}
        self.answer()

    def answer(self, lost=(), **guests):
        found = {name: answer(host(name, *SIZES[name], memory=8192), guests.get(name, ())) for name in SIZES if name not in lost}
        self.answers.write_text(json.dumps(found))

    def run(self, *arguments, sources=(), playbook=PLACE, **variables):
        common = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "realtime_place_folder": str(self.folder),
        }
        inventory = self.nodes.folder / "fleet.yml"
        inventory.write_text(yaml.safe_dump({"realtime_nodes": {"hosts": self.hosts, "vars": {**common, **variables}}}))
        more = [part for source in sources for part in ("-i", str(source))]
        return self.nodes.run(playbook, {}, *more, *arguments, inventory=inventory)

    @property
    def plan(self):
        return yaml.safe_load((self.folder / "placement.yml").read_text())

    @property
    def lists(self):
        paths = sorted((self.folder / "guests" / "host_vars").iterdir())
        return {path.stem: yaml.safe_load(path.read_text())["realtime_guests"] for path in paths}


@pytest.fixture(name="fleet")
def _fleet(nodes):
    fleet = Fleet(nodes)
    yield fleet
    fleet.own.unlink()  # else it answers in the tests after these, too


def where(plan):
    return {entry["guest"]: (entry["host"], entry["node"], entry["change"]) for entry in plan["guests"]}


def test_a_plan_is_made_reviewed_and_applied(fleet):
    guests = [plc("plc1", 4), plc("plc2", 8), {**plc("plc3", 4), "placement": {"hosts": ["kvm03"]}}, plc("plc9", 12)]
    code, said, calls = fleet.run(realtime_place_guests=guests)
    assert code == 0, said
    assert calls == [], "no module ran on a node"
    plan = fleet.plan
    assert where(plan) == {"plc1": ("kvm01", 0, "new"), "plc2": ("kvm02", 0, "new"), "plc3": ("kvm03", 0, "new")}
    assert "4 guests: 0 stay, 0 move, 3 are new, 1 has no host" in said
    assert "plc9: it asks for 12 realtime cores and 1024 MiB on one NUMA node, more than any host has" in said
    text = (fleet.folder / "placement.yml").read_bytes()
    code, said, _calls = fleet.run(realtime_place_guests=guests[::-1])
    assert code == 0, said
    assert (fleet.folder / "placement.yml").read_bytes() == text, "the same plan from another order"
    code, said, _calls = fleet.run(realtime_place_guests=guests, realtime_place_apply=True)
    assert code == 0, said
    assert fleet.lists["kvm03"] == [{**plc("plc3", 4), "numa_node": 0}]
    assert {path.stat().st_mode & 0o077 for path in (fleet.folder / "guests").rglob("*")} == {0}
    code, said, _calls = fleet.run(sources=[fleet.folder / "guests"], realtime_place_guests=guests)
    assert code == 0, said
    assert {change for _host, _node, change in where(fleet.plan).values()} == {"stays"}


def test_a_plan_that_was_edited_or_is_out_of_date_is_refused(fleet):
    guests = [plc("plc1", 4), plc("plc2", 2)]
    code, said, _calls = fleet.run(realtime_place_guests=guests, realtime_place_apply=True)
    assert code != 0
    assert "placement.yml does not exist or cannot be read; run place without realtime_place_apply first" in said
    assert fleet.run(realtime_place_guests=guests)[0] == 0
    path = fleet.folder / "placement.yml"
    text = path.read_text()
    path.write_text(text.replace("kvm01", "kvm02"))
    code, said, _calls = fleet.run(realtime_place_guests=guests, realtime_place_apply=True)
    assert code != 0
    assert "placement.yml was edited" in said
    path.write_text(text)
    code, said, _calls = fleet.run(realtime_place_guests=[*guests, plc("plc3")], realtime_place_apply=True)
    assert code != 0
    assert "placement.yml is out of date" in said
    assert "Nothing was changed on any node" in said
    assert not (fleet.folder / "guests").exists()


def test_a_drained_host_is_emptied_and_its_guests_are_absent_there(fleet):
    fleet.hosts["kvm01"] = {"realtime_guests": [plc("plc1", 4)]}
    fleet.answer(kvm01=[("plc1", {0: 1, 1: 2, 2: 3, 3: 4})])
    options = {"realtime_place_drain": "kvm01"}
    code, said, _calls = fleet.run(**options)
    assert code == 0, said
    assert where(fleet.plan)["plc1"][2] == "moves"
    target = where(fleet.plan)["plc1"][0]
    assert fleet.run(**options, realtime_place_apply="true", realtime_place_steps="1")[0] == 0
    assert fleet.lists["kvm01"] == [{"name": "plc1", "state": "absent"}]
    assert [entry["name"] for entry in fleet.lists[target]] == ["plc1"]
    assert fleet.run(**options, realtime_place_apply=True, realtime_place_steps=0)[0] == 0
    assert [entry["name"] for entry in fleet.lists["kvm01"]] == ["plc1"]
    code, said, _calls = fleet.run(**options, realtime_place_apply=True, realtime_place_steps=2)
    assert code != 0
    assert "realtime_place_steps: 2 is not in 0-1" in said


def test_a_host_that_cannot_be_reached_takes_no_part(fleet):
    fleet.hosts["kvm02"] = {"realtime_guests": [plc("plc7", 8)]}
    fleet.answer(lost=["kvm02"])
    code, said, _calls = fleet.run(realtime_place_guests=[plc("plc1", 4)], realtime_place_strategy="", realtime_place_drain="")
    assert code == 0, said
    assert fleet.plan["left_out"] == {"kvm02": "it cannot be reached"}
    assert where(fleet.plan) == {"plc1": ("kvm01", 0, "new"), "plc7": ("kvm02", None, "stays")}


def test_everything_wrong_is_said_at_once_and_no_plan_is_written(fleet):
    guests = [{**plc("plc1"), "placement": {"host": ["kvm01"]}}, {**plc("plc2"), "memory_mib": 1023}, {**plc("plc3"), "vcpu": 3}]
    rules = [{"kind": "apart", "guests": ["plc1"]}, {"kind": "anti-affinity", "guests": ["web*"]}]
    code, said, _calls = fleet.run(realtime_place_guests=guests, realtime_place_rules=rules, realtime_place_drain=["kvm9"])
    assert code != 0
    for text in (
        "plc1: placement: unknown key host, did you mean hosts?",
        "plc2: memory_mib 1023 is no multiple of its 2 MiB pages (hugepages: 2M); choose 1024",
        "plc3: unknown key vcpu, did you mean vcpus?",
        "realtime_place_rules[0]: kind 'apart' is not one of anti-affinity, affinity",
        "anti-affinity 1: no guest is like what it names",
        "realtime_place_drain: no host of this run has a name like kvm9",
    ):
        assert text in said
    assert not fleet.folder.exists()


def test_the_report_draws_the_plan_that_place_has_written(fleet):
    assert fleet.run(realtime_place_guests=[plc("plc1", 4)])[0] == 0
    page = fleet.nodes.folder / "report" / "report.html"
    asked = {"rt_report_folder": str(page.parent), "rt_report_verify": False, "rt_report_interval": 0}
    code, said, _calls = fleet.run(playbook="realtime.kvm.report", **asked)
    assert code == 0, said
    assert "placement: 1 guest: 0 stay, 0 move, 1 is new, 0 have no host" in said
    assert "<summary>1 host changes</summary>" in page.read_text()
    for nothing in (False, "none"):
        code, said, _calls = fleet.run(playbook="realtime.kvm.report", **asked, rt_report_placement=nothing)
        assert code == 0, said
        assert 'id="placement"' not in page.read_text()
    code, said, _calls = fleet.run(playbook="realtime.kvm.report", **asked, rt_report_placement="/gone/plan.yml")
    assert code == 0, said
    assert "/gone/plan.yml is not shown: it does not exist" in " ".join(said.split())


def test_host_vars_of_the_inventory_give_way_to_the_plan(fleet):
    """In the inventory's folder, where a list of guests is usually written, and stronger than a host's line."""
    folder = fleet.nodes.folder / "host_vars"
    folder.mkdir()
    (folder / "kvm01.yml").write_text(yaml.safe_dump({"realtime_guests": [plc("plc1", 4)]}))
    options = {"realtime_place_guests": [plc("plc2")]}
    assert fleet.run(**options)[0] == 0
    assert fleet.run(**options, realtime_place_apply=True)[0] == 0
    placed = {entry["name"] for entry in fleet.lists["kvm01"]}
    assert "plc1" in placed
    fleet.answer(kvm01=[("plc1", {0: 1, 1: 2, 2: 3, 3: 4})])
    code, said, _calls = fleet.run(sources=[fleet.folder / "guests"], **options)
    assert code == 0, said
    assert set(where(fleet.plan)) == {"plc1", "plc2"}
    assert {change for _host, _node, change in where(fleet.plan).values()} == {"stays"}


def test_a_stronger_list_that_hides_the_plan_is_refused(fleet):
    options = {"realtime_place_guests": [plc("plc2")]}
    assert fleet.run(**options)[0] == 0
    assert fleet.run(**options, realtime_place_apply=True)[0] == 0
    code, said, _calls = fleet.run("-e", '{"realtime_guests": []}', sources=[fleet.folder / "guests"], **options)
    assert code != 0
    assert "realtime_guests is not the list that place has written: they differ in plc2" in said


def test_files_of_hosts_that_are_gone_go_with_the_next_plan(fleet):
    assert fleet.run(realtime_place_guests=[])[0] == 0
    assert fleet.run(realtime_place_guests=[], realtime_place_apply=True)[0] == 0
    own = fleet.folder / "guests" / "host_vars" / "mine.yml"
    own.write_text("own: true\n")
    del fleet.hosts["kvm03"]
    assert fleet.run(realtime_place_guests=[])[0] == 0
    assert fleet.run("--check", realtime_place_guests=[], realtime_place_apply=True)[0] == 0
    assert (fleet.folder / "guests" / "host_vars" / "kvm03.yml").exists(), "check mode"
    said = fleet.run(realtime_place_guests=[], realtime_place_apply=True)[1]
    assert "changed=1" in said
    assert {path.name for path in own.parent.iterdir()} == {"kvm01.yml", "kvm02.yml", "mine.yml"}
    assert "changed=0" in fleet.run(realtime_place_guests=[], realtime_place_apply=True)[1]


def test_an_inventory_that_cannot_be_read_is_refused_for_its_guests_would_be_missing(fleet, tmp_path):
    broken = tmp_path / "guests.yml"
    broken.write_text("all:\n  vars:\n   realtime_place_guests: [{name: plc1\n")
    code, said, _calls = fleet.run(sources=[broken])
    assert code != 0
    assert f"the inventory {broken} cannot be read, so its hosts and guests would be missing" in said
    assert not fleet.folder.exists()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("realtime_place_steps", "two", "realtime_place_steps: "), ("realtime_place_apply", "maybe", "realtime_place_apply: ")],
)
def test_a_value_of_a_wrong_type_is_refused_by_the_name_of_its_variable(fleet, name, value, said):
    code, text, _calls = fleet.run("-e", json.dumps({name: value}), realtime_place_guests=[plc("plc1")])
    assert code != 0
    assert said in text
    assert "Nothing was changed on any node, and nothing was written." in text


def test_a_comma_at_the_end_names_no_host(fleet):
    code, said, _calls = fleet.run("-e", "realtime_place_drain=kvm01,", realtime_place_guests=[plc("plc1")])
    assert code == 0, said[-2000:]
    assert fleet.plan["hosts"]["kvm01"]["state"] == "drained"
