# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests and networks of the inventory: what they mean, and everything that is refused, in words."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import fields, replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import MAX_NAME, Disk, Guest, GuestError, Scheduler
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import KEYS, derive_mac, derive_uuid, parse_guests
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import (
    MAX_SOCKET_PATH,
    Network,
    parse_networks,
    port_name,
    socket_path,
)
from ansible_collections.realtime.kvm.plugins.module_utils._module._specs import GUESTS

NETWORKS = parse_networks(
    [{"name": "control"}, {"name": "office", "realtime": False, "bridge": "br0"}, {"name": "old", "state": "absent"}]
)
#: A real-time guest that nothing is wrong with.
PLC = {"name": "plc1", "memory_mib": 256, "vcpus": 2, "realtime_vcpus": "1"}
METACHARACTERS = "<a href=\"x\">&amp; ]]> 'ö' \U0001f600"


def parse(*items, limit=1):
    return parse_guests(items, NETWORKS, site="n", priority_limit=limit)


def one(**more):
    return parse({**PLC, **more})[0]


def refusal(*items, limit=1):
    with pytest.raises(GuestError) as error:
        parse(*items, limit=limit)
    return str(error.value)


# -- what is meant ---------------------------------------------------------------------------------


def test_defaults_of_a_real_time_guest():
    guest = one(networks=[{"network": "control"}])
    assert (guest.hugepages, guest.numa, guest.emulator, guest.state) == ("2M", "strict", "housekeeping", "running")
    assert (guest.realtime, guest.shared_memory) == (True, True)
    assert guest.schedulers == {1: Scheduler("fifo", 1)}
    assert guest.autostart is True
    assert guest.networks[0].mac == derive_mac("n", "plc1", "control")


def test_defaults_of_another_guest():
    guest = parse({"name": "historian", "memory_mib": 255})[0]
    assert (guest.hugepages, guest.vcpus, guest.realtime, guest.shared_memory) == ("none", 1, False, False)
    assert guest.schedulers == {}


@pytest.mark.parametrize(("state", "autostart"), [("running", True), ("present", False), ("stopped", False)])
def test_a_guest_that_shall_run_is_started_with_the_node(state, autostart):
    assert one(state=state).autostart is autostart
    assert one(state=state, autostart=not autostart).autostart is not autostart


def test_null_is_not_given():
    assert one(**{key: None for key in KEYS if key not in PLC}) == one()


def test_an_absent_guest_needs_nothing_but_its_name():
    guest = parse({"name": "plc1", "state": "absent", "remove_disks": True, "networks": [{"network": "old"}]})[0]
    assert (guest.state, guest.remove_disks, guest.networks) == ("absent", True, ())
    assert parse({"name": "plc1", "state": "absent", "networks": [{"network": "gone too"}]})[0].networks == ()


def test_a_number_is_no_name():
    with pytest.raises(GuestError, match="name '7' is a number, which virsh takes for a domain's number"):
        parse({"name": "7", "state": "absent"})


@pytest.mark.parametrize(
    ("disk", "found"),
    [
        ({"path": "/a.qcow2"}, Disk("/a.qcow2", "qcow2", "virtio", "vda")),
        ({"path": "/a"}, Disk("/a", "qcow2", "virtio", "vda")),
        ({"path": "/a.img"}, Disk("/a.img", "raw", "virtio", "vda")),
        ({"path": "/a.img", "format": "qcow2"}, Disk("/a.img", "qcow2", "virtio", "vda")),
        ({"path": "/dev/vg/a", "bus": "scsi"}, Disk("/dev/vg/a", "raw", "scsi", "sda")),
        ({"path": "/a.iso", "bus": "scsi", "read_only": True}, Disk("/a.iso", "raw", "scsi", "sda", read_only=True)),
        ({"path": "/a b/c,d'&.raw"}, Disk("/a b/c,d'&.raw", "raw", "virtio", "vda")),
        ({"path": "/" + "long/" * 200 + "a"}, Disk("/" + "long/" * 200 + "a", "qcow2", "virtio", "vda")),
    ],
)
def test_disks(disk, found):
    given = {f"{key}_given": key in disk for key in ("format", "bus", "read_only")}
    assert one(disks=[disk]).disks == (replace(found, **given),)
    assert found.block is disk["path"].startswith("/dev/")


