# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every job template as AWX runs it: ansible-runner, the playbook of its pattern, the answers of its survey as extra variables, the hosts of a slice.

The collection is the one of the built tarball, with its own ansible.cfg. Modules have the stand-ins of conftest.py; eight hosts are this machine, and
have one BMC. REALTIME_KVM_SLICES=all runs every template in three and in eight slices.
"""

from __future__ import annotations

import json
import os
import shutil
import sys

import pytest
import yaml
from bmc.replay import PASSWORD, USER, Bmc, make_certificate
from bmc.small import tree
from playbooks.conftest import ROOT, SHIPPED, galaxy, guests_of
from playbooks.test_latency import MODULE as MEASURING
from tools.patterns import job_template, read_source
from unit.fleets import latency

ansible_runner = pytest.importorskip("ansible_runner")

SOURCE = read_source()
#: Without that of guests' insides, which works on hosts of another group (test_guest_os.py).
TEMPLATES = {template["name"]: template for template in SOURCE["awx_templates"] if template["playbook"] != "guest_os"}
HOSTS = [f"node{number}" for number in range(1, 6)]
#: ansible-runner reads in turns of this many seconds; what a turn leaves when a job ends must be read within five, which a busy machine misses.
PATIENT = {"pexpect_timeout": 900}
#: What is run in slices; the others show nothing more about slices, and take minutes.
SLICED = [
    ("realtime-site", 3),
    ("realtime-guests", 3),
    ("realtime-verify", 3),
    ("realtime-verify", 8),
]
if os.environ.get("REALTIME_KVM_SLICES") == "all":
    SLICED = [(name, slices) for name, template in TEMPLATES.items() if template.get("sliced") for slices in (3, 8)]

#: What the nodes of a template need beside what all have.
NEEDS = {"realtime-bios": "bmc", "realtime-latency": "measured"}
#: The templates that leave artefacts.
LEAVES = ("realtime-site", "realtime-verify", "realtime-latency", "realtime-bios")

#: What verify shows of a node without findings.
AUDITED = {
    "kernel": {"release": "6.1", "realtime": True, "isolated": ""},
    "managed_interrupts": [],
    "smi": {"count": 0, "reason": ""},
}


def sliced(hosts, slices):
    """Return the hosts of each slice, as AWX deals them out (Inventory.get_sliced_hosts): by turns, in the order of their names."""
    ordered = sorted(hosts)
    return [ordered[number::slices] for number in range(min(slices, len(ordered)))]


@pytest.fixture(name="bmc")
def _bmc(tmp_path):
    """Variables of nodes with a BMC."""
    bmc = Bmc(tree(), make_certificate(tmp_path))
    yield {"bios_address": bmc.address, "bios_username": USER, "bios_password": PASSWORD, "bios_ca_file": str(bmc.certificate)}
    assert bmc.machine.patches == [], "a survey's default only compares"
    bmc.close()


@pytest.fixture(name="measured")
def _measured(nodes):
    """Measurements that end at once; variables of the nodes."""
    log, answers, packages = (nodes.folder / name for name in ("measured", "measuring.json", "packages"))
    log.write_text("")
    packages.write_text("")
    result = latency("", started="2026-11-28T04:05:06Z")
    found = {"lacks": {}, "manager": "apt", "questions": {}, "results": {}, "answer": {}, "result": result}
    answers.write_text(json.dumps(found))
    text = MEASURING.format(log=str(log), answers=str(answers), packages=str(packages))
    (nodes.base / "plugins" / "modules" / "rt_latency.py").write_text(text)
    job = nodes.base / "plugins" / "module_utils" / "_latency" / "job.py"
    job.write_text(job.read_text().replace("_INTERVAL_S = (10, 300)", "_INTERVAL_S = (1, 300)"))
    remote = str(nodes.folder / "tmp") + "/{{ inventory_hostname }}"
    return {"ansible_remote_tmp": remote, "rt_latency_results": str(nodes.folder / "kept"), "rt_latency_seconds": 1}


@pytest.fixture(name="launch")
def _launch(nodes, tmp_path, request):
    """Launch a template for some hosts; return ansible-runner's answer, what was said, and the calls of modules with their hosts."""

    def launch(name, hosts=HOSTS, answers=None, *, empty=False, given=None, limit="", **variables):
        template = job_template(SOURCE, TEMPLATES[name])
        survey = template.get("survey", {"spec": []})["spec"]
        extra = {
            question["variable"]: "" if empty and not question["required"] else question.get("default", "") for question in survey
        }
        extra.update(answers or {})
        found = dict(given or {})
        found["results"] = {"rt_audit": AUDITED, **found.get("results", {})}
        nodes.answers.write_text(json.dumps(found))
        nodes.log.write_text("")
        known = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "ansible_become": False,
            "realtime_plan_folder": str(tmp_path / "plan"),
            "cpu_partition_isolation": "runtime",
            "rt_report_folder": str(tmp_path / "report"),
            **(request.getfixturevalue(NEEDS[name]) if name in NEEDS else {}),
            **variables,
        }
        inventory = {"realtime_nodes": {"hosts": {host: guests_of(f"plc-{host}") for host in hosts}, "vars": known}}
        folder = tmp_path / "runner"
        (folder / "inventory").mkdir(parents=True, exist_ok=True)
        (folder / "inventory" / "hosts.yml").write_text(yaml.safe_dump(inventory))
        done = ansible_runner.run(
            private_data_dir=str(folder),
            playbook=str(
                nodes.base / "extensions" / "patterns" / TEMPLATES[name]["pattern"] / "playbooks" / template["playbook"]
            ),
            extravars={"ansible_become": False, **extra},
            envvars={**nodes.environment(), "ANSIBLE_CONFIG": str(nodes.base / "ansible.cfg")},
            cmdline="--check --diff" if template.get("job_type") == "check" else None,
            limit=limit or None,
            quiet=True,
            settings=PATIENT,
        )
        said = " ".join(done.stdout.read().split())
        assert "Traceback" not in said
        calls = [json.loads(line) for line in nodes.log.read_text().splitlines()]
        return done, said, calls

    return launch


