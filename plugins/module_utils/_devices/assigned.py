# SPDX-License-Identifier: GPL-3.0-or-later
"""The functions of running guests, and the CPUs to which their interrupts go. Edge, read-only.

libvirt's own files tell which guest has which function, and its definition which of its vCPUs serves the interrupts; /proc tells where that
vCPU is. So it needs no connection to libvirt, and follows a guest that was re-pinned by hand.
"""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping

from .._host.host import Host
from .._host.threads import PID_DIR, read_thread
from .marks import PCI, Home, functions_of, is_ours, marks_of

DEFINITIONS = "/etc/libvirt/qemu"
_VCPU = re.compile(r"CPU (\d+)/\w+")
#: How vfio calls a line without messages (drivers/vfio/pci/vfio_pci_intrs.c).
_INTX = "vfio-intx({})"


def running_files(host: Host) -> tuple[tuple[str, int], ...]:
    """Return libvirt's files of running guests with the times of their last change: few reads, which show that one began or ended."""
    found = []
    for name in host.listdir(PID_DIR):
        if name.endswith(".xml"):
            try:
                found.append((name, os.stat(host.path(f"{PID_DIR}/{name}")).st_mtime_ns))
            except OSError:
                continue  # it has gone meanwhile
    return tuple(found)


def read_homes(host: Host) -> list[Home]:
    """Return the functions of running guests of this collection; one whose vCPU cannot be found yet is left out."""
    found = []
    for file, _time in running_files(host):
        name = file[: -len(".xml")]
        text = host.read(f"{PID_DIR}/{file}") or ""
        domain = _parsed(text, "domain") if "hostdev" in text else None
        if domain is None:
            continue
        defined = _parsed(host.read(f"{DEFINITIONS}/{file}") or "", ".")
        marks = marks_of(domain) if defined is None or is_ours(defined) else {}  # until its restart it has what it started with
        marks = marks if defined is None else {**marks, **marks_of(defined)}
        vcpus = _vcpus(host, name) if marks else {}
        for address in functions_of(domain):
            vcpu = marks.get(address, {}).get("interrupts", "")
            cpus = vcpus.get(int(vcpu)) if vcpu.isdecimal() else None
            if cpus:
                found.append(Home(name, address, int(vcpu), cpus))
    return found


def _parsed(text: str, place: str) -> ET.Element | None:
    if not text or "<!DOCTYPE" in text:
        return None
    try:
        return ET.fromstring(text).find(place)
    except ET.ParseError:
        return None  # libvirt writes it at the moment


def _vcpus(host: Host, name: str) -> Mapping[int, frozenset[int]]:
    """Return the CPUs of each vCPU's thread."""
    pid = host.value(f"{PID_DIR}/{name}.pid") or ""
    found = {}
    for task in host.listdir(f"/proc/{pid}/task") if pid.isdecimal() else []:
        thread = read_thread(host, int(task), f"/proc/{pid}/task/{task}")
        named = _VCPU.fullmatch(thread.name) if thread else None
        if named and thread:
            found[int(named[1])] = thread.allowed
    return found


def vectors_of(host: Host, address: str) -> frozenset[int]:
    """Return the numbers of a function's interrupts: its messages, and its line where no other device has a part in that."""
    numbers = {int(name) for name in host.listdir(f"{PCI}/{address}/msi_irqs") if name.isdecimal()}
    line = host.value(f"{PCI}/{address}/irq") or ""
    if line.isdecimal() and line != "0":
        handlers = [name for name in host.listdir(f"/proc/irq/{line}") if os.path.isdir(host.path(f"/proc/irq/{line}/{name}"))]
        if handlers == [_INTX.format(address)]:
            numbers.add(int(line))
    return frozenset(numbers)


def vector_homes(host: Host) -> dict[int, Home]:
    """Return where each interrupt of a guest's function belongs, by its number."""
    return {number: home for home in read_homes(host) for number in vectors_of(host, home.address)}
