# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""openstack_cloud: makes the traits, flavors, aggregate, networks and ports of a cloud. It runs on the controller.

Read, plan, validate, make (with the modules of openstack.cloud), read back. Check mode is the same without the making.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import module_loader
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._tables import bounded
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.answers import module_failure
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.changes import Change, Current, Step
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.client import Cloud
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.errors import CloudError
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.hosts import find_hosts
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.inventory import ACCESS, access_of, nodes_of, said_of
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.nodes import common
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.notes import notes
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.placement import compare
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.plan import plan, settle
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.releases import too_old
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.requests import Requests
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.text import diffs, finding_page, page, part_done
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.wanted import Wanted, read_wanted
from ansible_collections.realtime.kvm.plugins.plugin_utils._hosts import plain_data
from ansible_collections.realtime.kvm.plugins.plugin_utils._show import show

SPEC = {
    "access": {"type": "dict", "options": ACCESS, "default": {}},
    "hosts": {"type": "list", "elements": "str"},
    "answers": {"type": "dict", "default": {}},
    "flavors": {"type": "list", "elements": "dict", "default": []},
    "aggregate": {"type": "str", "default": ""},
    "aggregate_state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "networks": {"type": "list", "elements": "dict", "default": []},
    "qos_policies": {"type": "list", "elements": "dict", "default": []},
    "ports": {"type": "list", "elements": "dict", "default": []},
    "traits": {"type": "list", "elements": "dict", "default": []},
}
#: All that openstack.cloud must have; the last one that came is trait, in 2.4.
MODULES = ("trait", "compute_flavor", "compute_service_info", "host_aggregate")
MISSING = (
    "the collection openstack.cloud, 2.4 or newer, is not there (module {module}); it makes what a cloud must have. Install it beside ansible-core: "
    "ansible-galaxy collection install 'openstack.cloud:>=2.4.0', or pip install ansible, which has it. No other playbook needs it"
)
#: Reads only; tells whether the modules run here at all.
PROBE = "openstack.cloud.compute_service_info"
#: openstack.cloud 2.5.0 reads openstack.version without importing it; openstacksdk imports it itself up to 4.14 (seen with 4.12.0 and 4.22.0).
NO_VERSION = "has no attribute 'version'"
OLD_COLLECTION = (
    ". This openstack.cloud does not know this openstacksdk: install 'openstacksdk<4.15' beside it, or a newer openstack.cloud"
)