def test_targets_count_by_prefix_and_the_seed_comes_last():
    disks = [{"path": f"/{number}", "bus": bus} for number, bus in enumerate(("virtio", "scsi", "virtio", "sata"))]
    guest = one(disks=disks, seed="/seed.iso")
    assert [disk.target for disk in guest.disks] == ["vda", "sda", "vdb", "sdb", "sdc"]
    assert guest.disks[-1] == Disk("/seed.iso", "raw", "sata", "sdc", read_only=True, cdrom=True)


def test_macs_follow_from_the_names_alone():
    macs = {derive_mac(node, guest, network) for node in "ab" for guest in "ab" for network in "ab"}
    assert len(macs) == 8
    assert all(re.fullmatch("52(:[0-9a-f]{2}){5}", mac) for mac in macs)
    assert derive_mac("a", "b", "c") == derive_mac("a", "b", "c")


def test_an_identity_does_not_depend_on_the_node():
    assert derive_uuid("a", "plc1") == derive_uuid("a", "plc1") != derive_uuid("b", "plc1")
    assert one(uuid="4A5C2F0E-6B1D-4D0F-9B43-6F2D1F3C7A10").uuid == "4a5c2f0e-6b1d-4d0f-9b43-6f2d1f3c7a10"


def test_secure_boot_means_uefi():
    assert (one(secure_boot=True).firmware, one(secure_boot=False).firmware, one().firmware) == ("uefi", None, None)


def test_windows_sees_hyper_v_unless_it_must_not():
    assert [one(guest_os=system).hyperv for system in ("linux", "windows", "other")] == [None, True, None]
    assert one(guest_os="windows", hyperv=False).hyperv is False


def test_a_given_uuid_that_is_derived_from_another_name_is_refused():
    other = {"name": "other", "memory_mib": 64, "uuid": derive_uuid("n", "plc1")}
    assert "other and plc1 have the same uuid" in refusal(PLC, other)
    assert "plc1 and other have the same uuid" in refusal(other, PLC)
    parse_guests([{**PLC, "adopt": True}, other], {}, site="n")


def test_two_guests_with_one_uuid_are_refused():
    uuid = "4a5c2f0e-6b1d-4d0f-9b43-6f2d1f3c7a10"
    assert f"plc2 and plc1 have the same uuid {uuid}" in refusal(
        {**PLC, "uuid": uuid}, {**PLC, "name": "plc2", "uuid": uuid.upper()}
    )


def test_a_mac_is_kept_in_lower_case():
    assert one(networks=[{"network": "office", "mac": "52:54:00:AB:CD:EF"}]).networks[0].mac == "52:54:00:ab:cd:ef"


@pytest.mark.parametrize("key", ["owner", "project", "class", "description"])
@pytest.mark.parametrize("text", [METACHARACTERS, "", " ", "x" * 200])
def test_texts_may_hold_what_xml_can_carry(key, text):
    field = "guest_class" if key == "class" else key
    kept = getattr(one(**{key: text}), field)
    assert kept == text
    element = ET.Element("x", y=kept)
    element.text = kept
    again = ET.fromstring(ET.tostring(element))
    assert (again.text or "", again.get("y")) == (text, text)


def test_the_longest_names_make_a_socket_that_the_kernel_takes():
    network = parse_networks([{"name": "n" * 15, "bridge": "b"}])
    guest = parse_guests([{**PLC, "name": "g" * MAX_NAME, "networks": [{"network": "n" * 15}]}], network)[0]
    assert len(socket_path(port_name(guest.name, "n" * 15))) <= MAX_SOCKET_PATH


def test_ports_of_guests_with_dots_are_not_mixed_up():
    """Guests ``a`` and ``a.control``: the last dot always ends the guest's name."""
    guests = parse(*({**PLC, "name": name, "networks": [{"network": "control"}]} for name in ("a", "a.control", "a.b")))
    ports = [port_name(guest.name, attachment.network.name) for guest in guests for attachment in guest.networks]
    assert len(set(ports)) == 3
    assert [port.rpartition(".")[0] for port in ports] == ["a", "a.control", "a.b"]


def test_two_guests_may_read_one_disk():
    disks = [{"path": "/tools.iso", "read_only": True}]
    assert len(parse({**PLC, "disks": disks}, {**PLC, "name": "plc2", "disks": disks, "seed": "/seed.iso"})) == 2


