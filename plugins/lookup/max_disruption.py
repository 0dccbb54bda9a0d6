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
  - The run says it with an extra variable (C(-e), a survey). Extra variables beat all others; here one can only lower the limit, so a survey's answer
    never allows on a live node what its inventory forbids. Variables of a play, a role or a task (C(vars)) count as the inventory's do.
  - An empty or null value counts as not given. Where neither says anything, the limit is C(reboot), which allows everything.
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
from ansible.template import Templar
from ansible_collections.realtime.kvm.plugins.plugin_utils._limit import NAME, lower, of_run, without_run

try:
    from ansible._internal._task import TaskContext
except (
    ImportError
):  # it belongs to ansible-core; without it nobody can tell what play and task allow, and a run's own limit is refused
    TaskContext = None


class LookupModule(LookupBase):
    """The lookup."""

    def run(self, terms: list[Any], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return the limit; the variables are the task's, so those of a play or a task count as the inventory's do."""
        given = variables or {}
        own = None
        if of_run(self._loader):
            context = TaskContext.current(optional=True) if TaskContext else None
            if context is None or "hostvars" not in given:
                raise AnsibleLookupError(
                    f"realtime.kvm.max_disruption: use it in a task; what inventory and play allow cannot be read here, so give {NAME} there, not with -e"
                )
            found = without_run(given, str(given["inventory_hostname"]), context.task)
            # with those of a loop, for example, which the task alone knows
            known = {**given, "hostvars": found["hostvars"], "vars": found["vars"], NAME: found.get(NAME)}
            own = Templar(loader=self._loader, variables=known).template(found.get(NAME))
        try:
            return [lower(self._templar.template(given.get(NAME)), own)]
        except ValueError as error:
            raise AnsibleLookupError(str(error)) from None
