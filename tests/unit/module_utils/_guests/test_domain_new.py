# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A new guest's defaults, each once."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_new import new_domain
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import derive_uuid
from unit.domains import at, guest_of, made, merged


def test_its_identity_is_given_or_derived():
    uuid = "4a5c2f0e-6b1d-4d0f-9b43-6f2d1f3c7a10"
    assert new_domain(guest_of(uuid=uuid), "n", "x86_64").findtext("uuid") == uuid
    assert new_domain(guest_of(), "n", "x86_64").findtext("uuid") == derive_uuid("n", "plc1")


@pytest.mark.parametrize(("system", "offset"), [("linux", "utc"), ("other", "utc"), ("windows", "localtime")])
def test_its_clock_has_no_timer_that_costs_exits(system, offset):
    tree = made(guest_os=system)
    assert at(tree, "clock") == {"offset": offset}
    timers = {timer.get("name"): timer.get("tickpolicy") or timer.get("present") for timer in tree.findall("clock/timer")}
    assert timers == {"pit": "delay", "rtc": "catchup", "hpet": "no", **({"hypervclock": "yes"} if system == "windows" else {})}


def test_a_real_time_guest_sees_the_invariant_tsc_and_that_its_cpus_are_its_own():
    tree = made()
    assert at(tree, "cpu") == {"mode": "host-passthrough", "migratable": "off"}
    assert at(tree, "features/kvm/hint-dedicated") == {"state": "on"}


@pytest.mark.parametrize("more", [{"realtime_vcpus": None, "hugepages": "none"}, {"cpu_mode": "host-model"}])
def test_others_do_not(more):
    tree = made(**more)
    assert (tree.find("features/kvm"), tree.find("cpu").get("migratable")) == (None, None)


def test_what_is_named_is_no_default():
    tree = made(dedicated_hint=False, clock="localtime", firmware="uefi", secure_boot=True)
    assert at(tree, "features/kvm/hint-dedicated") == {"state": "off"}
    assert at(tree, "clock") == {"offset": "localtime"}
    assert at(tree, "os") == {"firmware": "efi"}
    assert [dict(item.attrib) for item in tree.findall("os/firmware/feature")] == [
        {"enabled": "yes", "name": "enrolled-keys"}, {"enabled": "yes", "name": "secure-boot"}
    ]  # fmt: skip
    assert at(tree, "features/smm") == {"state": "on"}


def test_arm_has_no_timers_and_hints_of_x86():
    tree = new_domain(guest_of(), "n", "aarch64")
    assert (tree.findall("clock/timer"), tree.find("features/kvm"), tree.find("cpu").get("migratable")) == ([], None, None)


def test_its_disks_go_past_the_page_cache():
    tree = made(
        disks=[{"path": "/a.qcow2"}, {"path": "/dev/vg/a"}, {"path": "/c", "cache": "writeback", "discard": "ignore"}],
        seed="/s.iso",
    )
    drivers = [{key: disk.find("driver").get(key) for key in ("cache", "io", "discard")} for disk in tree.findall("devices/disk")]
    assert drivers == [
        {"cache": "none", "io": None, "discard": "unmap"}, {"cache": "none", "io": "native", "discard": "unmap"},
        {"cache": "writeback", "io": None, "discard": "ignore"}, {"cache": None, "io": None, "discard": None},
    ]  # fmt: skip


def test_its_interfaces_on_the_switch_have_long_queues_and_others_qemus():
    tree = made(networks=[{"network": "control"}, {"network": "office"}])
    first, second = tree.findall("devices/interface")
    assert (dict(first.find("driver").attrib), second.find("driver")) == (
        {"rx_queue_size": "1024", "tx_queue_size": "1024"},
        None,
    )
    named = merged(tree, networks=[{"network": "control", "rx_queue_size": 256, "mac": first.find("mac").get("address")}]).find(
        "devices/interface"
    )
    assert dict(named.find("driver").attrib) == {"rx_queue_size": "256", "tx_queue_size": "1024"}
