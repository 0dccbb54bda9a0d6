# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan from a machine's present firmware to the wanted one: differences, the order that locks allow, reboots. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .baseline import Request, Requests
from .registry import Registry, Value, same

#: More stages than any known registry needs; a plan that is not done by then is reported as blocked.
MAX_STAGES = 6

#: States of an attribute in the plan.
STATES = {
    "ok": "as it should be",
    "kept": "left as it is",
    "differs": "to be set",
    "staged": "set, waits for the reboot",
    "comes": "will come with another attribute",
    "conflict": "another user has staged another value",
    "blocked": "cannot be set",
    "unsupported": "this machine has no value for it",
}


@dataclass(frozen=True)
class Item:
    """One attribute: its present, pending and wanted value, and its place in the plan."""

    request: Request
    current: Value
    pending: Value
    wanted: Value
    state: str
    stage: int = 0  # the reboot that applies it, from 1; 0: none
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the item as plain data."""
        return {
            "attribute": self.request.name,
            "baseline_name": self.request.base or self.request.name,
            "current": self.current,
            "pending": self.pending,
            "wanted": self.wanted,
            "state": self.state,
            "stage": self.stage,
            "topic": self.request.topic,
            "origin": self.request.origin,
            "reason": self.request.reason,
            "cost": self.request.cost,
            "source": self.request.source,
            "note": self.note,
        }


@dataclass(frozen=True)
class BiosPlan:
    """The plan of one machine.

    ``stages`` are sets of values in the order of writing; a reboot follows each. ``foreign`` are pending values that this
    plan did not request, by attribute.
    """

    items: tuple[Item, ...]
    stages: tuple[Mapping[str, Value], ...]
    absent: tuple[str, ...]
    foreign: Mapping[str, Value] = field(default_factory=dict)
    waiting: Mapping[str, Value] = field(default_factory=dict)  # values of the first stage that are already pending
    missing: tuple[str, ...] = ()  # wanted attributes that the machine does not have
    lockdown: str = ""  # why the BMC accepts no setting at all

    @property
    def writes(self) -> dict[str, Value]:
        """The values to write now: the first stage without those that are already pending."""
        first = self.stages[0] if self.stages else {}
        return {name: value for name, value in first.items() if name not in self.waiting}

    @property
    def reboots(self) -> int:
        return len(self.stages)

    @property
    def state(self) -> str:
        """The machine in a word: ``compliant``, ``differs`` (it can be set), ``locked`` (it cannot), ``unsupported`` (it does not exist here).

        Of several the first of: differs, locked, unsupported.
        """
        if self.of_state("differs", "comes", "staged", "conflict"):
            return "differs"
        if self.of_state("blocked"):
            return "locked"
        return "unsupported" if self.of_state("unsupported") or self.missing else "compliant"

    def of_state(self, *states: str) -> list[Item]:
        return [item for item in self.items if item.state in states]


def make_plan(
    requests: Requests,
    current: Mapping[str, Value],
    pending: Mapping[str, Value],
    registry: Registry | None,
    *,
    overwrite: bool = False,
    lockdown: str = "",
) -> BiosPlan:
    """Plan a machine. ``pending`` has the values that wait for a reboot and differ from the current ones.

    A pending value that is not the wanted one belongs to another user: without ``overwrite`` its attribute is left alone.
    ``lockdown`` says why the BMC accepts no setting; an empty text where it does.
    """
    active = [request for request in requests.requests if request.accepted and not request.unsupported]
    if lockdown:
        return _locked_plan(requests, active, current, pending, lockdown)
    conflicts = {
        request.name
        for request in active
        if not request.gate and request.name in pending and not request.satisfied(pending[request.name]) and not overwrite
    }
    conflicts |= _gate_conflicts(active, pending, overwrite)
    planned = [request for request in active if request.name not in conflicts]
    stages, blocked = _stages(planned, current, registry)
    taken_back = {
        request.name: current[request.name]
        for request in planned
        if request.name in pending and request.satisfied(current[request.name]) and not request.satisfied(pending[request.name])
    }
    if taken_back:
        stages = [{**taken_back, **(stages[0] if stages else {})}, *stages[1:]]
    waiting = {name: value for name, value in (stages[0] if stages else {}).items() if _waits(name, value, pending)}
    number = {name: at for at, stage in enumerate(stages, 1) for name in stage}
    final = _after(current, stages, registry)
    items = []
    for request in requests.requests:
        item = _item(request, current, pending, number, conflicts, blocked, stages, waiting)
        if item.state == "comes":
            item = replace(item, wanted=final[request.name], stage=_comes(request, current, stages, registry))
        items.append(item)
    foreign = {name: value for name, value in pending.items() if name not in waiting}
    return BiosPlan(tuple(items), tuple(stages), requests.absent, foreign, waiting, requests.missing)


def _locked_plan(
    requests: Requests, active: Sequence[Request], current: Mapping[str, Value], pending: Mapping[str, Value], lockdown: str
) -> BiosPlan:
    """Return the plan of a machine whose BMC accepts nothing; what waits there would not be applied either."""
    due = [request for request in active if request.gate != "needed" and not request.satisfied(current[request.name])]
    blocked = {request.name: "locked, as all settings are in lockdown mode" for request in due}
    items = tuple(_item(request, current, pending, {}, set(), blocked, [], {}) for request in requests.requests)
    wanted = {request.name for request in active if request.name in pending and request.satisfied(pending[request.name])}
    foreign = {name: value for name, value in pending.items() if name not in wanted}
    return BiosPlan(items, (), requests.absent, foreign, {}, requests.missing, lockdown)


def _waits(name: str, value: Value, pending: Mapping[str, Value]) -> bool:
    return name in pending and same(pending[name], value)


def _gate_conflicts(active: Sequence[Request], pending: Mapping[str, Value], overwrite: bool) -> set[str]:
    """Presets that another user has staged to another value; they would lock or reset planned attributes."""
    return {
        request.name
        for request in active
        if request.gate and not overwrite and request.name in pending and not request.satisfied(pending[request.name])
    }


def _after(current: Mapping[str, Value], stages: Iterable[Mapping[str, Value]], registry: Registry | None) -> dict[str, Value]:
    values = dict(current)
    for stage in stages:
        values = registry.simulate(values, stage) if registry else {**values, **stage}
    return values


def _target(request: Request, value: Value) -> Value:
    return value if request.satisfied(value) else request.accepted[0]


def _stages(
    requests: Sequence[Request], current: Mapping[str, Value], registry: Registry | None
) -> tuple[list[dict[str, Value]], dict[str, str]]:
    """Return the stages, and for attributes in no stage the reason."""
    gates = [request for request in requests if request.gate]
    due = [request for request in requests if request.gate != "needed"]
    values = dict(current)
    stages: list[dict[str, Value]] = []
    done: set[tuple[str, str]] = set()
    while len(stages) < MAX_STAGES:
        open_ = [request for request in due if not request.satisfied(values[request.name])]
        if not open_:
            break
        stage = _one_stage(open_, gates, values, registry) if registry else _blind_stage(open_, gates, values, first=not stages)
        # a value that another one resets would be set again in every run
        stage = {name: value for name, value in stage.items() if (name, str(value)) not in done}
        if not stage:
            break
        done |= {(name, str(value)) for name, value in stage.items()}
        values = _after(values, [stage], registry)
        stages.append(stage)
    blocked = {
        request.name: _why(request.name, values, stages, registry)
        for request in due
        if not request.satisfied(values[request.name])
    }
    # an attribute that stays blocked needs none of the reboots that only tried to unlock it
    return _without_idle_gates(stages, requests, current, registry), blocked


def _blind_stage(
    open_: Sequence[Request], gates: Sequence[Request], values: Mapping[str, Value], *, first: bool
) -> dict[str, Value]:
    """Without a registry it is unknown what a preset locks: presets come first, the rest after a reboot."""
    presets = {gate.name: gate.accepted[0] for gate in gates if not gate.satisfied(values[gate.name])}
    return presets if first and presets else {request.name: request.accepted[0] for request in open_}


def _one_stage(
    open_: Sequence[Request], gates: Sequence[Request], values: Mapping[str, Value], registry: Registry
) -> dict[str, Value]:
    """Return the attributes that can be written together now.

    An attribute that is read-only under the present values must wait for a reboot; one that is only grayed out may be
    written together with the attribute that makes it effective (DSP0268).
    """
    chosen: dict[str, Value] = {}
    for gate in gates:
        value = _preset(gate, [request for request in open_ if not request.gate], {**values, **chosen}, registry)
        if value is not None and not registry.read_only(gate.name, values):
            chosen[gate.name] = value
    # attributes that reset others come before these
    open_ = sorted(open_, key=lambda request: not _sets_back(request, open_, values, registry))
    # attributes that would lock others wait until these are done, unless nothing else can be done
    return _fill(chosen, open_, values, registry, lockers=False) or _fill(chosen, open_, values, registry, lockers=True)


def _fill(
    chosen: Mapping[str, Value], open_: Sequence[Request], values: Mapping[str, Value], registry: Registry, *, lockers: bool
) -> dict[str, Value]:
    """Add the attributes that can be written with the chosen presets, in an order where later ones depend on earlier ones."""
    stage = dict(chosen)
    again = True
    while again:
        again = False
        for request in open_:
            if request.gate or request.name in stage or registry.read_only(request.name, values):
                continue
            if request.satisfied(registry.simulate(values, stage)[request.name]):
                continue
            if _fits(request, values, stage, registry) and (lockers or not _locks(request, open_, values, stage, registry)):
                stage[request.name] = request.accepted[0]
                again = True
    return stage


def _sets_back(request: Request, open_: Sequence[Request], values: Mapping[str, Value], registry: Registry) -> bool:
    """Return whether setting an attribute gives another request a wrong value."""
    after = registry.simulate(values, {request.name: request.accepted[0]})
    return any(
        not same(after[other.name], values[other.name]) and not other.satisfied(after[other.name])
        for other in open_
        if other.name != request.name
    )


def _locks(
    request: Request, open_: Sequence[Request], values: Mapping[str, Value], stage: Mapping[str, Value], registry: Registry
) -> bool:
    """Return whether setting an attribute would make another request impossible."""
    before = registry.simulate(values, stage)
    after = registry.simulate(values, {**stage, request.name: request.accepted[0]})
    return any(
        (other.name in stage or not other.satisfied(after[other.name]))
        and not _locked(other.name, before, registry)
        and _locked(other.name, after, registry)
        for other in open_
        if other.name != request.name
    )


def _locked(name: str, values: Mapping[str, Value], registry: Registry) -> bool:
    return bool(registry.read_only(name, values) or registry.gray_out(name, values))


def _preset(gate: Request, open_: Sequence[Request], values: Mapping[str, Value], registry: Registry) -> Value:
    """Return the value of a preset that serves most attributes, the preferred one of several; None keeps its value."""
    served = _served(open_, values, registry)
    best: Value = None
    if gate.gate == "always" and not gate.satisfied(values[gate.name]):
        served = -1
    for value in gate.accepted:
        now = _served(open_, registry.simulate(values, {gate.name: value}), registry)
        if not same(value, values[gate.name]) and now > served:
            best, served = value, now
    return best


def _served(open_: Sequence[Request], values: Mapping[str, Value], registry: Registry) -> int:
    """Return how many attributes have the wanted value, or can get it, under these values."""
    free = [
        request
        for request in open_
        if not registry.read_only(request.name, values) and not registry.gray_out(request.name, values)
    ]
    return len(
        {request.name for request in free} | {request.name for request in open_ if request.satisfied(values[request.name])}
    )


def _fits(request: Request, values: Mapping[str, Value], chosen: Mapping[str, Value], registry: Registry) -> bool:
    """Return whether an attribute, set together with the chosen ones, keeps its value and changes none of theirs."""
    together = {**chosen, request.name: request.accepted[0]}
    after = registry.simulate(values, together)
    kept = all(same(after[name], value) for name, value in together.items())
    return kept and not registry.read_only(request.name, after) and not registry.gray_out(request.name, after)


def _why(name: str, values: Mapping[str, Value], stages: Sequence[Mapping[str, Value]], registry: Registry | None) -> str:
    if registry is None:
        return "the registry describes no such attribute"
    why = registry.read_only(name, values) or registry.gray_out(name, values)
    if why:
        return f"locked: {why}"
    if any(name in stage for stage in stages):
        return "another attribute of the plan would reset it"
    return "it would change, or lock, another attribute of the plan"


def _without_idle_gates(
    stages: list[dict[str, Value]],
    requests: Sequence[Request],
    current: Mapping[str, Value],
    registry: Registry | None,
) -> list[dict[str, Value]]:
    """Leave out presets that in the end served no request."""
    if registry is None:
        return stages
    reached = _reached(requests, current, stages, registry)
    for gate in [request for request in requests if request.gate == "needed"]:
        trial = [{name: value for name, value in stage.items() if name != gate.name} for stage in stages]
        trial = [stage for stage in trial if stage]
        if _possible(trial, current, registry) and reached <= _reached(requests, current, trial, registry):
            stages = trial
    return stages


def _reached(
    requests: Sequence[Request], current: Mapping[str, Value], stages: Sequence[Mapping[str, Value]], registry: Registry
) -> set[str]:
    after = _after(current, stages, registry)
    return {request.name for request in requests if not request.gate and request.satisfied(after[request.name])}


def _possible(stages: Sequence[Mapping[str, Value]], current: Mapping[str, Value], registry: Registry) -> bool:
    """Return whether each stage can be written in its turn, and has an effect then."""
    values = dict(current)
    for stage in stages:
        if any(registry.read_only(name, values) for name in stage):
            return False
        values = registry.simulate(values, stage)
        if any(registry.gray_out(name, values) for name in stage):
            return False
    return True


def _item(
    request: Request,
    current: Mapping[str, Value],
    pending: Mapping[str, Value],
    number: Mapping[str, int],
    conflicts: set[str],
    blocked: Mapping[str, str],
    stages: Sequence[Mapping[str, Value]],
    waiting: Mapping[str, Value],
) -> Item:
    value, waits = current[request.name], pending.get(request.name)
    item = Item(request, value, waits, value, "ok", note=request.meaning)
    if request.unsupported:
        return replace(item, state="unsupported", note=request.unsupported)
    if not request.accepted:
        return replace(item, state="kept")
    item = replace(item, wanted=_target(request, value))
    if request.name in conflicts:
        return replace(item, state="conflict", note=f"another user's value {waits} waits for the next reboot")
    if request.name in blocked:
        return replace(item, state="blocked", note=blocked[request.name])
    if request.name in number:
        stage = number[request.name]
        wanted = stages[stage - 1][request.name]
        if request.name in waiting:
            return replace(item, wanted=wanted, state="staged", stage=stage)
        note = request.meaning
        if request.gate:
            note = "; ".join(part for part in (request.meaning, "unlocks, or sets, other attributes") if part)
        return replace(item, wanted=wanted, state="differs", stage=stage, note=note)
    if request.gate == "needed":
        # a preset keeps its value, unless another attribute needs a different one
        return replace(item, wanted=value)
    if not request.satisfied(value):
        return replace(item, state="comes", note="another attribute of the plan sets it")
    return item


def _comes(
    request: Request, current: Mapping[str, Value], stages: Sequence[Mapping[str, Value]], registry: Registry | None
) -> int:
    """Return the reboot after which the attribute has the wanted value."""
    values = dict(current)
    for number, stage in enumerate(stages, 1):
        values = _after(values, [stage], registry)
        if request.satisfied(values[request.name]):
            return number
    return 0
