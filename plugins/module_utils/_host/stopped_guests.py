# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of guests that were shut down for a reboot, kept on the node until they run again. Edge."""

from __future__ import annotations

import json
from collections.abc import Iterable

from .._cpus.errors import HostError
from .host import Host
from .journal import STATE_DIR

RECORD = f"{STATE_DIR}/stopped-guests.json"
SCHEMA = 1


def stopped_guests(host: Host) -> list[str]:
    """Return the guests that were shut down for a reboot and have not been started again."""
    text = host.read(RECORD)
    if text is None:
        return []
    try:
        record = json.loads(text)
        schema, names = record["schema"], record.get("guests")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        schema, names = None, None
    if isinstance(schema, int) and schema > SCHEMA:
        raise HostError(
            f"{RECORD} was written by a newer release (schema {schema}, this release knows {SCHEMA}); it names the guests that wait for "
            "their start. Run that release or a newer one"
        )
    names = names if schema == SCHEMA else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise HostError(
            f"{RECORD} is damaged, so it is not known which guests were shut down for a reboot; start them (virsh list --all, "
            "virsh start) and remove the file"
        )
    return names


def keep_stopped(host: Host, names: Iterable[str]) -> None:
    """Write the names at once; without a name, remove the file."""
    known = list(dict.fromkeys(names))
    content = (json.dumps({"schema": SCHEMA, "guests": known}, indent=1) + "\n").encode()
    host.write_file(RECORD, content if known else None, 0o600)
