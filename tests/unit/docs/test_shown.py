# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command and every block that README.md and the other pages show is run, or checked by the code that would take it.

tests/playbooks/test_shown.py runs the playbooks' commands themselves, in check mode on stand-ins.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch

import pytest
import yaml
from ansible_collections.realtime.kvm.plugins.module_utils._node import rtpart
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.latency import check_result
from unit.documents import ROLES, ROOT, text_of
from unit.inventories import complaints, hosts_of, plan, unknown
from unit.shown import BLOCKS, COMMANDS, NODE, PAGES, block_at, documented_inventory, split

#: Blocks that nothing here can run: the start of their text, and why.
EXCEPTIONS = {
    "flowchart TD": "a drawing, which GitHub draws",
    "plugins/modules/x.py ": "a map of the source tree",
}
#: Fenced blocks of text are what a program prints.
OUTPUT = "text"
PLAYBOOKS = {path.stem for path in (ROOT / "playbooks").glob("*.yml")}
TAGS = {*ROLES, "plan", "verify"}


def kind(block):
    if any(command.where == block.where for command in COMMANDS):
        return "commands"
    if block.language in ("json", OUTPUT):
        return block.language
    if any(block.text.startswith(start) for start in EXCEPTIONS):
        return "exception"
    return "yaml" if block.language in ("yaml", "") else f"unknown language {block.language}"


def of_kind(name):
    return [block for block in BLOCKS if kind(block) == name]


def test_every_block_is_of_a_kind_that_is_checked():
    assert [(block.where, kind(block)) for block in BLOCKS if kind(block).startswith("unknown")] == []
    for start, reason in EXCEPTIONS.items():
        assert reason
        assert any(block.text.startswith(start) for block in BLOCKS), f"{start!r} is on no page"
    assert len(of_kind("exception")) <= 3
    assert len(COMMANDS) > 80
    assert len(of_kind("yaml")) > 20


# -- YAML ------------------------------------------------------------------------------------------


def plays(block):
    content = yaml.safe_load(block.text)
    return content if isinstance(content, list) and "hosts" in content[0] else []


def variables_of(block, tmp_path):
    """The variables that a block gives to each host: a play's, an inventory's, or a host's own beside those of the README's host."""
    content = yaml.safe_load(block.text)
    host = hosts_of(documented_inventory(tmp_path / "documented"))["kvm03.example.com"]
    if plays(block):
        found = {}
        for number, play in enumerate(content):
            roles = [role for role in play.get("roles", []) if isinstance(role, dict)]
            found[f"play {number}"] = {
                **host,
                **play.get("vars", {}),
                **{k: v for role in roles for k, v in role.get("vars", {}).items()},
            }
        return found
    assert isinstance(content, dict), f"{block.where}: neither plays, nor an inventory, nor variables"
    if any(isinstance(value, dict) and "hosts" in value for value in content.values()):
        (tmp_path / "hosts.yml").write_text(block.text)
        return hosts_of(tmp_path / "hosts.yml")
    return {"kvm03.example.com": {**host, **content}}


@pytest.mark.parametrize("block", of_kind("yaml"), ids=lambda block: block.where)
def test_yaml_is_valid_and_can_be_planned(block, tmp_path):
    for host, variables in variables_of(block, tmp_path).items():
        assert complaints(variables) == [], host
        assert plan(variables) == "", host


@pytest.fixture(name="environment")
def _environment(tmp_path):
    return {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "ANSIBLE_HOME": str(tmp_path / "home"),
        "ANSIBLE_NOCOLOR": "1",
    }


def run(environment, program, *arguments):
    command = [sys.executable, "-m", f"ansible.cli.{program}", *arguments]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, f"{' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


def test_plays_are_accepted_by_ansible(environment, tmp_path):
    files = []
    for number, block in enumerate(of_kind("yaml")):
        if plays(block):
            files.append(tmp_path / f"{number}.yml")
            files[-1].write_text(block.text)
    assert len(files) > 8
    run(environment, "playbook", "--syntax-check", "-i", "localhost,", *map(str, files))


