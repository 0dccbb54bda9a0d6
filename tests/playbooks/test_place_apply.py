# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan that is applied: no guest is placed twice, none runs on two hosts, and what is written means what was planned."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest
import yaml
from playbooks.test_place import Fleet, plc, where

PINS = {0: 1, 1: 2, 2: 3, 3: 4}
GUESTS = "realtime.kvm.guests"


@pytest.fixture(name="fleet")
def _fleet(nodes):
    fleet = Fleet(nodes)
    yield fleet
    fleet.own.unlink()


def place(fleet, *arguments, **variables):
    """Make a plan, and apply it."""
    for more in ({}, {"realtime_place_apply": True}):
        code, said, _calls = fleet.run(*arguments, **variables, **more)
        assert code == 0, said
    return said


def vaulted(fleet, text="hunter22"):
    """Return a vaulted text, as a block of YAML, and the arguments with which runs read it."""
    (fleet.nodes.folder / "password").write_text("x")
    found = subprocess.run(
        [sys.executable, "-m", "ansible.cli.vault", "encrypt_string", "--vault-password-file", "password", text],
        cwd=fleet.nodes.folder, capture_output=True, text=True, check=True, env=fleet.nodes.environment(),
    ).stdout  # fmt: skip
    lines = "".join(f"      {line.strip()}\n" for line in found.splitlines()[1:])
    return f"!vault |\n{lines}", ["--vault-password-file", str(fleet.nodes.folder / "password")]


def files(fleet):
    return {path.name: path.read_text() for path in sorted((fleet.folder / "guests").rglob("*")) if path.is_file()}


@pytest.mark.parametrize("how", ["lost", "limit"])
def test_a_host_that_takes_no_part_keeps_its_file_and_its_guests(fleet, how):
    guests = {"realtime_place_guests": [plc("plc1", 4), plc("plc2", 4)]}
    place(fleet, **guests)
    home = where(fleet.plan)["plc1"][0]
    before = (fleet.folder / "guests" / "host_vars" / f"{home}.yml").read_text()
    limit = ["--limit", f"!{home}"] if how == "limit" else []
    fleet.answer(lost=[home] if how == "lost" else [])
    code, said, _calls = fleet.run(*limit, **guests)
    assert code != 0
    assert (
        f"{home} takes no part in this run, and which guests are there stands only in {fleet.folder / 'guests'}; give it" in said
    )
    for _again in range(2):
        said = place(fleet, *limit, sources=[fleet.folder / "guests"], **guests)
        assert f"As they were, since they take no part: the files of {home}" in said
        assert where(fleet.plan)["plc1"] == (home, None, "stays")
        why = "it cannot be reached" if how == "lost" else "it is not in this run (--limit)"
        assert fleet.plan["left_out"] == {home: why}
        assert (fleet.folder / "guests" / "host_vars" / f"{home}.yml").read_text() == before


def moved(fleet):
    """Let a guest move from kvm03, whose node has it; return where it goes."""
    fleet.hosts["kvm03"] = {"realtime_guests": [plc("plc1", 4)]}
    fleet.answer(kvm03=[("plc1", PINS)])
    said = place(fleet, realtime_place_drain="kvm03")
    first, then = fleet.folder / "leave", fleet.folder / "guests"
    assert f"First, guests leave their hosts, plc1 (kvm03): ansible-playbook -i <inventory> -i {first} {GUESTS}" in said
    assert f"Then, with their images on the new hosts: ansible-playbook -i <inventory> -i {then} {GUESTS}" in said
    return where(fleet.plan)["plc1"][0]


def run_guests(fleet, folder, defined, *arguments, **variables):
    """Run guests with one of the folders; ``defined`` are the guests of the list that libvirt has, by host."""
    for host in fleet.hosts:
        python = fleet.nodes.folder / f"python-{host}"
        python.write_text(f'#!/bin/sh\nNODE={host} exec {shlex.quote(sys.executable)} "$@"\n')
        python.chmod(0o755)
    common = {"ansible_connection": "local", "ansible_become": False, "realtime_plan_folder": ""}
    hosts = {
        name: {**given, "ansible_python_interpreter": str(fleet.nodes.folder / f"python-{name}")}
        for name, given in fleet.hosts.items()
    }
    inventory = fleet.nodes.folder / "runs.yml"
    inventory.write_text(yaml.safe_dump({"realtime_nodes": {"hosts": hosts, "vars": {**common, **variables}}}))
    found = {host: {"rt_domain": "guest", "results": {"rt_domain": {"defined": defined.get(host, [])}}} for host in fleet.hosts}
    code, said, calls = fleet.nodes.run(GUESTS, {"nodes": found}, "-i", str(folder), *arguments, inventory=inventory)
    done = {
        call["node"]: [item["name"] for item in call["guests"]]
        for call in calls
        if call["module"] == "rt_domain" and not call["check"]
    }
    return code, said, done


