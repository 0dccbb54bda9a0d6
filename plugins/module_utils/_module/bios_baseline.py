# SPDX-License-Identifier: GPL-3.0-or-later
"""bios_baseline and bios_baseline_info: one machine's firmware against its baseline, through its BMC.

Unlike the other modules these run where the BMC can be reached, mostly on the controller, and change no file there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.parameters import remove_values

from .._cpus.answers import counted
from .._cpus.errors import RefusalError
from .._firmware.connection import Access
from .._firmware.plan import STATES
from .._firmware.redfish import Redfish
from .._firmware.registry import Value, names, same
from .._firmware.spelling import translated
from .._firmware.staging import Node, changes_of, outcome_of, read, reboots_for, stage, text_of, validate
from .._host.change import Planner
from .._tables import bounded, text_table
from ._common import Body, Outcome
from ._door import finish

#: How to reach a BMC; the fields of ``Access``.
ACCESS: dict[str, Any] = {
    "address": {"type": "str", "required": True},
    "username": {"type": "str", "required": True},
    "password": {"type": "str", "required": True, "no_log": True},
    "validate_certs": {"type": "bool", "default": True},
    "ca_path": {"type": "path"},
    "timeout": {"type": "int", "default": 30},
    "wait": {"type": "int", "default": 60},
    "system": {"type": "str", "default": ""},
}
ARGUMENTS: dict[str, Any] = {
    **ACCESS,
    "baselines": {"type": "list", "elements": "dict", "required": True},
    "baseline": {"type": "str", "default": "auto"},
    "profile": {"type": "str", "choices": ["latency", "balanced", "none"], "default": "latency"},
    "smt": {"type": "str", "choices": ["together", "single", "keep"], "default": "together"},
    "numa": {"type": "str", "choices": ["keep", "1", "2", "4"], "default": "keep"},
    "turbo": {"type": "str", "choices": ["keep", "off"], "default": "keep"},
    "overrides": {"type": "dict", "default": {}},
    "restore": {"type": "dict"},
}
#: What bios_baseline has beside them.
STAGE_ARGUMENTS: dict[str, Any] = {
    "overwrite_pending": {"type": "bool", "default": False},
    "without_registry": {"type": "bool", "default": False},
    "without_locked": {"type": "bool", "default": False},
    "settle": {"type": "int", "default": 0},
}
INFO_ARGUMENTS: dict[str, Any] = {**ARGUMENTS, "expect": {"type": "dict", "default": {}}, "settle": {"type": "int", "default": 0}}


def secrets_of(parameters: Mapping[str, Any]) -> set[str]:
    """Return the texts that no output may contain; of parameters that were refused too."""
    return Access("", str(parameters.get("username")), parameters.get("password") or "").secrets


@dataclass
class FirmwareEdges:
    """The BMC; the machine itself is not changed."""

    planner: Planner
    connect: Callable[[Access], Redfish] = Redfish


def run_info(edges: FirmwareEdges, parameters: dict[str, Any]) -> Outcome:
    """Read and compare; plans nothing."""
    results = describe(read(parameters, edges.connect))
    edges.planner.notes += results["notes"]
    return Outcome(results)


def run(edges: FirmwareEdges, parameters: dict[str, Any]) -> Outcome:
    """Plan the first stage; the write reads back what the BMC has accepted."""
    node = read(parameters, edges.connect)
    results = describe(node)
    edges.planner.notes += results["notes"]
    found: dict[str, bool] = {}

    def write() -> None:
        with _described(results):
            found["reboot_required"] = stage(node)

    with _described(results):
        validate(node)
    for number, change in enumerate(changes_of(node.plan)):  # one request stages all
        edges.planner.follow_up(change, write if number == 0 else _nothing)
    return Outcome(results, after=lambda: found, disturbs=reboots_for(node.plan))


def _nothing() -> None:
    """Do nothing: the first change makes the whole stage, which is one request."""


@contextmanager
def _described(results: Mapping[str, Any]) -> Iterator[None]:
    """Add the findings to a refusal."""
    try:
        yield
    except RefusalError as error:
        error.results = {**results, **error.results}
        raise


def shown(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the module's parameters, without the baselines, which would be most of every result."""
    return {
        "invocation": {
            "module_args": {name: value for name, value in parameters.items() if name not in ("baselines", "password")}
        }
    }


def run_bios(module: AnsibleModule, body: Body) -> None:
    """Run a module of the firmware, mostly on the controller."""
    module.no_log_values.update(secrets_of(module.params))
    finish(module, "bios", FirmwareEdges(Planner(check_mode=module.check_mode)), body, shown(module.params))


def describe(node: Node) -> dict[str, Any]:
    """Return a machine's firmware, baseline and plan as plain data."""
    report = _without(secrets_of(node.parameters), _describe(node))
    kept = ("system", "baseline", "state", "outcome", "compliant", "reboots", "absent", "foreign_pending", "rollback")
    fine = ("ok", "kept")
    different = [one for one in report["attributes"] if one["state"] not in fine]
    return {**report, "summary": {**{key: report[key] for key in kept}, "differences": different}}


