# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on the controller. Edge."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping


def folder_of(base: str, host: str) -> str:
    """Return a host's folder below another; ``ValueError`` for a name that is not a single part of a path."""
    if not re.fullmatch(r"[^/\0]+", host) or host in (".", ".."):
        raise ValueError(f"{host!r} cannot name a folder; give the host another name in the inventory")
    return os.path.join(os.path.abspath(base), host)


def free_name(folder: str, stem: str, suffix: str) -> str:
    """Return the name of a file that does not exist yet: ``stem`` and ``suffix``, with a number between if they are taken."""
    number, name = 1, f"{stem}{suffix}"
    while os.path.lexists(os.path.join(folder, name)):
        number += 1
        name = f"{stem}-{number}{suffix}"
    return name


def write_files(folder: str, texts: Mapping[str, str]) -> None:
    """Write files (name to text) so that a reader sees the old or the new one complete; the folder is made. Raises ``OSError``."""
    os.makedirs(folder, exist_ok=True)
    mask = os.umask(0)
    os.umask(mask)
    for name, text in texts.items():
        handle, path = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
                stream.write(text)
                os.fchmod(stream.fileno(), 0o666 & ~mask)
            os.replace(path, os.path.join(folder, name))
        except BaseException:
            os.unlink(path)
            raise
