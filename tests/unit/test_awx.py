# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWX and Automation Platform get (extensions/): surveys, templates, workflow, patterns, the rulebook."""

from __future__ import annotations

import json
import re
from pathlib import Path

import ansiblelint
import jsonschema
import pytest
import yaml
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.known import (
    EMPTY_IS_DEFAULT,
    PLAYBOOK_OPTIONS,
    ROLES,
    read_known,
)
from playbooks.surveys import wrong_in_question, wrong_in_survey
from tools.patterns import FOLDER, files_of, read_source, survey_of
from unit.documents import text_of

ROOT = Path(__file__).resolve().parents[2]
SOURCE = read_source()
TEMPLATES = SOURCE["awx_templates"]
QUESTIONS = SOURCE["awx_questions"]
PATTERNS = [pattern["name"] for pattern in SOURCE["awx_patterns"]]
KNOWN = read_known(ROLES)


def named(thing):
    return thing["name"]


def pattern_of(name):
    return json.loads((FOLDER / name / "meta" / "pattern.json").read_text())


def test_what_is_committed_is_what_is_written():
    committed = {str(path.relative_to(FOLDER)): path.read_text() for path in FOLDER.rglob("*") if path.is_file()}
    assert committed == files_of(SOURCE), "run: make patterns"


# Surveys


ASKING = [template for template in [*TEMPLATES, *SOURCE["awx_workflows"]] if template.get("survey")]


@pytest.mark.parametrize("template", ASKING, ids=named)
def test_awx_takes_the_survey(template):
    assert wrong_in_survey(survey_of(SOURCE, template)) == []


@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_a_question_is_one_that_awx_and_patterns_take(name):
    question = QUESTIONS[name]
    assert isinstance(question.get("default", ""), str), (
        "the schema of patterns wants a string, AWX an integer for one of type integer"
    )
    assert re.fullmatch("[a-z0-9_]{1,64}", question["variable"])
    if question["type"] == "multiplechoice":
        assert question["required"], "an empty choice is none of the choices of a role"
        assert question["default"]
    else:
        assert question["min"] == 0, "an empty answer is the default"


@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_a_question_asks_for_a_variable_that_is_read_and_whose_values_are_its_choices(name):
    question = QUESTIONS[name]
    option = {**PLAYBOOK_OPTIONS, **KNOWN.options}[question["variable"]]
    choices = question.get("choices")
    if option.get("type") == "bool":
        assert set(choices) == {"true", "false"}
    elif choices:
        assert set(choices) == set(option["choices"]) - {""}
    else:
        assert option["type"] in ("path", "str") or question["variable"] in EMPTY_IS_DEFAULT


@pytest.mark.parametrize("template", TEMPLATES, ids=named)
def test_a_template_asks_only_for_what_its_playbook_reads(template):
    book = text_of(f"playbooks/{template['playbook']}.yml")
    text = book + "".join(text_of(f"playbooks/tasks/{name}") for name in re.findall(r"tasks/([a-z_]+\.yml)", book))
    roles = set(re.findall(r"realtime\.kvm\.([a-z_]+)$", book, re.M)) & {path.name for path in ROLES.iterdir()}
    for other in re.findall(r"import_playbook: realtime\.kvm\.([a-z_]+)", book):
        text += text_of(f"playbooks/{other}.yml")
    read = text + "".join(text_of(f"roles/{role}/meta/argument_specs.yml") for role in roles)
    read = read.replace("realtime.kvm.max_disruption", "realtime_max_disruption")
    read += (
        text_of("playbooks/tasks/reached.yml") + text_of("playbooks/tasks/show_and_refuse.yml")
        if "show_and_refuse" in read
        else ""
    )
    for name in template.get("survey", []):
        assert QUESTIONS[name]["variable"] in read


def test_no_answer_takes_the_place_of_what_an_inventory_says():
    """Also a default and an empty answer beat the inventory."""
    asked = {question["variable"]: question.get("default") for question in QUESTIONS.values()}
    assert asked == {
        "bios_apply": "false",  # as cautious as can be
        "realtime_max_disruption": "reboot",  # the lower one of both counts
        "realtime_unreachable": "refuse",
        "realtime_update_serial": "1",  # an inventory cannot give it
        "rt_guest_undo_running": "false",
        "rt_kernel_reboot_serial": "1,25%",
        "rt_latency_profile": "smoke",
    }


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"default": "sometimes"}, "sometimes is none of the choices"),
        ({"type": "integer", "default": "5", "choices": []}, "the default '5' is no integer"),
        ({"type": "integer", "default": True}, "the default True is no integer"),
        ({"type": "text", "default": "25%", "max": 2}, "the default's length"),
        ({"type": "text", "min": "1"}, "min is no integer"),
        ({"type": "number"}, "type number is unknown"),
        ({"choices": []}, "there are no choices"),
        ({"required": "true"}, "required is no boolean"),
    ],
)
def test_the_rules_of_awx_refuse(given, wrong):
    assert wrong in wrong_in_question({**QUESTIONS["limit"], **given})


