# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices of guests on node1, made with an IOMMU: virtual functions of a network device and an NVMe function, plugged in while it runs.

``create.yml -e lab_nodes=node1 -e lab_iommu=true`` makes that node. The tests build on each other in the order they stand in.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from integration.conftest import NODES
from integration.lab import HERE, ROOT, STATE, Run, differences, fingerprint, lab, playbook, reboot, ssh, wait_for
from integration.machine import cpus, look
from integration.test_audit import Sabotage, findings, hold, kept, redefined, unwatched, value

NODE = "node1"
pytestmark = pytest.mark.skipif(NODE not in NODES, reason="the devices are those of node1 of the lab (LAB_NODES)")

#: The network device with virtual functions, these, and the NVMe function, all of NUMA node 1.
PF, VF1, VF2, DISK = "0000:82:00.0", "0000:82:10.0", "0000:82:10.2", "0000:81:00.0"
PCI = "/sys/bus/pci/devices"
DRIVERS = "/sys/bus/pci/drivers"
IMAGES = "/var/lib/libvirt/images"
KERNEL = (
    f"<domain><os><kernel>{IMAGES}/device-guest.vmlinuz</kernel><initrd>{IMAGES}/device-guest.img</initrd>"
    "<cmdline>console=ttyS0 tsc=reliable quiet node={number}</cmdline></os></domain>"
)


def guest(number: int, *devices: Any) -> dict[str, Any]:
    return {
        "name": f"vf{number}",
        "vcpus": 2,
        "realtime_vcpus": "1",
        "siblings": "any",
        "memory_mib": 192,
        "serial_log": True,
        "devices": list(devices),
        "xml": KERNEL.format(number=number),
    }


GUESTS = [
    guest(1, {"physical_function": "ens3", "trust": True}, DISK),
    guest(2, {"physical_function": "ens3", "spoof_check": True}),
]
VARIABLES = {
    "realtime_networks": [],
    "realtime_guests": GUESTS,
    "kvm_host_virtual_functions": {"ens3": 2},
    # the emulated guests ignore the power button
    "rt_guest_undo_running": True,
}
ARGUMENTS = {"networks": [], "guests": GUESTS, "host": {"socket_memory_mib": 64, "virtual_functions": {"ens3": 2}}}
#: The CPUs of the guests' vCPUs 0 and 1, worked out by hand.
PINS = {"vf1": {0: {8}, 1: {9}}, "vf2": {0: {10}, 1: {11}}}

#: The vectors of the guests' devices: address, allowed CPUs, and whether one has fired elsewhere in the last seconds.
VECTORS = r"""
awk '/vfio-msix/ {sub(":", "", $1); print $1, $NF}' /proc/interrupts | while read number name; do
    echo "${name##*(}" $(cat /proc/irq/$number/smp_affinity_list)
done | tr -d ')'
"""
#: What undo of devices restores.
OF_DEVICES = (
    f"{PCI}/",
    "/sys/class/net/",
    "/etc/driverctl.d/",
    "/etc/modules-load.d/",
    "/etc/modprobe.d/",
    "/etc/systemd/network/",
)
PREPARE = """
printf '[Match]\\nName=ens3\\n[Network]\\nConfigureWithoutCarrier=yes\\n' >/etc/systemd/network/20-ens3.network
networkctl reload
echo "options vfio_iommu_type1 allow_unsafe_interrupts=1" >/etc/modprobe.d/lab-vfio.conf  # the node remaps no interrupts
systemctl disable --now openvswitch-switch
"""


@dataclass
class Seen:
    """What a node was, and the runs that gave its guests devices."""

    before: dict[str, str]
    check: Run
    real: Run


def monitor(*commands: str) -> None:
    """Plug or unplug at the node's emulator."""
    subprocess.run([sys.executable, ROOT / "molecule/lab/files/monitor.py", STATE / NODE / "monitor", *commands], check=True)


def plug() -> None:
    disk = (STATE / NODE / "spare.raw").resolve()
    monitor(
        f"drive_add 0 if=none,id=spare,file={disk},format=raw", "device_add nvme,id=spare0,drive=spare,bus=port0,serial=spare"
    )


def vectors() -> dict[str, set[int]]:
    """The CPUs on which the interrupts of each device of a guest may fire."""
    found: dict[str, set[int]] = {}
    for line in ssh(NODE, VECTORS).splitlines():
        address, allowed = line.split()
        found.setdefault(address, set()).update(cpus(allowed))
    return found