def test_a_guest_enters_its_new_host_once_it_has_left_the_old_one(fleet):
    new = moved(fleet)
    final, leave = fleet.folder / "guests", fleet.folder / "leave"
    code, said, done = run_guests(fleet, final, {"kvm03": ["plc1"]})
    assert code != 0
    assert not done, "nothing was changed"
    assert "realtime_guests: plc1: kvm03, which it leaves, still has it, and two QEMUs would work on its disks" in said
    code, said, done = run_guests(fleet, leave, {"kvm03": ["plc1"]})
    assert code == 0, said
    assert done["kvm03"] == ["plc1"]
    assert done[new] == [], "it is not defined there yet"
    code, said, done = run_guests(fleet, final, {})
    assert code == 0, said
    assert done[new] == ["plc1"]


def test_the_old_host_must_be_asked_until_the_new_one_has_the_guest(fleet):
    new = moved(fleet)
    final = fleet.folder / "guests"
    code, said, done = run_guests(fleet, final, {}, "--limit", new)
    assert code != 0
    assert not done
    assert "plc1: it may still be on kvm03, which it leaves: this run has not asked kvm03" in said
    code, said, _done = run_guests(fleet, final, {new: ["plc1"]}, "--limit", new)
    assert code == 0, said


def test_the_folder_with_which_guests_leave_is_none_for_place(fleet):
    moved(fleet)
    code, said, _calls = fleet.run(sources=[fleet.folder / "leave"])
    assert code != 0
    assert "the folder leave is no inventory for place" in said
    fleet.answer(kvm03=[("plc1", PINS)])
    place(fleet, sources=[fleet.folder / "guests"], realtime_place_drain="kvm03")
    assert where(fleet.plan)["plc1"][2] == "stays"
    assert (fleet.folder / "leave").exists(), "it has not left yet"
    fleet.answer()
    place(fleet, sources=[fleet.folder / "guests"], realtime_place_drain="kvm03")
    assert not (fleet.folder / "leave").exists()


def test_text_that_is_no_template_becomes_none(fleet):
    told = fleet.nodes.folder / "told"
    source = fleet.nodes.folder / "more.yml"
    text = f"{{{{ lookup('pipe', 'touch {told}') }}}}"
    source.write_text(
        'realtime_nodes:\n  vars:\n    said: !unsafe "' + text + '"\n    realtime_place_guests:\n'
        "      - {name: plc1, memory_mib: 64, vcpus: 2, realtime_vcpus: '1', description: !unsafe \"" + text + '"}\n'
        "      - {name: plc2, memory_mib: 64, vcpus: 2, realtime_vcpus: '1', description: '{{ said }}'}\n"
    )
    place(fleet, sources=[source])
    assert "".join(files(fleet).values()).count("!unsafe") == 2
    code, said, _calls = fleet.run(sources=[source, fleet.folder / "guests"])
    assert code == 0, said
    assert {change for _host, _node, change in where(fleet.plan).values()} == {"stays"}
    assert not told.exists()


def test_a_template_is_written_as_the_value_that_the_plan_counted_with(fleet):
    entry = {**plc("plc1", 4), "memory_mib": "{{ plc_memory }}", "description": "of {{ inventory_hostname }}"}
    fleet.hosts = {"kvm01": {"plc_memory": 1024, "realtime_guests": [entry]}, "kvm02": {"plc_memory": 4096}, "kvm03": {}}
    fleet.answer(kvm01=[("plc1", PINS)])
    place(fleet, realtime_place_drain="kvm01")
    (written,) = [entries for host, entries in fleet.lists.items() if host != "kvm01" and entries]
    assert written == [{**entry, "memory_mib": 1024, "description": "of kvm01", "numa_node": 0}]