def test_an_absent_guest_may_leave_its_disk_and_mac_to_another():
    interface = {"network": "office", "mac": "52:54:00:00:00:01"}
    gone = {**PLC, "name": "plc0", "state": "absent", "disks": [{"path": "/a"}], "networks": [interface]}
    assert len(parse(gone, {**PLC, "disks": [{"path": "/a"}], "networks": [interface]})) == 2


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "a b", "a/b", "..", ".", ".a", "-a", "_a", "a\n", "a\0", "ä", "a<", "a&b", "a'", 'a"', "a;b", "$a", "a:b", "a,b", "g" * 51,
        None, 5, True, ["a"], b"a",
    ],
)  # fmt: skip
def test_names_that_libvirt_or_a_file_system_would_choke_on(name):
    assert re.match(
        r"realtime_guests\[0\]: name .* must be 1 to 50 letters, digits, '-', '_' and '\.'", refusal({**PLC, "name": name})
    )


REFUSED = {
    "memory-missing": ({"memory_mib": None}, "memory_mib is missing"),
    "memory-small": ({"memory_mib": 15}, "memory_mib 15 is not in 16-"),
    "memory-negative": ({"memory_mib": -2}, "memory_mib -2 is not in 16-"),
    "memory-huge": ({"memory_mib": 1 << 40}, "memory_mib 1099511627776 is not in 16-"),
    "memory-odd": ({"memory_mib": 257}, r"memory_mib 257 is no multiple of its 2 MiB pages \(hugepages: 2M\); choose 258"),
    "memory-1g": ({"memory_mib": 1500, "hugepages": "1G"}, "no multiple of its 1024 MiB pages .*; choose 2048"),
    "hugepages": ({"hugepages": "4K"}, "hugepages '4K' is not one of 2M, 1G, none"),
    "state": ({"state": "started"}, "state 'started' is not one of running, present, stopped, absent"),
    "vcpus-none": ({"vcpus": 0}, "vcpus 0 is not in 1-512"),
    "vcpus-many": ({"vcpus": 513}, "vcpus 513 is not in 1-512"),
    "all-real-time": (
        {"realtime_vcpus": "0-1"},
        "all 2 vCPUs are real-time; at least one must stay ordinary .* give 3 vcpus, .* guest_os: other",
    ),
    "mask-all": ({"realtime_vcpus": "^0-1"}, "realtime_vcpus '\\^0-1' leaves no vCPU, so the guest would be an ordinary one"),
    "mask-none": ({"realtime_vcpus": "0,^0"}, "leaves no vCPU"),
    "mask-far": ({"realtime_vcpus": "^3"}, "realtime_vcpus '\\^3' names vCPU 3, but the guest has vCPUs 0-1"),
    "mask-one-vcpu": ({"vcpus": 1, "realtime_vcpus": "^0"}, "leaves no vCPU"),
    "mask-adopted": ({"adopt": True, "vcpus": None}, "realtime_vcpus beside adopt needs vcpus, the number that its domain has"),
    "mask-junk": ({"realtime_vcpus": "^"}, "realtime_vcpus: "),
    "guest-os": ({"guest_os": "rtos"}, "guest_os 'rtos' is not one of linux, windows, other"),
    "windows-all": ({"guest_os": "windows", "realtime_vcpus": "0-1"}, "housekeeping of Windows in the guest"),
    "uuid": ({"uuid": "plc1"}, "uuid 'plc1' is not a UUID like"),
    "uuid-zero": ({"uuid": "00000000-0000-0000-0000-000000000000"}, "uuid of zeros is no guest's"),
    "watchdog": ({"watchdog": "reboot"}, "watchdog 'reboot' is not one of reset, poweroff"),
    "clock": ({"clock": "cet"}, "clock 'cet' is not one of utc, localtime"),
    "on-crash": ({"on_crash": "reset"}, "on_crash 'reset' is not one of destroy, restart, preserve"),
    "secure-boot-bios": ({"secure_boot": True, "firmware": "bios"}, "secure_boot needs firmware: uefi"),
    "tsc-model": ({"invariant_tsc": True, "cpu_mode": "host-model"}, "invariant_tsc needs cpu_mode: host-passthrough"),
    "xml-long": ({"xml": "<domain>" + " " * 65536 + "</domain>"}, "xml has .* at most 65536"),
    "xml-name": ({"xml": "<domain><name>x</name></domain>"}, "realtime_guests: plc1: xml holds name, which the key name decides"),
    "disk-cache": ({"disks": [{"path": "/a", "cache": "on"}]}, "cache 'on' is not one of none, writeback"),
    "disk-native": (
        {"disks": [{"path": "/a", "cache": "writeback", "io": "native"}]},
        "io native needs cache none or directsync",
    ),
    "disk-io": ({"disks": [{"path": "/a", "io": "aio"}]}, "io 'aio' is not one of native, threads, io_uring"),
    "disk-discard": ({"disks": [{"path": "/a", "discard": "on"}]}, "discard 'on' is not one of unmap, ignore"),
    "network-queue-size": (
        {"networks": [{"network": "control", "rx_queue_size": 300}]},
        "rx_queue_size 300 is not one of 256, 512, 1024",
    ),
    "network-tx-size": (
        {"networks": [{"network": "office", "tx_queue_size": 512}]},
        "tx_queue_size 512 needs a real-time network on the switch",
    ),
    "all-real-time-one": ({"vcpus": 1, "realtime_vcpus": "0"}, "all 1 vCPUs are real-time"),
    "vcpu-unknown": ({"realtime_vcpus": "1-2"}, "realtime_vcpus '1-2' names vCPU 2, but the guest has vCPUs 0-1"),
    "vcpu-unknown-int": ({"realtime_vcpus": 7}, "realtime_vcpus '7' names vCPU 7"),
    "vcpu-negative": ({"realtime_vcpus": -1}, "realtime_vcpus: '-1' is not a CPU number"),
    "vcpu-junk": ({"realtime_vcpus": "one"}, "realtime_vcpus: 'one' is not a CPU number"),
    "vcpu-backwards": ({"realtime_vcpus": "1-0"}, "realtime_vcpus: '1-0' counts downwards; write 0-1"),
    "vcpu-far": ({"realtime_vcpus": "0-999999999999"}, "realtime_vcpus: .*is beyond"),
    "policy": ({"policy": "other"}, "policy 'other' is not one of fifo, rr"),
    "priority-zero": ({"priority": 0}, "priority 0 is not in 1-99"),
    "priority-negative": ({"priority": -1}, "priority -1 is not in 1-99"),
    "priority-100": ({"priority": 100}, "priority 100 is not in 1-99"),
    "priority-ksoftirqd": (
        {"priority": 2},
        "priority 2 is not below the kernel's own threads: ksoftirqd and ktimers run at 2, .*; the highest that works is 1",
    ),
    "priority-99": ({"priority": 99}, "priority 99 is not below the kernel's own threads"),
    "scheduler-ordinary": ({"vcpu_schedulers": {"0": {}}}, r"vcpu_schedulers: 0: vCPU 0 is not in realtime_vcpus \(1\)"),
    "scheduler-none": ({"vcpu_schedulers": {"": {}}}, r"vcpu_schedulers: : no vCPU is named that is in realtime_vcpus \(1\)"),
    "scheduler-junk": ({"vcpu_schedulers": {"x": {}}}, "vcpu_schedulers: x: 'x' is not a CPU number"),
    "real-time list": (
        {"realtime_vcpus": "[1, 2]"},
        'realtime_vcpus is a list; give one text: "1-2"',
    ),
    "memory with a unit": ({"memory_mib": "2G"}, "memory_mib '2G' must be of type int, a number of MiB without a unit: 2048"),
    "disks as a mapping": (
        {"disks": {"path": "/x"}},
        "disks {'path': '/x'} must be of type list; give a list, also of one item",
    ),
    "long": ({"memory_mib": "9" * 400}, rf"memory_mib '{'9' * 99}\.\.\. must be of type int"),
    "scheduler-bool": ({"vcpu_schedulers": {True: {}}}, "vcpu_schedulers: True: 'True' is not a CPU number"),
    "scheduler-text": ({"vcpu_schedulers": {"1": "fifo"}}, "vcpu_schedulers: 1: 'fifo' is not a mapping of policy and priority"),
    "scheduler-key": (
        {"vcpu_schedulers": {"1": {"prio": 1}}},
        r"vcpu_schedulers: 1: unknown key prio, did you mean priority\?",
    ),
    "scheduler-policy": ({"vcpu_schedulers": {"1": {"policy": "deadline"}}}, "policy 'deadline' is not one of fifo, rr"),
    "scheduler-priority": (
        {"vcpu_schedulers": {"1": {"priority": 3}}},
        "vcpu_schedulers: 1: priority 3 is not below the kernel's",
    ),
    "scheduler-type": ({"vcpu_schedulers": {"1": {"priority": True}}}, "vcpu_schedulers: 1: priority True must be of type int"),
    "scheduler-twice": (
        {"vcpus": 4, "realtime_vcpus": "1-3", "vcpu_schedulers": {"1-2": {}, "2-3": {"policy": "rr"}}},
        "vcpu_schedulers: 2-3: vCPU 2 has two schedulers",
    ),
    "numa": ({"numa": "preferred"}, "numa 'preferred' is not one of strict, spread"),
    "numa-node": ({"numa_node": -1}, "numa_node -1 is not in 0-1023"),
    "numa-both": ({"numa": "spread", "numa_node": 0}, "numa spread and numa_node 0 contradict each other"),
    "emulator": ({"emulator": "isolated"}, "emulator 'isolated' is not one of housekeeping, own"),
    "emulator-scheduler": (
        {"emulator_scheduler": {}},
        "emulator_scheduler needs emulator: own; .* starve the host's own services",
    ),
    "emulator-priority": (
        {"emulator": "own", "emulator_scheduler": {"priority": 2}},
        "emulator_scheduler: priority 2 is not below",
    ),
    "io-threads": ({"io_threads": 17}, "io_threads 17 is not in 0-16"),
    "io-scheduler": ({"io_threads": 1, "io_thread_scheduler": {}}, "io_thread_scheduler needs emulator: own"),
    "io-scheduler-idle": (
        {"emulator": "own", "io_threads": 0, "io_thread_scheduler": {}},
        "io_thread_scheduler without io_threads",
    ),
    "firmware": ({"firmware": "efi"}, "firmware 'efi' is not one of bios, uefi"),
    "cpu-mode": ({"cpu_mode": "custom"}, "cpu_mode 'custom' is not one of host-passthrough, host-model"),
    "machine": ({"machine": "q35'/>"}, "machine .* is not a machine type like q35"),
    "machine-newline": ({"machine": "q35\n"}, "machine .* is not a machine type like q35"),
    "key": (
        {"vcpu": 2, "colour": 3},
        r"unknown key vcpu, did you mean vcpus\? unknown key colour; known are name, state, uuid",
    ),
    "key-odd": ({5: 2}, "unknown key 5; known are"),
    "disk-text": ({"disks": ["/a"]}, r"disks\[0\]: '/a' is not a mapping with a path"),
    "disk-key": ({"disks": [{"path": "/a", "size": 1}]}, r"disks\[0\]: unknown key size, did you mean size_gib\?"),
    "disk-nowhere": ({"disks": [{}]}, r"disks\[0\]: path is missing; give it, or base or size_gib for an image that is made"),
    "disk-relative": ({"disks": [{"path": "a.qcow2"}]}, "path 'a.qcow2' must be the absolute path of a file or block device"),
    "disk-folder": ({"disks": [{"path": "/images/"}]}, "must be the absolute path"),
    "disk-root": ({"disks": [{"path": "/"}]}, "must be the absolute path"),
    "disk-dots": ({"disks": [{"path": "/images/../a"}]}, "must be the absolute path .* without . and .."),
    "disk-name": (
        {"disks": [{"path": f"/images/{'é' * 130}"}]},
        r"path holds the name é{20}\.\.\., which has 260 bytes; file systems take at most 255, so give it a shorter one",
    ),
    "base-name": ({"disks": [{"base": f"/{'a' * 256}/b"}]}, r"base holds the name a{20}\.\.\., which has 256 bytes"),
    "seed-name": ({"seed": f"/images/{'a' * 256}"}, r"seed holds the name a{20}\.\.\., which has 256 bytes"),
    "disk-slashes": ({"disks": [{"path": "//a"}]}, "must be the absolute path"),
    "disk-control": ({"disks": [{"path": "/a\tb"}]}, r"disks\[0\]: path holds a control character"),
    "disk-long": ({"disks": [{"path": "/" + "a" * 4095}]}, "path has 4096 characters; at most 4095"),
    "disk-format": ({"disks": [{"path": "/a", "format": "vmdk"}]}, "format 'vmdk' is not one of qcow2, raw"),
    "disk-block": (
        {"disks": [{"path": "/dev/sdb", "format": "qcow2"}]},
        "/dev/sdb is a block device, so its format is raw, not qcow2",
    ),
    "disk-bus": ({"disks": [{"path": "/a", "bus": "ide"}]}, "bus 'ide' is not one of virtio, scsi, sata"),
    "disk-sata": (
        {"disks": [{"path": "/a", "bus": "sata", "read_only": True}]},
        "QEMU has no read-only SATA disks; give /a bus virtio or scsi",
    ),
    "disk-twice": ({"disks": [{"path": "/a"}, {"path": "/a", "bus": "scsi"}]}, "/a is attached twice"),
    "disk-seed": ({"disks": [{"path": "/a"}], "seed": "/a"}, "/a is attached twice"),
    "disk-many": ({"disks": [{"path": f"/{number}"} for number in range(27)]}, "plc1: more than 26 disks of one kind"),
    "seed": ({"seed": "seed.iso"}, "seed 'seed.iso' must be the absolute path"),
    "network-unknown": (
        {"networks": [{"network": "controll"}]},
        r"networks\[0\]: network 'controll' is not in realtime_networks \(there are: control, office, old\)",
    ),
    "network-absent": ({"networks": [{"network": "old"}]}, "network old has state absent, but the guest is attached to it"),
    "network-twice": ({"networks": [{"network": "office"}] * 2}, r"networks\[1\]: the guest is on network office twice"),
    "network-text": ({"networks": ["control"]}, r"networks\[0\]: 'control' is not a mapping with the name of a network"),
    "network-none": ({"networks": [{"mac": "x"}]}, "is not a mapping with the name of a network"),
    "network-key": (
        {"networks": [{"network": "office", "ip": "x"}]},
        r"networks\[0\]: unknown key ip; known are network, mac, queues",
    ),
    "network-queues": ({"networks": [{"network": "office", "queues": 0}]}, "queues 0 is not in 1-64"),
    "mac-short": ({"networks": [{"network": "office", "mac": "52:54:00"}]}, "mac '52:54:00' is not a unicast address like"),
    "mac-group": ({"networks": [{"network": "office", "mac": "01:00:5e:00:00:01"}]}, "is not a unicast address"),
    "mac-all": ({"networks": [{"network": "office", "mac": "ff:ff:ff:ff:ff:ff"}]}, "is not a unicast address"),
    "mac-zero": ({"networks": [{"network": "office", "mac": "00:00:00:00:00:00"}]}, "is not a unicast address"),
    "mac-sexagesimal": (
        {"networks": [{"network": "office", "mac": "41143933200"}]},
        r"is not a unicast address .* \(quoted in YAML\)",
    ),
    "mac-same": (
        {"networks": [{"network": name, "mac": "52:54:00:00:00:01"} for name in ("control", "office")]},
        "have the same MAC 52:54:00:00:00:01",
    ),
}


