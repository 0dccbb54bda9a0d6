# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disruption limit of a host in a run: the lower of the inventory's and the run's.

Answers of a survey, and prompts of AWX, are extra variables, which beat every other variable. So the value that a host has without this one is read too, as
Ansible would work it out: from the inventory, the play, the role and the task.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ansible.template import Templar
from ansible.utils.vars import load_extra_vars
from ansible.vars.hostvars import HostVars
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import DISRUPTIONS

NAME = "realtime_max_disruption"
#: Everything is allowed where neither inventory nor run say anything.
DEFAULT = DISRUPTIONS[-1]


def lower(*limits: Any) -> str:
    """Return the lowest of the limits; an empty one is not given. ``ValueError`` where one is no disruption class."""
    given = [limit for limit in limits if limit is not None and limit != ""]
    for limit in given:
        if limit not in DISRUPTIONS:
            raise ValueError(f"{NAME}: {str(limit)!r} is not a disruption class; choose one of {', '.join(DISRUPTIONS)}")
    return min(map(str, given), key=DISRUPTIONS.index, default=DEFAULT)


def of_run(loader: Any) -> bool:
    """Return whether the run has a limit of its own: an extra variable."""
    return NAME in load_extra_vars(loader)


def without_run(given: Mapping[str, Any], host: str, task: Any) -> dict[str, Any]:
    """Return a host's variables in a task as they would be without the run's limit; those of other hosts, which a template of it may read, have none either.

    ``given`` are variables of the task, of whichever host.
    """
    hostvars = given["hostvars"]
    manager = copy.copy(hostvars._variable_manager)
    manager._extra_vars = {name: value for name, value in manager.extra_vars.items() if name != NAME}
    HostVars(hostvars._inventory, manager, hostvars._loader)  # the manager gives these to the templates
    hosts = {"_hosts": given.get("ansible_play_batch"), "_hosts_all": given.get("ansible_play_hosts_all")}
    found: dict[str, Any] = manager.get_vars(play=task.get_play(), host=hostvars._inventory.get_host(host), task=task, **hosts)
    return found


def of_host(given: Mapping[str, Any], host: str, task: Any, loader: Any) -> str:
    """Return the limit that binds on a host of the play in this run. ``ValueError`` as for :func:`lower`."""
    variables = without_run(given, host, task)
    templar = Templar(loader=loader, variables=variables)
    return lower(templar.template(load_extra_vars(loader).get(NAME)), templar.template(variables.get(NAME)))
