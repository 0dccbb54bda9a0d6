# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write extensions/patterns/ from extensions/awx/templates.yml: patterns.py [FOLDER].

What a pattern is: pattern specification 1.0.0 of ansible/pattern-service. Keys beside those that it names, such as ask_limit_on_launch, go to the
controller's API as they stand.
"""

import json
import shutil
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "extensions" / "awx" / "templates.yml"
FOLDER = ROOT / "extensions" / "patterns"
HEAD = "Written by `make patterns` from extensions/awx/templates.yml."
#: What every template asks for at launch: without them a launch that gives, for example, a limit runs on all hosts.
ASKED = ("inventory", "credential", "limit", "verbosity", "diff_mode")


class Dumper(yaml.SafeDumper):
    """Writes lists as ansible-lint wants them."""

    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)


class Loader(yaml.SafeLoader):
    """Reads the templates that AWX fills in, as text."""


Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


def read_source(path=SOURCE):
    """Return the source."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader)


def survey_of(source, template):
    """Return a template's survey, or None."""
    if not template.get("survey"):
        return None
    questions = [source["awx_questions"][name] for name in template["survey"]]
    return {"name": template["name"], "description": template["description"], "spec": questions}


def job_template(source, template):
    """Return a template as a pattern's file has it."""
    own = {key: value for key, value in template.items() if key not in ("pattern", "primary", "sliced", "survey", "playbook")}
    found = {
        **own,
        "playbook": f"{template['name'].removeprefix('realtime-')}.yml",
        "primary": template.get("primary", False),
        "execution_environment": source["awx_execution_environment"]["name"],
        "labels": source["awx_labels"],
        "become_enabled": True,
        **{f"ask_{name}_on_launch": True for name in ASKED},
        "ask_job_slice_count_on_launch": template.get("sliced", False),
    }
    if survey := survey_of(source, template):
        found["survey"] = survey
    return found


def files_of(source):
    """Return every generated file: its path below the folder of patterns, and its text."""
    found = {}
    for pattern in source["awx_patterns"]:
        templates = [template for template in source["awx_templates"] if template["pattern"] == pattern["name"]]
        document = {
            "schema_version": "1.0.0",
            **pattern,
            "aap_resources": {
                "controller_project": source["awx_project"],
                "controller_execution_environment": source["awx_execution_environment"],
                "controller_labels": source["awx_labels"],
                "controller_job_templates": [job_template(source, template) for template in templates],
            },
        }
        base = pattern["name"]
        found[f"{base}/meta/pattern.json"] = json.dumps(document, indent=2) + "\n"
        found[f"{base}/README.md"] = readme(source, pattern, templates)
        for template in templates:
            text = f"---\n# {HEAD}\n- name: {template['description'].split('.')[0]}\n"
            text += f"  ansible.builtin.import_playbook: realtime.kvm.{template['playbook']}\n"
            book = f"{base}/playbooks/{template['name'].removeprefix('realtime-')}"
            found[f"{book}.yml"] = text
            if survey := survey_of(source, template):
                found[f"{book}.meta.yml"] = inputs(template, survey)
    return found


def inputs(template, survey):
    """Return the play argument spec of a playbook, which the specification wants: what its survey asks for.

    AWX takes a file with a play in it for a playbook, so the example has only variables.
    """
    options = {
        question["variable"]: {
            "type": "str",
            "description": question["question_description"],
            "default": question["default"],
            **({"choices": question["choices"]} if "choices" in question else {}),
        }
        for question in survey["spec"]
    }
    spec = {
        "short_description": template["description"].split(".")[0],
        "options": options,
        "examples": "".join(f"{name}: {json.dumps(option['default'])}\n" for name, option in options.items()),
    }
    document = {
        "short_description": spec["short_description"],
        "description": template["description"],
        "argument_specs": {template["name"].replace("-", "_"): spec},
    }
    return f"---\n# {HEAD}\n" + yaml.dump(document, Dumper=Dumper, sort_keys=False, width=140)


def readme(source, pattern, templates):
    """Return the README of a pattern: what it does, what it makes, how it is used."""
    lines = [f"# {pattern['title']}", "", f"<!-- {HEAD} -->", "", pattern["description"], "", "## What it makes", ""]
    lines += [
        f"* the project *{source['awx_project']['name']}*, which is this collection",
        f"* the execution environment *{source['awx_execution_environment']['name']}*: it needs this collection, ansible-core 2.19 or newer and netaddr",
        f"* the label *{', '.join(source['awx_labels'])}*",
        "* these job templates, which all ask for inventory, credential and limit at launch:",
        "",
        "| Job template | What it does | Survey |",
        "|---|---|---|",
    ]
    for template in templates:
        asked = ", ".join(f"`{source['awx_questions'][name]['variable']}`" for name in template.get("survey", [])) or "-"
        lines.append(f"| {template['name']} | {template['description']} | {asked} |")
    lines += [
        "",
        "## How to use it",
        "",
        "The inventory needs the group `realtime_nodes` and the variables of this collection's roles; the credential is of type *Machine*. An answer of the",
        "survey can only lower the disruption limit that a node has in the inventory. The README of the collection and its `docs/awx.md` say more.",
        "",
    ]
    return "\n".join(lines)


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in files_of(read_source()).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
