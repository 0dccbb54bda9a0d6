# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of others behind symbolic links. Edge."""

from __future__ import annotations

import os

from .files import mode_of
from .host import Host


def resolve(host: Host, path: str) -> str:
    """Return the path behind symbolic links, inside the machine's root."""
    real = os.path.realpath(host.path(path))
    return real[len(host.root) :] if real.startswith(host.root) else real


def rewrite(host: Host, path: str, content: bytes | None) -> None:
    """Write a file that is not ours, or remove it: where its link leads, and with its mode."""
    real = resolve(host, path)
    host.write_file(real, content, mode_of(host.path(real)) if host.exists(real) else 0o644)