def traffic(name: str) -> bool:
    """Whether a guest gets answers from the other one through its virtual function."""
    ssh(NODE, f"truncate -s 0 /var/log/libvirt/qemu/{name}-serial.log")
    return wait_for(NODE, f"grep -q '64 bytes from' /var/log/libvirt/qemu/{name}-serial.log", 90)


@pytest.fixture(scope="module", name="seen", autouse=True)
def _seen() -> Seen:
    lab("reach", NODE, lab_stage="hosting", lab_iommu=True)
    if not ssh(NODE, "ls /sys/kernel/iommu_groups"):
        pytest.skip("node1 has no IOMMU: create.yml -e lab_nodes=node1 -e lab_iommu=true")
    (STATE / NODE / "spare.raw").write_bytes(bytes(64 << 20))
    plug()
    ssh(NODE, PREPARE)
    ssh(NODE, "bash -s", stdin=(HERE / "device_guest.sh").read_text(), timeout=300)
    before = fingerprint(NODE)
    check = playbook("site.yml", "--check", "--diff", nodes=NODE, extra=VARIABLES)
    assert differences(before, fingerprint(NODE)) == {}
    return Seen(before, check, playbook("site.yml", "--diff", nodes=NODE, timeout=1500, extra=VARIABLES))


def as_planned() -> None:
    """Guests run where they should, frames go between them, and each interrupt of their devices is on the CPU of vCPU 0."""
    assert wait_for(NODE, "virsh list --name | grep -q vf1 && virsh list --name | grep -q vf2", 120)
    guests, _switch = look(NODE)
    assert {name: {vcpu: set(thread.cpus) for vcpu, thread in guests[name].vcpus.items()} for name in PINS} == PINS
    assert traffic("vf1")
    assert traffic("vf2")
    assert wait_for(NODE, "test $(grep -c vfio-msix /proc/interrupts) = 9", 60)  # three of each function
    ssh(NODE, "sleep 6")  # the watcher looks every five seconds
    assert vectors() == {VF1: {8}, DISK: {8}, VF2: {10}}


def test_check_mode_is_the_run_and_the_devices_are_with_their_guests(seen: Seen) -> None:
    assert seen.check.changes(NODE) == seen.real.changes(NODE)
    as_planned()
    assert findings(ARGUMENTS) == []


def test_interrupts_follow_a_vcpu_and_go_with_their_guest(seen: Seen) -> None:
    del seen
    ssh(NODE, "virsh vcpupin vf1 0 4 --live")
    ssh(NODE, "sleep 10")
    assert vectors() == {VF1: {4}, DISK: {4}, VF2: {10}}
    playbook("guests.yml", nodes=NODE, extra=VARIABLES)
    ssh(NODE, "sleep 6")
    assert vectors() == {VF1: {8}, DISK: {8}, VF2: {10}}
    ssh(NODE, "virsh destroy vf1")
    assert wait_for(NODE, f"! grep -q 'vfio.*{DISK}' /proc/interrupts", 20)
    ssh(NODE, "virsh start vf1")


def test_second_run_changes_nothing(seen: Seen) -> None:
    del seen
    assert playbook("site.yml", nodes=NODE, extra=VARIABLES).changes(NODE) == []


def moved(address: str, vector: int, to: str) -> tuple[str, str]:
    """Return what moves a vector of a function; the watcher moves it back, and it shows its CPU with its next interrupt."""
    number = f'$(awk \'/vfio-msix.{vector}.*{address}/ {{sub(":", "", $1); print $1}}\' /proc/interrupts)'
    harm, repair = unwatched((f"echo {to} > /proc/irq/{number}/smp_affinity_list", "true"))
    return harm, f"{repair}; sleep 20"


def vf(number: int, harm: str, repair: str) -> tuple[str, str]:
    return f"ip link set ens3 vf {number} {harm}", f"ip link set ens3 vf {number} {repair}"


def override(address: str, harm: str) -> tuple[str, str]:
    return kept(f"/etc/driverctl.d/pci-{address}", harm.format(f"/etc/driverctl.d/pci-{address}"))


