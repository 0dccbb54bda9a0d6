# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disruption limit of a host in a run."""

from __future__ import annotations

DOCUMENTATION = r"""
name: max_disruption
short_description: The disruption limit that binds on the host in this run
version_added: 1.0.0
author: realtime.kvm contributors (@realtime-kvm)
description:
  - Returns the lower one of what the inventory and the run say in C(realtime_max_disruption), as C(none), C(stall), C(guest) or C(reboot).
  - The run says it with an extra variable (C(-e), a survey). Extra variables beat the inventory; here one can only lower the limit, so a survey's answer
    never allows on a live node what its inventory forbids.
  - Where it is not given, or empty, the limit is C(reboot), which allows everything.
options:
  _terms:
    description: Not used.
    type: list
    elements: str
notes:
  - The roles and playbooks of this collection use it. A playbook that hands C(max_disruption) to a module itself can use it too.
  - To raise the limit for one run, let the inventory read a variable of another name, such as V({{ maintenance_limit | default('none'\) }}).
"""

EXAMPLES = r"""
- name: Partition the node, within the limit of inventory and run
  realtime.kvm.cpu_partition:
    max_disruption: "{{ lookup('realtime.kvm.max_disruption') }}"
"""

RETURN = r"""
_raw:
  description: The disruption class.
  type: list
  elements: str
"""

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.realtime.kvm.plugins.plugin_utils._limit import NAME, lower, of_inventory, of_run


class LookupModule(LookupBase):
    """The lookup."""

    def run(self, terms: list[Any], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return the limit; the variables are the task's, so those of a play or a task count as the inventory's do."""
        given = variables or {}
        own = None
        if of_run(self._loader):
            if "hostvars" not in given:
                raise AnsibleLookupError(
                    "realtime.kvm.max_disruption: use it in a task; a variable of the inventory cannot be read here"
                )
            own = of_inventory(given["hostvars"], str(given["inventory_hostname"]), self._loader)
        try:
            return [lower(self._templar.template(given.get(NAME)), own)]
        except ValueError as error:
            raise AnsibleLookupError(str(error)) from None