def test_the_rules_of_awx_refuse_two_questions_for_one_variable_and_a_survey_without_questions():
    twice = {"name": "a", "description": "", "spec": [QUESTIONS["limit"], QUESTIONS["limit"]]}
    assert wrong_in_survey(twice) == ["realtime_max_disruption: more than one question"]
    assert wrong_in_survey({"name": "a", "description": "", "spec": []}) == ["there is no question"]


# Templates, workflow and schedules


@pytest.mark.parametrize("template", TEMPLATES, ids=named)
def test_a_template_is_of_a_playbook_and_a_pattern(template):
    assert (ROOT / "playbooks" / f"{template['playbook']}.yml").is_file()
    assert template["pattern"] in PATTERNS
    assert set(template) <= {
        "name", "description", "playbook", "pattern", "primary", "sliced", "survey", "job_type", "diff_mode", "ask_tags_on_launch",
    }  # fmt: skip


def test_the_report_and_the_plan_are_not_sliced():
    assert [template["name"] for template in TEMPLATES if not template.get("sliced")] == ["realtime-plan", "realtime-report"]


def test_workflow_and_schedules_name_templates_that_exist():
    names = {template["name"] for template in TEMPLATES}
    nodes = SOURCE["awx_workflow_nodes"]
    identifiers = [node["identifier"] for node in nodes]
    assert {node["template"] for node in nodes if "template" in node} <= names
    assert [node["then"] for node in nodes if "then" in node] == identifiers[1:]
    assert "approval" in nodes[1], "nothing is changed without it"
    assert {schedule["template"] for schedule in SOURCE["awx_schedules"]} <= names
    assert all(
        re.fullmatch(r"DTSTART:\d{8}T\d{6}Z RRULE:FREQ=[A-Z]+;INTERVAL=\d+", one["rrule"]) for one in SOURCE["awx_schedules"]
    )


@pytest.mark.parametrize("workflow", SOURCE["awx_workflows"], ids=named)
def test_a_workflow_asks_for_what_its_templates_ask_for(workflow):
    templates = {template["name"]: template.get("survey", []) for template in TEMPLATES}
    asked = [templates[node["template"]] for node in SOURCE["awx_workflow_nodes"] if "template" in node]
    assert set(workflow["survey"]) <= {name for survey in asked for name in survey}


def test_there_is_a_workflow_for_a_launch_with_a_limit():
    """A slice without any host of the limit fails."""
    assert [workflow["sliced"] for workflow in SOURCE["awx_workflows"]] == [True, False]


# Patterns: the published schema, and in words of our own the rules of the specification 1.0.0 that it does not have

SCHEMA = json.loads(text_of("tests/fixtures/pattern-service/pattern-schema-1.0.0.json"))


def wrong_in_pattern(pattern):
    return [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(pattern)]


@pytest.mark.parametrize("name", PATTERNS)
def test_the_published_schema_takes_a_pattern(name):
    assert wrong_in_pattern(pattern_of(name)) == []


@pytest.mark.parametrize(
    ("question", "wrong"),
    [
        ({"default": 25}, "25 is not of type 'string'"),  # what AWX wants of an integer
        ({"type": "number"}, "'number' is not one of"),
        ({"variable": "realtime-serial"}, "does not match"),
        ({"required": "true"}, "'true' is not of type 'boolean'"),
        ({"choices": [True, False]}, "True is not of type 'string'"),
    ],
)
def test_the_published_schema_refuses(question, wrong):
    pattern = pattern_of("realtime_site")
    templates = pattern["aap_resources"]["controller_job_templates"]
    templates[0]["survey"]["spec"][0].update(question)
    assert wrong in "; ".join(wrong_in_pattern(pattern))


def test_the_published_schema_refuses_labels_that_nothing_declares():
    pattern = pattern_of("realtime_site")
    del pattern["aap_resources"]["controller_labels"]
    assert wrong_in_pattern(pattern) == ["'controller_labels' is a required property"]


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_follows_the_specification(name):
    pattern = pattern_of(name)
    assert re.fullmatch("[a-z0-9_]{1,64}", name)
    assert pattern["name"] == name
    assert pattern["schema_version"] == "1.0.0"
    assert len(pattern["title"]) <= 64
    assert not pattern["short_description"].endswith(".")
    assert len(pattern["tags"]) == len(set(pattern["tags"]))
    resources = pattern["aap_resources"]
    assert {"name", "description"} <= set(resources["controller_project"])
    assert {"name", "description", "image_name"} <= set(resources["controller_execution_environment"])
    assert resources["controller_execution_environment"]["pull"] in ("always", "missing", "never")
    assert re.fullmatch("[a-z0-9_]+/[a-z0-9_]+", resources["controller_execution_environment"]["image_name"])
    templates = resources["controller_job_templates"]
    assert sum(template["primary"] for template in templates) == 1
    for template in templates:
        assert len(template["name"]) <= 200
        assert set(template["labels"]) <= set(resources["controller_labels"]), "a label that is not declared"
        assert template["execution_environment"] == resources["controller_execution_environment"]["name"]
        assert template["ask_inventory_on_launch"]
        assert template["ask_limit_on_launch"]
        assert "survey" not in template or wrong_in_survey(template["survey"]) == []
        assert all(isinstance(value, bool) for key, value in template.items() if key.startswith("ask_"))
    books = {path.name for path in (FOLDER / name / "playbooks").iterdir()}
    asked = {template["playbook"].replace(".yml", ".meta.yml") for template in templates if "survey" in template}
    assert books == {template["playbook"] for template in templates} | asked
    assert (FOLDER / name / "README.md").is_file()


