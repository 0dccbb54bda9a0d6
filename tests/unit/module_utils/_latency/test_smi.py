# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SMI counts: where they are, and absent said plainly. The register's file is a plain one here."""

from __future__ import annotations

import struct

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._latency.smi import MSR_SMI_COUNT, read_smi_count


def machine(tmp_path, vendor, content=None):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(f"processor\t: 0\nvendor_id\t: {vendor}\n")
    if content is not None:
        (tmp_path / "dev/cpu/0").mkdir(parents=True)
        (tmp_path / "dev/cpu/0/msr").write_bytes(content)
    return Host(str(tmp_path), check_mode=True)


def test_intel_counts(tmp_path):
    content = bytes(MSR_SMI_COUNT) + struct.pack("<Q", 1234) + bytes(8)
    assert read_smi_count(machine(tmp_path, "GenuineIntel", content)) == {"count": 1234, "reason": ""}


def test_the_upper_half_is_reserved(tmp_path):
    content = bytes(MSR_SMI_COUNT) + struct.pack("<Q", (7 << 32) + 2)
    assert read_smi_count(machine(tmp_path, "GenuineIntel", content))["count"] == 2


@pytest.mark.parametrize(
    ("vendor", "content", "words"),
    [
        ("AuthenticAMD", bytes(64), "only Intel's have MSR 0x34"),
        ("GenuineIntel", None, "modprobe msr"),
        ("GenuineIntel", b"", "MSR 0x34 cannot be read"),
    ],
)
def test_absent_is_said(tmp_path, vendor, content, words):
    found = read_smi_count(machine(tmp_path, vendor, content))
    assert found["count"] is None
    assert words in found["reason"]
