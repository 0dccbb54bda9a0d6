# SPDX-License-Identifier: GPL-3.0-or-later
"""One machine's firmware against its baseline: read, validate, stage and read back what the BMC has accepted. Edge."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from .._cpus.answers import counted
from .._host.change import Change, results_of
from .baseline import Baseline, Intent, choose_baseline, make_requests, parse_baselines, restore_requests
from .connection import Access, Answer, RedfishError
from .jobs import Job, is_committed
from .odata import messages_of
from .plan import BiosPlan, Item, make_plan
from .redfish import NO_SETTINGS, Firmware, Redfish
from .registry import BiosError, Value, names, same
from .spelling import translated

#: How often, and at which interval in seconds, an asynchronous BMC is asked whether it has accepted the values.
_SETTLE, _PAUSE = 5, 2.0
#: What ends a lockdown. Source: message RAC1201 of iDRAC9, SMC.1.0 of Supermicro's BMCs.
_UNLOCK = (
    "Switch the lockdown off in the BMC (iDRAC: Dashboard, More Actions, Turn off System Lockdown Mode, or racadm set "
    "iDRAC.Lockdown.SystemLockdownMode 0; Supermicro: Configuration, System Lockdown), run this again, and switch it on afterwards"
)
#: What ends a job of an iDRAC.
_FREE = (
    "Reboot the node if the job waits for that, else wait, and run this again; a job that never ends can be deleted in the BMC "
    "(iDRAC: Maintenance, Job Queue, or racadm jobqueue delete -i JID_...)"
)
#: Seconds between two reads after a reboot.
_SETTLE_PAUSE = 5.0


@dataclass(frozen=True)
class Node:
    """The data of this run."""

    bmc: Redfish
    firmware: Firmware
    baseline: Baseline
    plan: BiosPlan
    parameters: Mapping[str, Any]
    foreign: tuple[str, ...] = ()  # recorded attributes that neither baseline nor overrides name
    job: Job | None = None  # which the BMC has not ended: what it reports may not be in effect

    @property
    def state(self) -> str:
        """The machine's state: that of its plan, but never compliant while a job may still change it.

        A job that waits beside settings of others is theirs; these are named.
        """
        unfinished = self.job is not None and not (self.job.waits and self.plan.foreign)
        return "differs" if self.plan.state == "compliant" and unfinished else self.plan.state


class PartlyError(BiosError):
    """The BMC has not accepted everything; ``results`` has the changes that it has accepted."""

    def __init__(self, message: str, results: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.results = results


def read(parameters: Mapping[str, Any], connect: Callable[[Access], Redfish]) -> Node:
    """Read a machine's firmware and plan its settings; raises ``BiosError`` or ``RedfishError``."""
    for name in ("timeout", "wait"):
        if parameters[name] < (1 if name == "timeout" else 0):
            raise BiosError(f"bios_{name}: {parameters[name]} is not a number of seconds from {1 if name == 'timeout' else 0} on")
    baselines = parse_baselines(parameters["baselines"])
    bmc = connect(
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
    firmware, job = _settled(bmc, parameters)
    baseline = choose_baseline(baselines, parameters["baseline"], firmware.manufacturer)
    intent = Intent(
        parameters["profile"],
        parameters["smt"],
        parameters["numa"],
        parameters["turbo"],
        parameters["overrides"],
    )
    former = parameters["restore"]
    foreign: tuple[str, ...] = ()
    if former is None:
        requests = make_requests(baseline, intent, firmware.current, firmware.registry)
    else:
        requests, foreign = restore_requests(baseline, intent.overrides, former, firmware.current, firmware.registry)
    plan = partial(
        make_plan,
        requests,
        firmware.current,
        firmware.pending,
        firmware.registry,
        overwrite=bool(parameters.get("overwrite_pending")),
    )
    made = plan()
    if made.state in ("differs", "locked") and (said := bmc.lockdown(firmware)):
        made = plan(lockdown=f"the system is in lockdown mode ({said})")
    return Node(bmc, firmware, baseline, made, parameters, foreign, job)


def _settled(bmc: Redfish, parameters: Mapping[str, Any]) -> tuple[Firmware, Job | None]:
    """Read; read again until the BMC reports the values expected after a reboot and its job has ended, or the time is over.

    Without a reboot, a job that waits for one is not waited for.
    """
    expected, deadline = parameters.get("expect") or {}, time.monotonic() + (parameters.get("settle") or 0)
    while True:
        try:
            firmware = bmc.read()
            job = bmc.job(firmware)
        except RedfishError:
            if not expected or time.monotonic() >= deadline:
                raise
        else:
            held = translated(firmware.registry, expected)
            holds = all(same(firmware.current.get(name), value) for name, value in held.items())
            ended = job is None or (job.waits and not expected)
            if (holds and ended) or time.monotonic() >= deadline:
                return firmware, job
        time.sleep(_SETTLE_PAUSE)


def validate(node: Node) -> None:
    """Refuse, before the first write, what cannot be done as requested."""
    plan, firmware = node.plan, node.firmware
    conflicts = plan.of_state("conflict")
    if conflicts:
        listed = ", ".join(f"{item.request.name}: {item.pending} (wanted: {item.wanted})" for item in conflicts)
        raise BiosError(
            f"bios_overwrite_pending: settings of another user wait for the reboot ({listed}); nothing was changed. "
            "Apply or remove them first, or set bios_overwrite_pending: true"
        )
    _validate_locks(node)
    if not plan.writes:
        return
    if node.job is not None:
        raise BiosError(f"{_held_by(node, node.job)}; nothing was changed. {_FREE}")
    if not firmware.settings:
        raise BiosError(f"{NO_SETTINGS}, so its BIOS cannot be set; update its firmware")
    if firmware.registry is None and not node.parameters["without_registry"]:
        raise BiosError(
            "bios_without_registry: without an attribute registry the values and the order that this BIOS allows are "
            "unknown; nothing was changed. Update the BMC's firmware, or set bios_without_registry: true to try"
        )
    if firmware.apply_times and "OnReset" not in firmware.apply_times:
        raise BiosError(
            f"the BMC applies BIOS settings only {names(firmware.apply_times)}, not at the next reset (OnReset), "
            "so the fleet's rolling reboot "
            "cannot apply them; nothing was changed"
        )


def _held_by(node: Node, job: Job) -> str:
    """Return why a BMC takes no settings now."""
    since = "waits for the next reset" if job.waits else f"has not ended within {node.parameters.get('settle') or 0} s"
    return f"bios_settle_timeout: {job} of {node.bmc.who()} {since}, and until it has ended it takes no other settings"


def _validate_locks(node: Node) -> None:
    """Refuse what is locked and what does not exist, unless the rest may be applied alone."""
    plan = node.plan
    blocked = plan.of_state("blocked")
    listed = ", ".join(item.request.name for item in blocked)
    if plan.lockdown and blocked:
        raise BiosError(f"bios_apply: {plan.lockdown}, so its BMC refuses {listed}; nothing was changed. {_UNLOCK}")
    if blocked and not node.parameters["without_locked"]:
        causes = "; ".join(f"{item.request.name}: {item.note}" for item in blocked)
        if "Immutable" in causes and "dell" in node.firmware.manufacturer.lower():
            causes += "; an iDRAC reports Immutable for all settings while its system lockdown is on"
        raise BiosError(
            f"bios_without_locked: {len(blocked)} of the wanted settings cannot be set ({causes}); nothing was changed. Remove the locks, leave "
            "these settings alone (bios_overrides with the value null), or set bios_without_locked: true to apply the rest"
        )
    useless = not any(item.request.accepted for item in plan.items) and (plan.missing or plan.of_state("unsupported"))
    if useless and node.parameters["restore"] is None:
        raise BiosError(
            f"bios_apply: {outcome_of(node)}; nothing can be applied. Give values for this machine in bios_baselines or bios_overrides"
        )


def outcome_of(node: Node) -> str:
    """Return the state of a machine as one sentence for people, with the attributes that are the cause."""
    plan = node.plan
    if node.state != plan.state:
        return f"{node.state}: {node.job} of its BMC has not ended, so what the BIOS reports may not be in effect"
    if plan.state == "differs":
        count = len(plan.of_state("differs", "comes", "staged", "conflict"))
        return f"differs: {counted(count, 'setting')}, {counted(plan.reboots, 'reboot')}"
    if plan.lockdown and plan.state == "locked":
        return f"locked: {plan.lockdown}"
    if plan.state == "locked":
        return f"locked: {names(item.request.name for item in plan.of_state('blocked'))}"
    if plan.state == "unsupported":
        unknown = [f"{item.request.name} ({item.note})" for item in plan.of_state("unsupported")]
        every = not plan.items and node.parameters["profile"] != "none" and node.parameters["restore"] is None
        absent = (
            ["none of the attributes of the baseline exists here"]
            if every
            else [f"{name} (not on this machine)" for name in plan.missing]
        )
        return f"unsupported: {names([*unknown, *absent])}"
    return "compliant"


def stage(node: Node) -> bool:
    """Write the first stage, read back what the BMC has accepted, and return whether that waits for a reboot."""
    firmware, writes = node.firmware, node.plan.writes
    more: dict[str, Any] = {}
    # iDRAC stages without a job that applies it unless OnReset is asked for (iDRAC-Redfish-Scripting #84)
    if firmware.apply_times or "dell" in firmware.manufacturer.lower():
        more["@Redfish.SettingsApplyTime"] = {"ApplyTime": "OnReset"}
    failure: RedfishError | None = None
    said: Mapping[str, Any] = {}
    status = 0
    try:
        answer = _patiently(node, more)
        said, status = answer.body, answer.status
    except RedfishError as error:
        failure, said, status = error, error.body, error.status
    again = partial(node.bmc.read, firmware.registry, registry=False)
    after = again()
    for _round in range(_SETTLE if status == 202 else 0):
        if all(_has(after, name, value) for name, value in writes.items()):
            break
        time.sleep(_PAUSE)
        after = again()
    missing = [name for name, value in writes.items() if not _has(after, name, value)]
    if not missing:
        return any(not same(after.current.get(name), value) for name, value in node.plan.stages[0].items())
    if failure is None and not after.readable:
        raise BiosError(
            f"the BMC {node.bmc.base} has taken the values of {names(missing)}, but does not let its pending settings be read "
            f"({firmware.settings}), so whether they wait for the reboot is unknown; update its firmware"
        )
    taken = [change for change in changes_of(node.plan) if change.resource.split(":", 1)[1] not in missing]
    messages = messages_of(said)
    words = [text for text, about in messages if set(about) & set(missing)]
    locked = f". {_UNLOCK}" if re.search("lockdown", f"{failure} {said}", re.IGNORECASE) else ""
    if failure and not words:
        if not taken:
            raise RedfishError(f"{str(failure).rstrip('.')}{locked}", failure.status, failure.body) if locked else failure
        words = [str(failure)]
    words = words or [text for text, _about in messages if "success" not in text.lower()]
    cause = f": {'; '.join(word.rstrip('.') for word in words)}" if words else "; it gives no reason"
    staged = [change.resource.split(":", 1)[1] for change in taken]
    raise PartlyError(
        f"the BMC {node.bmc.base} has not accepted {names(missing)}{cause}. Staged for the next reboot: "
        f"{names(staged)}{locked}. Leave a refused attribute alone (bios_overrides with the value null), or give it a value "
        "that the BMC accepts",
        results_of(taken),
    )


def _patiently(node: Node, more: Mapping[str, Any]) -> Answer:
    """Write the first stage; while a job that runs holds the settings, again until the time is over."""
    deadline = time.monotonic() + (node.parameters.get("settle") or 0)
    while True:
        try:
            return node.bmc.stage(node.firmware, node.plan.writes, more)
        except RedfishError as error:
            if not is_committed(f"{error} {error.body}"):
                raise
            job = node.bmc.job(node.firmware)
            if time.monotonic() >= deadline or (job is not None and job.waits):
                said = f"{str(error).rstrip('.')}. "
                held = f"{_held_by(node, job)}. " if job is not None else ""
                raise RedfishError(f"{said}{held}{_FREE}", error.status, error.body) from None
        time.sleep(_SETTLE_PAUSE)


def _has(firmware: Firmware, name: str, value: Value) -> bool:
    """Return whether a value waits for the reboot, or is already in effect."""
    return same(firmware.pending.get(name, firmware.current.get(name)), value)


def changes_of(plan: BiosPlan) -> list[Change]:
    """Return the changes of the first stage; each later stage is a separate run."""
    items = {item.request.name: item for item in plan.items}
    return [_change(items[name], value) for name, value in plan.writes.items()]


def reboots_for(plan: BiosPlan) -> list[Change]:
    """Return everything that needs reboots: what this run stages, what already waits, and what later stages write."""
    items = {item.request.name: item for item in plan.items}
    return [_change(items[name], value) for stage in plan.stages for name, value in stage.items()]


def _change(item: Item, value: Value) -> Change:
    before = item.current if item.pending is None else item.pending
    return Change(f"bios:{item.request.name}", text_of(before), text_of(value), "reboot", item.request.reason)


def text_of(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
