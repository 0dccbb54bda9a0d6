# SPDX-License-Identifier: GPL-3.0-or-later
"""Firmware, CPU, clock and features in a guest's domain: what the inventory names, and what a real-time guest needs. Pure."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

from .domain_xml import DomainError, drop, drop_empty, ensure, set_attributes, set_text, whole
from .guest import Guest

#: What Windows drives without exits where it sees Hyper-V (Nova sets the same, nova/virt/libvirt/driver.py, _set_guest_hyperv...).
_HYPERV = ("relaxed", "vapic", "vpindex", "runtime", "synic", "stimer", "frequencies", "tlbflush", "ipi")


def merge_platform(tree: ET.Element, guest: Guest, threads: int, *, live: bool, demoted: bool) -> None:
    """Merge everything but memory, CPUs' places and devices; ``threads``: of each of the guest's cores; ``demoted``: real-time until now."""
    system = ensure(tree, "os")
    kind = system.find("type")
    x86 = kind is None or kind.get("arch", "x86_64") == "x86_64"
    _check_identity(tree, guest)
    _merge_firmware(tree, system, guest)
    cpu = ensure(tree, "cpu")
    if (
        not live and guest.cpu_mode and cpu.get("mode") != guest.cpu_mode
    ):  # libvirt refuses settings of the old mode beside another
        set_attributes(cpu, mode=guest.cpu_mode, match=None, check=None, migratable=None)
        drop(cpu, "model", "vendor")
    _merge_topology(cpu, guest, threads)
    _merge_features(tree, guest, demoted=demoted)
    if guest.clock and ensure(tree, "clock").get("offset") != guest.clock:
        ensure(tree, "clock").attrib.clear()
        set_attributes(ensure(tree, "clock"), offset=guest.clock)
    if guest.on_crash:
        set_text(tree, "on_crash", guest.on_crash)
    if not live:
        _merge_tsc(cpu, guest)
    if not guest.realtime:
        return
    features = ensure(tree, "features")
    if x86:
        set_attributes(ensure(features, "pmu"), state="off")
        set_attributes(ensure(features, "vmport"), state="off")
    if x86 and not live:
        timer = cpu.find("feature[@name='tsc-deadline']")
        timer = timer if timer is not None else ET.SubElement(cpu, "feature", policy="require", name="tsc-deadline")
        if timer.get("policy") != "force":  # it has the feature then too
            set_attributes(timer, policy="require")


def _check_identity(tree: ET.Element, guest: Guest) -> None:
    has = (tree.findtext("uuid") or "").strip().lower()
    if guest.uuid and has and has != guest.uuid:
        raise DomainError(
            f"realtime_guests: {guest.name}: uuid {guest.uuid} is not that of its domain, {has}, which libvirt never changes; "
            "give that one, or none, or remove the guest first (state: absent)"
        )


def secure_boot_of(system: ET.Element) -> bool:
    """Whether the firmware of a domain checks signatures."""
    wanted = system.find("firmware/feature[@name='secure-boot']")
    loader = system.find("loader")
    return (loader is not None and loader.get("secure") == "yes") or (wanted is not None and wanted.get("enabled") == "yes")


def _merge_firmware(tree: ET.Element, system: ET.Element, guest: Guest) -> None:
    loader = system.find("loader")
    uefi = system.get("firmware") == "efi" or (loader is not None and loader.get("type") == "pflash")
    if guest.firmware == "uefi" and not uefi:
        if loader is not None:
            raise DomainError(
                f"realtime_guests: {guest.name}: firmware uefi, but its domain loads {(loader.text or '')[:100]!r}; "
                f"remove that with virsh edit {guest.name}"
            )
        system.set("firmware", "efi")
    elif guest.firmware == "bios" and uefi:
        set_attributes(system, firmware=None)
        drop(system, "firmware", "loader", "nvram")
    if guest.secure_boot is None:
        return
    if guest.secure_boot != secure_boot_of(system):
        has = "has" if secure_boot_of(system) else "lacks"
        raise DomainError(
            f"realtime_guests: {guest.name}: secure_boot {str(guest.secure_boot).lower()}, but its domain {has} it, and the variables of its "
            f"firmware belong to that; leave the key out, or remove the guest and its variables first (state: absent, remove_disks: true)"
        )
    if guest.secure_boot:  # QEMU's q35: the firmware protects its variables by SMM
        set_attributes(ensure(ensure(tree, "features"), "smm"), state="on")


def _merge_features(tree: ET.Element, guest: Guest, *, demoted: bool) -> None:
    kvm = tree.find("features/kvm")
    if guest.dedicated_hint is None and demoted and kvm is not None:  # its vCPUs share CPUs now
        drop(kvm, "hint-dedicated")
        drop_empty(ensure(tree, "features"), "kvm")
    if guest.dedicated_hint is not None:
        hint = ensure(ensure(ensure(tree, "features"), "kvm"), "hint-dedicated")
        set_attributes(hint, state="on" if guest.dedicated_hint else "off")
    if guest.hyperv is None:
        return
    features = ensure(tree, "features")
    if not guest.hyperv:
        drop(features, "hyperv")
        return
    hyperv = ensure(features, "hyperv")
    for name in _HYPERV:
        set_attributes(ensure(hyperv, name), state="on")
    spinlocks = ensure(hyperv, "spinlocks")
    if spinlocks.get("state") != "on":
        set_attributes(spinlocks, state="on", retries="8191")  # Microsoft's recommendation is no fewer than 4095
    clock = ensure(tree, "clock")
    if not clock.attrib:
        clock.set("offset", "localtime")
    timer = clock.find("timer[@name='hypervclock']")
    set_attributes(timer if timer is not None else ET.SubElement(clock, "timer", name="hypervclock"), present="yes")


def _merge_tsc(cpu: ET.Element, guest: Guest) -> None:
    if guest.invariant_tsc is None:
        return
    feature = cpu.find("feature[@name='invtsc']")
    feature = feature if feature is not None else ET.SubElement(cpu, "feature", name="invtsc")
    set_attributes(feature, policy="require" if guest.invariant_tsc else "disable")
    if guest.invariant_tsc and cpu.get("mode") == "host-passthrough":
        cpu.set("migratable", "off")


def _merge_topology(cpu: ET.Element, guest: Guest, threads: int) -> None:
    """Give a real-time guest the cores that its vCPUs have; remove a topology that does not match the number of vCPUs."""
    topology = cpu.find("topology")
    given = topology.attrib if topology is not None else {}
    adds_up = math.prod(whole(count) or 0 for count in given.values()) == guest.vcpus
    cores = str(guest.vcpus // threads)
    if guest.realtime and not (adds_up and given.get("cores") == cores and given.get("threads", "1") == str(threads)):
        drop(cpu, "topology")
        ET.SubElement(cpu, "topology", sockets="1", cores=cores, threads=str(threads))
    elif not adds_up:
        drop(cpu, "topology")


def drop_bare_cpu(tree: ET.Element) -> None:
    """Remove a cpu element that only a look-up made."""
    drop_empty(tree, "cpu")
