# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a machine's firmware is to what it should be: the differences, the order that locks allow, the reboots. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .baseline import Wish, Wishes
from .registry import Registry, Value, same

#: More stages than any known registry needs; a plan that is not done by then is told as blocked.
MAX_STAGES = 6

#: What an attribute is to the plan.
STATES = {
    "ok": "as it should be",
    "kept": "left as it is",
    "differs": "to be set",
    "staged": "set, waits for the reboot",
    "comes": "will come with another attribute",
    "conflict": "somebody else has staged another value",
    "blocked": "cannot be set",
    "unsupported": "this machine has no value for it",
}


@dataclass(frozen=True)
class Item:
    """One attribute: what it is, what waits, what it should be, and what the plan does about it."""

    wish: Wish
    current: Value
    pending: Value
    wanted: Value
    state: str
    stage: int = 0  # the reboot it comes with, from 1; 0: none
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the item as plain data."""
        return {
            "attribute": self.wish.name,
            "baseline_name": self.wish.base or self.wish.name,
            "current": self.current,
            "pending": self.pending,
            "wanted": self.wanted,
            "state": self.state,
            "stage": self.stage,
            "topic": self.wish.topic,
            "origin": self.wish.origin,
            "reason": self.wish.reason,
            "cost": self.wish.cost,
            "source": self.wish.source,
            "note": self.note,
        }


@dataclass(frozen=True)
class BiosPlan:
    """The plan of one machine.

    ``stages`` are sets of values in the order they are to be written; between two there is a reboot, and after the last one.
    ``foreign`` are pending values that this plan did not ask for, by attribute.
    """

    items: tuple[Item, ...]
    stages: tuple[Mapping[str, Value], ...]
    absent: tuple[str, ...]
    foreign: Mapping[str, Value] = field(default_factory=dict)
    waiting: Mapping[str, Value] = field(default_factory=dict)  # of the first stage, already pending

    @property
    def writes(self) -> dict[str, Value]:
        """What is to be written now: the first stage without what already waits."""
        first = self.stages[0] if self.stages else {}
        return {name: value for name, value in first.items() if name not in self.waiting}

    @property
    def reboots(self) -> int:
        return len(self.stages)

    def of_state(self, *states: str) -> list[Item]:
        return [item for item in self.items if item.state in states]


def make_plan(
    wishes: Wishes,
    current: Mapping[str, Value],
    pending: Mapping[str, Value],
    registry: Registry | None,
    *,
    overwrite: bool = False,
) -> BiosPlan:
    """Plan a machine. ``pending`` has the values that wait for a reboot and differ from the current ones.

    A pending value that is not the wanted one is somebody else's: without ``overwrite`` its attribute is left alone.
    """
    active = [wish for wish in wishes.wishes if wish.accepted and not wish.unsupported]
    conflicts = {
        wish.name
        for wish in active
        if not wish.gate and wish.name in pending and not wish.satisfied(pending[wish.name]) and not overwrite
    }
    conflicts |= _gate_conflicts(active, pending, overwrite)
    planned = [wish for wish in active if wish.name not in conflicts]
    stages, blocked = _stages(planned, current, registry)
    taken_back = {
        wish.name: current[wish.name]
        for wish in planned
        if wish.name in pending and wish.satisfied(current[wish.name]) and not wish.satisfied(pending[wish.name])
    }
    if taken_back:
        stages = [{**taken_back, **(stages[0] if stages else {})}, *stages[1:]]
    waiting = {name: value for name, value in (stages[0] if stages else {}).items() if _waits(name, value, pending)}
    number = {name: at for at, stage in enumerate(stages, 1) for name in stage}
    final = _after(current, stages, registry)
    items = []
    for wish in wishes.wishes:
        item = _item(wish, current, pending, number, conflicts, blocked, stages, waiting)
        if item.state == "comes":
            item = replace(item, wanted=final[wish.name], stage=_comes(wish, current, stages, registry))
        items.append(item)
    foreign = {name: value for name, value in pending.items() if name not in waiting}
    return BiosPlan(tuple(items), tuple(stages), wishes.absent, foreign, waiting)


def _waits(name: str, value: Value, pending: Mapping[str, Value]) -> bool:
    return name in pending and same(pending[name], value)


def _gate_conflicts(active: Sequence[Wish], pending: Mapping[str, Value], overwrite: bool) -> set[str]:
    """Presets that somebody else has staged to another value; they would lock, or reset, what we set."""
    return {
        wish.name
        for wish in active
        if wish.gate and not overwrite and wish.name in pending and not wish.satisfied(pending[wish.name])
    }


def _after(current: Mapping[str, Value], stages: Iterable[Mapping[str, Value]], registry: Registry | None) -> dict[str, Value]:
    values = dict(current)
    for stage in stages:
        values = registry.simulate(values, stage) if registry else {**values, **stage}
    return values


def _target(wish: Wish, value: Value) -> Value:
    return value if wish.satisfied(value) else wish.accepted[0]


def _stages(
    wishes: Sequence[Wish], current: Mapping[str, Value], registry: Registry | None
) -> tuple[list[dict[str, Value]], dict[str, str]]:
    """Return the stages, and why attributes are in none of them."""
    gates = [wish for wish in wishes if wish.gate]
    due = [wish for wish in wishes if wish.gate != "needed"]
    values = dict(current)
    stages: list[dict[str, Value]] = []
    done: set[tuple[str, str]] = set()
    while len(stages) < MAX_STAGES:
        open_ = [wish for wish in due if not wish.satisfied(values[wish.name])]
        if not open_:
            break
        stage = _one_stage(open_, gates, values, registry) if registry else _blind_stage(open_, gates, values, first=not stages)
        # a value that another one takes back again would be set for ever
        stage = {name: value for name, value in stage.items() if (name, str(value)) not in done}
        if not stage:
            break
        done |= {(name, str(value)) for name, value in stage.items()}
        values = _after(values, [stage], registry)
        stages.append(stage)
    blocked = {wish.name: _why(wish.name, values, stages, registry) for wish in due if not wish.satisfied(values[wish.name])}
    # what is blocked for ever is not worth the reboots that only tried to unlock it
    return _without_idle_gates(stages, wishes, current, registry), blocked


def _blind_stage(open_: Sequence[Wish], gates: Sequence[Wish], values: Mapping[str, Value], *, first: bool) -> dict[str, Value]:
    """Without a registry nobody knows what a preset locks: presets first, the rest after a reboot."""
    presets = {gate.name: gate.accepted[0] for gate in gates if not gate.satisfied(values[gate.name])}
    return presets if first and presets else {wish.name: wish.accepted[0] for wish in open_}


def _one_stage(open_: Sequence[Wish], gates: Sequence[Wish], values: Mapping[str, Value], registry: Registry) -> dict[str, Value]:
    """Return what can be written together now.

    An attribute that is read-only under the present values has to wait for a reboot; one that is only grayed out may be written
    together with what makes it effective (DSP0268).
    """
    chosen: dict[str, Value] = {}
    for gate in gates:
        value = _preset(gate, [wish for wish in open_ if not wish.gate], {**values, **chosen}, registry)
        if value is not None and not registry.read_only(gate.name, values):
            chosen[gate.name] = value
    # what sets others back comes before them
    open_ = sorted(open_, key=lambda wish: not _sets_back(wish, open_, values, registry))
    # what would lock others waits until these are done; where nothing else can be done, it is done
    return _fill(chosen, open_, values, registry, lockers=False) or _fill(chosen, open_, values, registry, lockers=True)


def _fill(
    chosen: Mapping[str, Value], open_: Sequence[Wish], values: Mapping[str, Value], registry: Registry, *, lockers: bool
) -> dict[str, Value]:
    """Add what can be written together with the chosen presets, in an order in which the later ones rest on the earlier."""
    stage = dict(chosen)
    again = True
    while again:
        again = False
        for wish in open_:
            if wish.gate or wish.name in stage or registry.read_only(wish.name, values):
                continue
            if wish.satisfied(registry.simulate(values, stage)[wish.name]):
                continue
            if _fits(wish, values, stage, registry) and (lockers or not _locks(wish, open_, values, stage, registry)):
                stage[wish.name] = wish.accepted[0]
                again = True
    return stage


def _sets_back(wish: Wish, open_: Sequence[Wish], values: Mapping[str, Value], registry: Registry) -> bool:
    """Return whether setting an attribute gives another wish a wrong value."""
    after = registry.simulate(values, {wish.name: wish.accepted[0]})
    return any(
        not same(after[other.name], values[other.name]) and not other.satisfied(after[other.name])
        for other in open_
        if other.name != wish.name
    )


def _locks(
    wish: Wish, open_: Sequence[Wish], values: Mapping[str, Value], stage: Mapping[str, Value], registry: Registry
) -> bool:
    """Return whether setting an attribute would take another wish out of reach."""
    before = registry.simulate(values, stage)
    after = registry.simulate(values, {**stage, wish.name: wish.accepted[0]})
    return any(
        (other.name in stage or not other.satisfied(after[other.name]))
        and not _locked(other.name, before, registry)
        and _locked(other.name, after, registry)
        for other in open_
        if other.name != wish.name
    )


def _locked(name: str, values: Mapping[str, Value], registry: Registry) -> bool:
    return bool(registry.read_only(name, values) or registry.gray_out(name, values))


def _preset(gate: Wish, open_: Sequence[Wish], values: Mapping[str, Value], registry: Registry) -> Value:
    """Return the value of a preset that serves most attributes, the preferred one of several; None to leave it as it is."""
    served = _served(open_, values, registry)
    best: Value = None
    if gate.gate == "always" and not gate.satisfied(values[gate.name]):
        served = -1
    for value in gate.accepted:
        now = _served(open_, registry.simulate(values, {gate.name: value}), registry)
        if not same(value, values[gate.name]) and now > served:
            best, served = value, now
    return best


def _served(open_: Sequence[Wish], values: Mapping[str, Value], registry: Registry) -> int:
    """Return how many attributes are as wished under these values, or can be made so."""
    free = [wish for wish in open_ if not registry.read_only(wish.name, values) and not registry.gray_out(wish.name, values)]
    return len({wish.name for wish in free} | {wish.name for wish in open_ if wish.satisfied(values[wish.name])})


def _fits(wish: Wish, values: Mapping[str, Value], chosen: Mapping[str, Value], registry: Registry) -> bool:
    """Return whether an attribute, set together with the chosen ones, keeps its value and takes none of theirs."""
    together = {**chosen, wish.name: wish.accepted[0]}
    after = registry.simulate(values, together)
    kept = all(same(after[name], value) for name, value in together.items())
    return kept and not registry.read_only(wish.name, after) and not registry.gray_out(wish.name, after)


def _why(name: str, values: Mapping[str, Value], stages: Sequence[Mapping[str, Value]], registry: Registry | None) -> str:
    if registry is None:
        return "nothing is known about it"
    why = registry.read_only(name, values) or registry.gray_out(name, values)
    if why:
        return f"locked: {why}"
    if any(name in stage for stage in stages):
        return "another attribute of the plan would set it back"
    return "it would change, or lock, another attribute of the plan"


def _without_idle_gates(
    stages: list[dict[str, Value]],
    wishes: Sequence[Wish],
    current: Mapping[str, Value],
    registry: Registry | None,
) -> list[dict[str, Value]]:
    """Leave out presets that in the end made no wish come true."""
    if registry is None:
        return stages
    reached = _reached(wishes, current, stages, registry)
    for gate in [wish for wish in wishes if wish.gate == "needed"]:
        trial = [{name: value for name, value in stage.items() if name != gate.name} for stage in stages]
        trial = [stage for stage in trial if stage]
        if _possible(trial, current, registry) and reached <= _reached(wishes, current, trial, registry):
            stages = trial
    return stages


def _reached(
    wishes: Sequence[Wish], current: Mapping[str, Value], stages: Sequence[Mapping[str, Value]], registry: Registry
) -> set[str]:
    after = _after(current, stages, registry)
    return {wish.name for wish in wishes if not wish.gate and wish.satisfied(after[wish.name])}


def _possible(stages: Sequence[Mapping[str, Value]], current: Mapping[str, Value], registry: Registry) -> bool:
    """Return whether each stage can be written when its turn comes, and has an effect then."""
    values = dict(current)
    for stage in stages:
        if any(registry.read_only(name, values) for name in stage):
            return False
        values = registry.simulate(values, stage)
        if any(registry.gray_out(name, values) for name in stage):
            return False
    return True


def _item(
    wish: Wish,
    current: Mapping[str, Value],
    pending: Mapping[str, Value],
    number: Mapping[str, int],
    conflicts: set[str],
    blocked: Mapping[str, str],
    stages: Sequence[Mapping[str, Value]],
    waiting: Mapping[str, Value],
) -> Item:
    value, waits = current[wish.name], pending.get(wish.name)
    item = Item(wish, value, waits, value, "ok", note=wish.meaning)
    if wish.unsupported:
        return replace(item, state="unsupported", note=wish.unsupported)
    if not wish.accepted:
        return replace(item, state="kept")
    item = replace(item, wanted=_target(wish, value))
    if wish.name in conflicts:
        return replace(item, state="conflict", note=f"{waits} waits for the next reboot and is not ours")
    if wish.name in blocked:
        return replace(item, state="blocked", note=blocked[wish.name])
    if wish.name in number:
        stage = number[wish.name]
        wanted = stages[stage - 1][wish.name]
        if wish.name in waiting:
            return replace(item, wanted=wanted, state="staged", stage=stage)
        note = wish.meaning
        if wish.gate:
            note = "; ".join(part for part in (wish.meaning, "unlocks, or sets, other attributes") if part)
        return replace(item, wanted=wanted, state="differs", stage=stage, note=note)
    if wish.gate == "needed":
        # a preset is a means: as it is, unless another attribute needs it
        return replace(item, wanted=value)
    if not wish.satisfied(value):
        return replace(item, state="comes", note="another attribute of the plan brings it")
    return item


def _comes(wish: Wish, current: Mapping[str, Value], stages: Sequence[Mapping[str, Value]], registry: Registry | None) -> int:
    """Return the reboot after which the attribute is as wished."""
    values = dict(current)
    for number, stage in enumerate(stages, 1):
        values = _after(values, [stage], registry)
        if wish.satisfied(values[wish.name]):
            return number
    return 0
