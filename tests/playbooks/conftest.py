# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes that playbooks and roles run on, as a person starts them from an installed tarball.

The collection is built and installed as a user does it; its modules are then replaced by stand-ins that write down how they are called and
answer with one change of a given class. Everything else is the collection's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MODULE = """#!/usr/bin/python
# WANT_JSON
import json, os, sys
with open(sys.argv[1]) as stream:
    given = json.load(stream)
check = bool(given["_ansible_check_mode"])
name = {name!r}
log, answers_file = {log!r}, {answers!r}
{body}
print(json.dumps(answer(name, given, check)))
"""
#: What a module answers. The look of rt_plan is made of the answers of the layers' modules, each in check mode.
ANSWER = """
def answer(name, given, check):
    node = os.environ.get("NODE", "")  # set by the Python of a node, where a test needs to tell them apart
    with open(log, "a") as stream:
        call = {key: value for key, value in given.items() if not key.startswith("_")}
        stream.write(json.dumps({"module": name, "check": check, **({"node": node} if node else {}), **call}) + "\\n")
    with open(answers_file) as stream:
        answers = json.load(stream)
    answers.update(answers.get("nodes", {}).get(node, {}))
    left_off, state = answers.get("left_off"), given.get("state", "present")
    if answers.get("running") and name == "rt_domain" and state == "absent" and not given.get("stop_running"):
        return {"failed": True, "changed": False, "msg": "guests plc1 are running; set rt_guest_undo_running: true"}
    failed = {**answers.get("fail", {}), **({} if check else answers.get("fail_real", {}))}.get(name + " " + state)
    if failed and (name != "package_update" or not check):
        return {"failed": True, "changed": False, "msg": failed, "results": []}  # as dnf has it
    if left_off and name == "cpu_partition" and state == "present":  # until a call has recovered it, or for ever
        with open(log) as stream:
            recovered = any(json.loads(line).get("state") == "recovered" for line in stream)
        if not recovered or answers.get("for_ever"):
            return {"failed": True, "changed": False, "msg": "CPUs are off", "left_off": left_off}
    with open(log) as stream:
        calls = [json.loads(line) for line in stream]
    rebooted = any(call["module"] == "reboot" and not call.get("check") and call.get("node", "") == node for call in calls)
    disruption = answers.get(name) if given.get("priority_limit") != answers.get("calm", -1) else None
    changes = [{"resource": name, "before": "a", "after": "b", "disruption": disruption, "reason": ""}] if disruption else []
    kernel = {"release": "6.1", "matches": True, "tokens": []}
    return {
        "failed": False,
        "changed": bool(changes), "changes": changes, "disruption": disruption or "none", "partition": {}, "table": [], "installed": True,
        "pages": {}, "unread_domains": False, "kernel_arguments": [], "arguments": [], "reboot_required": False, "running": kernel, "following": kernel,
        "added_kernels": [], "matching_kernels": ["6.1"], "realtime_guests": [], "running_guests": [], "stopped_guests": [], "guests": [],
        "held": [], "packages": [], "stays": [], "remove_by_hand": "",
        "findings": [], "findings_table": [], "remarks": [], "remarks_table": [], "unchecked": [], "drift": [], "missing": [], "unexpected": [],
        "trial": {"state": "none", "reason": ""},
        **answers.get("results", {}).get(name, {}),
        **(answers.get("after_reboot", {}).get(name, {}) if rebooted else {}),
    }
