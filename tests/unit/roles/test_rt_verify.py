# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_verify audits with the options that the roles give their modules; a default that goes to a module must be there too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
#: Role, the file that calls its module, and the option of rt_audit that takes the same options.
ROLES = [("kvm_host", "host.yml", "host"), ("ovs_dpdk", "configure.yml", "switch")]
#: What decides about a restart, not about what the node should be.
NOT_AUDITED = {"restart_with_guests"}


def call(path, module):
    """The arguments of a module in a role's tasks."""
    (found,) = [
        task[f"realtime.kvm.{module}"] for task in yaml.safe_load((ROOT / path).read_text()) if f"realtime.kvm.{module}" in task
    ]
    return found


def default_options(role, arguments):
    """The module's options that a default of the role goes to, and that default's name."""
    defaults = yaml.safe_load((ROOT / "roles" / role / "defaults" / "main.yml").read_text())
    return {
        option: name
        for option, value in arguments.items()
        for name in re.findall(r"\b\w+\b", str(value))
        if name in defaults and option not in NOT_AUDITED
    }


@pytest.mark.parametrize(("role", "file", "option"), ROLES)
def test_every_default_that_goes_to_the_module_is_audited(role, file, option):
    given = default_options(role, call(f"roles/{role}/tasks/{file}", role))
    audited = call("roles/rt_verify/tasks/audit.yml", "rt_audit")[option]
    assert given, "the role gives its module something"
    assert sorted(audited) == sorted(given)
    assert [name for key, name in given.items() if not audited[key].startswith(f"{{{{ {name} | default(")] == []


def test_an_option_that_is_not_audited_is_found():
    assert default_options(
        "kvm_host", {"halt_poll_ns": "{{ kvm_host_halt_poll_ns }}", "new": "{{ kvm_host_packages }}", "guests": "{{ x }}"}
    ) == {
        "halt_poll_ns": "kvm_host_halt_poll_ns",
        "new": "kvm_host_packages",
    }
