# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role rt_latency as Ansible runs it: in which order machines are asked, what is kept of their answers, and one run with the real module.

The collection is copied; there the time between two questions is a second, and measurements keep their files elsewhere than in /run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType

import pytest
import yaml
from unit.fleets import latency
from unit.measuring import CYCLICTEST, STRESS, install, processes

ROOT = Path(__file__).resolve().parents[2]
ONLINE = sorted(os.sched_getaffinity(0))

#: Writes down who asked it what, and ends a run at the question whose number its machine is given.
MODULE = """#!/usr/bin/python
# WANT_JSON
import json, os, sys
with open(sys.argv[1]) as stream:
    given = json.load(stream)
machine = os.path.basename(given["_ansible_remote_tmp"])
call = {{key: value for key, value in given.items() if not key.startswith("_")}}
line = json.dumps({{"machine": machine, "check": bool(given["_ansible_check_mode"]), **call}})
handle = os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.write(handle, line.encode() + b"\\n")
with open({log!r}) as stream:
    lines = [json.loads(line) for line in stream]
with open({answers!r}) as stream:
    answers = json.load(stream)
answer = {{**answers["answer"], "changed": False, "platform": {{"host": call["host"], "virtual": False, "partition_digest": "d"}}}}
if call["state"] == "started":
    answer = {{"seconds": 1, "command": ["tool"], "load_command": ["load"], **answer}}
if call["state"] == "started" and answers["lacks"]:
    with open({packages!r}) as stream:
        installed = stream.read().split()
    lacks = [name for name, package in answers["lacks"].items() if package not in installed]
    if lacks:
        print(json.dumps({{**answer, "failed": True, "msg": "it lacks " + lacks[0], "lacks": lacks, "package_manager": answers["manager"]}}))
        sys.exit(1)
if call["state"] == "polled":
    mine = [line["state"] for line in lines if line["machine"] == machine and line.get("guest") == call.get("guest")]
    ended = mine[::-1].index("started") >= answers["questions"].get(machine, 1)
    answer.update(finished=ended, minutes_left=1, seconds_left=1)
    if ended:
        result = {{**answers["result"], "host": call["host"], "guest": call.get("guest"), "tool": call["tool"]}}
        result.update(cpus=call.get("cpus") and [int(cpu) for cpu in call["cpus"].split(",")] or answers["result"]["cpus"])
        result.update(seconds=call["seconds"], profile="custom", limit_us={{"cyclictest": 40, "oslat": 20}}[call["tool"]])
        answer = {{"summary": "ended " + machine, **answer, "result": {{**result, **answers["results"].get(machine, {{}})}}}}
print(json.dumps(answer))
"""


#: In place of package_origins, which records what this machine has.
RECORD = """#!/usr/bin/python
# WANT_JSON
import json, sys
with open(sys.argv[1]) as stream:
    given = json.load(stream)
print(json.dumps({"changed": False, "failed": given["role"] != "rt_latency"}))
"""
#: In place of apt: writes down what would be installed, or was.
PACKAGES = """---
- name: Say what would be installed
  ansible.builtin.debug:
    msg: "would install <{{{{ packages_names | join(' ') }}}}>"
  when: ansible_check_mode

- name: Install
  ansible.builtin.copy:
    content: "{{{{ packages_names | join(' ') }}}}"
    dest: {packages}
  when: not ansible_check_mode
"""


