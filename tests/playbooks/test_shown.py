# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks' commands of README.md and the other pages, run as they stand: in check mode, on stand-ins, with the documented inventories.

tests/unit/docs/test_shown.py checks all other commands and the blocks.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest
from unit.documents import ROOT
from unit.shown import COMMANDS, documented_inventory

#: Each command once, whatever its comment and however often it is shown.
SHOWN = {" ".join(command.words): command for command in COMMANDS if command.program == "ansible-playbook"}
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


@pytest.mark.parametrize("command", [pytest.param(command, id=text) for text, command in SHOWN.items()])
def test_the_command_runs(project, command):
    project.answers.write_text(json.dumps(ANSWERS))
    project.log.write_text("")
    arguments = command.words[1:] + ([] if "--check" in command.words else ["--check"])
    local = [word for name, value in LOCAL.items() for word in ("-e", f"{name}={value}")]
    done = subprocess.run(
        [sys.executable, "-m", "ansible.cli.playbook", *arguments, *local],
        env={**project.environment(), "ANSIBLE_INJECT_FACT_VARS": "false"},
        cwd=project.folder,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "Traceback" not in said
    assert "no hosts matched" not in said
    assert re.search(r"^\S+ +: ok=[1-9]", said, re.MULTILINE), "it did something"
