# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ovs_dpdk against a real database and a real daemon, whose processors and devices are made up.

Ports are of the daemon's own type for tests (dummy-pmd) instead of DPDK's; everything else is what runs on a node: the one
transaction, what the daemon makes of it, restarts, undo, and what is left of a run that is killed.
"""

from __future__ import annotations

import gc
import json
import os
import re
import shlex
import signal
import socket
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from ansible_collections.realtime.kvm.plugins.module_utils._host import host as _host
from ansible_collections.realtime.kvm.plugins.module_utils._module import ovs_dpdk
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import carry_out
from ansible_collections.realtime.kvm.plugins.module_utils._module._switch_edges import SwitchEdges
from ansible_collections.realtime.kvm.plugins.module_utils._switch import changes as _changes
from ansible_collections.realtime.kvm.plugins.module_utils._switch import ovsdb as _ovsdb
from ansible_collections.realtime.kvm.plugins.module_utils._switch.changes import SERVICE
from ansible_collections.realtime.kvm.plugins.module_utils._switch.daemon import (
    ALTERNATIVE,
    DPDK_PROGRAM,
    PLAIN_PROGRAM,
    find_daemon,
)
from ansible_collections.realtime.kvm.plugins.module_utils._switch.ovsdb import TOOL
from ansible_collections.realtime.kvm.plugins.module_utils._switch.plan import SwitchError
from ansible_collections.realtime.kvm.plugins.module_utils._switch.rows import Database
from conformance.switches import DummySwitch, alive, needs_switch
from property.machines import regular
from unit.libvirts import FakeLibvirtOf
from unit.trees import fill, writable

pytestmark = needs_switch

PLUGIN = "/usr/lib/x86_64-linux-gnu/dpdk/pmds-25.0/librte_mempool_ring.so.25"
MACHINE = regular(nodes=2, cores=4, threads=1)  # CPUs 0-3 and 4-7
PARTITION = plan_partition(
    build_topology(MACHINE.files()), Intent(smt="together", cpus={"dataplane": "1-2,5", "realtime": "3,6-7"})
)
#: Which NUMA node each port is made up to be on.
NODES = {"plc2.control": 1}


def guest(name, *networks, **more):
    attached = [network if isinstance(network, dict) else {"network": network} for network in networks]
    return {"name": name, "memory_mib": 64, "vcpus": 2, "realtime_vcpus": "1", "networks": attached, **more}


CONTROL = {"name": "control", "vlan": 100}
GUESTS = [guest("plc1", {"network": "control", "queues": 2}), guest("plc2", "control")]


_ARGUMENTS = {
    "state": "present",
    "partition": to_document(PARTITION),
    "networks": [CONTROL],
    "guests": GUESTS,
    "socket_memory_mib": 64,
    "pmd_sleep_max_us": 0,
    "dpdk_extra": None,
    "socket_group": "",
    "restart_with_guests": False,
}


class Node:
    """A machine below a directory, with a switch that really runs."""

    def __init__(self, root):
        self.root = root
        self.switch = DummySwitch(root, "0,0,0,0,1,1,1,1")
        self.commands = []
        pages = {f"/sys/devices/system/node/node{node}/hugepages/hugepages-2048kB/free_hugepages": "1024\n" for node in (0, 1)}
        fill(
            root,
            {
                **MACHINE.files(),
                **pages,
                "/sys/devices/system/cpu/isolated": "1-3,5-7\n",
                "/sys/class/net/": None,
                "/etc/debian_version": "13.0\n",
                "/etc/passwd": f"libvirt-qemu:x:{os.getuid()}:\n",
                "/etc/group": f"root:x:{os.getgid()}:\n",
                "/var/lib/": None,
                "/run/systemd/system/": None,
                DPDK_PROGRAM: "",
                PLUGIN: "",
                ALTERNATIVE: ("link", PLAIN_PROGRAM),
                PLAIN_PROGRAM: "",
                "/proc": ("link", "/proc"),
            },
        )

    def runner(self, command):
        """Do to this machine what systemd and dpkg do to theirs."""
        self.commands.append(shlex.join(command))
        if command[0] == TOOL:
            return 0, self.switch.call(*command), ""
        what = shlex.join(command[:2])
        if what == "systemctl restart":
            self.switch.stop("ovs-vswitchd")
            self.switch.start_daemon()
        elif what == "systemctl start":
            (self.switch.start_server if "ovsdb-server" in command[2] else self.switch.start_daemon)()
        elif what == "systemd-tmpfiles --create":
            folder = self.root / "run" / "realtime-kvm" / "vhost"
            folder.mkdir(parents=True)
            folder.chmod(0o700)
        elif what.startswith("update-alternatives"):
            link = self.root / ALTERNATIVE[1:]
            link.unlink()
            link.symlink_to(command[3] if command[1] == "--set" else PLAIN_PROGRAM)
        return 0, "", ""

    def run(self, *, check=False, **parameters):
        """Run the module; return the Host and the result."""
        host = writable(self.root, "ovs_dpdk", check_mode=check)
        edges = SwitchEdges(host, self.runner, FakeLibvirtOf(None))
        return host, carry_out(edges, ovs_dpdk.run, {**_ARGUMENTS, **parameters})

    def resources(self, **parameters):
        """What a run would change."""
        return [change.resource for change in self.run(check=True, **parameters)[0].changes]


@pytest.fixture(name="node")
def _node(short_folder, monkeypatch):
    monkeypatch.setattr(_host.os, "fsync", lambda _handle: None)
    monkeypatch.setattr(Database, "dpdk_initialized", property(lambda self: self.root is not None))
    monkeypatch.setattr(ovs_dpdk, "plan_threads", lambda *_arguments: None)  # this machine has fewer CPUs than the one made up
    monkeypatch.setattr(_changes, "realtime_guests", lambda _host: [])
    monkeypatch.setattr(_ovsdb, "SETTLE_S", 20.0)
    assign = ovs_dpdk.assign_queues

    def made_up(*arguments):
        return {
            name: replace(
                port, type="dummy-pmd", options={**port.options, "n_rxq": str(port.queues), "numa_id": str(NODES.get(name, 0))}
            )
            for name, port in assign(*arguments).items()
        }

    monkeypatch.setattr(ovs_dpdk, "assign_queues", made_up)
    monkeypatch.setattr(
        ovs_dpdk,
        "_port_nodes",
        lambda _host, _partition, ports, *_rest: {port.name: (NODES.get(port.name, 0),) for port in ports},
    )
    node = Node(short_folder)
    yield node
    node.switch.stop_all()


@pytest.fixture(name="running")
def _running(node):
    node.switch.start()
    # spinning threads of a test harm the machine that it runs on
    node.switch.vsctl("set", "Open_vSwitch", ".", "other_config:pmd-maxsleep=500", "other_config:pmd-sleep-max=500")
    return node


def test_queues_are_polled_where_the_result_says(running):
    planned, told = running.run(check=True)
    made, result = running.run()
    assert [change.resource for change in planned.changes] == [change.resource for change in made.changes]
    assert told["ports"] == result["ports"]
    expected = {(port["name"], int(queue)): cpu for port in result["ports"] for queue, cpu in port["affinity"].items()}
    assert expected == {("plc1.control", 0): 1, ("plc1.control", 1): 2, ("plc2.control", 0): 5}
    assert running.switch.queues() == expected
    assert running.switch.isolated() == {1: False, 2: False, 5: False}
    assert running.switch.vsctl("get", "Open_vSwitch", ".", "other_config:pmd-cpu-mask").strip() == '"0x26"'


def test_second_run_changes_nothing(running):
    running.run()
    starts = running.switch.starts
    host, result = running.run()
    assert host.changes == []
    assert result["restart_required"] is False
    assert running.switch.starts == starts


def test_a_new_guest_moves_no_queue_and_restarts_nothing(running):
    running.run()
    before, starts = running.switch.queues(), running.switch.starts
    host, result = running.run(guests=[guest("aaa", "control"), *GUESTS])
    assert [change.resource for change in host.changes] == ["ovs:Port/aaa.control"]
    assert result["restart_required"] is False
    after = running.switch.queues()
    assert {key: cpu for key, cpu in after.items() if key[0] != "aaa.control"} == before
    assert after["aaa.control", 0] in (1, 2)
    running.run(guests=[guest("aaa", "control", state="absent"), *GUESTS])
    assert running.switch.queues() == before
    assert running.switch.starts == starts


def foreign(switch):
    switch.vsctl(
        *shlex.split(
            "add-br admin -- set Bridge admin datapath_type=netdev external_ids:who=me -- add-port admin a0 -- "
            "set Interface a0 type=dummy-pmd options:n_rxq=2 options:numa_id=0 external_ids:why=this"
        )
    )


def foreign_rows(switch):
    columns = {
        "Bridge": "_uuid,name,datapath_type,external_ids,other_config,ports",
        "Port": "_uuid,name,tag,external_ids,interfaces",
    }
    columns["Interface"] = "_uuid,name,type,options,other_config,external_ids,mtu_request"
    return [
        [line for line in switch.rows(table, names).splitlines() if re.search(r"\b(admin|a0)\b", line)]
        for table, names in columns.items()
    ]


def test_others_stay_as_they_are_and_are_polled(running):
    foreign(running.switch)
    before = foreign_rows(running.switch)
    assert all(before)
    running.run()
    assert foreign_rows(running.switch) == before
    assert {core for (port, _queue), core in running.switch.queues().items() if port == "a0"} <= {1, 2}
    assert len([port for port, _queue in running.switch.queues() if port == "a0"]) == 2
    running.run(networks=[{**CONTROL, "state": "absent"}], guests=[])
    assert foreign_rows(running.switch) == before
    running.run(state="absent")
    assert foreign_rows(running.switch) == before


def test_a_foreign_bridge_gets_ports_and_nothing_else(running):
    foreign(running.switch)
    before = running.switch.rows("Bridge", "name,datapath_type,external_ids,other_config")
    running.run(networks=[{**CONTROL, "bridge": "admin"}])
    assert running.switch.rows("Bridge", "name,datapath_type,external_ids,other_config") == before
    assert "plc1.control" in running.switch.vsctl("list-ports", "admin").split()
    running.run(networks=[{**CONTROL, "bridge": "admin", "state": "absent"}], guests=[])
    assert running.switch.vsctl("list-ports", "admin").split() == ["a0"]
    assert running.switch.rows("Bridge", "name,datapath_type,external_ids,other_config") == before


def test_absent_network_takes_its_ports_and_bridge_and_nothing_else(running):
    office = {"name": "office"}
    running.run(networks=[CONTROL, office], guests=[*GUESTS, guest("pc", "office")])
    assert sorted(running.switch.vsctl("list-br").split()) == ["br-control", "br-office"]
    host, _result = running.run(networks=[{**CONTROL, "state": "absent"}, office], guests=[guest("pc", "office")])
    gone = ["ovs:Port/plc1.control", "ovs:Port/plc2.control", "ovs:Bridge/br-control"]
    assert [change.resource for change in host.changes] == gone
    assert running.switch.vsctl("list-br").split() == ["br-office"]
    assert running.switch.queues() == {("pc.office", 0): 2} or list(running.switch.queues()) == [("pc.office", 0)]


def test_an_administrators_port_keeps_our_bridge(running):
    running.run()
    running.switch.vsctl("add-port", "br-control", "tap9", "--", "set", "Interface", "tap9", "type=dummy")
    host, _result = running.run(networks=[{**CONTROL, "state": "absent"}], guests=[])
    assert host.notes == ["bridge br-control of network control stays, since other ports are on it: tap9"]
    assert running.switch.vsctl("list-ports", "br-control").split() == ["tap9"]
    running.run(state="absent")
    assert running.switch.vsctl("list-ports", "br-control").split() == ["tap9"]
    assert "realtime-kvm" not in running.switch.rows("Bridge", "name,external_ids")


def test_unlisted_is_left_and_told(running):
    running.run()
    before = running.switch.queues()
    host, result = running.run(guests=GUESTS[:1])
    assert host.changes == []
    assert result["unlisted"] == [{"port": "plc2.control", "bridge": "br-control", "network": "control", "guest": "plc2"}]
    host, result = running.run(networks=[], guests=[])
    assert host.changes == []
    assert [row["port"] for row in result["unlisted"]] == ["plc1.control", "plc2.control", ""]
    assert running.switch.queues() == before


def test_drift_is_shown_exactly_and_repaired(running):
    running.run()
    switch, starts = running.switch, running.switch.starts
    switch.vsctl("set", "Open_vSwitch", ".", "other_config:pmd-cpu-mask=0x6")
    switch.vsctl(
        "set", "Port", "plc2.control", "tag=7", "--", "set", "Interface", "plc2.control", "other_config:pmd-rxq-affinity=0:1"
    )
    switch.vsctl(
        "set",
        "Interface",
        "plc1.control",
        "external_ids:mine=1",
        "options:other=1",
        "--",
        "set",
        "Port",
        "plc1.control",
        "other_config:x=y",
    )
    assert running.resources() == [
        "ovs:Open_vSwitch other_config:pmd-cpu-mask",
        "ovs:Port/plc2.control tag",
    ]  # CPU 1 is as good as another
    switch.vsctl("set", "Interface", "plc2.control", "other_config:pmd-rxq-affinity=0:7")
    host, _result = running.run()
    assert [(change.resource, change.before, change.after, change.disruption) for change in host.changes] == [
        ("ovs:Open_vSwitch other_config:pmd-cpu-mask", "0x6", "0x26", "stall"),
        ("ovs:Port/plc2.control tag", "7", "100", "none"),
        ("ovs:Interface/plc2.control other_config:pmd-rxq-affinity", "0:7", "0:5", "stall"),
    ]
    assert switch.queues()["plc2.control", 0] == 5
    assert running.resources() == []
    assert switch.vsctl("get", "Interface", "plc1.control", "external_ids:mine", "options:other").split() == ['"1"', '"1"']
    assert switch.starts == starts


def test_restart_happens_once_and_only_for_what_needs_it(running):
    starts = running.switch.starts
    _host, result = running.run()
    assert result["restart_reasons"] == ["dpdk-init", "dpdk-socket-limit", "dpdk-socket-mem"]
    assert running.switch.starts == starts + 1
    _host, result = running.run(pmd_sleep_max_us=100)
    assert result["restart_required"] is False
    host, result = running.run(socket_memory_mib=128, pmd_sleep_max_us=100)
    assert result["restart_reasons"] == ["dpdk-socket-limit", "dpdk-socket-mem"]
    assert running.switch.starts == starts + 2
    assert [change.disruption for change in host.changes] == ["stall"] * 3
    running.switch.vsctl(
        "set", "Open_vSwitch", ".", "other_config:dpdk-socket-mem=7"
    )  # and not restarted: the daemon does not know
    host, result = running.run(socket_memory_mib=128, pmd_sleep_max_us=100)
    assert [change.resource for change in host.changes] == ["ovs:Open_vSwitch other_config:dpdk-socket-mem"]
    assert running.switch.starts == starts + 2
    running.switch.vsctl("set", "Open_vSwitch", ".", "other_config:dpdk-socket-mem=7")
    running.runner(["systemctl", "restart", "ovs-vswitchd.service"])  # the administrator's: now it does
    _host, result = running.run(socket_memory_mib=128, pmd_sleep_max_us=100)
    assert result["restart_required"] is True
    assert running.switch.starts == starts + 4


def test_restart_is_refused_while_guests_use_the_switch(running, monkeypatch):
    running.run()
    monkeypatch.setattr(_changes, "switch_users", lambda *_arguments: ["plc1"])
    before, starts = running.switch.rows("Open_vSwitch", "other_config,external_ids"), running.switch.starts
    with pytest.raises(
        SwitchError,
        match=r"^ovs_dpdk_restart_with_guests: .* \(dpdk-socket-limit, dpdk-socket-mem\), but guests use it: plc1; nothing was",
    ):
        running.run(socket_memory_mib=128, pmd_sleep_max_us=9)
    assert running.switch.rows("Open_vSwitch", "other_config,external_ids") == before
    host, _result = running.run(socket_memory_mib=128, restart_with_guests=True)
    assert {change.disruption for change in host.changes} == {"guest"}
    assert running.switch.starts == starts + 1


class Killed(BaseException):
    """In place of a signal that ends the run."""


def killed(*_arguments, **_keywords):
    raise Killed


def test_a_run_killed_before_the_restart_is_completed_by_the_next(running, monkeypatch):
    starts = running.switch.starts
    with monkeypatch.context() as patch:
        patch.setattr(ovs_dpdk, "start", killed)
        with pytest.raises(Killed):
            running.run()
    assert running.switch.starts == starts
    host, result = running.run()
    assert [change.resource for change in host.changes] == [SERVICE]
    assert result["restart_reasons"] == ["settings changed by a run that ended before the restart"]
    assert running.switch.starts == starts + 1
    assert running.resources() == []


def test_a_run_killed_after_the_restart_has_nothing_left_to_do(running, monkeypatch):
    starts = running.switch.starts
    with monkeypatch.context() as patch:
        patch.setattr(ovs_dpdk, "marker", killed)
        with pytest.raises(Killed):
            running.run()
    assert running.switch.starts == starts + 1
    assert running.resources() == []


def test_a_reboot_between_transaction_and_restart_is_as_good(running, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(ovs_dpdk, "start", lambda *_arguments, **_keywords: None)
        running.run()
    assert running.resources() == [SERVICE]
    running.runner(["systemctl", "restart", "ovs-vswitchd.service"])
    assert running.resources() == []


@pytest.mark.parametrize("sent", [0, 1, 200, -1, None])
def test_killed_in_the_transaction_it_is_done_whole_or_not_at_all(running, sent):
    """The client dies after some bytes of its request (-1: all but one, None: all), as kill -9 leaves it."""
    running.run(networks=[{"name": "other"}], guests=[])
    before = (running.switch.vsctl("show"), sorted(running.switch.queues()))
    child = os.fork()
    if child == 0:
        _ovsdb.json = _Dying(sent)
        try:
            running.run(networks=[{"name": "other"}, CONTROL])
        finally:
            os._exit(1)
    _pid, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    if sent is None:
        running.switch.vsctl("get", "Bridge", "br-control", "name")
    else:
        assert (running.switch.vsctl("show"), sorted(running.switch.queues())) == before
    running.run(networks=[{"name": "other"}, CONTROL])
    assert sorted(running.switch.queues()) == [("plc1.control", 0), ("plc1.control", 1), ("plc2.control", 0)]
    assert running.resources(networks=[{"name": "other"}, CONTROL]) == []


class _Dying:
    """In place of json: a request that changes something is sent in part, and then its sender is no more."""

    def __init__(self, sent):
        self.sent = sent

    def __getattr__(self, name):
        return getattr(json, name)

    def dumps(self, value):
        if not any(operation.get("op") == "insert" for operation in value.get("params", [])[1:]):
            return json.dumps(value)
        sent = self.sent

        class Request(str):
            __slots__ = ()

            def encode(self):
                connection = next(item for item in gc.get_objects() if isinstance(item, socket.socket) and item.fileno() >= 0)
                connection.sendall(str.encode(self)[:sent])
                if sent is None:
                    connection.recv(1)
                os.kill(os.getpid(), signal.SIGKILL)

        return Request(json.dumps(value))


def test_a_change_by_another_user_meanwhile_is_not_overwritten(running):
    running.run()
    vsctl = running.switch.vsctl
    host = writable(running.root, "ovs_dpdk")
    with host.locked():
        ovs_dpdk.run(host, running.runner, {**_ARGUMENTS, "pmd_sleep_max_us": 77})
        vsctl("set", "Open_vSwitch", ".", "other_config:pmd-cpu-mask=0x2")
        with pytest.raises(
            HostError,
            match="another user has changed the switch's configuration while this run was planned, so nothing was changed",
        ):
            host.commit()
    assert "77" not in vsctl("get", "Open_vSwitch", ".", "other_config")
    assert running.resources(pmd_sleep_max_us=77) == [
        "ovs:Open_vSwitch other_config:pmd-cpu-mask",
        "ovs:Open_vSwitch other_config:pmd-sleep-max",
    ]


def test_undo_gives_everything_back(running):
    switch = running.switch
    switch.vsctl(
        "set", "Open_vSwitch", ".", "other_config:pmd-cpu-mask=0x66", "other_config:dpdk-lcore-mask=0x1", "other_config:mine=1"
    )
    foreign(switch)
    before = snapshot_of(running)
    first, _result = running.run()
    assert ("ovs:Open_vSwitch other_config:dpdk-lcore-mask", "0x1", None) in [
        (change.resource, change.before, change.after) for change in first.changes
    ]
    running.run(pmd_sleep_max_us=5, guests=[])
    assert snapshot_of(running) != before
    planned, _result = running.run(check=True, state="absent")
    made, _result = running.run(state="absent")
    assert [change.resource for change in planned.changes] == [change.resource for change in made.changes]
    assert snapshot_of(running) == before
    assert running.run(state="absent")[0].changes == []
    assert not (running.root / "var" / "lib" / "realtime-kvm").exists()


def snapshot_of(node):
    rows = [
        node.switch.rows("Open_vSwitch", "bridges,external_ids,other_config"),
        node.switch.rows("Bridge", "_uuid,name,external_ids,other_config,datapath_type"),
        node.switch.rows("Port", "_uuid,name,external_ids,tag"),
        node.switch.rows("Interface", "_uuid,name,external_ids,options,other_config,type"),
    ]
    files = [
        path for top in ("etc/systemd", "etc/tmpfiles.d", "run/realtime-kvm") for path in sorted((node.root / top).rglob("*"))
    ]
    return rows, files, os.readlink(node.root / ALTERNATIVE[1:])


def test_the_daemon_is_started_where_it_is_down(running):
    running.run()
    running.switch.stop("ovs-vswitchd", signal.SIGKILL)
    host, result = running.run()
    assert [change.resource for change in host.changes] == [SERVICE]
    assert result["restart_required"] is False
    assert len(running.switch.queues()) == 3


def test_with_the_server_down_its_file_is_read(running):
    running.run()
    running.switch.stop_all()
    assert running.resources(pmd_sleep_max_us=3) == ["ovs:Open_vSwitch other_config:pmd-sleep-max", SERVICE]
    host, _result = running.run(guests=[*GUESTS, guest("plc3", "control")])
    assert [change.resource for change in host.changes] == ["service:ovsdb-server", "ovs:Port/plc3.control", SERVICE]
    assert len(running.switch.queues()) == 4


def test_without_a_database_all_is_predicted(node):
    """As on a node where Open vSwitch is not installed yet."""
    plugin = node.root / PLUGIN[1:]
    plugin.unlink()
    stock, told = node.run(check=True)
    plugin.touch()
    node.switch.start()
    made, result = node.run()
    assert [(change.resource, change.before, change.after, change.disruption) for change in stock.changes] == [
        (change.resource, change.before, change.after, change.disruption) for change in made.changes
    ]
    assert told["ports"] == result["ports"]


def test_a_port_that_cannot_be_made_is_an_error_until_it_can(running, monkeypatch):
    with monkeypatch.context() as patch:
        made_up = ovs_dpdk.assign_queues
        patch.setattr(
            ovs_dpdk, "assign_queues", lambda *rest: {name: replace(port, type="dpdk") for name, port in made_up(*rest).items()}
        )
        with pytest.raises(
            HostError, match=r"^ovs-vswitchd could not make a port \(plc1.control: could not open network device plc1.control"
        ):
            running.run()
        host, _result = running.run(check=True)
        assert [change.resource for change in host.changes] == [
            "ovs:Interface/plc1.control error",
            "ovs:Interface/plc2.control error",
        ]
        with pytest.raises(HostError, match="could not make a port"):
            running.run()
    running.run()
    assert running.resources() == []
    assert len(running.switch.queues()) == 3


def test_ports_move_with_their_network_to_another_bridge(running):
    running.run()
    before = running.switch.queues()
    running.run(networks=[{**CONTROL, "bridge": "br-new"}])
    assert running.switch.vsctl("list-br").split() == ["br-new"]
    assert sorted(running.switch.vsctl("list-ports", "br-new").split()) == ["plc1.control", "plc2.control"]
    assert running.switch.queues() == before


def test_many_ports(running):
    many = [guest(f"g{number}", "control", {"network": "office"}) for number in range(60)]
    networks = [CONTROL, {"name": "office", "mtu": 9000}]
    running.run(networks=networks, guests=many)
    queues = running.switch.queues()
    assert len(queues) == 120
    loads = [list(queues.values()).count(cpu) for cpu in (1, 2)]
    assert max(loads) - min(loads) <= 1
    assert running.resources(networks=networks, guests=many) == []


def test_what_stands_in_the_way_is_refused_by_name(running):
    running.switch.vsctl("add-br", "br-control", "--", "set", "Bridge", "br-control", "datapath_type=system")
    with pytest.raises(
        SwitchError, match=r"control: bridge br-control exists with the kernel's datapath \(datapath_type system\)"
    ):
        running.run()
    running.switch.vsctl("del-br", "br-control")
    foreign(running.switch)
    running.switch.vsctl("add-port", "admin", "plc1.control", "--", "set", "Interface", "plc1.control", "type=dummy")
    with pytest.raises(
        SwitchError, match=r"^realtime_guests: plc1: port plc1.control exists on bridge admin and is not this collection's"
    ):
        running.run()
    running.switch.vsctl("del-port", "plc1.control")
    fill(running.root, {"/sys/class/net/br-control/": None})
    with pytest.raises(SwitchError, match="an interface br-control of the kernel already exists"):
        running.run()
    assert "realtime-kvm" not in running.switch.vsctl("list", "Open_vSwitch")


def test_pids_of_the_daemon_are_told_apart(running):
    pid = running.switch.pid("ovs-vswitchd")
    assert pid is not None
    assert alive(pid)
    first = find_daemon(writable(running.root))
    assert first is not None
    assert first.pid == pid
    running.runner(["systemctl", "restart", "ovs-vswitchd.service"])
    second = find_daemon(writable(running.root))
    assert second is not None
    assert second.process != first.process
    running.switch.stop("ovs-vswitchd")
    assert find_daemon(writable(running.root)) is None
