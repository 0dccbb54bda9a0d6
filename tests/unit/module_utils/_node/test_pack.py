# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program for a node: equal sources give equal bytes, and it runs without Ansible."""

from __future__ import annotations

import subprocess
import sys

from ansible_collections.realtime.kvm.plugins.module_utils._node.pack import pack, sources


def test_a_program_brings_what_it_imports_and_nothing_else():
    found = sources("_node.trial")
    assert {
        "_node.trial",
        "_boot.compared",
        "_boot.grub_files",
        "_boot.one_shot",
        "_boot.verdict",
        "_boot.way",
        "_cpus.cmdline",
        "_cpus.errors",
        "_host.checkpoint",
        "_host.files",
    } == set(found)
    size = len(pack("_node.trial"))
    assert size < 75_000


def test_equal_sources_give_equal_bytes():
    assert pack("_node.trial") == pack("_node.trial")


def test_the_program_runs_by_itself(tmp_path):
    program = tmp_path / "trial.pyz"
    program.write_bytes(pack("_node.trial"))
    done = subprocess.run([sys.executable, "-I", str(program)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("/etc/realtime-kvm/trial.json: "), "without a record it fails, and the unit reboots"
