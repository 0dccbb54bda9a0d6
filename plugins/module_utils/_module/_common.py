# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all modules share: the run from read to read-back, and turning refusals into messages."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .._boot import Runner
from .._change import DisruptionError, check_limit, planned_changes
from .._cpuset import CpuListError
from .._domain_xml import DomainError
from .._guest import GuestError
from .._host import Host, HostError
from .._hugepages import HugepageError
from .._isolation import IsolationError
from .._kernel_arguments import KernelArgumentError
from .._latency import LatencyError
from .._network import NetworkError
from .._partition import PartitionError
from .._pinning import PinningError
from .._settings import SettingError
from .._switch import SwitchError
from .._topology import TopologyError

REFUSALS = (
    GuestError,
    NetworkError,
    PinningError,
    DomainError,
    CpuListError,
    DisruptionError,
    HostError,
    HugepageError,
    IsolationError,
    KernelArgumentError,
    LatencyError,
    PartitionError,
    SettingError,
    SwitchError,
    TopologyError,
)

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

    A plan that disturbs more than ``max_disruption`` allows is refused before the first of its changes is made.
    Check mode is the same path: a ``Host`` in check mode plans and does not make. An ``info`` module is always in it.
    """
    parameters = dict(module.params)
    host = Host(parameters.get("fsroot") or "/", check_mode=info or module.check_mode, owner=owner)
    variable = re.compile(r"^[a-z_]+(\[\d+\])?[:.]")
    try:
        with host.locked():
            results = body(host, runner_of(module), parameters)
            after = results.pop("after_commit", None)
            check_limit(planned_changes({**host.results(), **results}), parameters.get("max_disruption"))
            host.commit()
            if after is not None:
                after()
    except REFUSALS as error:
        text = str(error)
        # a refusal before the first write has changed nothing; a write that the machine refused may follow others
        module.fail_json(
            msg=text if variable.match(text) else f"{owner}: {text}", changed=host.committed, **getattr(error, "results", {})
        )
    for note in host.notes:
        module.warn(note)
    module.exit_json(**host.results(), **results)
