# SPDX-License-Identifier: GPL-3.0-or-later
"""The flow of all modules: the body reads, plans and validates; then the changes are made and read back. It needs no Ansible."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._cpus.answers import plain, printed
from .._cpus.errors import HostError, RefusalError
from .._host.change import DISRUPTIONS, Change, Planner, check_late, check_limit
from .._host.host import Host, Runner

#: The option of every module that changes a node (doc fragment ``disruption``).
LIMIT: dict[str, Any] = {"max_disruption": {"type": "str", "choices": list(DISRUPTIONS), "default": DISRUPTIONS[-1]}}


@dataclass
class Edges:
    """A body's access to the machine. A factory makes it, so that tests can pass their own."""

    host: Host
    runner: Runner

    @property
    def planner(self) -> Planner:
        """The holder of the planned changes."""
        return self.host


@dataclass
class Outcome:
    """A body's plan."""

    results: Mapping[str, Any]
    #: Reads the machine after the changes; its results replace the planned ones.
    after: Callable[[], Mapping[str, Any]] | None = None
    #: Disruptions of the run beside its changes.
    disturbs: Sequence[Change] = ()
    #: Whether a playbook that ends with this module has nothing left to do on the node.
    ended: bool = True


#: ``run(edges, parameters)``; the edges may be a subclass.
Body = Callable[[Any, dict[str, Any]], Outcome]


def carry_out(edges: Any, body: Body, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Run a body; make the changes, unless in check mode; return the results, read back.

    A plan above ``max_disruption`` is refused before the first change, in check mode too.
    """
    planner: Planner = edges.planner
    with planner.locked():
        outcome = body(edges, dict(parameters))
        check_limit(dict.fromkeys([*planner.changes, *outcome.disturbs]), parameters.get("max_disruption"))
        planner.commit()
        found = outcome.after() if outcome.after and not planner.dry else {}
        check_late(planner, parameters.get("max_disruption"))
        planner.commit()  # what it had to plan because another program has changed values meanwhile
    return {**planner.results(), **outcome.results, **found}


def check_seconds(parameters: Mapping[str, Any], **least: int) -> None:
    """Refuse options that are less seconds than they mean: guests that get no time to shut down, say, are switched off."""
    for name, seconds in least.items():
        if parameters[name] < seconds:
            raise HostError(f"{name}: {parameters[name]} is not a number of seconds from {seconds} on")


#: The most changes that a message names; the result holds all.
_NAMED = 10


def failure(planner: Planner, owner: str, error: RefusalError) -> dict[str, Any]:
    """Return the result after a refusal: the changes made before it, mostly none, and the reason."""
    text = printed(str(error))
    named = re.match(r"[a-z][a-z0-9_]*(\[\d+\])?[:.]", text)  # begins with a variable
    made: dict[str, Any] = planner.results() if planner.committed else {"changed": False}
    resources = [change["resource"] for change in made.get("changes", ())]
    if resources:
        more = f" and {len(resources) - _NAMED} more" if len(resources) > _NAMED else ""
        text += f". Changed before it failed: {', '.join(plain(one, 200) for one in resources[:_NAMED])}{more}"
    return {**made, "msg": text if named else f"{owner}: {text}", **error.results}
