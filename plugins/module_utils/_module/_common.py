# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all modules share: the run from read to read-back, and turning refusals into messages."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .._cpus.errors import RefusalError
from .._host.host import Host
from .._host.runner import Runner

Body = Callable[[Host, Runner, dict[str, Any]], dict[str, Any]]


def runner_of(module: AnsibleModule) -> Runner:
    """Return how commands run on the node: in the C locale, so that their output can be read."""

    def run(command: Sequence[str]) -> tuple[int, str, str]:
        module.run_command_environ_update = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
        code, out, err = module.run_command(list(command))
        return int(code), str(out), str(err)

    return run


def run_module(module: AnsibleModule, owner: str, body: Body, *, info: bool = False) -> None:
    """Run a module: ``body`` reads, validates and plans on the Host; the changes are made, results returned.

    Check mode is the same path: a ``Host`` in check mode plans and does not make. An ``info`` module is always in it.
    """
    parameters = dict(module.params)
    root = parameters.get("fsroot") or "/"
    host = Host(root, check_mode=info or module.check_mode, owner=owner, captured=root.rstrip("/") != "")
    variable = re.compile(r"^[a-z_]+(\[\d+\])?[:.]")
    try:
        with host.locked():
            results = body(host, runner_of(module), parameters)
            host.commit()
            after = results.pop("after_commit", None)
            if after is not None:
                after()
    except RefusalError as error:
        text = str(error)
        # a refusal before the first write has changed nothing; a write that the machine refused may follow others
        module.fail_json(msg=text if variable.match(text) else f"{owner}: {text}", changed=host.committed, **error.results)
    for note in host.notes:
        module.warn(note)
    module.exit_json(**host.results(), **results)
