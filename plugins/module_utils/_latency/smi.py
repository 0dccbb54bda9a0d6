# SPDX-License-Identifier: GPL-3.0-or-later
"""How often firmware has stopped the CPUs: Intel's count of system management interrupts."""

from __future__ import annotations

import os
import struct
from typing import Any

from .._host.host import Host
from .._host.kernel import read_machine

#: MSR_SMI_COUNT, Intel SDM volume 4; SMIs since reset. turbostat shows it as SMI.
MSR_SMI_COUNT = 0x34


def read_smi_count(host: Host) -> dict[str, Any]:
    """Return ``count`` (since the boot; None where it is not available) and ``reason``.

    Only the boot CPU is read: an SMI stops all CPUs, and reading another one's register would interrupt an isolated CPU.
    """
    if read_machine(host).vendor != "GenuineIntel":
        return _absent(
            "this processor has no counter of SMIs (only Intel's have MSR 0x34); use the hwlat tracer in a maintenance window"
        )
    try:
        return {"count": read_counter(host, 0), "reason": ""}
    except FileNotFoundError:
        return _absent("/dev/cpu/0/msr does not exist (modprobe msr)")
    except PermissionError as error:
        return _absent(f"/dev/cpu/0/msr cannot be opened: {error.strerror} (root, and a kernel that is not locked down)")
    except OSError as error:
        return _absent(f"MSR 0x34 cannot be read: {error.strerror or error} (virtual machines do not have it)")


def read_counter(host: Host, cpu: int) -> int:
    """Return how many SMIs an Intel CPU has seen since its reset; raises ``OSError`` where it cannot be read.

    The upper half of the register is reserved.
    """
    handle = os.open(host.path(f"/dev/cpu/{cpu}/msr"), os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = os.pread(handle, 8, MSR_SMI_COUNT)
    finally:
        os.close(handle)
    if len(content) != 8:
        raise OSError(f"{len(content)} bytes of 8")
    return int(struct.unpack("<Q", content)[0] & 0xFFFFFFFF)


def _absent(reason: str) -> dict[str, Any]:
    return {"count": None, "reason": reason}
