# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that turns a guest into a flavor of Nova."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.flavor import Hosts, nova_flavor
from ansible_collections.realtime.kvm.plugins.plugin_utils._hosts import plain_data


def _nova_extra_specs(
    guest: Any, networks: Any = (), numa_nodes: int = 0, smt: str = "", disk: int = 0, extra_specs: Any = None
) -> dict[str, Any]:
    try:
        flavor = nova_flavor(
            plain_data(guest),
            plain_data(networks or []),
            hosts=Hosts(int(numa_nodes), str(smt)),
            disk=int(disk),
            extra_specs=plain_data(extra_specs or {}),
        )
    except (RefusalError, TypeError, ValueError) as error:
        raise AnsibleFilterError(f"realtime.kvm.nova_extra_specs: {error}") from None
    return flavor.to_dict()


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"nova_extra_specs": _nova_extra_specs}
