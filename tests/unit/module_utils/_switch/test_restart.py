# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the running switch must restart, and which guests use it."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._switch.restart import (
    digest,
    marker,
    restart_reasons,
    running_digest,
    switch_users,
)
from ansible_collections.realtime.kvm.plugins.module_utils._switch.rows import DAEMON_KEY
from unit.switches import Rows, settled

WANTED = {"dpdk-init": "true", "dpdk-socket-mem": "64", "dpdk-lcore-mask": None, "pmd-cpu-mask": "0x26"}
HELD = {"dpdk-init": "true", "dpdk-socket-mem": "64"}


@pytest.mark.parametrize(
    ("held", "ids", "dpdk", "reasons"),
    [
        (HELD, {}, True, []),
        ({**HELD, "dpdk-init": "True", "pmd-cpu-mask": "0x1"}, {}, True, []),
        (HELD, {}, False, ["DPDK is not initialized in the running daemon"]),
        ({}, {}, False, ["dpdk-init", "dpdk-socket-mem"]),
        ({**HELD, "dpdk-lcore-mask": "0x1"}, {}, True, ["dpdk-lcore-mask"]),
        (HELD, {DAEMON_KEY: marker("this", {})}, True, ["settings changed by a run that ended before the restart"]),
        (HELD, {DAEMON_KEY: marker("that", {})}, True, []),  # it has started since
        ({**HELD, "dpdk-socket-mem": "1"}, {DAEMON_KEY: marker("this", HELD)}, True, []),  # it does not know of the 1 yet
        ({**HELD, "dpdk-socket-mem": "1"}, {DAEMON_KEY: marker("that", HELD)}, True, ["dpdk-socket-mem"]),
        (HELD, {DAEMON_KEY: "rubbish"}, True, []),
    ],
)
def test_when_the_running_daemon_must_start_anew(held, ids, dpdk, reasons):
    assert restart_reasons(Rows().database(held, ids, dpdk), WANTED, "this") == reasons


def test_settings_that_need_no_restart_do_not_count():
    assert digest({**WANTED, "pmd-cpu-mask": "0x1"}) == digest(HELD)
    assert running_digest(Rows().database(HELD), "this") == digest(HELD)


def test_who_uses_the_switch():
    assert switch_users(Rows().database(), ["plc9"]) == []
    rows = (
        settled()
        .bridge("x")
        .port("x", "vhu1", status={"status": "connected"})
        .port("x", "vhu2", status={"status": "disconnected"})
    )
    assert switch_users(rows.database(), []) == ["vhu1"]
    assert switch_users(rows.database(), ["plc9"]) == ["plc9", "vhu1"]
    rows.port("x", "mine", marks={"realtime-kvm": "n", "realtime-kvm-guest": "plc3"}, status={"status": "connected"})
    assert switch_users(rows.database(), []) == ["plc3", "vhu1"]
