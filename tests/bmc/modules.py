# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the BIOS modules as Ansible does, against a stand-in for a BMC."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.realtime.kvm.plugins.modules import bios_baseline, bios_baseline_info

from .captures import baselines
from .replay import PASSWORD, USER, Bmc


def call(capsys, bmc: Bmc, module, *, check: bool = False, **arguments):
    """Run a module and return its result; what it prints has no traceback and no password."""
    options = {
        "address": bmc.address,
        "username": USER,
        "password": PASSWORD,
        "ca_path": str(bmc.certificate),
        "baselines": baselines(),
        "timeout": 20,  # a machine with a lab on it may be slow
        "wait": 5,
        **arguments,
    }
    options = {name: value for name, value in options.items() if value is not ...}
    with (
        patch_module_args({**options, "_ansible_check_mode": check, "_ansible_diff": True}),
        pytest.raises(SystemExit) as stopped,
    ):
        module.main()
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert str(options["password"]) not in out + err
    result = json.loads(out)
    assert bool(result.get("failed")) == (stopped.value.code != 0)
    return result


def info(capsys, bmc: Bmc, **arguments):
    return call(capsys, bmc, bios_baseline_info, **arguments)


def stage(capsys, bmc: Bmc, **arguments):
    return call(capsys, bmc, bios_baseline, **arguments)


def apply_all(capsys, bmc: Bmc, **arguments):
    """Stage and reset until nothing is left; return what was written, stage by stage."""
    written = []
    while (result := stage(capsys, bmc, **arguments))["reboot_required"]:
        assert not result.get("failed"), result
        assert len(written) < 7, written
        written.append(bmc.machine.patches[-1]["Attributes"])
        bmc.machine.reset()
    return written
