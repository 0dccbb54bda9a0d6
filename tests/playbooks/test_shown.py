# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks' commands of README.md and the other pages, run as they stand: in check mode, on stand-ins, with the documented inventories.

tests/unit/docs/test_shown.py checks all other commands and the blocks.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from cloud.installed import FOLDER, needs_both
from cloud.standin import PASSWORD, USER, Server
from playbooks.awx_api import COLLECTIONS, Awx, needs_awx
from unit.documents import ROOT
from unit.placing import answer, host
from unit.shown import COMMANDS, block_at, documented_inventory

#: What every command is given here.
CHECKED = ("--check", "--diff")
#: Each command once, whatever its comment, however often it is shown, and with or without check mode.
SHOWN = {
    " ".join(word for word in command.words if word not in CHECKED): command
    for command in COMMANDS
    if command.program == "ansible-playbook"
}
#: What the stand-ins answer: the demo's guests run, which undo refuses unless it is told what to do with them.
ANSWERS = {
    "running": True,
    "results": {
        "rt_audit": {
            "kernel": {"release": "6.12-rt", "realtime": True, "isolated": "1"},
            "managed_interrupts": [],
            "smi": {"count": 0, "reason": ""},
        },
        "rt_latency": {"command": ["tool"], "load_command": [], "seconds": 60, "platform": {"host": "n", "virtual": False}},
    },
}
LOCAL = {"ansible_connection": "local", "ansible_become": "false", "ansible_python_interpreter": sys.executable}


@pytest.fixture(name="project")
def _project(nodes):
    """A folder from which all the documented commands can be started: the README's inventory, and the clone's own files."""
    documented_inventory(nodes.folder)
    for name in ("inventories", "playbooks"):
        shutil.copytree(ROOT / name, nodes.folder / name)
    (nodes.folder / "rollback.yml").write_text("{}\n")
    nodes.stand_in("rt_latency")
    return nodes


@pytest.fixture(name="cloud")
def _cloud():
    """A cloud, with the credentials for it that a person would have in clouds.yaml."""
    server = Server()
    server.start()
    auth = {"username": USER, "password": PASSWORD, "project_name": "admin", "user_domain_name": "Default"}
    yield {"openstack_cloud_auth": {**auth, "auth_url": f"{server.base}/identity/v3", "project_domain_name": "Default"}}
    server.shutdown()
    server.server_close()


@pytest.fixture(name="awx")
def _awx():
    """A mock of AWX with a project, as a person has exported it."""
    awx = Awx()
    awx.add("projects", {"name": "realtime-kvm", "organization": 1})
    yield awx.environment
    awx.stop()


#: What the modules of a command need beside this collection.
NEEDS = {"realtime.kvm.openstack_cloud": needs_both, "realtime.kvm.awx": needs_awx}


def parameters():
    """The commands, each with its text as its name."""
    for text, command in SHOWN.items():
        yield pytest.param(command, id=text, marks=[mark for name, mark in NEEDS.items() if name in command.words])


@pytest.mark.parametrize("command", list(parameters()))
def test_the_command_runs(project, cloud, awx, command):
    answers = ANSWERS
    if "realtime.kvm.guest_os" in command.words:  # the page has the inventory
        (project.folder / "hosts.yml").write_text(block_at("docs/guest-os.md", "realtime_guest_os:").text)
    if "realtime.kvm.place" in command.words:  # this machine has no CPU sets, so that no guest could be placed on it
        project.stand_in("rt_node_info")
        answers = {"results": {"rt_node_info": answer(host("n", 1, 9, dataplane=1))}}
    project.answers.write_text(json.dumps(answers))
    project.log.write_text("")
    # a job template names a project, a node of a workflow its templates: there is no check mode without them
    tried = "realtime.kvm.awx" in command.words
    arguments = [word for word in command.words[1:] if word not in CHECKED] + ([] if tried else list(CHECKED))
    local = [word for name, value in LOCAL.items() for word in ("-e", f"{name}={value}")]
    environment = project.environment()
    collections = os.pathsep.join(filter(None, [environment["ANSIBLE_COLLECTIONS_PATH"], COLLECTIONS, FOLDER]))
    done = subprocess.run(
        [sys.executable, "-m", "ansible.cli.playbook", *arguments, *local, "-e", json.dumps(cloud)],
        env={**environment, **awx, "ANSIBLE_COLLECTIONS_PATH": collections, "ANSIBLE_INJECT_FACT_VARS": "false"},
        cwd=project.folder,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "Traceback" not in said
    assert "Could not match" not in said
    assert re.search(r"^\S+ +: ok=[1-9]", said, re.MULTILINE), "it did something"
