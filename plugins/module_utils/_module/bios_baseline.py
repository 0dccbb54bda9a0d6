# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""bios_baseline and bios_baseline_info: one machine's firmware against its baseline, through its BMC.

Unlike the other modules these run where the BMC can be reached, mostly on the controller, and touch no file there.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .._bios_baseline import Baseline, Intent, choose_baseline, make_wishes, parse_baselines
from .._bios_plan import STATES, BiosPlan, Item, make_plan
from .._bios_registry import BiosError, Value, names, same
from .._change import Change, DisruptionError, check_limit, worst_disruption
from .._redfish import Access, Firmware, Redfish, RedfishError, messages_of
from .._report import text_table

ARGUMENTS: dict[str, Any] = {
    "address": {"type": "str", "required": True},
    "username": {"type": "str", "required": True},
    "password": {"type": "str", "required": True, "no_log": True},
    "validate_certs": {"type": "bool", "default": True},
    "ca_path": {"type": "path"},
    "timeout": {"type": "int", "default": 30},
    "wait": {"type": "int", "default": 60},
    "system": {"type": "str", "default": ""},
    "baselines": {"type": "list", "elements": "dict", "required": True},
    "baseline": {"type": "str", "default": "auto"},
    "profile": {"type": "str", "choices": ["latency", "balanced", "none"], "default": "latency"},
    "smt": {"type": "str", "choices": ["together", "single", "keep"], "default": "together"},
    "numa": {"type": "str", "choices": ["keep", "1", "2", "4"], "default": "keep"},
    "turbo": {"type": "str", "choices": ["keep", "off"], "default": "keep"},
    "overrides": {"type": "dict", "default": {}},
}
INFO_ARGUMENTS: dict[str, Any] = {**ARGUMENTS, "expect": {"type": "dict", "default": {}}, "settle": {"type": "int", "default": 0}}
#: How often, and how many seconds apart, a BMC that works asynchronously is asked whether it has taken the values.
_SETTLE, _PAUSE = 5, 2.0
#: Seconds between two looks after a reboot.
_SETTLE_PAUSE = 5.0


@dataclass(frozen=True)
class Node:
    """What this run works with."""

    bmc: Redfish
    firmware: Firmware
    baseline: Baseline
    plan: BiosPlan
    parameters: Mapping[str, Any]


class _PartlyError(Exception):
    """The BMC has not taken everything; ``taken`` are the changes it has."""

    def __init__(self, message: str, taken: list[Change]) -> None:
        super().__init__(message)
        self.taken = taken


def secrets_of(parameters: Mapping[str, Any]) -> set[str]:
    """Return the texts that may be in no output: the password, and the header that it is sent in, should a BMC quote it."""
    password = parameters.get("password")
    if not password:
        return set()
    return {password, base64.b64encode(f"{parameters.get('username')}:{password}".encode()).decode()}


def run_bios(module: AnsibleModule, *, info: bool) -> None:
    """Run a module; its result goes to whoever called it."""
    parameters = dict(module.params)
    module.no_log_values.update(secrets_of(parameters))
    results = work(parameters, check_mode=module.check_mode, info=info)
    for note in results.get("notes", []):
        module.warn(note)
    if results.get("failed"):
        module.fail_json(**results)
    module.exit_json(**results)


def work(parameters: Mapping[str, Any], *, check_mode: bool, info: bool) -> dict[str, Any]:
    """Read, plan, validate; then, unless ``info`` or check mode, stage what is due and read it back. Returns the result."""
    # the baselines would be most of every result
    shown = {name: value for name, value in parameters.items() if name not in ("baselines", "password")}
    results: dict[str, Any] = {"invocation": {"module_args": shown}}
    try:
        node = _read(parameters)
        results.update(describe(node))
        changes = []
        if not info:
            _validate(node)
            check_limit(_reboots_for(node.plan), parameters.get("max_disruption"))
            changes = changes_of(node.plan)
            if changes and not check_mode:
                results["reboot_required"] = _stage(node)
        return {**results, **_change_results(changes)}
    except _PartlyError as error:
        return {**results, **_change_results(error.taken), "failed": True, "msg": f"bios_baseline: {error}"}
    except DisruptionError as error:
        return {**results, **error.results, "changed": False, "failed": True, "msg": str(error)}
    except (BiosError, RedfishError) as error:
        text = str(error)
        return {**results, "changed": False, "failed": True, "msg": text if text.startswith("bios_") else f"bios: {text}"}