def counted(done):
    """What the run did on each host: tasks by outcome, but for those that run once for all."""
    return {host: done.stats["changed"].get(host, 0) for host in done.stats["processed"]}


def gist(calls):
    """The calls of modules, whatever their order."""
    return sorted(json.dumps(call, sort_keys=True) for call in calls)


def artefacts(done):
    """What AWX keeps as the job's artefacts."""
    (ended,) = [event["event_data"] for event in done.events if event["event"] == "playbook_on_stats"]
    return ended["artifact_data"]


def asks_for_text(name):
    return [one for one in TEMPLATES[name].get("survey", []) if not SOURCE["awx_questions"][one]["required"]]


@pytest.mark.parametrize(
    ("name", "empty"),
    [(name, False) for name in TEMPLATES if name not in dict(SLICED)]
    + [(name, True) for name in TEMPLATES if asks_for_text(name)],
)
def test_a_template_runs_with_the_defaults_of_its_survey_and_with_empty_answers(launch, name, empty):
    """Those that test_slices_do_what_one_job_does runs with the defaults are not run here too."""
    done, said, calls = launch(name, HOSTS[:2] if empty else HOSTS, empty=empty, given={"cpu_partition": "stall"})
    assert done.status == "successful", said
    kept = {"realtime-report": "realtime_report", "realtime-bios": "realtime_bios", "realtime-latency": "realtime_latency"}
    assert calls or artefacts(done)[kept[name]], "these have modules of their own, which write down nothing"
    if TEMPLATES[name].get("job_type") == "check" or name == "realtime-plan":
        assert [call for call in calls if not call["check"]] == []


def test_a_project_of_type_archive_installs_the_collection_from_itself(tmp_path):
    """As AWX does when it updates a project: such an archive has no links."""
    project = tmp_path / "project"
    project.mkdir()
    for name in (*SHIPPED, "requirements.yml"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, project / name)
    galaxy(project, "install", "-r", str(project / "requirements.yml"), "-p", str(tmp_path / "collections"), "--offline")
    assert (tmp_path / "collections" / "ansible_collections" / "realtime" / "kvm" / "playbooks" / "site.yml").is_file()


def test_slices_are_dealt_out_by_turns_and_no_slice_is_empty():
    assert sliced(HOSTS, 3) == [["node1", "node4"], ["node2", "node5"], ["node3"]]
    assert sliced(HOSTS, 20) == [[host] for host in HOSTS]


