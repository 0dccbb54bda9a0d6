# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_plan: hands the node what each role hands its module, and names the results as the roles do. The node is asked once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.constants import config
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.action import ActionBase
from ansible_collections.realtime.kvm.plugins.plugin_utils._look.answers import answer_fault
from ansible_collections.realtime.kvm.plugins.plugin_utils._look.kept import command_of, release
from ansible_collections.realtime.kvm.plugins.plugin_utils._look.roles import PARTS, Part, Role, arguments_of

SPEC = {
    "roles": {"type": "list", "elements": "str", "choices": [*PARTS], "required": True},
    "audit": {"type": "bool", "default": False},
    "keep": {"type": "bool", "default": False},
    "runs": {"type": "list", "elements": "str", "default": []},
}
MODULE, AUDIT = "realtime.kvm.rt_plan", "rt_verify"
#: What the options of one layer take from another's result; the node fills it in.
_TAKEN = ("partition", "pages", "kernel_arguments", "virtual_functions", "switch")


def _load(path: Path) -> Any:
    return DataLoader().load_from_file(str(path), trusted_as_template=True)


#: Read where Ansible loads this plugin, before it starts a process for each node: to read them for each would cost more than all the rest.
_ROLES = {name: Role(part, _load) for name, part in PARTS.items()}


