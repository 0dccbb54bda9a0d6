# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes the switch: the one transaction of a run, and the start or restart of its daemon. Edge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from .._cpus.errors import HostError
from .._host.afterwards import plan_reload as plan_units
from .._host.change import Change
from .._host.daemons import record_daemons
from .._host.host import Host, Runner
from .._host.threads import realtime_guests
from .daemon import (
    DROP_IN,
    SWITCH_UNIT,
    Daemon,
    check_pages,
    find_daemon,
    is_debian,
    is_installed,
    last_errors,
    start,
    start_server,
)
from .diff import SwitchPlan
from .ovsdb import Once, Ovsdb
from .plan import RESTART_KEYS, Switch, SwitchError
from .restart import marker, running_digest, switch_users
from .rows import DAEMON_KEY, ROOT, Database, set_keys

#: The daemon, in changes.
SERVICE = "service:ovs-vswitchd"


@dataclass
class SwitchNode:
    """A node's switch, as this run finds it."""

    host: Host
    runner: Runner
    ovsdb: Ovsdb
    database: Database
    daemon: Daemon | None

    @cached_property
    def users(self) -> list[str]:
        """The guests that a restart of the switch would cut off."""
        return switch_users(self.database, realtime_guests(self.host)) if self.daemon else []


def check_restart(node: SwitchNode, settings: Mapping[str, str | None], reasons: Sequence[str], *, with_guests: bool) -> None:
    """Refuse a restart that guests would notice, unless ``with_guests``, and one that would fail for lack of memory."""
    users = node.users
    if reasons and users and not with_guests:
        raise SwitchError(
            f"ovs_dpdk_restart_with_guests: the switch must be restarted ({', '.join(reasons)}), but guests use it: "
            f"{', '.join(users)}; nothing was "
            "changed. Stop or move them, or set ovs_dpdk_restart_with_guests: true (they lose their connection for some seconds)"
        )
    if not node.host.dry and (reasons or node.daemon is None):
        running = node.daemon is not None and node.database.dpdk_initialized
        check_pages(node.host, settings, node.database.other_config, running=running)


def plan_transaction(node: SwitchNode, plan: SwitchPlan, *, waits: bool) -> None:
    """Plan the one transaction that removes all differences; the first change makes it."""
    act = transaction(node, plan, waits=waits)
    for difference in plan.differences:
        change = Change(difference.resource, difference.before, difference.after, difference.disruption, difference.reason)
        if difference.setting:
            node.host.change(change, act, kind="ovs", original={"value": difference.before})
        else:
            node.host.follow_up(change, act)
    if not plan.differences and node.daemon:
        for name, error in ports_in_error(node.database).items():  # even an empty transaction makes the daemon try again
            node.host.follow_up(Change(f"ovs:Interface/{name} error", error, None, reason="tried again"), act)


def transaction(node: SwitchNode, plan: SwitchPlan, *, waits: bool) -> Callable[[], None]:
    """Return the function that makes the transaction once; it first starts the database's server if that is down."""
    if plan.differences and not node.host.dry and not node.ovsdb.running():
        node.host.follow_up(Change("service:ovsdb-server", "stopped", "running"), partial(start_server, node.runner))
    operations = plan.operations
    root = node.database.root
    if node.daemon and root and any(difference.setting in RESTART_KEYS for difference in plan.differences):
        # in the same transaction: what the running daemon has read, since the database now differs
        note = f"{node.daemon.process} {running_digest(node.database, node.daemon.process)}"
        operations = [*set_keys(ROOT, root, "external_ids", {DAEMON_KEY: note}), *operations]
    return Once(partial(_transact, node, operations, waits))


def _transact(node: SwitchNode, operations: Sequence[Mapping[str, Any]], waits: bool) -> None:
    number = node.ovsdb.transact(operations) if operations else node.ovsdb.note([])
    if waits:
        node.ovsdb.settle(number)


def plan_start(node: SwitchNode, switch: Switch, reasons: Sequence[str]) -> None:
    """Plan the daemon's start, or its restart for these reasons."""
    host = node.host
    if node.daemon is None:
        record_daemons(host, node.runner, "ovs_dpdk")  # where its packages were installed before, nothing else has
    begin = partial(start, host, node.runner, after=partial(_note_start, node, switch))
    # a package that has yet to be installed starts the daemon, which is then restarted
    if node.daemon is None and (is_installed(host) or not is_debian(host)):
        host.follow_up(Change(SERVICE, "stopped", "running"), partial(begin, restart=False))
    elif node.daemon is None or reasons:
        disruption = "guest" if node.users else "stall"
        change = Change(SERVICE, "started before these settings", "started with them", disruption, "read when the daemon starts")
        host.follow_up(change, partial(begin, restart=True))


def _note_start(node: SwitchNode, switch: Switch) -> None:
    """Record the settings of the daemon that has just started, and wait until it has set up the switch."""
    daemon = find_daemon(node.host)
    database = node.ovsdb.read()
    if daemon is None or database.root is None:
        raise HostError(f"ovs-vswitchd has ended right after its start{last_errors(node.host)}")
    note = marker(daemon.process, database.other_config)
    node.ovsdb.settle(node.ovsdb.note(set_keys(ROOT, database.root, "external_ids", {DAEMON_KEY: note})))
    if switch.settings.get("dpdk-init") and not node.ovsdb.read().dpdk_initialized:
        raise HostError(f"ovs-vswitchd runs, but DPDK is not initialized{last_errors(node.host)}")


def ports_in_error(database: Database) -> dict[str, str]:
    """Return the ports of this collection that the daemon could not make, and why."""
    rows = [row for row in database.interfaces.values() if row.network is not None]
    return {row.name: str(row.columns["error"]) for row in rows if row.columns.get("error")}


def plan_reload(node: SwitchNode, reasons: Sequence[str]) -> None:
    """Plan that systemd reads the daemon's changed units; a start or restart does so by itself."""
    changed = {change.resource for change in node.host.changes} & {DROP_IN, SWITCH_UNIT}
    plan_units(node.host, node.runner, due=bool(changed) and not reasons)
