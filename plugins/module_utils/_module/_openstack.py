# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules of OpenStack's services share: the read-back after a restart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from .._openstack.service import SETTLE_S, Service, read_back, start_of
from ._common import Edges, check_seconds


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
