# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disruption limit of a host in a run: the lower of the inventory's and the run's.

Answers of a survey, and prompts of AWX, are extra variables, which beat every other variable. So the inventory's own value is read without this one.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ansible.template import Templar
from ansible.utils.vars import load_extra_vars
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


def of_inventory(hostvars: Any, host: str, loader: Any) -> Any:
    """Return the limit that a host has without the run's, None where it has none; a template of it may read all other extra variables."""
    manager = copy.copy(hostvars._variable_manager)
    manager._extra_vars = {name: value for name, value in manager.extra_vars.items() if name != NAME}
    variables: Mapping[str, Any] = manager.get_vars(host=hostvars._inventory.get_host(host), include_hostvars=False)
    return Templar(loader=loader, variables={**variables, "hostvars": hostvars}).template(variables.get(NAME))


def of_host(hostvars: Any, host: str, loader: Any) -> str:
    """Return the limit that binds on a host in this run. ``ValueError`` as for :func:`lower`."""
    return lower(hostvars[host].get(NAME), of_inventory(hostvars, host, loader) if of_run(loader) else None)