def _read(parameters: Mapping[str, Any]) -> Node:
    for name in ("timeout", "wait"):
        if parameters[name] < (1 if name == "timeout" else 0):
            raise BiosError(f"bios_{name} is {parameters[name]}; it is a number of seconds")
    baselines = parse_baselines(parameters["baselines"])
    bmc = Redfish(
        Access(
            parameters["address"],
            parameters["username"],
            parameters["password"],
            parameters["validate_certs"],
            parameters["ca_path"],
            parameters["timeout"],
            parameters["wait"],
            parameters["system"],
        )
    )
    firmware = _settled(bmc, parameters)
    baseline = choose_baseline(baselines, parameters["baseline"], firmware.manufacturer)
    intent = Intent(
        parameters["profile"],
        parameters["smt"],
        parameters["numa"],
        parameters["turbo"],
        parameters["overrides"],
    )
    wishes = make_wishes(baseline, intent, firmware.current, firmware.registry)
    plan = make_plan(
        wishes,
        firmware.current,
        firmware.pending,
        firmware.registry,
        overwrite=bool(parameters.get("overwrite_pending")),
    )
    return Node(bmc, firmware, baseline, plan, parameters)


def _settled(bmc: Redfish, parameters: Mapping[str, Any]) -> Firmware:
    """Read, and after a reboot read again until the BMC tells the values that are expected, or the time is over."""
    expected, deadline = parameters.get("expect") or {}, time.monotonic() + (parameters.get("settle") or 0)
    while True:
        try:
            firmware = bmc.read()
        except RedfishError:
            if time.monotonic() >= deadline:
                raise
        else:
            holds = all(same(firmware.current.get(name), value) for name, value in expected.items())
            if holds or time.monotonic() >= deadline:
                return firmware
        time.sleep(_SETTLE_PAUSE)


def _validate(node: Node) -> None:
    """Refuse, before the first write, what cannot be done as asked."""
    plan, firmware = node.plan, node.firmware
    conflicts = plan.of_state("conflict")
    if conflicts:
        told = ", ".join(f"{item.wish.name}: {item.pending} (wanted: {item.wanted})" for item in conflicts)
        raise BiosError(
            f"bios_overwrite_pending: settings of somebody else wait for the reboot ({told}); nothing was changed. Let them be applied or "
            "taken back first, or set bios_overwrite_pending: true"
        )
    if not plan.writes:
        return
    if not firmware.settings:
        raise BiosError("the BMC names no settings object (@Redfish.Settings), so its BIOS cannot be set; update its firmware")
    if firmware.registry is None and not node.parameters["without_registry"]:
        raise BiosError(
            "bios_without_registry: without an attribute registry nobody can say which values and which order this BIOS allows; nothing was "
            "changed. Update the BMC's firmware, or set bios_without_registry: true to try"
        )
    if firmware.apply_times and "OnReset" not in firmware.apply_times:
        raise BiosError(
            f"the BMC applies BIOS settings only {names(firmware.apply_times)}, not at the next reset (OnReset), so the fleet's rolling reboot "
            "cannot apply them; nothing was changed"
        )


def _stage(node: Node) -> bool:
    """Write the first stage, look at what the BMC has really taken, and return whether that waits for a reboot."""
    firmware, writes = node.firmware, node.plan.writes
    body: dict[str, Any] = {"Attributes": writes}
    if firmware.apply_times:
        body["@Redfish.SettingsApplyTime"] = {"ApplyTime": "OnReset"}
    failure: RedfishError | None = None
    said: Mapping[str, Any] = {}
    status = 0
    try:
        answer = node.bmc.patch(firmware.settings, body, firmware.etag)
        said, status = answer.body, answer.status
    except RedfishError as error:
        failure, said, status = error, error.body, error.status
    after = node.bmc.read(registry=False)
    for _round in range(_SETTLE if status == 202 else 0):
        if all(_has(after, name, value) for name, value in writes.items()):
            break
        time.sleep(_PAUSE)
        after = node.bmc.read(registry=False)
    missing = [name for name, value in writes.items() if not _has(after, name, value)]
    if not missing:
        return any(not same(after.current.get(name), value) for name, value in node.plan.stages[0].items())
    taken = [change for change in changes_of(node.plan) if change.resource.split(":", 1)[1] not in missing]
    words = [text for text, about in messages_of(said) if set(about) & set(missing)]
    if failure and not words:
        if not taken:
            raise failure
        words = [str(failure)]
    words = words or [text for text, _about in messages_of(said) if "success" not in text.lower()]
    cause = f": {'; '.join(word.rstrip('.') for word in words)}" if words else "; it gives no reason"
    staged = [change.resource.split(":", 1)[1] for change in taken]
    raise _PartlyError(
        f"the BMC {node.bmc.base} has not taken {names(missing)}{cause}. Staged for the next reboot: {names(staged)}. Leave an attribute that it refuses "
        "alone (bios_overrides with the value null), or give it a value that it takes",
        taken,
    )


def _has(firmware: Firmware, name: str, value: Value) -> bool:
    """Return whether a value waits for the reboot, or holds already."""
    return same(firmware.pending.get(name, firmware.current.get(name)), value)