BOOKS = sorted(path for path in FOLDER.glob("*/playbooks/*.yml") if not path.name.endswith(".meta.yml"))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*/playbooks/*.meta.yml")), ids=lambda path: path.stem)
def test_the_inputs_of_a_playbook_are_what_its_survey_asks_for(path):
    schema = json.loads((Path(ansiblelint.__file__).parent / "schemas" / "play-argspec.json").read_text())
    document = yaml.safe_load(path.read_text())
    assert [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(document)] == []
    (spec,) = document["argument_specs"].values()
    (template,) = [one for one in TEMPLATES if one["name"] == f"realtime-{path.name.removesuffix('.meta.yml')}"]
    assert list(spec["options"]) == [QUESTIONS[name]["variable"] for name in template["survey"]]
    assert not re.search("hosts:|playbook:", path.read_text()), "AWX would offer it as a playbook"


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_a_playbook_of_a_pattern_imports_one_of_the_collection(path):
    (play,) = yaml.safe_load(path.read_text())
    assert set(play) == {"name", "ansible.builtin.import_playbook"}
    playbook = play["ansible.builtin.import_playbook"].removeprefix("realtime.kvm.")
    assert (ROOT / "playbooks" / f"{playbook}.yml").is_file()


# The rulebook


def test_the_rulebook_verifies_and_never_repairs():
    (rules,) = yaml.safe_load(text_of("extensions/eda/rulebooks/drift.yml"))
    assert {next(iter(rule["action"])) for rule in rules["rules"]} == {"run_job_template", "debug"}
    assert rules["execution_strategy"] == "parallel", "else a verify waits for those of other nodes"
    starts = [rule for rule in rules["rules"] if "run_job_template" in rule["action"]]
    assert [rule["throttle"]["group_by_attributes"] for rule in starts] == [
        ["event.payload.host"],
        ["event.payload.groupLabels.host"],
    ]
    for rule in starts:
        (host,) = rule["throttle"]["group_by_attributes"]
        started = rule["action"]["run_job_template"]
        assert "realtime-verify" in started["name"]
        assert started["job_args"] == {"limit": f"{{{{ {host} }}}}", "job_slice_count": 1}
        assert rule["condition"].startswith(f"{host} is defined and ")
    assert all("once_within" in rule["throttle"] for rule in rules["rules"])
    assert rules["sources"][0]["eda.builtin.webhook"]["token"] == "{{ drift_token }}"


def test_the_schema_of_rulebooks_takes_it():
    """Of ansible-lint, which does not look at rulebooks in this folder by itself."""
    schema = json.loads((Path(ansiblelint.__file__).parent / "schemas" / "rulebook.json").read_text())
    rules = yaml.safe_load(text_of("extensions/eda/rulebooks/drift.yml"))
    assert [error.message for error in jsonschema.validators.validator_for(schema)(schema).iter_errors(rules)] == []
    rules[0]["rules"][0]["throttle"]["once_within"] = "sometimes"
    assert list(jsonschema.validators.validator_for(schema)(schema).iter_errors(rules))


@pytest.mark.parametrize(
    ("host", "taken"),
    [
        ("kvm01.example.com", True), ("10.0.0.1", True), ("a", True), ("", False), ("*", False), ("a:b", False), ("a,b", False),
        ("2001:db8::7", False), ("!a", False), ("a\n", False), ("a b", False), ("-a", False), ("a[0:3]", False), ("~a", False), ("@file", False),
    ],
)  # fmt: skip
def test_an_event_names_one_host(host, taken):
    """No pattern of Ansible's; the expression means the same to Java, which the rule engine is written in."""
    (rules,) = yaml.safe_load(text_of("extensions/eda/rulebooks/drift.yml"))
    expressions = [found[1] for rule in rules["rules"] if (found := re.search(r'is match\("(.*)"\)', rule["condition"]))]
    assert len(expressions) == 2, "of an event, and of Alertmanager"
    for expression in expressions:
        assert bool(re.match(expression, host)) is taken
    refused = [found[1] for rule in rules["rules"] if (found := re.search(r'is not match\("(.*)"\)', rule["condition"]))]
    assert refused == expressions[:1], "a host that is not taken is told of"