class ActionModule(ActionBase):
    """The action."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check what the controller can know, then let the node plan; return the results by the names that roles give them."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=SPEC)
        audit = [AUDIT] if options["audit"] and AUDIT not in options["roles"] else []
        roles = [role for name, role in _ROLES.items() if name in (*options["roles"], *audit)]
        given = task_vars or {}
        defaults = {key: value for role in _ROLES.values() for key, value in role.defaults.items()}
        look = _Look(self, {**defaults, **given})
        for role in roles:
            look.prepare(role)
        answer = (
            look.ask(given, keep=options["keep"], runs=options["runs"])
            if look.asked
            else {"planned": {}, "refused": [], "open": []}
        )
        if answer.get("failed") or answer.get("unreachable"):
            result.update(answer)
            return result
        if fault := answer_fault(answer, look.layers):
            raise AnsibleActionFail(
                f"rt_plan: the node's answer cannot be used: {fault}; run it again, and see what the node runs as its Python"
            )
        planned = {role.result: look.result_of(role, answer["planned"]) for role in roles if not _left_out(role, answer)}
        left_off = [found["msg"] for found in planned.values() if found.get("failed") and "left_off" in found]
        further = [role for role in roles if look.asks_further(role, planned)]
        result.update(
            {key: value for key, value in answer.items() if key in ("ansible_facts", "warnings")},
            changed=False,
            planned=planned,
            refused=[*look.refused, *(text for text in answer["refused"] if text not in left_off)],
            open=[
                role.part.role
                for role in roles
                if role.part.module in answer["open"] or "left_off" in planned.get(role.result, {})
            ],
            further=[role.part.role for role in further],
            packages=look.packages(further, planned, answer.get("ansible_facts", {})),
        )
        return result


def _left_out(role: Role, answer: Mapping[str, Any]) -> bool:
    """Whether a role has no result: its own preflight is to ask, or the audit of a node that has something to do was left to later."""
    return role.part.module in answer["open"] or (role.part.role == AUDIT and role.part.module not in answer["planned"])


class _Look:
    """What one node is asked."""

    def __init__(self, action: ActionModule, variables: Mapping[str, Any]) -> None:
        self._action = action
        self._variables = dict(variables)
        self.refused: list[str] = []
        self._reasons: dict[str, str] = {}  # by module
        self._layers: dict[str, Any] = {}
        self._shared: dict[str, Any] = {}
        self._audit: dict[str, Any] | None = None
        self._results: dict[str, dict[str, Any]] = {}  # what stands for the results of layers that will be planned

    @property
    def layers(self) -> list[str]:
        """The modules whose plans the node is asked for."""
        return list(self._layers)

    @property
    def asked(self) -> bool:
        """Whether there is something to ask the node."""
        return bool(self._layers) or self._audit is not None

    def prepare(self, role: Role) -> None:
        """Check a role's variables as its preflight does, and work out what it hands its module."""
        part = role.part
        if any(one in self._reasons for one in self._needs(part)):
            return
        known = {**self._variables, **role.variables, **self._results, part.flag: True, **self._by_distribution(role)}
        try:
            reason = next((text for text in self._refusals(role, known) if text), "")
            options = {} if reason else self._templated(dict(role.options), known)
        except AnsibleError as error:
            reason, options = str(error), {}
        if reason:
            self._reasons[part.module] = reason
            self.refused.append(reason)
            return
        for name in ("networks", "guests"):
            if name in options:
                self._share(part, name, options.pop(name))
        if part.role == AUDIT:
            self._audit = options
        else:
            self._layers[part.module] = options
            self._results[role.result] = {key: {"__planned": [part.module, key]} for key in _TAKEN}

    def ask(self, task_vars: dict[str, Any], *, keep: bool, runs: list[str]) -> dict[str, Any]:
        """Ask the node: the code that it keeps of this release, else the module, which then is sent."""
        arguments = {"roles": [], "layers": self._layers, **self._shared}
        if runs and not self.refused:  # what the controller refuses is not at its end
            arguments["runs"] = runs
        if self._audit is not None and not self.refused:
            arguments["audit"] = self._audit
        if command := self._command(task_vars):
            if answer := self._answer_of(command, arguments, task_vars):
                return answer
            arguments.update(keep=keep, release=release())
        sent: dict[str, Any] = self._action._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        return sent

    def _command(self, task_vars: Mapping[str, Any]) -> str:
        """Return how a node starts the code that it keeps; empty where Ansible would not run a module from its standard input, with that Python."""
        action = self._action
        python = config.get_config_value("INTERPRETER_PYTHON", variables=task_vars)
        if not action._connection.is_pipelining_enabled(False):
            return ""
        return command_of(self._templated(python, self._variables), action._compute_environment_string())

    def _answer_of(self, command: str, arguments: Mapping[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Start the node's own code; return what it answers, empty if it answers nothing."""
        action, given = self._action, dict(arguments)
        action._update_module_args(MODULE, given, task_vars)
        try:
            said = json.dumps({"ANSIBLE_MODULE_ARGS": given})
        except (TypeError, ValueError):
            return {}
        found = action._low_level_execute_command(command, in_data=said.encode("utf-8", "surrogateescape"))
        answer = action._parse_returned_data(found, "legacy") if found["stdout"].strip() else {}
        return {key: value for key, value in answer.items() if not key.startswith("_ansible_")} if "planned" in answer else {}

    def result_of(self, role: Role, results: Mapping[str, Any]) -> dict[str, Any]:
        """Return a layer's result as its role would have it: planned, refused, or not asked for."""
        module = role.part.module
        if module in self._reasons:
            return {"changed": False, "failed": True, "msg": self._reasons[module]}
        found: dict[str, Any] = results.get(module) or {"changed": False, "skipped": True}
        return found

    def asks_further(self, role: Role, planned: Mapping[str, Any]) -> bool:
        """Whether a planned layer leaves something to ask the node, such as whether packages can be installed."""
        found = planned.get(role.result, {})
        if not role.questions or found.get("failed") or found.get("skipped") or not found:
            return False
        known = {**self._variables, **role.variables, **planned}
        templar = self._action._templar.copy_with_new_env(available_variables=known)
        return any(all(templar.evaluate_conditional(one) for one in conditions) for conditions in role.questions)

    def packages(self, roles: Sequence[Role], planned: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
        """Return the packages that several roles would try, in one list; empty where one role alone tries its own, or does not know this distribution."""
        trying = [role for role in roles if role.part.packages]
        told = {**(self._variables.get("ansible_facts") or {}), **{key[len("ansible_") :]: fact for key, fact in facts.items()}}
        found: list[str] = []
        for role in trying if len(trying) > 1 else []:
            own = [role.distributions.get(str(told.get(key)), {}) for key in ("os_family", "distribution")]
            known = {**self._variables, **role.variables, **own[0], **own[1], **planned, "ansible_facts": told}
            try:
                found += self._templated(role.variables[role.part.packages], known)
            except AnsibleError:
                return []
        return list(dict.fromkeys(found))

    def _needs(self, part: Part) -> tuple[str, ...]:
        """Return the layers without which this one is not planned: all parts need the CPU sets, but for the packages."""
        return () if part.role in ("cpu_partition", "packages") else ("cpu_partition",)

    def _share(self, part: Part, name: str, value: Any) -> None:
        """Guests and networks go to the node once."""
        if self._shared.setdefault(name, value) != value:
            raise AnsibleActionFail(f"{part.role}: it hands its module other {name} than the roles before it")

    def _refusals(self, role: Role, known: Mapping[str, Any]) -> Iterator[str]:
        yield self._failure("ansible.builtin.validate_argument_spec", {"argument_spec": role.specification}, known)
        for task in role.conditions:
            name = (task.get("loop_control") or {}).get("loop_var", "item")
            for item in self._templated(task["loop"], known) if "loop" in task else [None]:
                inner = {**known, **(task.get("vars") or {}), name: item}
                yield self._failure("ansible.builtin.assert", arguments_of(task), inner)

    def _failure(self, name: str, arguments: Mapping[str, Any], known: Mapping[str, Any]) -> str:
        """Run an action of Ansible's that asks no node; return why it refuses."""
        action = self._action
        task = action._task.copy()
        task.action, task.async_val = name, 0
        plugin = action._shared_loader_obj.action_loader.get(
            name,
            task=task,
            connection=action._connection,
            play_context=action._play_context,
            loader=action._loader,
            templar=action._templar.copy_with_new_env(available_variables=dict(known)),
            shared_loader_obj=action._shared_loader_obj,
        )
        whole = name == "ansible.builtin.validate_argument_spec"
        task.args = dict(arguments) if whole else self._assertion(plugin, arguments, known)
        found = plugin.run(task_vars=dict(known))
        return str(found["msg"]) if found.get("failed") else ""

    def _assertion(self, plugin: Any, arguments: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value if key == "that" else self._templated(value, known) for key, value in arguments.items()}

    def _templated(self, value: Any, known: Mapping[str, Any]) -> Any:
        templar = self._action._templar.copy_with_new_env(available_variables=dict(known))
        return templar.template(value)

    def _by_distribution(self, role: Role) -> dict[str, Any]:
        """Return stand-ins for the variables that the role loads by distribution; plain text alone is what a module is handed."""
        found: dict[str, dict[str, Any]] = {}
        for name, variables in role.distributions.items():
            for key, value in variables.items():
                if isinstance(value, str) and "{{" not in value:
                    found.setdefault(key, {})[name] = str(value)
        return {key: {"__distribution": values} for key, values in found.items()}
