# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inside of a guest on the lab: a node of the lab is a virtual machine too, so one stands for a guest of a node that is never asked.

The tests build on each other in the order they stand in. For the roles a nested guest, reached through its node, differs by a hop of SSH alone.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from integration.conftest import NODES
from integration.lab import ROOT, Run, differences, fingerprint, lab, playbook, ssh

NODE = NODES[-1]  # the one that boots fastest
INSIDE = "inside"
PATIENCE = 1800

#: Eight CPUs, siblings side by side; vCPU 1 shares a core with vCPU 0, and both keep house.
REALTIME = "2-7"


@pytest.fixture(name="inventory", scope="module")
def _inventory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lab's variables for a group of its own, and a node with the guest in its list."""
    variables = yaml.safe_load((ROOT / "inventories/lab/group_vars/realtime_nodes.yml").read_text())
    kept = {name: value for name, value in variables.items() if not name.startswith("cpu_partition_smt")}
    kept["lab_dir"] = str(Path(os.environ.get("LAB_DIR") or ROOT / ".lab").resolve())
    guest = {"name": INSIDE, "memory_mib": 3072, "vcpus": 8, "realtime_vcpus": REALTIME}
    inside = {
        "guest_os_node": "somewhere",
        "guest_os_ptp_kvm": False,
        "ansible_port": f"{{{{ hostvars['{NODE}'].ansible_port }}}}",
    }
    groups = {
        "realtime_nodes": {"hosts": {"somewhere": {"realtime_guests": [guest]}}},
        "realtime_guest_os": {"hosts": {INSIDE: inside}, "vars": kept},
    }
    path = tmp_path_factory.mktemp("inside") / "hosts.yml"
    path.write_text(yaml.safe_dump(groups))
    return path


def run(inventory: Path, book: str, *arguments: str, ok: bool | None = True) -> Run:
    return playbook(book, "-i", str(inventory), *arguments, nodes=INSIDE, ok=ok, timeout=PATIENCE)


@pytest.fixture(name="before", scope="module")
def _before() -> dict[str, str]:
    lab("reset", NODE)
    return fingerprint(NODE)


def test_it_becomes_what_its_definition_says(inventory: Path, before: dict[str, str]) -> None:
    predicted = run(inventory, "guest_os.yml", "--check", "--diff")
    assert fingerprint(NODE) == before, "check mode changes nothing"
    assert predicted.changes(INSIDE)
    run(inventory, "guest_os.yml", "--diff")
    assert "PREEMPT_RT" in ssh(NODE, "uname -v")
    assert ssh(NODE, "cat /sys/devices/system/cpu/isolated").strip() == REALTIME
    tokens = ssh(NODE, "cat /proc/cmdline").split()
    assert f"isolcpus=managed_irq,domain,{REALTIME}" in tokens
    assert f"nohz_full={REALTIME}" in tokens
    assert [token for token in tokens if token.startswith(("kvm", "intel_iommu", "iommu"))] == []
    document = json.loads(ssh(NODE, "cat /etc/ansible/facts.d/realtime_partition.fact"))
    assert document["guest"] == {"name": INSIDE, "idle": "halt"}
    assert document["sets"]["housekeeping"]["cpus"] == "0-1"
    policies = ssh(NODE, "for p in $(pgrep '^(ksoftirqd|ktimers|rcuc)/2$'); do chrt -p $p; done")
    assert policies.count("SCHED_FIFO") == 3, policies
    assert int(ssh(NODE, "cat /proc/irq/default_smp_affinity").replace(",", ""), 16) == 0b11


def test_a_second_run_changes_nothing_and_asks_once(inventory: Path) -> None:
    again = run(inventory, "guest_os.yml", "-vvv")
    assert again.changes(INSIDE) == []
    assert again.remote_executions() <= 2, again.by_task()


def test_the_audit_finds_what_is_changed_by_hand(inventory: Path) -> None:
    assert run(inventory, "verify.yml").code == 0
    ssh(NODE, "echo 1 > /proc/sys/vm/stat_interval")
    assert "stat_interval" in run(inventory, "verify.yml", ok=False).output
    run(inventory, "guest_os.yml")
    assert ssh(NODE, "cat /proc/sys/vm/stat_interval").strip() == "10"


def test_a_node_is_not_made_of_it_and_a_node_is_none(inventory: Path) -> None:
    refused = playbook("plan.yml", nodes=NODE, ok=False)
    assert "this machine is set up as guest inside" in refused.output


def test_undo_puts_everything_back(inventory: Path, before: dict[str, str]) -> None:
    run(inventory, "undo.yml")
    run(inventory, "undo.yml")  # after the reboot nothing is left
    assert differences(before, fingerprint(NODE)) == {}
