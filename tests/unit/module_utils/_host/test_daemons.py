# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Daemons of the roles' packages are off again after undo where they were off before, and on where they were on."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host.daemons import DAEMONS, record_daemons, restore_daemons
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL
from unit.systemds import Killed, Systemd
from unit.trees import fill, writable

#: What the packages of Debian enable and start.
LIBVIRT = {
    "libvirtd.service": (True, True), "libvirtd.socket": (True, True), "libvirtd-ro.socket": (True, True), "libvirt-guests.service": (True, True),
    "virtlogd.service": (False, True), "virtlogd.socket": (True, True),
}  # fmt: skip
SWITCH = {
    "openvswitch-switch.service": (True, True),
    "ovs-vswitchd.service": (False, True),
    "ovsdb-server.service": (False, True),
}


@pytest.fixture(name="root")
def _root(tmp_path):
    return fill(tmp_path, {"/var/lib/": None, "/run/systemd/system/": None})


def record(root, systemd, role):
    host = writable(root)
    record_daemons(host, systemd, role)
    host.perform(lambda: None)
    host.commit()


def restore(root, systemd, used=None, check=False, **packages):
    host = writable(root, check_mode=check)
    stays = restore_daemons(host, systemd, used or {}, **packages)
    host.commit()
    return host.changes, stays


def test_what_packages_switched_on_is_off_again_and_a_second_undo_does_nothing(root):
    systemd = Systemd({})
    record(root, systemd, "kvm_host")
    systemd.units.update({name: list(state) for name, state in LIBVIRT.items()})
    predicted, _stays = restore(root, systemd, check=True)
    assert systemd.calls == []
    made, stays = restore(root, systemd)
    assert made == predicted
    assert [(change.resource, change.disruption) for change in made] == [("daemons:kvm_host", "none")]
    assert "libvirtd.service: enabled, active" in made[0].before
    assert "libvirtd.service: disabled, inactive" in made[0].after
    assert stays == []
    assert {name for name, state in systemd.units.items() if any(state)} == set()
    assert len(systemd.calls) == 2, "one job stops all, so that no socket starts its service again"
    assert not (root / JOURNAL[1:]).exists()
    assert restore(root, systemd) == ([], [])


def test_what_ran_before_runs_on(root):
    systemd = Systemd(LIBVIRT)
    record(root, systemd, "kvm_host")
    assert restore(root, systemd) == ([], [])
    assert systemd.units == {name: list(state) for name, state in LIBVIRT.items()}
    assert systemd.calls == []


def test_a_daemon_that_was_installed_and_off_is_off_again(root):
    off = {**SWITCH, "openvswitch-switch.service": (False, False), "ovs-vswitchd.service": (False, False)}
    systemd = Systemd(off)
    record(root, systemd, "ovs_dpdk")
    systemd.units.update({name: list(state) for name, state in SWITCH.items()})
    restore(root, systemd)
    assert systemd.units == {name: list(state) for name, state in off.items()}


def test_what_disabling_takes_along_is_enabled_again(root):
    systemd = Systemd(
        {"libvirtd.service": (False, False), "virtlogd.socket": (True, True)}, {"libvirtd.service": ["virtlogd.socket"]}
    )
    record(root, systemd, "kvm_host")
    systemd.units["libvirtd.service"] = [True, True]
    restore(root, systemd)
    assert systemd.units == {"libvirtd.service": [False, False], "virtlogd.socket": [True, True]}


def test_the_first_record_counts(root):
    systemd = Systemd({})
    record(root, systemd, "ovs_dpdk")
    systemd.units.update({name: list(state) for name, state in SWITCH.items()})
    record(root, systemd, "ovs_dpdk")
    restore(root, systemd)
    assert not any(active for _enabled, active in systemd.units.values())


def test_daemons_that_others_use_stay_on_until_a_later_undo(root):
    systemd = Systemd({})
    record(root, systemd, "kvm_host")
    systemd.units.update({name: list(state) for name, state in LIBVIRT.items()})
    changes, stays = restore(root, systemd, {"kvm_host": "it has the guests web1"})
    assert changes == []
    assert stays == ["libvirt stays on, although it was off before, since it has the guests web1"]
    assert systemd.calls == []
    assert len(restore(root, systemd)[0]) == 1


@pytest.mark.parametrize("call", range(2))
def test_a_killed_undo_is_finished_by_the_next_one(root, call):
    systemd = Systemd({})
    record(root, systemd, "kvm_host")
    systemd.units.update({name: list(state) for name, state in LIBVIRT.items()})
    systemd.kill_at = call
    with pytest.raises(Killed):
        restore(root, systemd)
    systemd.kill_at = None
    restore(root, systemd)
    assert not any(enabled or active for enabled, active in systemd.units.values())
    assert not (root / JOURNAL[1:]).exists()


def test_units_of_removed_packages_are_forgotten(root):
    systemd = Systemd({})
    record(root, systemd, "kvm_host")
    assert restore(root, systemd) == ([], [])
    assert not (root / JOURNAL[1:]).exists()


def test_without_systemd_and_for_roles_without_daemons_nothing_is_asked(tmp_path):
    def never(_command):
        raise AssertionError

    record(fill(tmp_path / "a", {"/var/lib/": None}), never, "kvm_host")
    record(fill(tmp_path / "b", {"/var/lib/": None, "/run/systemd/system/": None}), never, "rt_latency")


def test_units_have_their_kind():
    units = [unit for names in DAEMONS.values() for unit in names]
    assert all(unit.endswith((".service", ".socket")) for unit in units)
    assert len(units) == len(set(units))


def test_a_time_service_is_off_again_unless_it_stays_for_one_that_cannot_come_back(root):
    systemd = Systemd({})
    record(root, systemd, "time_sync")
    systemd.units["chrony.service"] = [True, True]
    assert restore(root, systemd, stuck=["time_sync"]) == ([], [])  # the node would have none; a later undo does the rest
    made, stays = restore(root, systemd)
    assert ([change.resource for change in made], stays) == (["daemons:time_sync"], [])
    assert systemd.units["chrony.service"] == [False, False]


def test_a_time_service_that_goes_with_its_package_is_not_stopped_before(root):
    systemd = Systemd({})
    record(root, systemd, "time_sync")
    systemd.units["chrony.service"] = [True, True]
    assert restore(root, systemd, going=["time_sync"]) == ([], [])
    assert systemd.units["chrony.service"] == [True, True]
    assert not (root / JOURNAL[1:]).exists()