@pytest.mark.parametrize(("more", "said"), REFUSED.values(), ids=REFUSED)
def test_refused(more, said):
    message = refusal({**PLC, **more})
    assert message.startswith("realtime_guests: plc1")
    assert re.search(said, message), message


@pytest.mark.parametrize("key", ["policy", "priority", "vcpu_schedulers"])
def test_a_scheduler_without_real_time_vcpus(key):
    given = {"policy": "fifo", "priority": 1, "vcpu_schedulers": {}}[key]
    assert f"{key} without realtime_vcpus; name the vCPUs" in refusal({"name": "a", "memory_mib": 64, key: given})


def test_an_emulator_of_its_own_without_real_time_vcpus():
    assert "emulator own takes a realtime CPU, which only a real-time guest has" in refusal(
        {"name": "a", "memory_mib": 64, "emulator": "own"}
    )


WRONG = {str: 5, int: "5", bool: "yes", dict: [], list: {}}


@pytest.mark.parametrize("key", [key for key in KEYS if key not in ("name", "cloud_init")])  # which is not quoted
def test_types(key):
    kinds = KEYS[key]
    wrong = [WRONG[kinds[0]], 1.5, *([] if bool in kinds else [True])]
    if kinds == (str, int):
        wrong.remove(5)
    if kinds == (bool,):
        wrong += [0, 1]
    for value in wrong:
        message = refusal({**PLC, key: value})
        assert re.match(
            f"realtime_guests: plc1: {key} {'' if key == 'xml' else '.* '}must be of type {' or '.join(kind.__name__ for kind in kinds)}",
            message,
        )


