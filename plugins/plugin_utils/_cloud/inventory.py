# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the actions of a cloud take from Ansible: the access, the nodes of one cloud, and their answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import plain
from ansible_collections.realtime.kvm.plugins.plugin_utils._hosts import plain_data, variables_of

from .client import Access
from .errors import CloudError
from .nodes import NAMES, Answered, read_answer, read_node
from .wanted import Node

#: The option by which an action is told how to reach a cloud.
ACCESS: dict[str, Any] = {
    "name": {"type": "str", "default": ""},
    "auth": {"type": "dict", "default": {}, "no_log": True},
    "auth_type": {"type": "str", "default": ""},
    "region": {"type": "str", "default": ""},
    "interface": {"type": "str", "choices": ["public", "internal", "admin"], "default": "public"},
    "validate_certs": {"type": "bool", "default": True},
    "ca_cert": {"type": "str", "default": ""},
    "timeout": {"type": "int", "default": 60},
}


def access_of(given: Mapping[str, Any]) -> Access:
    """Return the access; ``CloudError`` names the variable."""
    access = Access(**{key: given[key] for key in ACCESS if key in given})
    if not 1 <= access.timeout <= 3600:
        raise CloudError(f"openstack_cloud_timeout {access.timeout} is not in 1-3600 (seconds)")
    return access


def nodes_of(variables: Mapping[str, Any], hosts: list[str] | None, cloud: str) -> list[Node]:
    """Return the nodes of the cloud: those of the group realtime_nodes whose openstack_cloud_name is the same, whatever the run is limited to."""
    hostvars, groups = variables["hostvars"], variables["groups"]
    asked = hosts if hosts is not None else [str(host) for host in groups.get("realtime_nodes", [])]
    if strangers := [host for host in asked if host not in hostvars]:
        raise CloudError(f"hosts: {', '.join(plain(host, 60) for host in strangers[:3])} not in the inventory")
    found = []
    for host in asked:
        given = _values(hostvars, host, (*NAMES, "openstack_cloud_name"))
        if hosts is not None or str(given.get("openstack_cloud_name") or "") == cloud:
            found.append(read_node(host, given))
    return found


def _values(hostvars: Any, host: str, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: _value(hostvars, host, name) for name in names if name in hostvars[host]}


def _value(hostvars: Any, host: str, name: str) -> Any:
    try:
        return plain_data(hostvars[host][name])
    except (AnsibleError, KeyError, TypeError) as error:
        raise CloudError(f"{host}: {name} cannot be read: {plain(str(error).splitlines()[0], 200)}") from None


def said_of(variables: Mapping[str, Any], node: Node, names: Mapping[str, Any]) -> Answered:
    """Return what a node answered in this run; ``names`` are the variables of the results (partition, domains, packages)."""
    known = variables_of(variables["hostvars"], node.name)
    partition, domains, packages = (
        plain_data(known.get(str(names.get(key) or ""))) for key in ("partition", "domains", "packages")
    )
    return read_answer(node, partition, domains, packages)
