# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest on the switch starts only when the switch will connect to it."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import parse
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import SOCKET_DIR
from ansible_collections.realtime.kvm.plugins.module_utils._switch import ready as _ready
from ansible_collections.realtime.kvm.plugins.module_utils._switch.ready import require_switch, switch_sockets
from unit.guests import Ports, switch_files
from unit.trees import fill, writable

SOCKET = f"{SOCKET_DIR}/plc1.control"


@pytest.fixture(name="host")
def _host(tmp_path):
    return writable(fill(tmp_path, switch_files()))


def test_only_sockets_on_which_qemu_listens_wait_for_the_switch():
    text = "<interface type='{}'><source type='unix' path='{}' mode='{}'/></interface>"
    found = [("vhostuser", "/a", "server"), ("vhostuser", "/b", "client"), ("unix", "/c", "server")]
    interfaces = "".join(text.format(*item) for item in found)
    assert switch_sockets(parse(f"<domain><devices>{interfaces}</devices></domain>")) == ["/a"]


def test_a_switch_with_the_port_is_ready(host):
    require_switch(host, Ports("plc1").read, "plc1", [SOCKET], 0)


def test_a_guest_without_such_an_interface_needs_no_switch(tmp_path):
    require_switch(writable(tmp_path), None, "historian", [], 0)


def refusal(host, ports, timeout_s=0):
    with pytest.raises(HostError) as error:
        require_switch(host, ports.read, "plc1", [SOCKET], timeout_s)
    return str(error.value)


def test_what_is_missing_is_said(host, tmp_path):
    ports = Ports("plc1")
    ports.rows["plc1.control"].columns["error"] = "no memory"
    assert "the switch could not make port plc1.control: no memory, also after 0 s" in refusal(host, ports)
    assert f"the switch has no port with the socket {SOCKET}" in refusal(host, Ports("plc2"))
    message = refusal(writable(tmp_path / "without"), Ports("plc1"))
    assert message.startswith("plc1: not started, since it would wait for the switch without limit: ovs-vswitchd does not run")


@pytest.mark.parametrize("runs", [True, False])
def test_a_socket_of_another_switch_is_not_judged(host, tmp_path, runs):
    host = host if runs else writable(tmp_path / "without")
    require_switch(host, Ports().read, "theirs", ["/run/vpp/theirs.sock"], 0)
    for ours in (SOCKET, "/run/openvswitch/vhost1", "/var/run/openvswitch/vhost1"):
        with pytest.raises(HostError, match="has no port with the socket" if runs else "ovs-vswitchd does not run"):
            require_switch(host, Ports().read, "theirs", ["/run/vpp/theirs.sock", ours], 0)


def test_a_port_of_this_switch_counts_wherever_its_socket_is(host):
    ports = Ports("plc1")
    ports.rows["plc1.control"].columns.update(options={"vhost-server-path": "/tmp/sock0"}, error="no memory")
    with pytest.raises(HostError, match=r"the switch could not make port plc1\.control: no memory"):
        require_switch(host, ports.read, "plc1", ["/tmp/sock0"], 0)


def test_it_waits_as_long_as_it_may(host, monkeypatch):
    slept, ports = [], Ports()

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            ports.rows.update(Ports("plc1").rows)

    monkeypatch.setattr(_ready.time, "sleep", sleep)
    require_switch(host, ports.read, "plc1", [SOCKET], 60)
    assert len(slept) == 3
