# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role's preflight does before it asks the node, read from the role's own files. Edge: reads these files.

So a look has no second list of options, values or checks: what a role is changed to, the look does as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROLES = Path(__file__).resolve().parents[3] / "roles"
_PREFIX, _ASSERT = "realtime.kvm.", "ansible.builtin.assert"


@dataclass(frozen=True)
class Part:
    """A role and its call of a module, in the file of the role's ``tasks``."""

    role: str
    module: str
    file: str
    #: The entry point whose options are validated; the files whose conditions hold before the node is asked.
    entry: str = "preflight"
    asserts: tuple[str, ...] = ()
    #: The file that asks the node further, where its plan needs it.
    further: str = ""
    preflight: str = ""
    #: The variable with the packages that its ``further`` tries to install.
    packages: str = ""

    @property
    def flag(self) -> str:
        """The variable that makes the call a preflight."""
        return self.preflight or f"__{self.role}_preflight"


#: In the order of planning, by their roles' names.
PARTS: Mapping[str, Part] = {
    part.role: part
    for part in (
        Part("cpu_partition", "cpu_partition", "partition"),
        Part("guest_os", "guest_os", "configure"),
        Part("power", "cpu_power", "configure"),
        Part("irq_affinity", "irq_affinity", "configure"),
        Part("time_sync", "time_sync", "configure", further="further", packages="__time_sync_names"),
        Part("kvm_host", "kvm_host", "host", further="further", packages="__kvm_host_names"),
        Part("ovs_dpdk", "ovs_dpdk", "configure", further="further", packages="__ovs_dpdk_names"),
        Part("rt_kernel", "kernel_arguments", "arguments", asserts=("bounds",), further="further", packages="__rt_kernel_names"),
        Part("rt_guest", "rt_domain", "configure", asserts=("configure",)),
        Part("rt_metrics", "rt_metrics", "configure"),
        Part("packages", "package_holds", "hold", entry="hold", preflight="packages_preflight"),
        Part("nova_compute", "nova_compute", "configure"),
        Part("neutron_agent", "neutron_agent", "configure"),
        Part("rt_verify", "rt_audit", "audit", entry="main"),
    )
}

#: Reads a YAML file of this collection.
Load = Callable[[Path], Any]


class Role:
    """What the files of a role say."""

    def __init__(self, part: Part, load: Load) -> None:
        self.part = part
        self._load = load
        self._folder = ROLES / part.role
        #: The task that calls the module; what it hands the module, as templates; and the variable that the result has.
        self.call: Mapping[str, Any] = next(task for task in self._tasks(part.file) if _PREFIX + part.module in task)
        self.options: Mapping[str, Any] = self.call[_PREFIX + part.module]
        self.result = str(self.call["register"])
        #: The tasks that refuse what the controller can know.
        self.conditions = [task for name in part.asserts for task in self._tasks(name) if _ASSERT in task]
        #: The conditions under which the role asks the node further: all of any list hold.
        self.questions = self._questions()
        #: The options of the role's entry point.
        self.specification = self._specification()
        self.defaults = self._variables("defaults")
        #: The role's own variables; and those that differ by distribution, by its name or that of its family.
        self.variables = self._variables("vars")
        files = sorted((self._folder / "vars").glob("[A-Z]*.yml"))
        self.distributions: dict[str, Mapping[str, Any]] = {path.stem: load(path) or {} for path in files}

    def _read(self, name: str) -> list[Mapping[str, Any]]:
        return list(self._load(self._folder / "tasks" / f"{name}.yml"))

    def _tasks(self, name: str) -> Iterator[Mapping[str, Any]]:
        yield from _flat(self._read(name))

    def _questions(self) -> list[list[str]]:
        found = [task["when"] for task in self._read(self.part.further) if "when" in task] if self.part.further else []
        return [when if isinstance(when, list) else [when] for when in found]  # as they are: text of its own would not be trusted

    def _specification(self) -> Mapping[str, Any]:
        entries: Mapping[str, Any] = self._load(self._folder / "meta" / "argument_specs.yml")["argument_specs"]
        return (entries.get(self.part.entry) or {}).get("options") or {}

    def _variables(self, kind: str) -> Mapping[str, Any]:
        path = self._folder / kind / "main.yml"
        return (self._load(path) or {}) if path.exists() else {}


def arguments_of(task: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what an assertion is given."""
    given: Mapping[str, Any] = task[_ASSERT]
    return given


def _flat(tasks: Any) -> Iterator[Mapping[str, Any]]:
    for task in tasks:
        yield task
        yield from _flat(task.get("block", ()))