class ActionModule(ActionBase):
    """The action."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Make what is wanted; fail with one message."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=SPEC)
        made: list[str] = []
        try:
            result.update(self._carry_out(plain_data(options), task_vars or {}, made))
        except RefusalError as error:
            done = f"Made before that: {', '.join(made)}." if made else "Nothing was changed in the cloud."
            result.update(failed=True, changed=bool(made), msg=f"{error}. {done}")
        return result

    def _carry_out(self, options: Mapping[str, Any], variables: dict[str, Any], made: list[str]) -> dict[str, Any]:
        check_modules()
        access = access_of(options["access"])
        nodes = nodes_of(variables, options["hosts"], access.name)
        answers = {node.name: said_of(variables, node, options["answers"]) for node in nodes}
        wanted = read_wanted(options, nodes, common(answers.values()))
        cloud = Cloud(access)
        newest = cloud.newest()
        old = too_old({name: answer.release for name, answer in answers.items()}, newest) if newest else []
        if old:
            raise CloudError("; ".join(old) + ". Update nova-compute on these nodes, or leave the cloud at an older release")
        current = cloud.current(wanted)
        settle(wanted, current)
        computes = [service["host"] for service in current.services if service["binary"] == "nova-compute"]
        hosts = find_hosts(nodes, computes)
        kept_out = [node.name for node in nodes if node.plain_pinned]
        changes = plan(wanted, current, hosts, kept_out)
        if changes:
            self._try_modules(cloud, variables)
        if not self._task.check_mode:
            for change in changes:
                self._make(cloud, change, variables, made, lambda: cloud.current(wanted), current)
            if changes:
                self._read_back(cloud, wanted, hosts, kept_out)
        providers = cloud.providers([host for host in hosts.values() if host])
        compared = [node for node in nodes if answers[node.name].document]
        findings = [
            finding
            for node in compared
            for finding in compare(node, answers[node.name].document, providers.get(hosts[node.name]), answers[node.name].taken)
        ]
        said = notes(wanted, current, nodes, hosts, answers if options["answers"] else None)
        lines = [*page(f"Cloud {access.shown}", wanted, changes, said), *finding_page(findings, len(compared))]
        return {
            "changed": bool(changes),
            "changes": [change.to_dict() for change in changes],
            "diff": diffs(changes),
            "flavors": {item.name: item.flavor.to_dict() for item in wanted.flavors if item.flavor},
            "hosts": hosts,
            "notes": said,
            "findings": [finding.to_dict() for finding in findings],
            "text": show(bounded(lines)),
        }

    def _try_modules(self, cloud: Cloud, variables: dict[str, Any]) -> None:
        """Refuse before the first change where the modules do not run, also in check mode."""
        if self._connection.transport != "local":
            raise CloudError(
                "openstack_cloud makes its changes on the controller: give the task the variables ansible_connection: local and "
                "ansible_python_interpreter: '{{ ansible_playbook_python }}', as the role does"
            )
        try:
            self._module(cloud, PROBE, {"binary": "nova-compute"}, variables, "the modules of openstack.cloud do not run")
        except CloudError as error:
            raise CloudError(f"{error}{OLD_COLLECTION if NO_VERSION in str(error) else ''}") from None

    def _make(
        self,
        cloud: Cloud,
        change: Change,
        variables: dict[str, Any],
        made: list[str],
        look: Callable[[], Current],
        before: Current,
    ) -> None:
        """Make one change; of one that fails, what the cloud has then says what was done."""
        try:
            for step in change.steps:
                self._step(cloud, change, step, variables)
        except CloudError:
            try:
                done = part_done(change, before, look())
            except CloudError:
                done = f"perhaps {change.resource} in part (the cloud does not answer)"
            made += [done] if done else []
            raise
        made.append(change.resource)

    def _step(self, cloud: Cloud, change: Change, step: Step, variables: dict[str, Any]) -> None:
        if step.request:
            Requests(cloud).make(step.request, step.arguments)
            return
        self._module(cloud, step.module, step.arguments, variables, f"{change.resource} ({step.module})")

    def _module(self, cloud: Cloud, name: str, given: Mapping[str, Any], variables: dict[str, Any], what: str) -> None:
        arguments = {**given, **cloud.access.module_arguments()}
        try:
            answer = self._execute_module(module_name=name, module_args=arguments, task_vars=variables)
        except AnsibleError as error:
            raise CloudError(module_failure(cloud.access.shown, what, {"msg": str(error)}, cloud.secrets)) from None
        if answer.get("failed"):
            raise CloudError(module_failure(cloud.access.shown, what, answer, cloud.secrets))

    @staticmethod
    def _read_back(cloud: Cloud, wanted: Wanted, hosts: Mapping[str, str], kept_out: list[str]) -> None:
        left = plan(wanted, cloud.current(wanted), hosts, kept_out)
        if left:
            raise CloudError(
                f"cloud {cloud.access.shown}: the changes were taken, and yet {', '.join(change.resource for change in left[:5])} "
                f"{'differs' if len(left) == 1 else 'differ'} from what is wanted; somebody else may change them at the same time: run the playbook again"
            )


def check_modules() -> None:
    """Refuse to begin where a module of openstack.cloud is missing."""
    for name in MODULES:
        if not module_loader.find_plugin_with_context(f"openstack.cloud.{name}").resolved:
            raise CloudError(MISSING.format(module=name))
