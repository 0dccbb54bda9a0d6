# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest's watchdog, TPM, panic device and serial log in its domain's XML. Pure.

A device that is there already is taken as it is; one that an earlier run gave the domain goes when the list names it no more.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from .domain_xml import drop, set_attributes
from .guest import Guest

#: Of Intel's 6300ESB: a PCI device, for which Linux and Windows have drivers, on every machine type.
_WATCHDOG = "i6300esb"


def serial_log_path(name: str) -> str:
    """Return where virtlogd keeps what a guest writes to its first serial port; it rotates the file (virtlogd.conf)."""
    return f"/var/log/libvirt/qemu/{name}-serial.log"


def extra_devices(guest: Guest) -> list[tuple[str, str]]:
    """Return kind and identity of these devices."""
    wanted = {
        ("watchdog", _WATCHDOG): bool(guest.watchdog),
        ("tpm", "tpm"): guest.tpm,
        ("panic", "panic"): bool(guest.on_crash),
        ("serial", "log"): guest.serial_log,
    }
    return [device for device, given in wanted.items() if given]


def has_extra(guest: Guest, tree: ET.Element, device: tuple[str, str]) -> bool:
    """Whether a domain has one of these devices."""
    if device == ("serial", "log"):
        log = tree.find("devices/serial/log")
        return log is not None and log.get("file") == serial_log_path(guest.name)
    places = {"watchdog": f"devices/watchdog[@model='{_WATCHDOG}']", "tpm": "devices/tpm", "panic": "devices/panic"}
    return device[0] in places and tree.find(places[device[0]]) is not None


def merge_extras(devices: ET.Element, guest: Guest, gone: set[tuple[str, str]]) -> None:
    """Merge these devices; ``gone`` are those that an earlier run gave the domain and the list names no more."""
    if guest.watchdog:
        if devices.find(f"watchdog[@model='{_WATCHDOG}']") is None:
            ET.SubElement(devices, "watchdog", model=_WATCHDOG)
        for watchdog in devices.findall("watchdog"):  # libvirt wants one action of all
            set_attributes(watchdog, action=guest.watchdog)
    elif ("watchdog", _WATCHDOG) in gone:
        for watchdog in devices.findall(f"watchdog[@model='{_WATCHDOG}']"):
            devices.remove(watchdog)
    if guest.tpm and devices.find("tpm") is None:
        tpm = ET.SubElement(devices, "tpm", model="tpm-crb")
        ET.SubElement(tpm, "backend", type="emulator", version="2.0")
    elif ("tpm", "tpm") in gone:
        drop(devices, "tpm")
    if guest.on_crash and devices.find("panic") is None:  # without it QEMU never knows of the guest's crash
        ET.SubElement(devices, "panic", model="isa")
    elif ("panic", "panic") in gone:
        drop(devices, "panic")
    _merge_serial_log(devices, guest, ("serial", "log") in gone)


def _merge_serial_log(devices: ET.Element, guest: Guest, gone: bool) -> None:
    if not guest.serial_log and not gone:
        return
    serial = devices.find("serial")
    console = devices.find("console")
    if serial is None and guest.serial_log:
        serial = ET.SubElement(devices, "serial", type="pty")
    for element in (serial, console if console is not None and console.find("target[@type='serial']") is not None else None):
        if element is None:
            continue
        log = element.find("log")
        if not guest.serial_log:
            drop(element, "log")
        elif log is None:
            ET.SubElement(element, "log", file=serial_log_path(guest.name), append="on")
        else:
            set_attributes(log, file=serial_log_path(guest.name))
