# SPDX-License-Identifier: GPL-3.0-or-later
"""The door that all modules go through: read, plan and validate (the module's body), then apply and read back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .._cpus.errors import RefusalError
from .._host.change import DISRUPTIONS, Change, Planner, check_limit
from .._host.host import Host, Runner

#: The option of every module that changes a node (doc fragment ``disruption``).
LIMIT: dict[str, Any] = {"max_disruption": {"type": "str", "choices": list(DISRUPTIONS), "default": DISRUPTIONS[-1]}}


@dataclass
class Edges:
    """What a body reaches the machine by. A factory makes it, so that tests hand in theirs."""

    host: Host
    runner: Runner

    @property
    def planner(self) -> Planner:
        """What holds the planned changes."""
        return self.host


@dataclass
class Outcome:
    """What a body has planned."""

    results: Mapping[str, Any]
    #: Reads back what the changes have made of the machine, once they are made; its results replace the planned ones.
    after: Callable[[], Mapping[str, Any]] | None = None
    #: What the run disturbs beside its changes.
    disturbs: Sequence[Change] = ()


#: Reads, plans and validates: ``run(edges, parameters)``, where the edges may be a subclass.
Body = Callable[[Any, dict[str, Any]], Outcome]


def carry_out(edges: Any, body: Body, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Let a body read, plan and validate; make the changes, unless in check mode; return the results, read back.

    A plan that disturbs more than ``max_disruption`` allows is refused before the first change, in check mode too.
    """
    planner: Planner = edges.planner
    with planner.locked():
        outcome = body(edges, dict(parameters))
        check_limit(dict.fromkeys([*planner.changes, *outcome.disturbs]), parameters.get("max_disruption"))
        planner.commit()
        found = outcome.after() if outcome.after and not planner.dry else {}
        planner.commit()  # what it had to plan because another program has changed values meanwhile
    return {**planner.results(), **outcome.results, **found}


def failure(planner: Planner, owner: str, error: RefusalError) -> dict[str, Any]:
    """Return the result of a module that was refused something: what was changed before, mostly nothing, and why."""
    text = str(error)
    named = re.match(r"[a-z_]+(\[\d+\])?[:.]", text)  # begins with a variable
    made = planner.results() if planner.committed else {"changed": False}
    return {**made, "msg": text if named else f"{owner}: {text}", **error.results}


def runner_of(module: AnsibleModule) -> Runner:
    """Return how programs run on the node: in the C locale, so that their output can be read."""

    def run(command: Sequence[str]) -> tuple[int, str, str]:
        module.run_command_environ_update = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
        code, out, err = module.run_command(list(command))
        return int(code), str(out), str(err)

    return run


def run_module(
    module: AnsibleModule, owner: str, body: Body, *, info: bool = False, edges: Callable[[Host, Runner], Any] = Edges
) -> None:
    """Run a module of a node. ``edges`` makes what its body needs; an ``info`` module is always in check mode."""
    root = (module.params.get("fsroot") or "/").rstrip("/")
    host = Host(root, check_mode=info or module.check_mode, owner=owner, captured=root != "")
    finish(module, owner, edges(host, runner_of(module)), body, {})


def finish(module: AnsibleModule, owner: str, edges: Any, body: Body, always: Mapping[str, Any]) -> None:
    """Return a module's result, or why it was refused; both hold ``always``."""
    try:
        results = carry_out(edges, body, module.params)
    except RefusalError as error:
        module.fail_json(**{**always, **failure(edges.planner, owner, error)})
    for note in edges.planner.notes:
        module.warn(note)
    module.exit_json(**{**always, **results})
