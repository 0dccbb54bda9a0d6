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
from ._common import Body, Edges, carry_out, failure


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
    module: AnsibleModule, owner: str, body: Body, *, info: bool = False, edges: Callable[[Host, Runner], Any] = Edges
) -> None:
    """Run a module on a node. ``edges`` makes its body's edges; an ``info`` module is always in check mode."""
    root = (module.params.get("fsroot") or "/").rstrip("/")
    host = Host(root, check_mode=info or module.check_mode, owner=owner, captured=root != "")
    finish(module, owner, edges(host, runner_of(module)), body, {})


def finish(module: AnsibleModule, owner: str, edges: Any, body: Body, always: Mapping[str, Any]) -> None:
    """End a module with its result or its refusal; both hold ``always``."""
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
    _warn(module, edges.planner)
    module.exit_json(**{**always, **results})


def _warn(module: AnsibleModule, planner: Planner) -> None:
    for note in planner.notes:
        module.warn(printed(note))