@pytest.mark.parametrize("block", of_kind("json"), ids=lambda block: block.where)
def test_json_is_what_the_code_reads(block):
    assert check_result(json.loads(block.text)) == ""


def test_a_network_without_its_dataplane_core_is_found(tmp_path):
    """As the page once had it: the network in the variables of the group, the NIC at one host."""
    hosts = hosts_of(documented_inventory(tmp_path))
    networks = hosts["kvm03.example.com"]["realtime_networks"]
    assert "no dataplane CPUs" in plan({**hosts["kvm01.example.com"], "realtime_networks": networks})


def test_a_misspelt_variable_and_a_misspelt_key_are_found():
    assert complaints({"cpu_partition_housekeeping_cores": 2}) == ["cpu_partition_housekeeping_cores is unknown"]
    assert complaints({"cpu_partition_smt": "on"}) != []
    assert "realtime_vcpu" in plan({"realtime_guests": [{"name": "a", "realtime_vcpu": "1"}]})


# -- commands --------------------------------------------------------------------------------------


def of_program(*names):
    return [pytest.param(command, id=f"{command.where} {command.text[:60]}") for command in COMMANDS if command.program in names]


def playbook_parser():
    """Ansible's own options, as far as the pages use them."""
    parser = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_argument("-i", dest="inventory")
    for name in ("--limit", "--tags", "--skip-tags"):
        parser.add_argument(name)
    parser.add_argument("-e", dest="extra", action="append", default=[])
    for name in ("--check", "--diff"):
        parser.add_argument(name, action="store_true")
    parser.add_argument("playbook")
    return parser


def extra_variables(texts):
    found = {}
    for text in texts:
        if text.startswith("{"):
            found.update(json.loads(text))
        elif not text.startswith("@"):
            name, equals, value = text.partition("=")
            assert equals, text
            found[name] = value
    return found


@pytest.mark.parametrize("command", of_program("ansible-playbook"))
def test_commands_name_playbooks_hosts_tags_and_variables_that_exist(command, tmp_path):
    given = playbook_parser().parse_args(command.words[1:])
    name = given.playbook.removeprefix("realtime.kvm.")
    assert name in PLAYBOOKS if name != given.playbook else (ROOT / given.playbook).is_file()
    assert given.inventory or name == "awx", "every other playbook needs nodes"
    inventory = documented_inventory(tmp_path) if given.inventory in ("hosts.yml", None) else ROOT / given.inventory
    assert inventory.is_file()
    for pattern in (given.limit or "").split(","):
        wanted = pattern.lstrip("!")
        assert not pattern or any(fnmatch(host, wanted) for host in [*hosts_of(inventory), "realtime_nodes:!live_nodes"]), pattern
    for tags in (given.tags, given.skip_tags):
        assert set((tags or "plan").split(",")) <= TAGS
    variables = extra_variables(given.extra)
    read = {word for word in unknown(variables) if re.search(rf"\b{word} \| default\(", own_text(name, inventory))}
    assert set(unknown(variables)) == read
    assert complaints({name: value for name, value in variables.items() if not isinstance(value, str) and name not in read}) == []


def own_text(playbook, inventory):
    """What reads variables that no role knows: a playbook for another machine, and the inventory itself."""
    files = [*inventory.parent.glob("group_vars/*.yml"), *([ROOT / "playbooks" / "awx.yml"] if playbook == "awx" else [])]
    return "".join(path.read_text(encoding="utf-8") for path in files)


@pytest.mark.parametrize("command", of_program("ansible-rulebook"))
def test_a_rulebook_that_is_started_is_the_collection_s(command):
    options = dict(zip(command.words[1::2], command.words[2::2], strict=False))
    namespace, name, book = options["--rulebook"].split(".")
    assert (namespace, name) == ("realtime", "kvm")
    assert (ROOT / "extensions" / "eda" / "rulebooks" / f"{book}.yml").is_file()


@pytest.mark.parametrize("command", of_program("export"))
def test_variables_of_the_environment_are_those_that_awx_awx_reads(command):
    assert {word.partition("=")[0] for word in command.words[1:]} <= {"CONTROLLER_HOST", "CONTROLLER_OAUTH_TOKEN"}


