# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to the switch's database, which Nova and Neutron's agent share."""

from __future__ import annotations

import os
import socket

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._openstack import neutron, nova
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.kinds import AGENT, NOVA
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.launch import Unit
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.service import find_service
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.switch_database import database_way, ovsdb_connection
from unit.clouds import Node
from unit.trees import fill, writable


@pytest.mark.parametrize(
    ("user", "mode", "group", "way"),
    [
        ("root", 0o750, "", "unix:/run/openvswitch/db.sock"),
        ("nova", 0o750, "", "tcp:127.0.0.1:6640"),
        ("nova", 0o770, "nova", "unix:/run/openvswitch/db.sock"),
        ("nova", 0o750, "nova", "tcp:127.0.0.1:6640"),
        ("nova", 0o777, "", "unix:/run/openvswitch/db.sock"),
    ],
)
def test_the_socket_is_used_where_the_services_user_may(tmp_path, user, mode, group, way):
    os.chdir(tmp_path)
    (tmp_path / "run/openvswitch").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("run/openvswitch/db.sock")
        os.chmod("run/openvswitch/db.sock", mode)
        own = os.getgid()
        fill(
            tmp_path,
            {
                "/etc/passwd": "root:x:0:0::/root:\nnova:x:64060:64060::/var/lib/nova:\n",
                "/etc/group": f"ovs:x:{own}:{group}\nnova:x:64060:\n",
            },
        )
        assert ovsdb_connection(writable(tmp_path), [Unit("x", user=user)]) == way


def test_without_a_socket_it_is_tcp(tmp_path):
    assert ovsdb_connection(writable(tmp_path), [Unit("x")]) == "tcp:127.0.0.1:6640"


def test_the_socket_counts_where_all_may(tmp_path):
    os.chdir(tmp_path)
    (tmp_path / "run/openvswitch").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("run/openvswitch/db.sock")
        os.chmod("run/openvswitch/db.sock", 0o770)
        passwd = "nova:x:64060:64060::/:\nneutron:x:64061:64061::/:\n"
        fill(tmp_path, {"/etc/passwd": passwd, "/etc/group": f"ovs:x:{os.getgid()}:neutron\n"})
        units = [Unit("x", user="neutron"), Unit("y", user="nova")]
        assert ovsdb_connection(writable(tmp_path), units[:1]) == "unix:/run/openvswitch/db.sock"
        assert ovsdb_connection(writable(tmp_path), units) == "tcp:127.0.0.1:6640"


WAYS = [(NOVA, (nova.OVSDB, AGENT, neutron.OVSDB)), (AGENT, (neutron.OVSDB, NOVA, nova.OVSDB))]


@pytest.mark.parametrize(("kind", "way"), WAYS, ids=["nova", "agent"])
@pytest.mark.parametrize(
    ("path", "section"),
    [("/etc/nova/nova.conf", "os_vif_ovs"), ("/etc/neutron/neutron.conf", "ovs")],
    ids=["in nova's", "in the agent's"],
)
def test_what_one_of_them_is_told_both_use(tmp_path, monkeypatch, kind, way, path, section):
    node = Node(tmp_path, monkeypatch)
    fill(node.root, {path: f"[{section}]\novsdb_connection = tcp:127.0.0.1:6641\n"})
    host = writable(node.root)
    assert database_way(host, node.systemd, find_service(host, node.systemd, kind), *way) == "tcp:127.0.0.1:6641"