@pytest.mark.parametrize("item", ["plc1", None, 5, ["name"]])
def test_not_a_mapping(item):
    assert re.match(r"realtime_guests\[1\]: .* is not a mapping with at least a name", refusal(PLC, item))


@pytest.mark.parametrize("key", ["owner", "project", "class", "description", "seed"])
@pytest.mark.parametrize("bad", ["\0", "\x07", "\n", "\t", "\r", "\x1b", "\x7f", "\ud800", "\ufffe", "\uffff"])
def test_texts_that_xml_cannot_carry(key, bad):
    assert f"plc1: {key} holds a control character" in refusal({**PLC, key: f"/a{bad}b"})


@pytest.mark.parametrize("key", ["owner", "project", "class", "description"])
def test_texts_too_long(key):
    assert f"plc1: {key} has 201 characters; at most 200" in refusal({**PLC, key: "x" * 201})


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({}, {"name": "plc1"}, "plc1 is listed twice; every guest needs its own name"),
        ({"state": "absent"}, {"name": "plc1"}, "plc1 is listed twice"),
        (
            {"networks": [{"network": "office", "mac": "52:54:00:00:00:0A"}]},
            {"networks": [{"network": "control", "mac": "52:54:00:00:00:0a"}]},
            "plc2 and plc1 have the same MAC 52:54:00:00:00:0a",
        ),
        ({"disks": [{"path": "/a"}]}, {"disks": [{"path": "/a"}]}, "plc2 and plc1 write the same disk /a"),
        ({"disks": [{"path": "/a", "read_only": True}]}, {"disks": [{"path": "/a"}]}, "write the same disk /a"),
        ({"disks": [{"path": "/a"}]}, {"seed": "/a"}, "write the same disk /a"),
        ({"disks": [{"path": "/a"}], "state": "stopped"}, {"disks": [{"path": "/a"}]}, "write the same disk /a"),
    ],
)
def test_two_guests_that_share_what_they_must_not(first, second, said):
    assert said in refusal({**PLC, **first}, {**PLC, "name": "plc2", **second})