"""
LOOK = """
def look(given):
    with open(log + ".ends", "a") as stream:  # which playbooks reach their end with a look at a node that rests
        stream.write(json.dumps(given.get("runs", [])) + "\\n")
    found, refused = {}, []
    facts = {"distribution": "Debian", "os_family": "Debian", "architecture": "x86_64", "distribution_version": "12.1"}
    facts = {"ansible_" + name: fact for name, fact in facts.items()}
    shared = {name: given[name] for name in ("networks", "guests") if name in given}

    def ask(name, options):
        given_to = {key: value for key, value in shared.items() if name not in ALONE and (name, key) != ("neutron_agent", "guests")}
        result = answer(name, {**options, **given_to}, True)
        facts.update(result.pop("ansible_facts", {}))
        found[name] = {**result, "changed": False}
        if result["failed"]:
            refused.append(result["msg"])

    for name in [name for name in ORDER if name in given["layers"]]:
        options = given["layers"][name]
        marks = {key: value for key, value in options.items() if isinstance(value, dict) and ("__planned" in value or "__distribution" in value)}
        if found.get("cpu_partition", {}).get("failed") and {"__planned": ["cpu_partition", "partition"]} in marks.values():
            continue
        plain = {key: value for key, value in options.items() if key not in marks}
        for key, value in marks.items():
            if "__distribution" in value:
                plain[key] = value["__distribution"]["Debian"]
            elif value["__planned"][1] in found.get(value["__planned"][0], {"failed": True}):
                plain[key] = found[value["__planned"][0]][value["__planned"][1]]
        ask(name, plain)
    works = refused or any(
        result["changes"] or result["reboot_required"] or result["stopped_guests"] or not result["installed"] or result["trial"]["state"] == "judging"
        for result in found.values()
    )
    if given.get("audit") is not None and not works:
        ask("rt_audit", given["audit"])
    return {"changed": False, "planned": found, "refused": refused, "open": [], "ansible_facts": facts}


ALONE = ("cpu_partition", "guest_os", "cpu_power", "irq_affinity", "kernel_arguments", "rt_metrics", "package_holds")
ORDER = ("cpu_partition", "guest_os", "cpu_power", "irq_affinity", "kvm_host", "ovs_dpdk", "kernel_arguments", "rt_domain",
         "rt_metrics", "package_holds", "nova_compute", "neutron_agent")
"""
PACKAGES = """---
- name: Say what would be installed or removed
  ansible.builtin.debug:
    msg: "<{{ packages_names | join(' ') }}> {{ packages_state }}{{ ' (only tried)' if packages_preflight else '' }}"

- name: Say that it was done
  ansible.builtin.set_fact:
    packages_result:
      changed: "{{ not packages_preflight }}"
      stdout: "{{ packages_names | map('regex_replace', '$', ' (1.0 x)') | map('regex_replace', '^', 'Inst ') | join('\\n') }}"
"""
#: Whatever changes a node has a stand-in, since the node is this machine. bios_baseline talks to the BMC that a test names.
CHANGING = {
    path.stem
    for path in (ROOT / "plugins" / "modules").glob("*.py")
    if "AnsibleModule(" in path.read_text(encoding="utf-8")
    and not re.search("info=True|run_info", path.read_text(encoding="utf-8"))
} - {"bios_baseline"}
MODULES = sorted(CHANGING | {"rt_audit", "rt_plan", "reboot"})
REBOOT = "ansible.builtin.reboot:"


#: A node that does not answer; each attempt to reach it is counted.
DOWN = r"""
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = "name: down\nshort_description: a node that does not answer\ndescription: a node that does not answer\nauthor: tests"


class Connection(ConnectionBase):
    transport = "realtime.kvm.down"

    def _connect(self):
        with open("COUNT", "a") as stream:
            stream.write("x")
        raise AnsibleConnectionFailure("no route to host")

    def exec_command(self, cmd, in_data=None, sudoable=True):
        self._connect()

    def put_file(self, in_path, out_path):
        self._connect()

    def fetch_file(self, in_path, out_path):
        self._connect()

    def close(self):
        pass
"""


def environment(folder, collections):
    return {
        **os.environ,
        "ANSIBLE_CONFIG": str(folder / "none.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_LOCALHOST_WARNING": "0",
    }


#: What a collection needs to be built.
SHIPPED = ("ansible.cfg", "galaxy.yml", "README.md", "LICENSE", "extensions", "meta", "plugins", "playbooks", "roles")


@pytest.fixture(scope="session", name="collections")
def _collections(tmp_path_factory):
    """The collection as it is installed from its tarball, on a tree without git, so that the working tree counts."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"
    source.mkdir()
    for name in SHIPPED:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, source / name)
    galaxy(folder, "build", str(source), "--output-path", str(folder))
    (tarball,) = folder.glob("*.tar.gz")
    galaxy(folder, "install", str(tarball), "-p", str(folder / "collections"), "--offline", "--no-deps")
    return folder / "collections"