def changes_of(plan: BiosPlan) -> list[Change]:
    """Return what the first stage changes; later stages are runs of their own."""
    items = {item.wish.name: item for item in plan.items}
    return [_change(items[name], value) for name, value in plan.writes.items()]


def _reboots_for(plan: BiosPlan) -> list[dict[str, Any]]:
    """Return what reboots are needed for: not only what this run would stage, but also what waits and what later stages write."""
    items = {item.wish.name: item for item in plan.items}
    return [asdict(_change(items[name], value)) for stage in plan.stages for name, value in stage.items()]


def _change(item: Item, value: Value) -> Change:
    before = item.current if item.pending is None else item.pending
    return Change(f"bios:{item.wish.name}", _text(before), _text(value), "reboot", item.wish.reason)


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _change_results(changes: list[Change]) -> dict[str, Any]:
    return {
        "changed": bool(changes),
        "changes": [asdict(change) for change in changes],
        "disruption": worst_disruption(changes),
        "diff": [
            {
                "before_header": change.resource,
                "after_header": f"{change.resource} [{change.disruption}]",
                "before": f"{change.before}\n",
                "after": f"{change.after}\n",
            }
            for change in changes
        ],
    }


def describe(node: Node) -> dict[str, Any]:
    """Return a machine's firmware, baseline and plan as plain data."""
    told = _describe(node)
    kept = ("system", "baseline", "compliant", "reboots", "absent", "foreign_pending", "rollback")
    fine = ("ok", "kept", "unsupported")
    different = [one for one in told["attributes"] if one["state"] not in fine]
    return {**told, "summary": {**{key: told[key] for key in kept}, "differences": different}}


def _describe(node: Node) -> dict[str, Any]:
    firmware, plan = node.firmware, node.plan
    expected = node.parameters.get("expect") or {}
    writes = {name: value for stage in plan.stages for name, value in stage.items()}
    guarded = {item.wish.name for item in plan.items if item.wish.topic == "virtualization"}
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
        "reboots": plan.reboots,
        "reboot_required": bool(plan.stages),
        "compliant": not plan.of_state("differs", "comes", "staged", "conflict", "blocked"),
        "conflicts": [item.wish.name for item in plan.of_state("conflict")],
        "blocked": [item.wish.name for item in plan.of_state("blocked")],
        "absent": list(plan.absent),
        "foreign_pending": _shown(plan.foreign),
        "rollback": {name: firmware.current[name] for name in writes if name not in guarded},
        "not_taken": [name for name, value in expected.items() if not same(firmware.current.get(name), value)],
        "bmc_messages": list(firmware.messages),
        "notes": _notes(node),
        "table": table(node),
        "requests": node.bmc.requests,
    }


def _shown(values: Mapping[str, Value]) -> dict[str, Value]:
    """Hide what may be a secret: attributes whose name speaks of a password or a key."""
    secret = ("password", "passwd", "secret", "key")
    return {name: "hidden" if any(word in name.lower() for word in secret) else value for name, value in values.items()}


def _notes(node: Node) -> list[str]:
    plan = node.plan
    notes = list(node.firmware.notes)
    if plan.foreign:
        notes.append(f"settings that this run did not ask for wait for the next reboot: {names(sorted(plan.foreign))}")
    notes += [f"{item.wish.name} cannot be set: {item.note}" for item in plan.of_state("blocked")]
    return notes


def table(node: Node) -> list[str]:
    """Return the report of a machine, for people."""
    firmware, plan = node.firmware, node.plan
    head = (
        f"{firmware.manufacturer or 'unknown manufacturer'} {firmware.model}, BIOS {firmware.version or 'unknown'}; "
        f"baseline {node.baseline.name}, profile {node.parameters['profile']}"
    )
    rows = []
    for item in plan.items:
        when = f"reboot {item.stage}" if item.stage else ""
        waits = "" if item.pending is None else f" (waits: {_text(item.pending)})"
        why = "; ".join(part for part in (item.note, item.wish.reason) if part)
        rows.append([item.wish.name, f"{_text(item.current)}{waits}", _text(item.wanted), STATES[item.state], when, why])
    lines = [
        head,
        *(
            text_table(["attribute", "is", "should be", "", "when", "why"], rows)
            if rows
            else ["nothing of the baseline is there"]
        ),
    ]
    if plan.absent:
        lines.append(f"not on this machine: {names(plan.absent)}")
    if plan.stages:
        plural = "s" if plan.reboots > 1 else ""
        lines.append(
            f"to be done: {len({name for stage in plan.stages for name in stage})} attributes, {plan.reboots} reboot{plural}, disruption class reboot"
        )
    else:
        lines.append("nothing to be done")
    return lines
