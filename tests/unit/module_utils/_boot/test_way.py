# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The signs of a way: what ip(8) and /sys say of the route's interface, what lies below it, and who has answered."""

from __future__ import annotations

import json

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot.way import CARD, LINK, NO_LINK, Signs, look_at_way
from unit.trees import fill

NEAR = {"dst": "192.0.2.1", "dev": "br0", "prefsrc": "192.0.2.11"}
FAR = {"dst": "198.51.100.7", "gateway": "192.0.2.254", "dev": "br0", "prefsrc": "192.0.2.11"}


def ip(route, neighbours=(), gateways=()):
    """Stands for ip(8)."""

    def runner(command):
        assert command[:2] == ["ip", "-json"]
        if "get" in command:
            return (0, json.dumps([route]), "") if route else (2, "", "RTNETLINK answers: Network is unreachable")
        if "default" in command:
            return 0, json.dumps([{"dst": "default", "gateway": gateway, "dev": "br0"} for gateway in gateways]), ""
        assert command[2:] == ["neigh", "show", "dev", "br0"]
        return 0, json.dumps([{"dst": address, "state": [state]} for address, state in neighbours]), ""

    return runner


@pytest.mark.parametrize("state", ["REACHABLE", "STALE", "DELAY", "PROBE", "PERMANENT"])
@pytest.mark.parametrize(("route", "peer", "hop"), [(NEAR, "192.0.2.1", "192.0.2.1"), (FAR, "198.51.100.7", "192.0.2.254")])
def test_the_next_hop_has_answered(tmp_path, state, route, peer, hop):
    assert look_at_way(ip(route, [(hop, state)]), str(tmp_path), peer) == Signs("192.0.2.11", "br0", NO_LINK, neighbour=True)


@pytest.mark.parametrize(
    "neighbours", [[], [("192.0.2.1", "FAILED")], [("192.0.2.1", "INCOMPLETE")], [("192.0.2.99", "REACHABLE")]]
)
def test_nobody_who_counts_has_answered(tmp_path, neighbours):
    """A guest on the same bridge is no way to the outside."""
    assert not look_at_way(ip(NEAR, neighbours), str(tmp_path), "192.0.2.1").neighbour


def test_a_gateway_counts_where_the_control_node_is_near_and_switched_off(tmp_path):
    found = look_at_way(
        ip(NEAR, [("192.0.2.1", "FAILED"), ("192.0.2.254", "STALE")], ["192.0.2.254"]), str(tmp_path), "192.0.2.1"
    )
    assert found.neighbour


@pytest.mark.parametrize(
    ("files", "cable"),
    [
        ({}, NO_LINK),
        ({"br0/carrier": "1\n"}, LINK),
        ({"br0/carrier": "0\n"}, NO_LINK),
        ({"br0/carrier": "1\n", "br0/device/": None}, CARD),
        ({"br0/carrier": "1\n", "br0/lower_nic/": None, "nic/device/": None, "nic/carrier": "1\n"}, CARD),
        ({"br0/carrier": "1\n", "br0/lower_nic/": None, "nic/device/": None, "nic/carrier": "0\n"}, LINK),
        # a guest's interface on the bridge is no network card
        ({"br0/carrier": "1\n", "br0/lower_vnet0/": None, "vnet0/carrier": "1\n"}, LINK),
        (
            {
                "br0/lower_b0.7/": None,
                "b0.7/lower_b0/": None,
                "b0/lower_n1/": None,
                "b0/lower_n2/": None,
                "n2/device/": None,
                "n2/carrier": "1",
            },
            CARD,
        ),
        ({"br0/carrier": "1\n", "br0/lower_x/": None, "x/lower_br0/": None}, LINK),  # a circle
    ],
)
def test_the_cable_is_that_of_a_network_card_at_the_bottom(tmp_path, files, cable):
    fill(tmp_path, {f"/sys/class/net/{name}": content for name, content in {"br0/": None, **files}.items()})
    assert look_at_way(ip(NEAR), str(tmp_path), "192.0.2.1").cable == cable


@pytest.mark.parametrize(
    "answer", [(2, "", "no"), (127, "", "not found"), (0, "", ""), (0, "{", ""), (0, "{}", ""), (0, "[1]", ""), (0, "[{}]", "")]
)
def test_where_ip_says_nothing_there_are_no_signs(tmp_path, answer):
    assert look_at_way(lambda _command: answer, str(tmp_path), "192.0.2.1") == Signs()


def test_a_route_to_the_node_itself_has_no_signs(tmp_path):
    assert look_at_way(ip({"type": "local", "dst": "127.0.0.1", "dev": "lo"}), str(tmp_path), "127.0.0.1") == Signs()