def _without(secrets: set[str], value: Any) -> Any:
    """Return data without secrets, in names of fields too, which may be a BMC's. Ansible cleans neither names nor warnings."""
    if isinstance(value, dict):
        return {remove_values(name, secrets): _without(secrets, inner) for name, inner in value.items()}
    return [_without(secrets, inner) for inner in value] if isinstance(value, list) else remove_values(value, secrets)


def _describe(node: Node) -> dict[str, Any]:
    firmware, plan = node.firmware, node.plan
    expected = translated(firmware.registry, node.parameters.get("expect") or {})
    writes = {name: value for stage in plan.stages for name, value in stage.items()}
    guarded = {item.request.name for item in plan.items if item.request.topic == "virtualization"}
    return {
        "bmc": node.bmc.base,
        "system": {
            "id": firmware.system,
            "manufacturer": firmware.manufacturer,
            "model": firmware.model,
            "bios_version": firmware.version,
            "power": firmware.power,
        },
        "baseline": {"name": node.baseline.name, "title": node.baseline.title, "profile": node.parameters["profile"]},
        "registry": firmware.registry.identity if firmware.registry else "",
        "attributes": [item.to_dict() for item in plan.items],
        "stages": [dict(stage) for stage in plan.stages],
        "planned": [asdict(change) for change in reboots_for(plan)],
        "reboots": plan.reboots,
        "reboot_required": bool(plan.stages),
        "state": node.state,
        "outcome": outcome_of(node),
        "compliant": node.state == "compliant",
        "job": "" if node.job is None else str(node.job),
        "lockdown": plan.lockdown,
        "unnamed": list(node.foreign),
        "conflicts": [item.request.name for item in plan.of_state("conflict")],
        "blocked": [item.request.name for item in plan.of_state("blocked")],
        "absent": list(plan.absent),
        "foreign_pending": _shown(plan.foreign),
        "rollback": {name: firmware.current[name] for name in writes if name not in guarded},
        "former": {name: firmware.current[name] for name in plan.writes if name not in guarded},
        "not_taken": [name for name, value in expected.items() if not same(firmware.current.get(name), value)],
        "bmc_messages": list(firmware.messages),
        "notes": _notes(node),
        "table": table(node),
        "requests": node.bmc.requests,
    }


def _shown(values: Mapping[str, Value]) -> dict[str, Value]:
    """Hide possible secrets: attributes whose name contains password or key."""
    secret = ("password", "passwd", "secret", "key")
    return {name: "hidden" if any(word in name.lower() for word in secret) else value for name, value in values.items()}


def _notes(node: Node) -> list[str]:
    plan = node.plan
    notes = list(node.firmware.notes)
    if plan.foreign:
        notes.append(f"settings that this run did not request wait for the next reboot: {names(sorted(plan.foreign))}")
    if node.job is not None:
        notes.append(f"{node.job} of the BMC has not ended: it applies BIOS settings, and the BMC takes no others until then")
    if plan.lockdown:
        notes.append(f"{plan.lockdown}, so its BMC refuses all settings")
    else:
        notes += [f"{item.request.name} cannot be set: {item.note}" for item in plan.of_state("blocked")]
    notes += [f"{item.request.name} is not as wanted: {item.note}" for item in plan.of_state("unsupported")]
    notes += [f"{name} is wanted, but this machine does not have it" for name in plan.missing if plan.items]
    notes += [
        f"{name} is recorded, but neither the baseline nor bios_overrides names it, so it is left alone" for name in node.foreign
    ]
    if plan.missing and not plan.items and node.parameters["restore"] is None:
        notes.append("this machine has no attribute of the baseline, so its firmware was not compared")
    return notes


def table(node: Node) -> list[str]:
    """Return the report of a machine as text."""
    firmware, plan = node.firmware, node.plan
    notes = [f"lockdown: {plan.lockdown}"] if plan.lockdown else []
    head = (
        f"{firmware.manufacturer or 'unknown manufacturer'} {firmware.model}, BIOS {firmware.version or 'unknown'}; "
        f"baseline {node.baseline.name}, profile {node.parameters['profile']}"
    )
    rows = []
    for item in plan.items:
        when = f"reboot {item.stage}" if item.stage else ""
        waits = "" if item.pending is None else f" (waits: {text_of(item.pending)})"
        why = "; ".join(part for part in (item.note, item.request.reason) if part)
        rows.append([item.request.name, f"{text_of(item.current)}{waits}", text_of(item.wanted), STATES[item.state], when, why])
    lines = [
        *bounded([head, *notes]),
        *(
            text_table(["attribute", "is", "should be", "", "when", "why"], rows)
            if rows
            else ["this machine has no attribute of the baseline"]
        ),
    ]
    if plan.absent:
        lines += bounded([f"not on this machine: {names(plan.absent)}"])
    if plan.stages:
        lines.append(
            f"to do: {counted(len({name for stage in plan.stages for name in stage}), 'attribute')}, {counted(plan.reboots, 'reboot')}, "
            "disruption class reboot"
        )
    else:
        done = "wait until the BMC's job has ended" if node.state != plan.state else "nothing to do"
        lines.append(done if plan.state == "compliant" else "nothing can be set")
    return [*lines, *bounded([f"state: {outcome_of(node)}"])]
