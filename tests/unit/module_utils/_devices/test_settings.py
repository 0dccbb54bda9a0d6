# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of virtual functions: set, repeated, refused by the driver, taken back."""

from __future__ import annotations

import os

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._devices import settings
from unit.functions import NIC, Functions, vf
from unit.trees import fill, writable

WANTED = {vf(1): {"trust": True, "rate": 500, "spoof_check": False}}


@pytest.fixture(name="tree")
def _tree(tmp_path):
    fill(tmp_path, {"/proc/sys/kernel/random/boot_id": "b", "/var/lib/": None})
    tree = Functions(tmp_path)
    tree.make(2)
    return tree


def run(tree, planner, check=False):
    host = writable(tree.root, "rt_domain", check)
    with host.locked():
        planner(host)
        host.commit()
    return host


def resources(host):
    return [(change.resource.rsplit(":", 1)[1], change.before, change.after) for change in host.changes]


def plan(tree, wanted=None):
    return lambda host: settings.plan_settings(host, tree.runner, wanted or WANTED, dict.fromkeys(wanted or WANTED, "r"))


def test_set_repeated_and_taken_back(tree):
    made = [("trust", "off", "on"), ("rate", "0", "500"), ("spoof_check", "on", "off")]
    assert resources(run(tree, plan(tree), check=True)) == made
    assert resources(run(tree, plan(tree))) == made
    assert tree.commands == [
        "ip link set ens1f0 vf 1 trust on",
        "ip link set ens1f0 vf 1 max_tx_rate 500",
        "ip link set ens1f0 vf 1 spoofchk off",
    ]
    assert resources(run(tree, plan(tree))) == []
    assert resources(run(tree, lambda host: settings.restore_settings(host, tree.runner, [vf(1)]))) == []
    back = run(tree, lambda host: settings.restore_settings(host, tree.runner))
    assert sorted(resources(back)) == sorted((key, after, before) for key, before, after in made)
    assert tree.vfs[1] == {"vf": 1, "trust": False, "spoofchk": True, "rate": {"max_tx": 0, "min_tx": 0}}
    assert back.entries("virtual-function") == {}


def test_a_function_that_is_yet_to_be_made_has_the_defaults(tree):
    tree.make(0)
    assert resources(run(tree, plan(tree), check=True)) == [
        ("trust", "off", "on"),
        ("rate", "0", "500"),
        ("spoof_check", "on", "off"),
    ]
    with pytest.raises(HostError, match="has gone, or its physical function has no interface"):
        run(tree, plan(tree))


def test_what_libvirt_sets_is_no_original(tree):
    tree.vfs[1].update({"address": "52:54:00:00:00:01", "vlan_list": [{"vlan": 5}]})
    host = run(tree, plan(tree, {vf(1): {"mac": "52:54:00:00:00:02", "vlan": "5"}}))
    assert (resources(host), host.entries("virtual-function")) == ([("mac", "52:54:00:00:00:01", "52:54:00:00:00:02")], {})


def test_a_driver_that_refuses_or_does_not_know(tree):
    tree.refuse = {"max_tx_rate": "RTNETLINK answers: Operation not supported\n"}
    with pytest.raises(
        HostError,
        match=r"ens1f0 refuses rate 500 for its virtual function 1: RTNETLINK answers: Operation not supported; remove that key",
    ):
        run(tree, plan(tree))
    del tree.vfs[1]["trust"]
    host = run(tree, plan(tree, {vf(1): {"trust": True}}))
    assert (host.changes, host.notes) == ([], [f"{vf(1)}: its driver does not show trust, so it is not set (r)"])


def test_places(tree):
    host = writable(tree.root)
    assert settings.place_of(host, vf(1)) == settings.Place("ens1f0", 1)
    assert (settings.place_of(host, NIC), settings.place_of(host, "0000:09:00.0")) == (None, None)
    os.unlink(f"{tree.root}{tree.folder(NIC)}/virtfn0")
    assert settings.place_of(host, vf(1)) == settings.Place("ens1f0", 1)


def test_a_vlan_that_somebody_took_is_found(tree):
    tree.vfs[1]["vlan_list"] = [{}]  # so ip shows VLAN 0
    assert resources(run(tree, plan(tree, {vf(1): {"vlan": "5"}}), check=True)) == [("vlan", "0", "5")]


@pytest.mark.parametrize("named", [True, False])
def test_a_guest_that_is_trusted_no_more_has_its_mac_again_in_the_same_run(tree, named):
    mac = {"mac": "52:54:00:00:00:01"}
    run(tree, plan(tree, {vf(1): {"trust": True}}))
    tree.vfs[1]["address"] = "52:54:00:00:00:99"
    wanted = {vf(1): {**mac, **({"trust": False} if named else {})}}

    def both(host):
        plan(tree, wanted)(host)
        settings.restore_settings(host, tree.runner, {vf(1)}, {vf(1): set(wanted[vf(1)])})

    changes = sorted(resources(run(tree, both)))
    assert changes == [("mac", "52:54:00:00:00:99", mac["mac"]), ("trust", "on", "off")]
    assert run(tree, both).changes == []


def test_a_trusted_guest_may_have_chosen_its_mac(tree):
    tree.vfs[1]["address"] = "52:54:00:00:00:01"
    mac = {"mac": "52:54:00:00:00:02"}
    assert len(run(tree, plan(tree, {vf(1): mac}), check=True).changes) == 1
    assert resources(run(tree, plan(tree, {vf(1): {**mac, "trust": True}}), check=True)) == [("trust", "off", "on")]
    tree.vfs[1]["trust"] = True
    assert run(tree, plan(tree, {vf(1): mac}), check=True).changes == []


def test_a_rate_without_a_link(tree):
    tree.refuse = {"max_tx_rate": "RTNETLINK answers: Invalid argument\n"}
    fill(tree.root, {f"{tree.folder(NIC)}/net/ens1f0/carrier": "0\n"})
    with pytest.raises(HostError, match="it has no link now, and many drivers take a rate only with one"):
        run(tree, plan(tree))


def test_a_function_that_is_being_reset_is_asked_again(tree, monkeypatch):
    """i40e and ice: "VF still in reset. Try again."; a guest that starts at boot must not be lost by it."""
    waits = []
    tree.refuse = {"trust": "RTNETLINK answers: Resource temporarily unavailable\n"}
    monkeypatch.setattr(
        settings.time, "sleep", lambda seconds: waits.append(seconds) or (len(waits) == 2 and tree.refuse.clear())
    )
    run(tree, plan(tree))
    assert (len(waits), tree.vfs[1]["trust"]) == (2, True)
    place, waits[:] = settings.Place("ens1f0", 1), []
    monkeypatch.setattr(settings.time, "sleep", waits.append)
    tree.refuse = {"trust": "RTNETLINK answers: Device or resource busy\n"}
    assert settings.make_setting(tree.runner, place, "trust", "on") == "RTNETLINK answers: Device or resource busy"
    assert 2 < sum(waits) < 4
    waits.clear()
    tree.refuse = {"trust": "RTNETLINK answers: Operation not supported\n"}
    assert settings.make_setting(tree.runner, place, "trust", "on")
    assert not waits
