# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which thread a guest's vhost threads are put beside, with which policy, and what its metadata tells libvirt's hook."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import GuestError, Scheduler
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import parse_guests
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import parse_networks
from ansible_collections.realtime.kvm.plugins.module_utils._guests.vhost import read_vhost, vhost_marks

NETWORKS = parse_networks(
    [
        {"name": "control"},
        {"name": "office", "realtime": False, "bridge": "br0"},
        {"name": "cell", "datapath": "bridge", "bridge": "br1"},
        {"name": "field", "datapath": "macvtap", "device": "ens1"},
    ]
)
REALTIME = {"vcpus": 3, "realtime_vcpus": "1-2"}
ALL = {"vcpus": 2, "realtime_vcpus": "0-1", "guest_os": "other"}


def on(*names):
    return {"networks": [{"network": name} for name in names]}


def guest_of(**wishes):
    return parse_guests([{"name": "plc1", "memory_mib": 256, **wishes}], NETWORKS, priority_limit=2)[0]


@pytest.mark.parametrize(
    ("wishes", "beside", "scheduler"),
    [
        ({**REALTIME, **on("control", "office")}, None, None),  # as it is
        ({**on("office")}, None, None),
        ({**REALTIME, **on("cell")}, "vcpu0", Scheduler("fifo", 1)),
        ({**REALTIME, **on("office", "field")}, "vcpu0", Scheduler("fifo", 1)),
        ({**REALTIME, "realtime_vcpus": "0", **on("cell")}, "vcpu1", Scheduler("fifo", 1)),
        ({**ALL, **on("cell")}, "emulator", None),
        ({**ALL, **on("cell"), "emulator": "own"}, "emulator", Scheduler("fifo", 1)),
        ({**on("cell")}, "emulator", None),  # an ordinary guest on it
        ({**REALTIME, **on("office"), "vhost": "vcpu"}, "vcpu0", None),
        ({**REALTIME, **on("office"), "vhost": "emulator"}, "emulator", None),
        ({**REALTIME, **on("cell"), "vhost": "emulator"}, "emulator", None),
        ({**REALTIME, **on("office"), "vhost": "vcpu", "vhost_scheduler": {"priority": 2}}, "vcpu0", Scheduler("fifo", 2)),
        ({**REALTIME, **on("cell"), "vhost_scheduler": {"policy": "rr"}}, "vcpu0", Scheduler("rr", 1)),
        (
            {**REALTIME, **on("office"), "vhost": "emulator", "emulator": "own", "emulator_scheduler": {}},
            "emulator",
            Scheduler("fifo", 1),
        ),
        ({"vhost": "emulator", **on("office")}, "emulator", None),
    ],
)
def test_the_place_and_the_policy(wishes, beside, scheduler):
    guest = guest_of(**wishes)
    assert (guest.vhost_beside, guest.vhost_scheduler) == (beside, scheduler)
    mark = ET.Element("guest", vhost_marks(guest))
    policy = f"{scheduler.policy} {scheduler.priority}" if scheduler else "other"
    assert read_vhost(mark) == ((beside, policy) if beside else None)


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        (
            {**ALL, "vhost": "vcpu"},
            "^realtime_guests: plc1: vhost: vcpu needs an ordinary vCPU, but all of its vCPUs are real-time; give vhost: emulator",
        ),
        ({"vhost": "vcpu"}, "no vCPU of a guest without realtime_vcpus has a CPU of its own"),
        ({**REALTIME, "vhost": "own"}, "vhost 'own' is not one of emulator, vcpu"),
        (
            {**REALTIME, "vhost_scheduler": {}},
            "vhost_scheduler needs vhost, the thread beside which vhost threads run: emulator or vcpu",
        ),
        (
            {**REALTIME, "vhost": "emulator", "vhost_scheduler": {}},
            "vhost_scheduler needs vhost: vcpu or emulator: own; real-time vhost threads on house",
        ),
        ({**REALTIME, "vhost": "vcpu", "vhost_scheduler": {"priority": 3}}, "priority 3 is not below the kernel's own threads"),
        ({**REALTIME, "vhost": "vcpu", "vhost_scheduler": "fifo"}, "vhost_scheduler 'fifo' "),
    ],
)
def test_what_is_refused(wishes, said):
    with pytest.raises(GuestError, match=said):
        guest_of(**wishes)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"vhost": "vcpu0"},
        {"vhost": "vcpu0", "vhost_scheduler": "deadline"},
        {"vhost": "vcpu0", "vhost_scheduler": "fifo 100"},
        {"vhost": "vcpu1000", "vhost_scheduler": "other"},
        {"vhost": "iothread1", "vhost_scheduler": "other"},
        {"vhost": "../vcpu0", "vhost_scheduler": "other"},
    ],
)
def test_metadata_of_another_form_tells_nothing(attributes):
    assert read_vhost(ET.Element("guest", attributes)) is None
    assert read_vhost(None) is None
