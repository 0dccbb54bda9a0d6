# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every job template as AWX runs it: ansible-runner, the playbook of its pattern, the answers of its survey as extra variables, the hosts of a slice.

Modules have the stand-ins of conftest.py; eight hosts are this machine.
"""

from __future__ import annotations

import json
import sys

import pytest
import yaml
from playbooks.conftest import guests_of
from tools.patterns import job_template, read_source

ansible_runner = pytest.importorskip("ansible_runner")

SOURCE = read_source()
TEMPLATES = {template["name"]: template for template in SOURCE["awx_templates"]}
HOSTS = [f"node{number}" for number in range(1, 9)]
#: ansible-runner reads in turns of this many seconds; what a turn leaves when a job ends must be read within five, which a busy machine misses.
PATIENT = {"pexpect_timeout": 900}
#: With a BMC's answers, or a measurement's, these have tests of their own.
PLAIN = [name for name in TEMPLATES if name not in ("realtime-bios", "realtime-latency")]

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


@pytest.fixture(name="launch")
def _launch(nodes, tmp_path):
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
            envvars=nodes.environment(),
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


@pytest.mark.parametrize("empty", [False, True], ids=["defaults", "empty"])
@pytest.mark.parametrize("name", PLAIN)
def test_a_template_runs_with_the_defaults_of_its_survey_and_with_empty_answers(launch, tmp_path, name, empty):
    done, said, calls = launch(
        name, HOSTS[:2], empty=empty, given={"cpu_partition": "stall"}, rt_report_folder=str(tmp_path / "report")
    )
    assert done.status == "successful", said
    assert name == "realtime-report" or calls
    if TEMPLATES[name].get("job_type") == "check" or name == "realtime-plan":
        assert [call for call in calls if not call["check"]] == []


def test_slices_are_dealt_out_by_turns_and_no_slice_is_empty():
    assert sliced(HOSTS, 3) == [["node1", "node4", "node7"], ["node2", "node5", "node8"], ["node3", "node6"]]
    assert sliced(HOSTS, 20) == [[host] for host in HOSTS]


@pytest.mark.parametrize(
    ("name", "slices"), [("realtime-site", 3), ("realtime-guests", 3), ("realtime-guests", 8), ("realtime-verify", 8)]
)
def test_slices_do_what_one_job_does(launch, name, slices):
    given = {"cpu_partition": "stall", "rt_domain": "stall"}
    whole, said, calls = launch(name, given=given)
    assert whole.status == "successful", said
    assert set(counted(whole)) == set(HOSTS)
    parts, of_parts = {}, []
    dealt = sliced(HOSTS, slices)
    assert sorted(host for part in dealt for host in part) == HOSTS
    for part in dealt:
        done, said, more = launch(name, part, given=given)
        assert done.status == "successful", said
        assert set(counted(done)) == set(part)
        parts.update(counted(done))
        of_parts += more
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
        ({"rt_kernel_reboot_serial": "0"}, "rt_kernel_reboot_serial: '0' is neither a number of nodes from 1 on nor a share"),
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
