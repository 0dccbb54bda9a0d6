# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one transaction of a run, and the start of the daemon; tests/conformance/test_ovs_dpdk.py makes them on a real ovsdb-server."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._switch.changes import (
    SERVICE,
    SwitchNode,
    check_restart,
    plan_start,
    plan_transaction,
    ports_in_error,
)
from ansible_collections.realtime.kvm.plugins.module_utils._switch.daemon import Daemon
from ansible_collections.realtime.kvm.plugins.module_utils._switch.diff import Difference, SwitchPlan
from ansible_collections.realtime.kvm.plugins.module_utils._switch.plan import SwitchError
from ansible_collections.realtime.kvm.plugins.module_utils._switch.rows import DAEMON_KEY, Database
from unit.switches import Rows, settled
from unit.systemds import Systemd
from unit.trees import fill, writable

DAEMON = Daemon(900, "aaaa-900-1")


class FakeDatabase:
    """A server that notes its transactions."""

    def __init__(self):
        self.made, self.settled = [], []

    def running(self):
        return True

    def transact(self, operations):
        self.made.append(operations)
        return 7

    def note(self, operations):
        return self.transact(operations)

    def settle(self, number):
        self.settled.append(number)


@pytest.fixture(name="node")
def _node(tmp_path):
    host = writable(fill(tmp_path, {"/var/lib/": None}), "ovs_dpdk")
    return SwitchNode(host, Systemd({}), FakeDatabase(), settled().database({"dpdk-init": "true"}), DAEMON)


@pytest.mark.parametrize("running", [False, True])
def test_a_switch_that_was_off_is_recorded_before_it_starts(tmp_path, running):
    """Undo switches it off again, also where its packages were there before."""
    host = writable(fill(tmp_path, {"/var/lib/": None, "/run/systemd/system/": None}), "ovs_dpdk")
    systemd = Systemd({"ovsdb-server.service": (False, True), "ovs-vswitchd.service": (False, False)})
    daemon = Daemon(900, "aaaa-900-1") if running else None
    plan_start(SwitchNode(host, systemd, None, Database(), daemon), None, [])
    recorded = {step.resource: step.entry["before"] for step in host.waiting if step.entry}
    assert recorded == ({} if running else {"daemons:ovs_dpdk": {"ovsdb-server.service": {"enabled": False, "active": True}}})


def test_all_differences_go_in_one_transaction(node):
    plan = SwitchPlan([Difference("ovs:one", "1", "2"), Difference("ovs:two", None, "3", setting="max-idle")], [{"op": "insert"}])
    plan_transaction(node, plan, waits=True)
    kept = {step.resource: step.entry["before"] for step in node.host.waiting if step.entry}
    assert kept == {"ovs:two": {"value": None}}
    node.host.commit()
    assert (node.ovsdb.made, node.ovsdb.settled) == ([[{"op": "insert"}]], [7])


def test_what_the_running_daemon_has_read_is_noted_with_the_settings_that_it_reads_at_its_start(node):
    plan = SwitchPlan([Difference("ovs:x", "true", "false", setting="dpdk-init")], [{"op": "update"}])
    plan_transaction(node, plan, waits=False)
    node.host.commit()
    ((*notes, last),) = node.ovsdb.made
    assert last == {"op": "update"}
    assert DAEMON_KEY in str(notes)
    assert DAEMON.process in str(notes)
    assert node.ovsdb.settled == []


def test_a_port_in_error_is_tried_again(node):
    rows = Rows().bridge("b", "control").port("b", "p", marks={"realtime-kvm": "control"}).port("b", "theirs")
    node.database = rows.database()
    for name in ("p", "theirs"):
        node.database.interfaces[name].columns["error"] = "no such device"
    assert ports_in_error(node.database) == {"p": "no such device"}
    plan_transaction(node, SwitchPlan(), waits=False)
    assert [(change.resource, change.before) for change in node.host.changes] == [("ovs:Interface/p error", "no such device")]


@pytest.mark.parametrize(
    ("users", "reasons", "with_guests", "refused"),
    [([], ["x"], False, False), (["plc1"], [], False, False), (["plc1"], ["x"], True, False), (["plc1"], ["x"], False, True)],
)
def test_a_restart_that_guests_would_notice_is_refused(tmp_path, users, reasons, with_guests, refused):
    node = SwitchNode(writable(tmp_path, "ovs_dpdk", True), Systemd({}), FakeDatabase(), Database(), DAEMON)
    node.users = users
    if refused:
        with pytest.raises(SwitchError, match=r"must be restarted \(x\), but guests use it: plc1; nothing was changed"):
            check_restart(node, {}, reasons, with_guests=with_guests)
    else:
        check_restart(node, {}, reasons, with_guests=with_guests)


@pytest.mark.parametrize(("users", "disruption"), [([], "stall"), (["plc1"], "guest")])
def test_a_restart_disturbs_the_guests_of_the_switch(node, users, disruption):
    node.users = users
    plan_start(node, None, ["dpdk-init"])
    assert [(change.resource, change.disruption) for change in node.host.changes] == [(SERVICE, disruption)]
