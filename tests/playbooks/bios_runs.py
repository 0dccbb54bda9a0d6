# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the firmware's playbook and role, with stand-ins for what they do to a node."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
RESTART = """---
- name: Restart | Reset the stand-in
  ansible.builtin.uri:
    url: "https://{{ bios_address }}/redfish/v1/Systems/1/Actions/ComputerSystem.Reset"
    method: POST
    body_format: json
    body: {ResetType: GracefulRestart, Why: "{{ __rt_kernel_restart_reason }}"}
    url_username: "{{ bios_username }}"
    url_password: "{{ bios_password }}"
    force_basic_auth: true
    ca_path: "{{ bios_ca_file }}"
    status_code: 204
  delegate_to: localhost
"""


#: The module as it is, but below a folder of the host's own, since all hosts are this machine.
RECORD = """#!/usr/bin/python
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import Edges
from ansible_collections.realtime.kvm.plugins.module_utils._module._door import finish
from ansible_collections.realtime.kvm.plugins.module_utils._module.bios_record import ARGUMENTS, run

module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
finish(module, "bios_record", Edges(Host(module._remote_tmp, check_mode=module.check_mode), None), run, {})
"""
UNDO = """---
- hosts: realtime_nodes
  gather_facts: false
  vars:
    bios_reboot_allowed: "{{ realtime_reboot_allowed | default(true) }}"
  tasks:
    - ansible.builtin.import_role: {name: realtime.kvm.bios, tasks_from: undo_preflight}
    - ansible.builtin.debug: {msg: "plan: {{ bios_result.planned | map(attribute='resource') | join(' ') }}"}
    - ansible.builtin.import_role: {name: realtime.kvm.bios, tasks_from: undo}
"""


def collection_in(path):
    """Lay out the collection, with a stand-in for the role that reboots, and with the record of each node in its own folder."""
    base = path / "ansible_collections" / "realtime" / "kvm"
    (base / "roles" / "rt_kernel" / "tasks").mkdir(parents=True)
    (base / "plugins" / "modules").mkdir(parents=True)
    for name in ("galaxy.yml", "meta", "playbooks", "roles/bios"):
        (base / name).symlink_to(ROOT / name)
    for source in [*(ROOT / "plugins").iterdir(), *(ROOT / "plugins" / "modules").iterdir()]:
        target = base / source.relative_to(ROOT)
        if source.name not in ("modules", "bios_record.py"):
            target.symlink_to(source)
    (base / "plugins" / "modules" / "bios_record.py").write_text(RECORD)
    (base / "roles" / "rt_kernel" / "tasks" / "restart.yml").write_text(RESTART)
    return path


class Run:
    """One run of the playbook."""

    def __init__(self, folder, collections, hosts, arguments=(), playbook="realtime.kvm.bios", **variables):
        inventory = folder / "hosts.yml"
        inventory.write_text(
            yaml.safe_dump(
                {
                    "realtime_nodes": {"hosts": hosts, "vars": variables},
                    "ungrouped": {"hosts": {"switch9": {"bios_address": "192.0.2.9"}}},
                }
            )
        )
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(folder / "none.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(collections),
            "ANSIBLE_SHOW_CUSTOM_STATS": "1",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_HOME": str(folder / "home"),
            "ANSIBLE_INJECT_FACT_VARS": str(variables.pop("inject_facts", False)),
            "HOME": str(folder),
        }
        command = [sys.executable, "-m", "ansible.cli.playbook", "-i", str(inventory), playbook, *arguments]
        answer = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
        self.code, self.text = answer.returncode, answer.stdout + answer.stderr
        assert "Traceback" not in self.text
        self.recap = {
            host: {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", line)}
            for host, line in re.findall(r"^(\w+)\s+: (ok=.*)$", self.text, re.MULTILINE)
        }

    def changed(self):
        return {host: counts["changed"] for host, counts in self.recap.items()}
