# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the running daemon has the settings that it reads only at its start, and which guests notice a restart. Pure.

The database shows the present settings, not those that the daemon was started with. So the transaction that changes them
also records in external_ids of the root which process runs with which settings ("<process> <digest>"). Any other process
has started since and has read the database. So the next run notices a run that was killed between transaction and
restart, and also a reboot in between.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping

from .plan import RESTART_KEYS, same_setting
from .rows import DAEMON_KEY, Database


def digest(settings: Mapping[str, str | None]) -> str:
    """Return a short digest of the settings that are read at the daemon's start."""
    facts = {key: settings[key] for key in RESTART_KEYS if settings.get(key) is not None}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def marker(process: str, settings: Mapping[str, str | None]) -> str:
    """Return the record that this process runs with these settings."""
    return f"{process} {digest(settings)}"


def running_digest(database: Database, process: str) -> str:
    """Return the digest of the settings that the running process has read."""
    known, _space, found = database.external_ids.get(DAEMON_KEY, "").partition(" ")
    return found if known == process else digest(database.other_config)


def restart_reasons(database: Database, wanted: Mapping[str, str | None], process: str) -> list[str]:
    """Return why the running daemon needs a restart to have the wanted settings; an empty list where it has them."""
    current = database.other_config
    after = {key: current.get(key) for key in RESTART_KEYS}
    changed = [key for key in RESTART_KEYS if key in wanted and not same_setting(key, current.get(key), wanted[key])]
    after.update({key: wanted[key] for key in changed})
    if running_digest(database, process) != digest(after):
        return changed or ["settings changed by a run that ended before the restart"]
    if (after["dpdk-init"] or "").lower() == "true" and not database.dpdk_initialized:
        return ["DPDK is not initialized in the running daemon"]
    return []


def switch_users(database: Database, realtime_guests: Collection[str]) -> list[str]:
    """Return the guests that a restart would cut off for a moment: those connected, and running real-time guests.

    If the switch has no vhost-user port, no guest uses it.
    """
    vhost = [row for row in database.interfaces.values() if row.type.startswith("dpdkvhostuser")]
    connected = {row.guest or row.name for row in vhost if row.connected}
    return sorted(connected | (set(realtime_guests) if vhost else set()))
