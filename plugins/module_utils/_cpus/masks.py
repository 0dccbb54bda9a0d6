# SPDX-License-Identifier: GPL-3.0-or-later
"""CPU masks as the kernel and DPDK write them. Pure.

* The kernel's *mask* is hexadecimal, in comma separated groups of 32 bits (``00000001,0000002e``), as in
  /proc/irq/N/smp_affinity and /sys/devices/virtual/workqueue/cpumask.
* Open vSwitch's ``pmd-cpu-mask`` is a plain *hex* number (``0xc3``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .cpulist import MAX_CPU, CpuListError


def parse_mask(text: str) -> frozenset[int]:
    """Return the CPUs of a kernel mask (comma separated 32-bit groups) or a plain hex number."""
    if not isinstance(text, str):
        raise CpuListError(f"{text!r} is not text; quote CPU masks in YAML, which reads them as numbers")
    stripped = text.strip()
    digits = stripped[2:] if stripped.lower().startswith("0x") else stripped
    groups = [group.strip() for group in digits.split(",")]
    if not all(re.fullmatch(r"[0-9a-fA-F]+", group) for group in groups):
        raise CpuListError(f"{text!r} is not a hexadecimal CPU mask")
    if len(groups) > 1 and any(len(group) > 8 for group in groups):
        raise CpuListError(f"{text!r}: a group of a CPU mask has at most 8 hexadecimal digits")
    value = int("".join([groups[0], *(group.zfill(8) for group in groups[1:])]), 16)
    if value.bit_length() > MAX_CPU + 1:
        raise CpuListError(f"{text[:20]!r}...: CPU {value.bit_length() - 1} is beyond {MAX_CPU}")
    return frozenset(cpu for cpu, bit in enumerate(reversed(f"{value:b}")) if bit == "1")


def mask_number(cpus: Iterable[int]) -> int:
    """Return the set as a number, bit N for CPU N."""
    value = 0
    for cpu in cpus:
        value |= 1 << cpu
    return value


def format_mask(cpus: Iterable[int]) -> str:
    """Return the kernel's mask: groups of 8 hexadecimal digits, separated by commas (``000000c3``)."""
    value = mask_number(cpus)
    groups = []
    while True:
        groups.append(f"{value & 0xFFFFFFFF:08x}")
        value >>= 32
        if not value:
            return ",".join(reversed(groups))


def format_hex(cpus: Iterable[int]) -> str:
    """Return the plain hexadecimal number with ``0x``, as Open vSwitch takes masks (``0xc3``)."""
    return hex(mask_number(cpus))
