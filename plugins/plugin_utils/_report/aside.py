# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several reports in one folder, such as those of a job's slices: none replaces another's. Edge."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from .._files import free_name, write_files

ACCOUNTING = "accounting.json"


def write_report(folder: str, texts: Mapping[str, str], known: Collection[str]) -> list[str]:
    """Write a report's files; return the names that one of other nodes got, empty where there was none. Raises ``OSError``.

    ``known`` are the hosts of the run's inventory. A report that has a node beside these is another's: AWX gives a slice only its own hosts.
    """
    os.makedirs(folder, exist_ok=True)
    with _alone(folder):
        aside = _set_aside(folder, texts, known)
        write_files(folder, texts)
    return aside


@contextmanager
def _alone(folder: str) -> Iterator[None]:
    """Wait until no other run writes into the folder."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _set_aside(folder: str, texts: Mapping[str, str], known: Collection[str]) -> list[str]:
    nodes, generated = _earlier(os.path.join(folder, ACCOUNTING))
    if nodes <= set(known):
        return []
    moved = []
    for name in texts:
        path, (stem, suffix) = os.path.join(folder, name), os.path.splitext(name)
        if os.path.lexists(path):
            moved.append(free_name(folder, f"{stem}-{generated}", suffix))
            os.replace(path, os.path.join(folder, moved[-1]))
    return moved


def _earlier(path: str) -> tuple[set[str], str]:
    """Return the nodes of the report that is there, and when it was made; of a file that is no report, none."""
    try:
        with open(path, encoding="utf-8") as stream:
            document = json.load(stream)
        return set(document["nodes"]), re.sub("[^0-9TZ]", "", str(document.get("generated")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set(), ""
