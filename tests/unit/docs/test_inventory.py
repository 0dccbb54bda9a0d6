# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example inventory sets known variables only, and no CPU numbers."""

from __future__ import annotations

import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.manager import VariableManager
from unit.documents import PLAYBOOK_DEFAULTS, ROLES, ROOT, options


def test_example_inventory_sets_only_known_variables():
    known = {name for role in ROLES for name in options(role)} | set(PLAYBOOK_DEFAULTS) | {"ansible_user"}
    folder = ROOT / "inventories" / "example" / "group_vars"
    unknown = {
        f"{path.stem}: {name}" for path in folder.glob("*.yml") for name in yaml.safe_load(path.read_text()) if name not in known
    }
    assert unknown == set()


def test_example_inventory_has_no_cpu_numbers():
    folder = ROOT / "inventories" / "example"
    assert [path.name for path in folder.rglob("*.yml") if "cpu_partition_cpus" in path.read_text()] == []


def test_example_inventory_keeps_live_nodes_live():
    """As Ansible works the variables out, not as the files read."""
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[str(ROOT / "inventories/example/hosts.yml")])
    variables = VariableManager(loader=loader, inventory=inventory)
    limits = {
        host.name: Templar(loader=loader, variables=given).template(given["realtime_max_disruption"])
        for host in inventory.get_hosts("realtime_nodes")
        for given in [variables.get_vars(host=host)]
    }
    live = {host.name for host in inventory.get_hosts("live_nodes")}
    assert live
    assert limits == {name: "none" if name in live else "reboot" for name in limits}