def driver(address: str, name: str) -> tuple[str, str]:
    """Return what binds a function to another driver, or to none, and what gives it back to vfio."""
    loose = f"echo {address} > {PCI}/{address}/driver/unbind"
    back = f"echo vfio-pci > {PCI}/{address}/driver_override; echo {address} > /sys/bus/pci/drivers_probe"
    if not name:
        return loose, back
    bind = f"modprobe {name}; echo {name} > {PCI}/{address}/driver_override; echo {address} > /sys/bus/pci/drivers_probe"
    return f"{loose}; {bind}", f"{loose}; {back}"


def case(pair: tuple[str, str], *found: tuple[str, str], site: bool = True) -> Sabotage:
    return Sabotage(pair[0], found, pair[1], site=site)


def setting(address: str, name: str) -> tuple[str, str]:
    return ("device-settings", f"pci:{address}:{name}")


def bound(address: str) -> tuple[str, str]:
    return ("device-driver", f"pci:{address}:driver")


OFF = (("guest-state", "domain vf1*"), ("guest-state", "domain vf2*"))
IRQS = {address: ("device-interrupt", f"device {address} of *") for address in (VF1, VF2, DISK)}
WATCH = ("interrupt-watcher", "realtime-kvm-watch.service")
MODULES = "/etc/modules-load.d/realtime-kvm-guests.conf"
HOOK = "/etc/libvirt/hooks/qemu.d/realtime-kvm"
OPTIONS = "/etc/realtime-kvm/kvm_host.json"
NUMBER, PROBE = f"{PCI}/{PF}/sriov_numvfs", f"{PCI}/{PF}/sriov_drivers_autoprobe"
LOST = "/<hostdev/,/<.hostdev>/d"

#: Each with the guests running: the rule and the resource of its findings.
RUNNING = {
    "trust": case(vf(0, "trust off", "trust on"), setting(VF1, "trust")),
    "spoof check": case(vf(1, "spoofchk off", "spoofchk on"), setting(VF2, "spoof_check")),
    "VLAN": case(vf(1, "vlan 100", "vlan 0"), setting(VF2, "vlan")),
    "VLAN of the other": case(vf(0, "vlan 7 qos 3", "vlan 0"), setting(VF1, "vlan")),
    "override of a virtual function gone": case(override(VF2, "rm {}"), bound(VF2)),
    "override of a virtual function empty": case(override(VF1, ": > {}"), bound(VF1)),
    "override of the disk gone": case(override(DISK, "rm {}"), bound(DISK)),
    "override of the disk names its driver": case(override(DISK, "echo nvme > {}"), bound(DISK)),
    "drivers of new functions": case(value(PROBE, "1"), ("device-functions", PROBE)),
    "vfio not loaded at boot": case(kept(MODULES, f"rm {MODULES}"), ("host-file", MODULES)),
    "vfio's name wrong": case(kept(MODULES, f"echo vfio > {MODULES}"), ("host-file", MODULES)),
    "hook gone": case(kept(HOOK, f"rm {HOOK}"), ("host-file", HOOK), ("host-file", "service:*")),
    "hook says nothing": case(kept(HOOK, f"echo '#!/bin/sh' > {HOOK}"), ("host-file", HOOK)),
    "watcher stopped": case(("systemctl stop realtime-kvm-watch", "systemctl start realtime-kvm-watch"), WATCH),
    "vector on the other guest's CPU": case(moved(VF2, 1, "9"), IRQS[VF2]),
    "vector on all CPUs": case(moved(VF1, 1, "0-11"), IRQS[VF1]),
    "vector on housekeeping": case(moved(DISK, 0, "0"), IRQS[DISK]),
    "no start at boot": case(
        ("virsh autostart --disable vf1", "virsh autostart vf1"), ("guest-definition", "domain vf1: autostart")
    ),
    "disk gone from the definition": case(redefined("vf1", LOST), ("guest-definition", "domain vf1: devices/hostdev*")),
    "metadata gone": case(redefined("vf2", "/<metadata/,/<.metadata>/d"), ("refused", "guests"), site=False),  # no guest of ours
    "options of the boot service damaged": case(kept(OPTIONS, f"echo '{{' > {OPTIONS}"), ("file-damaged", OPTIONS)),
    "boot service off": case(
        ("systemctl disable -q realtime-kvm.service", "systemctl enable -q realtime-kvm.service"),
        ("boot-service", "*realtime-kvm.service"),
    ),
    # the last, since vectors that do not fire still show the old CPU
    "vCPU re-pinned": case(
        unwatched(("virsh vcpupin vf2 0 4 --live", "virsh vcpupin vf2 0 10 --live")),
        ("guest-thread", "domain vf2: vcpu0*"),
        IRQS[VF2],
        site=False,
    ),
}
#: Each with the guests shut off, since their devices can be taken only then.
STOPPED = {
    "virtual function with its driver": case(driver(VF1, "igbvf"), *OFF, bound(VF1)),
    "virtual function without a driver": case(driver(VF2, ""), *OFF, bound(VF2)),
    "disk with its driver": case(driver(DISK, "nvme"), *OFF, bound(DISK)),
    "disk without a driver": case(driver(DISK, ""), *OFF, bound(DISK)),
    "no virtual functions": case((f"echo 0 > {NUMBER}", f"echo 2 > {NUMBER}"), *OFF, ("device-functions", NUMBER)),
    "more virtual functions": case(  # new ones, so without what guests' ones have
        (f"echo 0 > {NUMBER}; echo 4 > {NUMBER}", f"echo 0 > {NUMBER}; echo 2 > {NUMBER}"),
        *OFF,
        ("device-functions", NUMBER),
        bound(VF1),
        bound(VF2),
        setting(VF1, "trust"),
        site=False,  # udev gives two of them to vfio, so they count as in use
    ),
    "physical function without a driver": case(  # the rest is not known then
        (f"echo {PF} > {DRIVERS}/igb/unbind", f"echo {PF} > {DRIVERS}/igb/bind; sleep 2; ip link set ens3 up; echo 2 > {NUMBER}"),
        ("device-functions", NUMBER),
        ("refused", "guests' memory"),
        ("refused", "guests"),
        site=False,
    ),
}