class Site:
    """A copy of the collection, an inventory of machines that are this one, and runs of the playbook latency."""

    def __init__(self, folder):
        self.folder = folder
        self.base = folder / "collections" / "ansible_collections" / "realtime" / "kvm"
        for name in ("meta", "plugins", "playbooks", "roles"):
            shutil.copytree(ROOT / name, self.base / name)
        self.replace("_INTERVAL_S = (10, 300)", "_INTERVAL_S = (1, 300)")
        self.log, self.answers, self.kept, self.packages = (folder / name for name in ("log", "answers.json", "kept", "packages"))

    def replace(self, old, new):
        path = self.base / "plugins" / "module_utils" / "_latency" / "job.py"
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))

    def stand_in(self, **answers):
        """Let a stand-in answer in place of the module."""
        result = latency("", started="2026-11-28T04:05:06Z")
        self.packages.write_text("")
        (self.base / "roles" / "packages" / "tasks" / "apt.yml").write_text(PACKAGES.format(packages=self.packages))
        (self.base / "plugins" / "modules" / "package_origins.py").write_text(RECORD)  # it would write to this machine's journal
        self.answers.write_text(
            json.dumps({"lacks": {}, "manager": "apt", "questions": {}, "results": {}, "answer": {}, "result": result, **answers})
        )
        module = MODULE.format(log=str(self.log), answers=str(self.answers), packages=str(self.packages))
        (self.base / "plugins" / "modules" / "rt_latency.py").write_text(module)
        self.log.write_text("")

    def run(
        self, nodes, *arguments, others=MappingProxyType({}), path="", playbook="realtime.kvm.latency", cwd=None, **variables
    ):
        """Run the playbook; return its code and what it said."""
        known = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "rt_latency_results": str(self.kept),
            "rt_latency_seconds": 1,
            **variables,
        }
        hosts = {name: {**own, "ansible_remote_tmp": f"{self.folder}/tmp/{name}"} for name, own in {**nodes, **others}.items()}
        groups = {"realtime_nodes": {"hosts": dict.fromkeys(nodes)}}
        inventory = self.folder / "hosts.yml"
        inventory.write_text(yaml.safe_dump({"all": {"hosts": hosts, "vars": known, "children": groups}}))
        environment = {
            **os.environ,
            "PATH": f"{path}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(self.folder / "none.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(self.folder / "collections"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_SHOW_CUSTOM_STATS": "1",
            "ANSIBLE_HOME": str(self.folder / "home"),
        }
        command = [sys.executable, "-m", "ansible.cli.playbook", "-i", str(inventory), playbook]
        done = subprocess.run(
            [*command, "-e", "ansible_become=false", *arguments],
            env=environment,
            cwd=cwd or self.folder,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        said = " ".join((done.stdout + done.stderr).split())
        assert "Traceback" not in said
        return done.returncode, said

    def calls(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def files(self):
        return {str(path.relative_to(self.kept)): json.loads(path.read_text()) for path in self.kept.rglob("*") if path.is_file()}


@pytest.fixture(name="site")
def _site(tmp_path):
    return Site(tmp_path)


def test_all_nodes_measure_at_the_same_time_and_one_wait_serves_them_all(site):
    site.stand_in(questions={"n1": 2, "n3": 3})
    guests = {"n1": [{"name": "plc1", "cpus": "1"}], "n2": [{"name": "vm1"}], "n3": []}
    nodes = {name: {"rt_latency_guests": wanted} for name, wanted in guests.items()}
    code, said = site.run(nodes, others={"vm1": {}})
    assert code == 0, said
    asked = [(call["machine"], call["state"], call.get("guest")) for call in site.calls()]
    assert asked.pop(0) == ("n2", "absent", None), "what its guest measures on"
    assert [call["check"] for call in site.calls()] == [True, *[False] * len(asked)]
    states = [state for _machine, state, _guest in asked]
    first = {"started": 3, "polled": 2 + 1 + 3, "absent": 3}  # nodes that have ended are not asked again
    then = {"started": 2, "polled": 2 + 1, "absent": 2}
    expected = [state for each in (first, then) for state, count in each.items() for _one in range(count)]
    assert states == expected, "each step on all nodes before the next"
    assert {machine for machine, _state, guest in asked if guest == "plc1"} == {"n1"}
    assert {machine for machine, _state, guest in asked if guest == "vm1"} == {"vm1"}
    (start,) = [call for call in site.calls() if call["state"] == "started" and call["machine"] == "vm1"]
    assert (start["host"], start["platform"]["host"]) == ("n2", "n2")
    assert said.count("Pausing for 1 seconds") == 3 + 2
    assert said.count("cyclictest: 1 minutes left (1 s)") == 1 + 2 + 1
    for name in ("n1", "n2", "n3", "vm1"):
        assert f'"msg": "ended {name}"' in said


def test_runs_are_kept_and_shown_as_the_job_s_artefact(site):
    fail = {"verdict": {"result": "fail", "virtual": False, "reasons": ["too slow"]}}
    site.stand_in(results={"n2": fail})
    code, said = site.run({"n1": {}, "n2": {}}, rt_latency_tools=["oslat"])
    assert code != 0
    assert "too slow" in said
    assert "n1 : ok=" in said
    files = site.files()
    assert [re.sub("[0-9]{8}T[0-9]{6}Z", "00000000T000000Z", path) for path in sorted(files)] == [
        "n1/00000000T000000Z.json",
        "n2/00000000T000000Z.json",
    ]
    assert {(run["host"], run["tool"]) for run in files.values()} == {("n1", "oslat"), ("n2", "oslat")}
    artefact = said.partition("CUSTOM STATS: ")[2]
    assert '"realtime_latency": { "n1": [ {' in artefact
    assert '"n2": [ {' in artefact
    assert '"reasons": [ "too slow" ]' in artefact


def test_an_answer_chooses_no_file_and_is_no_template(site):
    """Whatever the answers hold: the controller's disk has results where it wants them, and no command has run."""
    template = "{{ lookup('pipe', 'touch " + str(site.folder / "ran") + "') }}"
    started = {"n1": "../../../inventory/x", "n2": template, "n3": "2026-11-28T04:05:06Z\n", "n4": "\x1b]0;owned\x07"}
    facts = {"rt_latency_results": str(site.folder / "elsewhere"), "inventory_hostname": "../x", "rt_latency_gate": "never"}
    more = {"environment": {"processor": template}, "ansible_facts": facts, "folder": str(site.folder / "elsewhere")}
    site.stand_in(
        results={node: {"started": text, **more} for node, text in started.items()},
        answer={
            "summary": template,
            "ansible_facts": facts,
            "file": "/etc/x",
            "own": {"stamp": "../x"},
            "results": [{}],
            "command": [template],
        },
    )
    before = {path for path in site.folder.rglob("*") if "tmp" not in path.parts}
    code, said = site.run({name: {} for name in started})
    assert code == 0, said
    files = site.files()
    assert [re.sub("[0-9]{8}T[0-9]{6}Z", "00000000T000000Z", path) for path in sorted(files)] == [
        f"{name}/00000000T000000Z.json" for name in started
    ]
    assert {path.partition("/")[0] for path in files} == set(started)
    assert all(found["environment"]["processor"] == template for found in files.values())
    assert not (site.folder / "ran").exists()
    new = {path for path in site.folder.rglob("*") if "tmp" not in path.parts} - before
    assert {path.relative_to(site.folder).parts[0] for path in new} <= {"kept", "home", "hosts.yml"}
    assert "\x1b]0" not in said


def test_a_smoke_run_is_no_certificate(site):
    site.stand_in()
    wanted = {"rt_latency_profile": "certify", "rt_latency_seconds": 1}
    assert site.run({"n1": {}}, **wanted)[0] == 0
    ((_path, result),) = site.files().items()
    assert result["profile"] == "custom"


def test_a_run_that_does_not_end_is_given_up(site):
    site.stand_in(questions={"n1": 100})
    code, said = site.run({"n1": {}})
    assert code != 0
    assert "the measurement has not ended in its time; it is left to end by itself" in said
    assert [call["state"] for call in site.calls()] == ["started", *["polled"] * 5]
    assert not site.kept.exists()


def test_check_mode_asks_only_what_would_run(site):
    site.stand_in()
    code, said = site.run({"n1": {}}, "--check", rt_latency_tools=["cyclictest", "oslat"])
    assert code == 0, said
    assert said.count("would run for 1 s: tool; load: load") == 2
    assert [(call["state"], call["check"], call["tool"]) for call in site.calls()] == [
        ("started", True, "cyclictest"),
        ("started", True, "oslat"),
    ]
    assert not site.kept.exists()


def test_tools_that_the_node_lacks_are_installed_once_and_then_it_measures(site):
    site.stand_in(lacks={"cyclictest": "rt-tests", "stress-ng": "stress-ng"})
    code, said = site.run({"n1": {}}, rt_latency_tools=["cyclictest", "oslat"])
    assert code == 0, said
    assert sorted(site.packages.read_text().split()) == ["rt-tests", "stress-ng"]
    assert [call["state"] for call in site.calls()] == ["started", "started", "polled", "absent", "started", "polled", "absent"]
    assert len(site.files()) == 2


@pytest.mark.parametrize("manager", ["", "{{ lookup('pipe', 'false') }}"])
def test_a_node_without_a_known_package_manager_is_refused_by_name(site, manager):
    site.stand_in(lacks={"cyclictest": "rt-tests"}, manager=manager)
    code, said = site.run({"n1": {}})
    assert code != 0
    assert "rt_latency: n1 lacks cyclictest, and has neither apt nor dnf" in said


def test_check_mode_says_what_would_be_installed_and_run(site):
    site.stand_in(lacks={"cyclictest": "rt-tests"})
    code, said = site.run({"n1": {}}, "--check")
    assert code == 0, said
    assert "would install <rt-tests>" in said
    assert "cyclictest is not installed yet; after that, it runs for 1 s: tool; load: load" in said
    assert [call["check"] for call in site.calls()] == [True]
    assert site.packages.read_text() == ""


@pytest.mark.parametrize(
    "variables", [{"rt_latency_install": False}, {"rt_latency_node": False, "rt_latency_guests": [{"name": "plc1", "cpus": "1"}]}]
)
def test_nothing_is_installed_in_a_guest_or_against_the_operator_s_will(site, variables):
    site.stand_in(lacks={"cyclictest": "rt-tests"})
    code, said = site.run({"n1": {}}, **variables)
    assert code != 0
    assert "it lacks cyclictest" in said
    assert site.packages.read_text() == ""


@pytest.mark.parametrize("by", ["name", "file"])
def test_results_are_kept_in_the_project_whatever_the_working_directory_is(site, by):
    """As cron and AWX start it."""
    site.stand_in()
    playbook = "realtime.kvm.latency"
    if by == "file":
        playbook = str(site.folder / "measure.yml")
        Path(playbook).write_text("- ansible.builtin.import_playbook: realtime.kvm.latency\n")
    code, said = site.run({"n1": {}}, playbook=playbook, cwd="/", rt_latency_results="")
    assert code == 0, said
    assert len(list((site.folder / "results" / "latency" / "n1").iterdir())) == 1


@pytest.mark.skipif(
    len(ONLINE) < 2 or ONLINE[0] != 0 or not shutil.which("taskset") or Path("/run/systemd/system").is_dir(),
    reason="needs CPU 0, a second one, taskset, and a machine without systemd, whose unit the lab sees to",
)
def test_a_measurement_ends_in_a_stored_result_and_leaves_nothing(site):
    folder, programs = site.folder / "kvm" / "latency", site.folder / "programs"
    site.replace('DIRECTORY = "/run/realtime-kvm/latency"', f'DIRECTORY = "{folder}"')
    site.replace("SETTLE_S: float = 2", "SETTLE_S: float = 0.2")
    install(programs, cyclictest=CYCLICTEST, stress_ng=STRESS)
    wanted = {"rt_latency_cpus": "0", "rt_latency_gate": "never", "path": str(programs)}
    code, said = site.run({"n1": {}}, "--check", **wanted)
    assert code == 0, said
    assert "would run for 1 s: taskset -c " in said
    assert not folder.exists()
    code, said = site.run({"n1": {}}, **wanted)
    assert code == 0, said
    ((path, result),) = site.files().items()
    assert re.fullmatch(r"n1/\d{8}T\d{6}Z\.json", path)
    assert (result["format"], result["host"], result["profile"], result["cpus"]) == (1, "n1", "custom", [0])
    assert result["per_cpu"][0]["max_us"] == 9
    assert f"n1: cyclictest custom on CPUs 0: {result['verdict']['result']}" in said
    assert not folder.exists()
    assert processes(folder) == []
