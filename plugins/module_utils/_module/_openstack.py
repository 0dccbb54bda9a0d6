# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules of OpenStack's services share: checks of their options, and the read-back after a restart."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from .._cpus.errors import HostError
from .._openstack.restart import SETTLE_S, read_back, start_of
from .._openstack.service import Service
from ._common import Edges, check_seconds

#: Ways to Open vSwitch's database (ovsdb(7), "Connection Methods").
_OVSDB = re.compile(r"unix:/[\w./+-]+|(tcp|ssl):(\[[0-9a-fA-F:.]+\]|[\w.-]+):\d{1,5}")


def check_ovsdb(text: str, name: str) -> None:
    """Refuse what is no way to Open vSwitch's database; ``name`` is the variable."""
    if text and not _OVSDB.fullmatch(text):
        raise HostError(
            f"{name}: {text!r} is no connection to Open vSwitch's database; give unix:/path, tcp:address:port or ssl:address:port"
        )


def check_timeout(parameters: Mapping[str, Any]) -> None:
    """Refuse less time than a restarted service is watched for."""
    check_seconds(parameters, timeout_s=SETTLE_S + 1)


def after_restart(
    edges: Edges, service: Service, parameters: Mapping[str, Any], *, due: bool
) -> Callable[[], Mapping[str, Any]] | None:
    """Return what reads the service back, None where nothing restarts."""
    if not due:
        return None
    started = start_of(edges.host, service.pid)
    return partial(read_back, edges.host, edges.runner, service, started, parameters["timeout_s"])