def test_the_demo_s_guests_run_so_its_undo_says_what_becomes_of_them():
    undo = [command for command in COMMANDS if "inventories/lab" in command.text and "undo" in command.text]
    assert undo
    assert [command.text for command in undo if "rt_guest_undo_running=true" not in command.words] == []


@pytest.mark.parametrize("command", of_program("ansible-inventory"))
def test_inventory_commands_run(command, environment):
    assert "realtime_nodes" in run(environment, "inventory", *command.words[1:])


def test_documentation_commands_run(environment):
    asked = [command.words[1:] for command in COMMANDS if command.program == "ansible-doc"]
    roles = {words[-1] for words in asked if words[:2] == ["-t", "role"]}
    modules = {words[-1] for words in asked if len(words) == 1}
    assert roles
    assert len(modules) > 3
    assert len(roles) + len(modules) == len({tuple(words) for words in asked})
    assert all(name in run(environment, "doc", "-t", "role", *sorted(roles)).lower() for name in roles)
    assert all(name in run(environment, "doc", *sorted(modules)).lower() for name in modules)


@pytest.mark.parametrize(
    "command", [case for case in of_program("ansible-galaxy") if case.values[0].words[3].endswith(".tar.gz")]
)
def test_the_tarball_that_is_installed_is_the_one_that_is_built(command):
    """tests/playbooks builds and installs it, as this command does."""
    assert command.words[1:3] == ["collection", "install"]
    galaxy = yaml.safe_load(text_of("galaxy.yml"))
    assert fnmatch(f"{galaxy['namespace']}-{galaxy['name']}-{galaxy['version']}.tar.gz", command.words[3])


@pytest.mark.parametrize(
    "command", [case for case in of_program("ansible-galaxy") if not case.values[0].words[3].endswith(".tar.gz")]
)
def test_a_collection_that_is_installed_is_the_one_that_the_cloud_needs(command):
    assert command.words[1:] == ["collection", "install", "openstack.cloud:>=2.4.0"]


#: What the Makefile's targets are made from.
LISTS = (
    "requirements-dev.txt",
    "requirements-run.txt",
    "requirements.txt",
    "requirements-mutation.txt",
    ".ci/ansible-wheel.lock",
)


@pytest.mark.parametrize(
    "target", sorted({word for command in COMMANDS if command.program == "make" for word in command.words[1:] if "=" not in word})
)
def test_make_has_the_target(target, tmp_path):
    """On a copy of the Makefile, since make runs lines that call make even with -n."""
    for name in ("Makefile", *LISTS):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    # CI names another list of packages in the environment; the copy holds the usual one
    command = ["make", "-n", target, "MAKE=true", f"PYTHON={sys.executable}", "REQUIREMENTS=requirements-dev.txt"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", of_program(*NODE))
def test_a_shell_of_the_node_takes_the_command(command):
    done = subprocess.run(["bash", "-n", "-c", command.text], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", of_program("rtpart"))
def test_rtpart_takes_the_command(command):
    words = split(re.sub(r"\$\([^)]*\)", "4711", command.text))[1:]
    if words in (["run"], ["move"]):  # named as verbs
        return
    rtpart._parser().parse_args(words)


def test_units_and_files_of_this_collection_exist():
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "plugins" / "module_utils").rglob("*.py"))
    named = {word for command in COMMANDS if command.program in NODE for word in command.words if "realtime-kvm" in word}
    assert named
    bases = {name: re.escape(re.sub(r"\.(service|timer)$", "", name)) for name in named}  # both are one name in the code
    assert sorted(name for name, base in bases.items() if not re.search(rf"{base}\b", code)) == []


def test_pages_are_all_looked_at():
    assert {path.name for path in PAGES} >= {path.name for path in (ROOT / "docs").glob("*.md")} | {"README.md"}
    assert {"README.md", "docs/i-want-to.md", "docs/guests.md"} <= {command.where.partition(":")[0] for command in COMMANDS}
    assert block_at("docs/i-want-to.md", "scada") is not None
