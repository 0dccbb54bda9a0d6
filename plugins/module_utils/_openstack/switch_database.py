# SPDX-License-Identifier: GPL-3.0-or-later
"""How Nova and Neutron's agent reach the switch's database: both in one way, since the agent makes it listen where the agent itself connects. Edge.

Source: neutron/agent/ovsdb/native/connection.py, ``OvsIdlMonitor.start_connection``: ``enable_connection_uri`` is called for the agent's own address.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from .._host.host import Host, Runner
from .ini import Option
from .kinds import Kind
from .launch import Unit
from .service import Service, undo_service
from .units import may

SOCKET = "/run/openvswitch/db.sock"
#: What Nova and Neutron connect to by default; Neutron's agent makes Open vSwitch listen there.
TCP = "tcp:127.0.0.1:6640"


def database_way(host: Host, runner: Runner, service: Service, option: Option, other_kind: Kind, other_option: Option) -> str:
    """Return what the operator's files of the service say, else those of the other service, else the way that both users have."""
    if own := service.others.value(option):
        return own
    other, _unread = undo_service(host, runner, other_kind)
    if other and (theirs := other.others.value(other_option)):
        return theirs
    return ovsdb_connection(host, [service.unit, *([other.unit] if other else [])])


def ovsdb_connection(host: Host, units: Iterable[Unit]) -> str:
    """Return the database's socket, where the users of all units may write there, else TCP on the node itself."""
    try:
        found = os.stat(host.path(SOCKET))
    except OSError:
        return TCP
    if host.captured:
        return TCP
    return f"unix:{SOCKET}" if all(may(host, unit, found, 2) for unit in units) else TCP
