# SPDX-License-Identifier: GPL-3.0-or-later
"""The door of all modules: Ansible's options come in, the result of the flow goes out."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .._cpus.answers import printed
from .._cpus.errors import UNEXPECTED, HostError, RefusalError
from .._host.change import Planner
from .._host.deadline import Watch
from .._host.host import Host, Runner
from .._host.runner import COMMAND_S, Transaction, late
from ._common import Body, Edges, Outcome, carry_out, failure


def runner_of(module: AnsibleModule) -> Runner:
    """Return a runner of programs in the C locale, since their output is parsed; it kills those that have not ended in their time.

    A ``Transaction`` has as much time as it needs.
    """

    def run(command: Sequence[str]) -> tuple[int, str, str]:
        module.run_command_environ_update = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
        watch = Watch(COMMAND_S)
        follow = None if isinstance(command, Transaction) else watch.follow
        with watch:
            code, out, err = module.run_command(list(command), before_communicate_callback=follow)
        if watch.late:
            raise late(command)
        return int(code), str(out), str(err)

    return run


def run_module(
    module: AnsibleModule,
    owner: str,
    body: Body,
    *,
    info: bool = False,
    edges: Callable[[Host, Runner], Any] = Edges,
    end: Callable[[Sequence[str], str], str] | None = None,
) -> None:
    """Run a module on a node. ``edges`` makes its body's edges; an ``info`` module is always in check mode.

    ``end`` keeps that playbooks (the option ``runs``) have ended with this module, and returns why that failed.
    """
    root = (module.params.get("fsroot") or "/").rstrip("/")
    host = Host(root, check_mode=info or module.check_mode, owner=owner, captured=root != "")
    outcomes: list[Outcome] = []

    def kept(edges: Any, parameters: dict[str, Any]) -> Outcome:
        outcomes.append(body(edges, parameters))
        return outcomes[-1]

    def leave() -> None:
        if end and outcomes[-1].ended and not module.check_mode and not host.captured:
            host.notes += filter(None, [end(module.params["runs"], host.root)])

    finish(module, owner, edges(host, runner_of(module)), kept, {}, leave)


def _nothing() -> None:
    """Do nothing: no playbook ends with it."""


def finish(
    module: AnsibleModule, owner: str, edges: Any, body: Body, always: Mapping[str, Any], end: Callable[[], None] = _nothing
) -> None:
    """End a module with its result or its refusal; both hold ``always``. ``end`` follows a result."""
    try:
        results = carry_out(edges, body, module.params)
    except RefusalError as error:
        _warn(module, edges.planner)
        module.fail_json(**{**always, **failure(edges.planner, owner, error)})
    except UNEXPECTED as error:
        if not edges.planner.committed and not isinstance(error, OSError):  # of a file that somebody named, or a node's own
            raise
        unexpected = HostError(f"unexpected {type(error).__name__}: {error}")
        module.fail_json(exception=traceback.format_exc(), **{**always, **failure(edges.planner, owner, unexpected)})
    end()
    _warn(module, edges.planner)
    module.exit_json(**{**always, **results})


def _warn(module: AnsibleModule, planner: Planner) -> None:
    for note in planner.notes:
        module.warn(printed(note))