def test_a_derived_mac_that_somebody_has_taken():
    taken = [{"network": "office", "mac": derive_mac("n", "plc1", "control")}]
    message = refusal({**PLC, "networks": [{"network": "control"}]}, {**PLC, "name": "plc2", "networks": taken})
    assert "plc2 and plc1 have the same MAC" in message


# -- the module's own list of options --------------------------------------------------------------


def test_the_modules_options_are_the_keys_that_are_understood():
    options = GUESTS["guests"]["options"]
    assert set(options) == set(KEYS)
    assert set(GUESTS["networks"]["options"]) == {field.name for field in fields(Network)}
    kinds = {"str": str, "int": int, "bool": bool, "dict": dict, "list": list}
    assert {key: kinds[spec["type"]] for key, spec in options.items()} == {key: kind[0] for key, kind in KEYS.items()}


def test_the_modules_defaults_are_those_of_a_guest():
    defaults = {key: spec.get("default") for key, spec in GUESTS["guests"]["options"].items()}
    guest = parse({**defaults, "name": "a", "memory_mib": 64})[0]
    assert guest == parse({"name": "a", "memory_mib": 64})[0]
    assert guest == Guest(name="a", memory_mib=64)


def test_addresses_in_xml_are_compared_too():
    mac = "52:54:00:00:00:0A"
    xml = f"<domain><devices><interface type='network'><mac address='{mac}'/><alias name='ua-n'/></interface></devices></domain>"
    other = {**PLC, "name": "plc2", "networks": [{"network": "control", "mac": mac}]}
    assert "plc2 and plc1 have the same MAC 52:54:00:00:00:0a" in refusal({**PLC, "xml": xml}, other)
    assert "plc1 and plc1 have the same MAC 52:54:00:00:00:0a" in refusal({**PLC, "xml": xml, "networks": other["networks"]})
    assert "plc2 and plc1 have the same MAC" in refusal({**PLC, "xml": xml}, {**PLC, "name": "plc2", "xml": xml})
    parse({**PLC, "xml": xml}, {"name": "plc2", "state": "absent"})
