# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_inventory: refuses what is wrong in the inventory before any node is asked. It runs on the controller and makes no connection."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.template import Templar
from ansible.utils.vars import load_extra_vars
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.check import Check, Inventory
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.identities import HAS_NETADDR, MISSING
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.known import ROLES, read_known
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.templates import Worked

SPEC = {"hosts": {"type": "list", "elements": "str"}, "guests": {"type": "bool", "default": True}}


class ActionModule(ActionBase):
    """The action."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look at the variables of all hosts; fail with everything that is wrong."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=SPEC)
        if options["guests"] and not HAS_NETADDR:
            raise AnsibleActionFail(MISSING)
        gc.disable()  # it would look at the whole inventory again and again, which takes as long as the check; this process ends soon
        check = Check(self._inventory(task_vars or {}, options["hosts"]), read_known(ROLES))
        check.variables()
        check.groups()
        if options["guests"]:
            check.guests()
        gc.enable()
        result.update(changed=False, guests=check.guests_read)
        if warnings := check.warnings():
            result["warnings"] = warnings
        if check.refusals:
            result.update(failed=True, msg=check.message())
        return result

    def _inventory(self, variables: Mapping[str, Any], hosts: list[str] | None) -> Inventory:
        hostvars, groups = variables["hostvars"], variables["groups"]

        def worked(given: Mapping[str, Any]) -> Worked:
            return Worked(cache(lambda: Templar(loader=self._loader, variables={**given, "hostvars": hostvars})), given)

        asked = [str(host) for host in (variables["ansible_play_hosts_all"] if hosts is None else hosts)]
        if strangers := [host for host in asked if host not in hostvars]:
            raise AnsibleActionFail(
                f"hosts: {', '.join(strangers[:3])} {'is' if len(strangers) == 1 else 'are'} not in the inventory"
            )
        own = hostvars.raw_get(variables["inventory_hostname"])
        return Inventory(
            raw=hostvars.raw_get,
            worked=worked,
            asked=asked,
            # a list of the command line hides those of all hosts, also of hosts that it is not for
            everyone=[] if "realtime_guests" in load_extra_vars(self._loader) else groups["all"],
            nodes=groups.get("realtime_nodes", []),
            groups=groups,
            made=_made(getattr(hostvars._inventory, "_cached_dynamic_grouping", ())),
            # not those that a fact or an extra variable beats
            play={
                name: value
                for name, value in self._task.get_play().get_vars().items()
                if own.get(name) is not variables.get(name)
            },
        )


def _made(grouped: Iterable[tuple[Any, Mapping[str, Any]]]) -> dict[str, set[str]]:
    """Return the groups that group_by has made in this run, with the hosts that it has put there; a parent has those of its children."""
    found: dict[str, set[str]] = {}
    children: dict[str, set[str]] = {}
    for host, result in grouped:
        found.setdefault(result["add_group"], set()).add(str(host.name))
        for parent in result.get("parent_groups", []):
            children.setdefault(parent, set()).add(result["add_group"])
    for parent, names in children.items():
        found.setdefault(parent, set()).update(*(found[name] for name in names))
    return found