def galaxy(folder, *arguments):
    """Run ansible-galaxy in a folder."""
    command = [sys.executable, "-m", "ansible.cli.galaxy", "collection", *arguments]
    done = subprocess.run(
        command, env=environment(folder, folder), cwd=folder, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def guests_of(*names, **keys):
    """A host's guests, which a whole inventory may have once."""
    return {"realtime_guests": [{"name": name, "memory_mib": 64, **keys} for name in names]}


class Nodes:
    """Two nodes that are this machine, and runs of playbooks on them."""

    def __init__(self, folder, collections):
        self.folder, self.collections = folder, collections
        self.lines = []  # of the last run
        self.log, self.answers, self.attempts = folder / "log", folder / "answers.json", folder / "attempts"
        self.ends = folder / "log.ends"
        self.base = collections / "ansible_collections" / "realtime" / "kvm"
        for name in MODULES:
            self.stand_in(name)
        (self.base / "roles" / "packages" / "tasks" / "apt.yml").write_text(PACKAGES)
        (self.base / "plugins" / "connection").mkdir(exist_ok=True)
        (self.base / "plugins" / "connection" / "down.py").write_text(DOWN.replace("COUNT", str(self.attempts)))
        for path in (self.base / "roles" / "rt_kernel" / "tasks").glob("*.yml"):
            path.write_text(path.read_text().replace(REBOOT, "realtime.kvm.reboot:"))  # else this machine reboots

    def stand_in(self, name):
        """Replace a module by its stand-in."""
        body = f"{ANSWER}\n{LOOK}" if name == "rt_plan" else ANSWER
        text = MODULE.format(name=name, log=str(self.log), answers=str(self.answers), body=body)
        if name == "rt_plan":
            text = text.replace("answer(name, given, check)))", "look(given)))")
        (self.base / "plugins" / "modules" / f"{name}.py").write_text(text)

    def environment(self):
        return environment(self.folder, self.collections)

    def run_role(self, tasks_from, answers, *arguments, **variables):
        """Run tasks of the cpu_partition role on one node."""
        role = {"ansible.builtin.import_role": {"name": "realtime.kvm.cpu_partition", "tasks_from": tasks_from}}
        book = self.folder / "book.yml"
        book.write_text(yaml.safe_dump([{"hosts": "node1", "gather_facts": False, "tasks": [role]}]))
        return self.run(str(book), answers, *arguments, **variables)

    def run(self, playbook, answers, *arguments, down=(), inventory=None, **variables):
        """Run a playbook; return its code, what it said, and the calls of modules. Nodes that are ``down`` do not answer.

        An ``inventory`` of the test's own takes the place of the two nodes.
        """
        self.attempts.write_text("")
        self.answers.write_text(json.dumps(answers))
        self.log.write_text("")
        self.ends.write_text("")
        known = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "ansible_become": False,
            "realtime_plan_folder": str(self.folder / "plan"),
        }
        guests = {} if "realtime_guests" in variables else {"node1": guests_of("plc1"), "node2": guests_of("plc2")}
        hosts = {"node1": {}, "node2": {}, **guests, **{name: {"ansible_connection": "realtime.kvm.down"} for name in down}}
        if inventory is None:
            inventory = self.folder / "hosts.yml"
            inventory.write_text(yaml.safe_dump({"realtime_nodes": {"hosts": hosts, "vars": {**known, **variables}}}))
        command = [
            sys.executable,
            "-m",
            "ansible.cli.playbook",
            "-i",
            str(inventory),
            playbook,
            "-e",
            "ansible_become=false",
            *arguments,
        ]
        done = subprocess.run(
            command,
            env=self.environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=900,  # beside a lab
            check=False,
        )
        self.lines = (done.stdout + done.stderr).splitlines()
        said = " ".join((done.stdout + done.stderr).split())
        assert "Traceback" not in said
        return done.returncode, said, [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture(name="nodes")
def _nodes(tmp_path, collections):
    return Nodes(tmp_path, collections)
