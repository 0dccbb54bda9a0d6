# SPDX-License-Identifier: GPL-3.0-or-later
"""The edges of modules that read guests."""

from __future__ import annotations

from dataclasses import dataclass, field

from .._guests.libvirt import Libvirt
from ._common import Edges


@dataclass
class GuestEdges(Edges):
    """The machine and its libvirt."""

    libvirt: Libvirt = field(default_factory=Libvirt)