@pytest.mark.parametrize("behind", [False, True])
def test_no_secret_is_written_in_clear_text(fleet, behind):
    text, arguments = vaulted(fleet)
    source = fleet.nodes.folder / "secret.yml"
    source.write_text(
        f"realtime_nodes:\n  vars:\n    secret: {text}    {'line' if behind else 'realtime_place'}_guests:\n"
        "      - {name: plc1, memory_mib: 64, vcpus: 2, realtime_vcpus: '1', description: '{{ secret }}'}\n"
        "      - {name: plc2, memory_mib: 64, vcpus: 2, realtime_vcpus: '1', description: 'is {{ secret }}'}\n"
        + ("    realtime_place_guests: '{{ line_guests }}'\n" if behind else "")
    )
    place(fleet, *arguments, sources=[source])
    written = "".join(files(fleet).values())
    assert "hunter22" not in written
    assert "description: !vault" in written
    assert 'description: "is {{ secret }}"' in written
    assert "hunter22" not in (fleet.folder / "placement.yml").read_text()
    code, said, _calls = fleet.run(*arguments, sources=[source, fleet.folder / "guests"])
    assert code == 0, said
    assert "hunter22" not in said


def test_a_list_that_is_made_with_a_vault_is_refused_where_its_secrets_are_not_marked(fleet):
    text, arguments = vaulted(fleet)
    source = fleet.nodes.folder / "secret.yml"
    source.write_text(
        f"realtime_nodes:\n  vars:\n    secret: {text}    line:\n"
        "      - {name: plc1, memory_mib: 64, vcpus: 2, realtime_vcpus: '1', description: 'is {{ secret }}'}\n"
        "    realtime_place_guests: '{{ line + [] }}'\n"
    )
    assert fleet.run(*arguments, sources=[source])[0] == 0
    code, said, _calls = fleet.run(*arguments, sources=[source], realtime_place_apply=True)
    assert code != 0
    assert "realtime_place_guests is made by a template in which a vault is involved" in said
    assert not files(fleet)


def test_a_template_of_a_secret_that_is_another_one_elsewhere_is_refused(fleet):
    text, arguments = vaulted(fleet)
    source = fleet.nodes.folder / "secret.yml"
    source.write_text(f"realtime_nodes:\n  vars:\n    secret: {text}")
    fleet.hosts["kvm01"] = {"realtime_guests": [{**plc("plc1", 4), "description": "{{ secret }} {{ inventory_hostname }}"}]}
    fleet.answer(kvm01=[("plc1", PINS)])
    options = {"sources": [source], "realtime_place_drain": "kvm01"}
    assert fleet.run(*arguments, **options)[0] == 0
    code, said, _calls = fleet.run(*arguments, **options, realtime_place_apply=True)
    assert code != 0
    assert "plc1: description is a template in which a vault is involved, and it would be something else on" in said


def test_hosts_that_differ_in_what_is_of_the_whole_run_are_refused(fleet):
    fleet.hosts["kvm02"] = {"realtime_place_drain": ["kvm01"], "realtime_place_guests": [plc("plc9")], "realtime_place_rules": []}
    code, said, _calls = fleet.run(realtime_place_strategy="{{ 'spread' if inventory_hostname == 'kvm03' else 'pack' }}")
    assert code != 0
    assert "realtime_place_drain of kvm02 is not that of kvm01" in said
    assert "realtime_place_guests of kvm02 is not that of kvm01" in said
    assert "realtime_place_strategy of kvm03 is not that of kvm01" in said
    assert "realtime_place_rules" not in said, "none is none"


def test_a_folder_that_is_not_whole_is_refused(fleet):
    place(fleet, realtime_place_guests=[plc("plc1", 4)])
    gone = fleet.folder / "guests" / "host_vars" / "kvm01.yml"
    text = gone.read_text()
    gone.unlink()
    code, said, done = run_guests(fleet, fleet.folder / "guests", {})
    assert code != 0
    assert "kvm01: the inventory that place has written is not whole: host_vars/kvm01.yml is missing" in said
    gone.write_text(text.replace("realtime_placed_file: ", "realtime_placed_file: a"))
    code, said, done = run_guests(fleet, fleet.folder / "guests", {})
    assert code != 0
    assert "host_vars/kvm01.yml is of another plan than its hosts.yml" in said
    assert not done
