# SPDX-License-Identifier: GPL-3.0-or-later
"""The edges of modules that also read the switch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .._host.host import Host, Runner
from .._switch.ovsdb import Ovsdb
from ._guest_edges import GuestEdges


@dataclass
class SwitchEdges(GuestEdges):
    """The machine, its libvirt and the database of its switch."""

    ovsdb: Callable[[Host, Runner], Ovsdb] = Ovsdb