@pytest.mark.parametrize(("name", "slices"), SLICED)
def test_slices_do_what_one_job_does(launch, name, slices):
    finding = {"severity": "warning", "rule": "interrupt", "resource": "IRQ 4"}
    given = {"cpu_partition": "stall", "rt_domain": "stall", "results": {"rt_audit": {**AUDITED, "findings": [finding]}}}
    whole, said, calls = launch(name, given=given)
    assert whole.status == "successful", said
    assert set(counted(whole)) == set(HOSTS)
    parts, of_parts, left = {}, [], {}
    dealt = sliced(HOSTS, slices)
    assert sorted(host for part in dealt for host in part) == HOSTS
    for part in dealt:
        done, said, more = launch(name, part, given=given)
        assert done.status == "successful", said
        assert set(counted(done)) == set(part)
        parts.update(counted(done))
        of_parts += more
        for artefact, of_hosts in artefacts(done).items():
            left.setdefault(artefact, {}).update(of_hosts)
    assert left == artefacts(whole)
    assert left or name not in LEAVES
    assert gist(of_parts) == gist(calls)
    assert sum(parts.values()) == sum(counted(whole).values())


def test_the_limit_of_the_survey_stops_a_reboot_and_cannot_allow_what_the_inventory_forbids(launch):
    given = {"kernel_arguments": "reboot"}
    done, said, calls = launch("realtime-site", HOSTS[:2], {"realtime_max_disruption": "guest"}, given=given)
    assert done.status == "failed"
    assert "realtime_max_disruption is guest, but the plan needs more: kernel_arguments (reboot)" in said
    assert [call for call in calls if not call["check"] and call.get("state") != "recovered"] == []
    done, said, calls = launch("realtime-site", HOSTS[:2], given=given, realtime_max_disruption="none")
    assert done.status == "failed", "the survey's default is reboot"
    assert "realtime_max_disruption is none, but the plan needs more: kernel_arguments (reboot)" in said
    assert [call for call in calls if not call["check"] and call.get("state") != "recovered"] == []


def test_a_limit_at_launch_leaves_the_other_hosts_alone(launch):
    done, said, _calls = launch("realtime-site", HOSTS[:4], given={"cpu_partition": "stall"}, limit="node2")
    assert done.status == "successful", said
    assert set(counted(done)) == {"node2"}


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (
            {"rt_kernel_reboot_serial": "0"},
            "rt_kernel_reboot_serial: '0' is neither a number of nodes from 1 to 999999 nor a share",
        ),
        ({"realtime_unreachable": "perhaps"}, "realtime_unreachable"),
        ({"realtime_reboot_allowed": "perhaps"}, "realtime_reboot_allowed"),
        ({"realtime_max_disruption": "sometimes"}, "realtime_max_disruption must be one of: none, stall, guest, reboot"),
    ],
)
def test_an_answer_that_means_nothing_is_refused_before_any_node_is_asked(launch, answers, message):
    done, said, calls = launch("realtime-site", HOSTS[:1], answers)
    assert done.status == "failed"
    assert message in said
    assert calls == []


@pytest.mark.parametrize(("text", "removed"), [("true", True), ("false", False)])
def test_the_survey_of_undo_says_in_text_whether_guests_that_run_are_removed(launch, text, removed):
    done, said, calls = launch("realtime-undo", HOSTS[:1], {"rt_guest_undo_running": text}, given={"cpu_partition": "stall"})
    assert done.status == "successful", said
    asked = {call["stop_running"] for call in calls if call["module"] == "rt_domain" and call.get("state") == "absent"}
    assert asked in ({removed}, {text}), "the module takes both"


@pytest.mark.parametrize(("text", "reboots"), [("true", True), ("false", False)])
def test_a_boolean_comes_as_text(launch, text, reboots):
    needed = {"reboot_required": True, "following": {"release": "6.1", "tokens": []}}
    given = {
        "results": {"kernel_arguments": needed},
        "after_reboot": {"kernel_arguments": {"reboot_required": False}},
    }
    done, said, calls = launch("realtime-site", HOSTS[:1], {"realtime_reboot_allowed": text}, given=given)
    assert ("reboot" in {call["module"] for call in calls if not call["check"]}) is reboots, said
    assert done.status == "successful", said
