# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths behind symbolic links. Edge, read-only."""

from __future__ import annotations

import os

from .host import Host


def resolve(host: Host, path: str) -> str:
    """Return the path behind symbolic links, inside the machine's root."""
    real = os.path.realpath(host.path(path))
    return real[len(host.root) :] if real.startswith(host.root) else real