@pytest.mark.parametrize("name", RUNNING)
def test_each_sabotage_has_its_finding_and_no_other(name: str) -> None:
    hold(RUNNING[name], ARGUMENTS)


@pytest.fixture(name="off", scope="module")
def _off() -> None:
    ssh(NODE, "virsh destroy vf1; virsh destroy vf2")


@pytest.mark.parametrize("name", STOPPED)
def test_each_sabotage_while_the_guests_are_off_too(off: None, name: str) -> None:
    del off
    hold(STOPPED[name], ARGUMENTS)


def test_site_repairs_what_is_its_own(seen: Seen) -> None:
    del seen
    for cases in (RUNNING, STOPPED):
        ssh(NODE, "virsh destroy vf1; virsh destroy vf2", ok=False)
        for one_of in cases.values():
            if one_of.site:
                ssh(NODE, one_of.harm, ok=False)  # some need what another has taken
        assert len(findings(ARGUMENTS)) >= 3
        playbook("site.yml", nodes=NODE, timeout=1500, extra=VARIABLES)
        assert findings(ARGUMENTS) == []
        as_planned()


def test_a_device_that_has_gone_is_refused_and_named(seen: Seen) -> None:
    """It goes by the kernel's own word: a slot's button does nothing where interrupts are threads (pciehp, Linux 6.12, PREEMPT_RT)."""
    del seen
    ssh(NODE, "virsh destroy vf1")
    ssh(NODE, f"echo 1 > {PCI}/{DISK}/remove")
    assert wait_for(NODE, f"! test -e {PCI}/{DISK}", 60)
    run = playbook("site.yml", "--check", nodes=NODE, ok=False, extra=VARIABLES)
    assert DISK in run.output
    ssh(NODE, "echo 1 > /sys/bus/pci/rescan")
    assert wait_for(NODE, f"test -e {PCI}/{DISK}", 60)
    playbook("site.yml", nodes=NODE, extra=VARIABLES)
    as_planned()


def test_a_reboot_by_hand_changes_nothing(seen: Seen) -> None:
    del seen
    ssh(NODE, "virsh destroy vf1; virsh destroy vf2")
    assert reboot(NODE)
    as_planned()
    assert findings(ARGUMENTS) == []


def test_undo_leaves_drivers_functions_and_names_as_they_were(seen: Seen) -> None:
    """The stage of the lab is the collection's too, so the rest is not as before: test_site.py compares all."""
    ssh(NODE, "virsh destroy vf1; virsh destroy vf2")
    playbook("undo.yml", nodes=NODE, timeout=1500, extra=VARIABLES)
    changed = differences(seen.before, fingerprint(NODE))
    assert {name: pair for name, pair in changed.items() if name.startswith(OF_DEVICES)} == {}
