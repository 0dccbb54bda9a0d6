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
        Part("power", "cpu_power", "configure"),
        Part("irq_affinity", "irq_affinity", "configure"),
        Part("kvm_host", "kvm_host", "host", further="further", packages="__kvm_host_names"),
        Part("ovs_dpdk", "ovs_dpdk", "configure", further="further", packages="__ovs_dpdk_names"),
        Part("rt_kernel", "kernel_arguments", "arguments", asserts=("bounds",), further="further", packages="__rt_kernel_names"),
        Part("rt_guest", "rt_domain", "configure", asserts=("configure",)),
        Part("packages", "package_holds", "hold", entry="hold", preflight="packages_preflight"),
        Part("nova_compute", "nova_compute", "configure"),
        Part("neutron_agent", "neutron_agent", "configure"),
        Part("rt_verify", "rt_audit", "audit", entry="main"),
    )
}

#: Reads a YAML file of this collection.
Load = Callable[[Path], Any]


class Role:
    """The files of a role."""

    def __init__(self, part: Part, load: Load) -> None:
        self.part = part
        self._load = load
        self._folder = ROLES / part.role

    def _tasks(self, name: str) -> Iterator[Mapping[str, Any]]:
        yield from _flat(self._load(self._folder / "tasks" / f"{name}.yml"))

    def _heads(self, name: str) -> list[Mapping[str, Any]]:
        return list(self._load(self._folder / "tasks" / f"{name}.yml"))

    @property
    def call(self) -> Mapping[str, Any]:
        """The task that calls the module."""
        return next(task for task in self._tasks(self.part.file) if _PREFIX + self.part.module in task)

    @property
    def options(self) -> Mapping[str, Any]:
        """What the role hands its module, as templates."""
        given: Mapping[str, Any] = self.call[_PREFIX + self.part.module]
        return given

    @property
    def result(self) -> str:
        """The name of the variable that the module's result has."""
        return str(self.call["register"])

    @property
    def conditions(self) -> list[Mapping[str, Any]]:
        """The tasks that refuse what the controller can know."""
        return [task for name in self.part.asserts for task in self._tasks(name) if _ASSERT in task]

    @property
    def questions(self) -> list[list[str]]:
        """The conditions under which the role asks the node further: all of any list hold."""
        found = [task["when"] for task in self._heads(self.part.further) if "when" in task] if self.part.further else []
        return [when if isinstance(when, list) else [when] for when in found]  # as they are: text of its own would not be trusted

    @property
    def specification(self) -> Mapping[str, Any]:
        """The options of the role's entry point."""
        entries: Mapping[str, Any] = self._load(self._folder / "meta" / "argument_specs.yml")["argument_specs"]
        return (entries.get(self.part.entry) or {}).get("options") or {}

    @property
    def defaults(self) -> Mapping[str, Any]:
        """The role's defaults."""
        return self._variables("defaults", "main")

    @property
    def variables(self) -> Mapping[str, Any]:
        """The role's own variables."""
        return self._variables("vars", "main")

    @property
    def distributions(self) -> dict[str, Mapping[str, Any]]:
        """The variables that differ by distribution, by its name or that of its family."""
        files = sorted((self._folder / "vars").glob("[A-Z]*.yml"))
        return {path.stem: self._load(path) or {} for path in files}

    def _variables(self, kind: str, name: str) -> Mapping[str, Any]:
        path = self._folder / kind / f"{name}.yml"
        return (self._load(path) or {}) if path.exists() else {}


def arguments_of(task: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what an assertion is given."""
    given: Mapping[str, Any] = task[_ASSERT]
    return given


def _flat(tasks: Any) -> Iterator[Mapping[str, Any]]:
    for task in tasks:
        yield task
        yield from _flat(task.get("block", ()))
