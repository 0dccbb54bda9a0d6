# SPDX-License-Identifier: GPL-3.0-or-later
"""The place of a measurement, with what this node knows of it. Edge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .._host.host import Host
from .machine import Agent, Machine, Node, forget, job_files, record_of, remove


@dataclass
class Place:
    """The place of this measurement: the machine, its facts, and the CPUs of this node that its CPUs run on."""

    host: Host
    node: Node
    machine: Machine
    files: dict[str, str]
    parameters: Mapping[str, Any]
    pins: dict[int, frozenset[int]]  # of a guest behind its agent: vCPU to CPUs
    realtime: frozenset[int]  # the guest's real-time vCPUs

    @property
    def systemd(self) -> bool:
        return "systemd" in self.files

    @property
    def inside(self) -> bool:
        """Whether the machine is a guest that the agent reaches."""
        return isinstance(self.machine, Agent)

    @property
    def record(self) -> str:
        """The node's file with the job of a guest behind its agent: a guest's word is not asked for what it was given to do."""
        return record_of(self.machine.name)

    def uptime(self) -> float:
        """Return the node's uptime; that of the machine where the machine is no guest behind its agent."""
        text = self.host.read("/proc/uptime") if self.inside else self.files.get("/proc/uptime")
        return float((text or "0").split()[0])

    def job_files(self) -> dict[str, str]:
        """Return the files of the measurement, its job from where this node keeps it."""
        found = job_files(self.machine)
        if self.inside:
            found.pop("job.json", None)
            kept = self.host.read(self.record)
            found.update({} if kept is None else {"job.json": kept})
        return found

    def forget(self) -> None:
        """Remove the files of the measurement."""
        remove(self.machine)
        if self.inside:
            forget(self.node, self.record)

    def here(self, cpus: Iterable[int]) -> frozenset[int]:
        """Return the CPUs of this node that CPUs of the machine run on."""
        return frozenset().union(*(self.pins.get(cpu, frozenset()) for cpu in cpus)) if self.inside else frozenset(cpus)
