# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services that answer, refuse, lie, or hang."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import config_path
from ansible_collections.realtime.kvm.plugins.module_utils._host.threads import SWITCH_PID
from ansible_collections.realtime.kvm.plugins.module_utils._metrics import services as _services
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.samples import Samples
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.services import SOCKET, clock_samples, switch_samples
from ansible_collections.realtime.kvm.plugins.module_utils._switch import ovsdb
from ansible_collections.realtime.kvm.plugins.module_utils._time import texts, wanted
from unit.module_utils._metrics.test_switch_answers import STATISTICS, row
from unit.trees import fill
from unit.watched import Server, found, look_at, samples_of

CONTROL = "/run/openvswitch/ovs-vswitchd.90.ctl"


@pytest.fixture(name="root")
def _root(monkeypatch):
    """A short path: that of a socket has at most 108 characters."""
    monkeypatch.setattr(_services, "ANSWER_S", 0.3)
    folder = tempfile.mkdtemp(prefix="rtkvm-")
    fill(folder, {SWITCH_PID: "90\n"})
    yield folder
    shutil.rmtree(folder)


def said(look, source=switch_samples):
    """What a source has said before it was refused, and why."""
    out = Samples()
    with pytest.raises(HostError) as refused:
        source(look, out)
    return found(out), str(refused.value)


# -- the switch ------------------------------------------------------------------------------------


def test_ports_and_threads_are_asked_by_their_sockets(root):
    database = Server(root, SOCKET, {"result": [{"rows": [row("dpdk0", "dpdk", rx_dropped=1)]}]})
    daemon = Server(root, CONTROL, {"result": STATISTICS})
    out = samples_of(switch_samples, look_at(root))
    assert out["port_up"] == {("dpdk0", "dpdk"): 1}
    assert out["pmd_busy_cycles"] == {("2",): 100000}
    (asked,) = database.requests
    assert asked["params"][1]["columns"] == ["link_state", "name", "statistics", "type"]
    assert [request["method"] for request in daemon.requests] == ["dpif-netdev/pmd-stats-show"]


def test_a_node_without_switch_has_none(tmp_path):
    assert samples_of(switch_samples, look_at(tmp_path)) == {}


@pytest.mark.parametrize(
    "answer",
    ["please specify an existing datapath\n", '"dpif-netdev/pmd-stats-show" is not a valid command\n'],
    ids=["switch of the kernel", "Open vSwitch 4.0"],
)
def test_a_switch_that_counts_no_cycles_shows_none(root, answer):
    Server(root, SOCKET, {"result": [{"rows": []}]})
    Server(root, CONTROL, {"result": None, "error": answer})
    assert samples_of(switch_samples, look_at(root)) == {"ports_omitted": {(): 0}}


@pytest.mark.parametrize(
    "answer", [{"result": None, "error": "no"}, {"result": 5}, {"result": []}, {"result": [{"rows": [{}]}]}, b"]", b"{}{}}"]
)
def test_a_database_that_lies_is_named(root, answer):
    Server(root, SOCKET, answer)
    shown, why = said(look_at(root))
    assert shown == {}
    assert "ovsdb-server" in why


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (
            {"result": None, "error": '"dpif-netdev/pmd-stats-show" command requires more arguments\n'},
            "refused dpif-netdev/pmd-stats-show",
        ),
        ({"result": ["x"]}, "cannot be read"),
        (None, "did not answer on"),
    ],
)
def test_a_daemon_that_refuses_lies_or_hangs_keeps_the_ports(root, answer, why):
    Server(root, SOCKET, {"result": [{"rows": [row("dpdk0", "dpdk")]}]})
    Server(root, CONTROL, answer)
    started = time.monotonic()
    shown, reason = said(look_at(root))
    assert shown["port_up"] == {("dpdk0", "dpdk"): 1}
    assert why in reason
    assert time.monotonic() - started < 3


def test_a_switch_that_is_stopped_is_named(root):
    assert said(look_at(root)) == ({}, f"ovsdb-server does not listen on {SOCKET}")
    Server(root, SOCKET, {"result": [{"rows": []}]}, {"result": [{"rows": []}]})
    assert said(look_at(root))[1] == f"ovs-vswitchd does not listen on {CONTROL}"
    Path(f"{root}{SWITCH_PID}").unlink()
    assert said(look_at(root))[1].startswith("ovs-vswitchd does not run")


# -- the clock -------------------------------------------------------------------------------------

TRACKING = "C0A80001,192.168.0.1,3,1764508800.0,0.000012500,0.000001,0.000002,-10.1,0.0,0.1,0.001,0.002,64.0,Normal\n"
PTP = "\tsending: GET TIME_STATUS_NP\n\t\tmaster_offset  -250\n\t\tgmPresent  true\n\t\tgmIdentity  001122.fffe.334455\n\t\tportState  SLAVE\n"


def clock(root, source, answer, *, domain=0):
    fill(root, {config_path("time_sync"): wanted.Wanted(source, domain=domain).text})
    asked = []

    def runner(words):
        asked.append(list(words))
        return answer

    return look_at(root, runner), asked


def test_chrony(tmp_path):
    look, asked = clock(tmp_path, "chrony", (0, TRACKING, ""))
    assert samples_of(clock_samples, look) == {"clock_offset_seconds": {(): 0.0000125}, "clock_synchronised": {(): 1}}
    assert asked == [["chronyc", "-c", "-n", "-m", "tracking", "sources"]]


@pytest.mark.parametrize("out", ["", "x,y\n", TRACKING.replace("Normal", "Not synchronised"), "506 Cannot talk to daemon\n"])
def test_a_chrony_that_follows_nothing_is_not_synchronised(tmp_path, out):
    look, _asked = clock(tmp_path, "chrony", (0, out, ""))
    assert samples_of(clock_samples, look) == {"clock_synchronised": {(): 0}}


def test_ptp(tmp_path):
    look, asked = clock(tmp_path, "ptp", (0, PTP, ""), domain=24)
    assert samples_of(clock_samples, look)["clock_synchronised"] == {(): 0}, "phc2sys does not run"
    fill(tmp_path, {f"/sys/fs/cgroup/system.slice/{texts.PHC2SYS_UNIT}/cgroup.procs": "7\n"})
    assert samples_of(clock_samples, look) == {"clock_offset_seconds": {(): -0.00000025}, "clock_synchronised": {(): 1}}
    assert asked[0] == ["pmc", "-u", "-b", "0", "-d", "24", "GET TIME_STATUS_NP", "GET PORT_DATA_SET"]


def test_a_program_that_fails_is_named(tmp_path):
    look, _asked = clock(tmp_path, "chrony", (1, "", "506 Cannot talk to daemon\x1b[2J\n"))
    assert said(look, clock_samples) == ({}, r"chronyc failed with exit code 1: 506 Cannot talk to daemon\x1b[2J")


@pytest.mark.parametrize("text", ["", "{}", json.dumps({"source": 1, "domain": 0})])
def test_damaged_options_of_the_clock_are_named(tmp_path, text):
    fill(tmp_path, {config_path("time_sync"): text})
    assert "time_sync.json is damaged" in said(look_at(tmp_path), clock_samples)[1]


def test_a_node_whose_clock_is_not_ours_shows_none(tmp_path):
    assert samples_of(clock_samples, look_at(tmp_path)) == {}


def test_names_are_those_of_the_other_parts():
    assert (_services.CHRONY, _services.PHC2SYS_UNIT, _services.SOCKET) == (wanted.CHRONY, texts.PHC2SYS_UNIT, ovsdb.SOCKET)
