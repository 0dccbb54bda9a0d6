# SPDX-License-Identifier: GPL-3.0-or-later
"""A new guest's domain with its defaults. Pure.

A default is set once, when the domain is made; what the inventory does not name is never changed later.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from .guest import Guest
from .guest_list import derive_uuid


def new_domain(guest: Guest, site: str, arch: str) -> ET.Element:
    """Return a new guest's domain before ``merge``; its UUID is derived from site and name unless given."""
    x86 = arch == "x86_64"
    tree = ET.Element("domain", type="kvm")
    ET.SubElement(tree, "name").text = guest.name
    ET.SubElement(tree, "uuid").text = guest.uuid or derive_uuid(site, guest.name)
    _add_firmware(tree, guest, arch)
    features = ET.SubElement(tree, "features")
    ET.SubElement(features, "acpi")
    if x86:
        ET.SubElement(features, "apic")
    mode = guest.cpu_mode or "host-passthrough"
    if x86 and guest.realtime and mode == "host-passthrough" and guest.dedicated_hint is None:
        # each vCPU has a CPU of its own, so the guest need not prepare for losing it (Linux, x86/kvm/cpuid.rst, KVM_HINTS_REALTIME)
        ET.SubElement(ET.SubElement(features, "kvm"), "hint-dedicated", state="on")
    cpu = ET.SubElement(tree, "cpu", mode=mode)
    if x86 and guest.realtime and mode == "host-passthrough":
        cpu.set("migratable", "off")  # it hides the invariant TSC (libvirt, formatdomain, "CPU model and topology")
    _add_clock(tree, guest, x86=x86)
    devices = ET.SubElement(tree, "devices")
    if guest.realtime:  # emulated frames would load the emulator thread without use
        ET.SubElement(devices, "controller", type="usb", index="0", model="none")
    ET.SubElement(ET.SubElement(devices, "serial", type="pty"), "target", port="0")
    ET.SubElement(ET.SubElement(devices, "console", type="pty"), "target", type="serial", port="0")
    return tree


def _add_firmware(tree: ET.Element, guest: Guest, arch: str) -> None:
    system = ET.SubElement(tree, "os")
    ET.SubElement(system, "type", arch=arch, machine=guest.machine).text = "hvm"
    if guest.firmware == "uefi" and guest.secure_boot is not None:
        state = "yes" if guest.secure_boot else "no"
        firmware = ET.SubElement(system, "firmware")
        for name in ("enrolled-keys", "secure-boot"):
            ET.SubElement(firmware, "feature", enabled=state, name=name)
    ET.SubElement(system, "boot", dev="hd")


def _add_clock(tree: ET.Element, guest: Guest, *, x86: bool) -> None:
    """Add a clock without the timers that cost exits; Nova sets the same ones (nova/virt/libvirt/driver.py, _set_clock)."""
    clock = ET.SubElement(tree, "clock", offset="localtime" if guest.guest_os == "windows" else "utc")
    if x86:
        ET.SubElement(clock, "timer", name="pit", tickpolicy="delay")
        ET.SubElement(clock, "timer", name="rtc", tickpolicy="catchup")
        ET.SubElement(clock, "timer", name="hpet", present="no")
