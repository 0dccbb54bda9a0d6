# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nova and Neutron know every option that is written for them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from cloud.fleet import FLEET

NAMESPACES = {"ours.conf": ["nova.conf", "os_vif"], "agent.ini": ["neutron.ml2.ovs.agent", "neutron.base.agent"]}


def validate(path):
    program = Path(sys.executable).with_name("oslo-config-validator")
    names = [f"--namespace={name}" for name in NAMESPACES[path.name]]
    return subprocess.run([program, "--input-file", path, *names], capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("file", NAMESPACES)
def test_options_are_known(file):
    paths = sorted(FLEET.glob(f"*/{file}"))
    assert paths
    # a run takes seconds, and most hosts differ in values only, which their nova-compute has read
    for path in {re.sub(r"=.*", "", path.read_text()): path for path in paths}.values():
        done = validate(path)
        assert done.returncode == 0, f"{path}: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("file", NAMESPACES)
def test_the_validator_finds_a_misspelt_option(tmp_path, file):
    path = tmp_path / file
    group = "ovs" if file == "agent.ini" else "compute"
    path.write_text(f"[{group}]\ncpu_dedicated_sett = 1\n")
    assert validate(path).returncode != 0
