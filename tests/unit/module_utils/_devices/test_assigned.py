# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the interrupts of running guests' functions belong."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._devices.assigned import (
    read_homes,
    running_files,
    vector_homes,
    vectors_of,
)
from ansible_collections.realtime.kvm.plugins.module_utils._devices.marks import PCI, Home
from unit.devices import domain_of, running_guest
from unit.trees import fill, writable

CARD, OTHER = "0000:41:00.0", "0000:42:00.0"


def test_the_vectors_of_a_running_guest_belong_to_its_vcpu(tmp_path):
    running_guest(tmp_path, "plc1", CARD, vcpus=("2", "3"), vectors=(30, 31), interrupts="1")
    home = Home("plc1", CARD, 1, frozenset({3}))
    host = writable(tmp_path)
    assert (read_homes(host), vector_homes(host)) == ([home], {30: home, 31: home})
    assert [name for name, _time in running_files(host)] == ["plc1.xml"]


def test_two_guests_never_share_one(tmp_path):
    running_guest(tmp_path, "a", CARD, vcpus=("2",), vectors=(30,))
    running_guest(tmp_path, "b", OTHER, vcpus=("3",), vectors=(31,), pid=700)
    assert {number: home.cpus for number, home in vector_homes(writable(tmp_path)).items()} == {
        30: frozenset({2}),
        31: frozenset({3}),
    }


def test_what_the_definition_says_now_counts(tmp_path):
    running_guest(tmp_path, "plc1", CARD, vcpus=("2", "3"))
    fill(tmp_path, {"/etc/libvirt/qemu/plc1.xml": domain_of("plc1", CARD, interrupts="1")})
    assert read_homes(writable(tmp_path))[0].cpus == frozenset({3})


def test_a_function_that_the_list_dropped_is_the_guest_s_until_its_restart(tmp_path):
    running_guest(tmp_path, "plc1", CARD, vcpus=("2", "3"), vectors=(30,), interrupts="1")
    fill(tmp_path, {"/etc/libvirt/qemu/plc1.xml": domain_of("plc1")})
    assert vector_homes(writable(tmp_path)) == {30: Home("plc1", CARD, 1, frozenset({3}))}


@pytest.mark.parametrize(
    "files",
    [
        {"/etc/libvirt/qemu/plc1.xml": domain_of("plc1"), "/run/libvirt/qemu/plc1.xml": domain_of("plc1")},
        {"/run/libvirt/qemu/plc1.xml": "<domstatus><dom hostdev"},  # it is being written
        {"/run/libvirt/qemu/plc1.xml": "<!DOCTYPE x><domstatus>hostdev</domstatus>"},
        {"/etc/libvirt/qemu/plc1.xml": domain_of("plc1", CARD, interrupts="9")},
        {"/etc/libvirt/qemu/plc1.xml": domain_of("plc1", CARD, interrupts="")},
        {"/run/libvirt/qemu/plc1.pid": "no number"},
        {"/etc/libvirt/qemu/plc1.xml": "<domain><name>plc1</name></domain>"},  # a foreign one
    ],
)
def test_what_cannot_be_known_belongs_nowhere(tmp_path, files):
    running_guest(tmp_path, "plc1", CARD, vectors=(30,))
    fill(tmp_path, files)
    assert vector_homes(writable(tmp_path)) == {}


def test_a_line_counts_where_it_is_the_device_s_alone(tmp_path):
    fill(tmp_path, {f"{PCI}/{CARD}/irq": "16\n", f"/proc/irq/16/vfio-intx({CARD})/": None})
    assert vectors_of(writable(tmp_path), CARD) == {16}
    fill(tmp_path, {"/proc/irq/16/ehci_hcd/": None})
    assert vectors_of(writable(tmp_path), CARD) == set()
