# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a node posts interrupts, and why not."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._devices.posted import why_not_posted
from unit.trees import fill, writable

INTEL = {"/sys/module/kvm_intel/parameters/enable_apicv": "Y\n"}
AMD = {"/sys/module/kvm_amd/parameters/avic": "1\n"}
DMAR, IVHD = "/sys/class/iommu/dmar{}/intel-iommu/cap", "/sys/class/iommu/ivhd0/amd-iommu/features"
ABLE, NOT = "8d2078c106f0466\n", "d2008c40660462\n"


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({**INTEL, DMAR.format(0): ABLE}, ""),
        ({**INTEL, "/sys/module/kvm_intel/parameters/enable_device_posted_irqs": "Y\n", DMAR.format(0): ABLE}, ""),
        (
            {**AMD, "/sys/module/kvm_amd/parameters/enable_device_posted_irqs": "N\n", IVHD: "0x25bf732fa2295afe:0x1d\n"},
            "kvm_amd.enable_device_posted_irqs is N",
        ),
        ({**INTEL, DMAR.format(0): ABLE, DMAR.format(1): NOT}, "the IOMMU has none"),
        ({**INTEL, DMAR.format(0): NOT}, "the IOMMU has none"),
        ({**INTEL, DMAR.format(0): "what\n"}, "the IOMMU has none"),
        (INTEL, "the kernel shows no IOMMU"),
        ({"/sys/module/kvm_intel/parameters/enable_apicv": "N\n"}, "kvm_intel.enable_apicv is N"),
        ({**INTEL, DMAR.format(0): ABLE, "/proc/cmdline": "ro intremap=nopost quiet\n"}, "the kernel runs with intremap=nopost"),
        (
            {**INTEL, DMAR.format(0): ABLE, "/proc/cmdline": "intremap=nopost,nosid\n"},
            "the kernel runs with intremap=nopost,nosid",
        ),
        ({**INTEL, DMAR.format(0): ABLE, "/proc/cmdline": "intremap=on intremapx=off\n"}, ""),
        ({**AMD, IVHD: "0x25bf732fa2295afe:0x1d\n"}, ""),
        ({**AMD, IVHD: "25bf732fa2295a7e\n"}, "the IOMMU has none"),
        ({"/sys/module/kvm_amd/parameters/avic": "N\n"}, "kvm_amd.avic is N"),
        ({}, "KVM shows no parameter for them (is it loaded?)"),
    ],
)
def test_posted(tmp_path, files, why):
    assert why_not_posted(writable(fill(tmp_path, files))) == why
