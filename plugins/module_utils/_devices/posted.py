# SPDX-License-Identifier: GPL-3.0-or-later
"""Posted interrupts: whether the hardware hands a device's interrupt to a running vCPU without a stop of the guest. Edge, read-only.

The kernel uses them by itself where processor and IOMMU have them (kvm: kvm_arch_has_irq_bypass). The interrupt of a vCPU that does not run still
goes to the host's CPU, so its place counts either way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .._host.host import Host

#: KVM's parameters that allow it, each with where its IOMMU shows its features, and the bit of posted interrupts or the guest's APIC there
#: (Intel VT-d: Capability Register, PI; AMD I/O Virtualization: Extended Feature Register, GASup).
_WAYS = {
    "kvm_intel": ("enable_apicv", "/sys/class/iommu/dmar*/intel-iommu/cap", 59),
    "kvm_amd": ("avic", "/sys/class/iommu/ivhd*/amd-iommu/features", 7),
}
#: Since Linux 6.16; where the kernel itself finds that it cannot, it shows N here too.
_SWITCH = "enable_device_posted_irqs"
_OFF = {"nopost", "off"}
_REMAPPING = "intremap="


def why_not_posted(host: Host) -> str:
    """Return why interrupts of guests' devices are not posted, an empty text where they are."""
    for module, (parameter, pattern, bit) in _WAYS.items():
        value = host.value(f"/sys/module/{module}/parameters/{parameter}")
        if value is None:
            continue
        if value not in ("Y", "1"):
            return f"{module}.{parameter} is {value}"
        switched = host.value(f"/sys/module/{module}/parameters/{_SWITCH}")
        if switched in ("N", "0"):
            return f"{module}.{_SWITCH} is {switched}"
        words = (host.read("/proc/cmdline") or "").split()
        off = [word for word in words if word.startswith(_REMAPPING) and _OFF & set(word[len(_REMAPPING) :].split(","))]
        if off:
            return f"the kernel runs with {', '.join(sorted(off))}"
        features = [host.value(path) or "" for path in host.glob(pattern)]
        if not features:
            return "the kernel shows no IOMMU"
        return "" if _all_have(features, bit) else "the IOMMU has none"
    return "KVM shows no parameter for them (is it loaded?)"


def _all_have(features: Iterable[str], bit: int) -> bool:
    """Whether every IOMMU has a feature; some show more than one register, the first one counts."""
    numbers = [re.match(r"(?:0x)?([0-9a-f]+)", text) for text in features]
    return all(number is not None and int(number[1], 16) >> bit & 1 for number in numbers)
