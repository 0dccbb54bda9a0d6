# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""openstack_cloud_info: compares what a cloud has of a node with its partition file. It runs on the controller and changes nothing."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.realtime.kvm.plugins.module_utils._audit.findings import finding_lines, in_order
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.client import Cloud
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.errors import CloudError
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.hosts import find_host
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.inventory import ACCESS, access_of, nodes_of
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.nodes import read_answer
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.placement import compare
from ansible_collections.realtime.kvm.plugins.plugin_utils._hosts import plain_data

SPEC = {
    "access": {"type": "dict", "options": ACCESS, "default": {}},
    "partition": {"type": "dict", "required": True},
    "domains": {"type": "dict", "default": {}},
}


class ActionModule(ActionBase):
    """The action."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the findings; what cannot be asked is returned as ``unchecked``."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=SPEC)
        variables = task_vars or {}
        result.update(changed=False, findings=[], findings_table=[], unchecked=[])
        try:
            access = access_of(plain_data(options["access"]))
            node = nodes_of(variables, [str(variables["inventory_hostname"])], access.name)[0]
            answer = read_answer(node, plain_data(options["partition"]), plain_data(options["domains"]), None)
            if not answer.document:
                raise CloudError("the node has no partition file to compare with")
            cloud = Cloud(access)
            host = find_host(node, [item["host"] for item in cloud.services() if item["binary"] == "nova-compute"])
            provider = cloud.providers([host] if host else []).get(host)
            findings = in_order(compare(node, answer.document, provider, answer.taken))
        except RefusalError as error:
            result["unchecked"] = [{"part": "cloud", "reason": str(error)}]
            return result
        result.update(findings=[finding.to_dict() for finding in findings], findings_table=finding_lines(findings))
        return result
