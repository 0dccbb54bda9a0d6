# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a command line gives the kernel what was planned. Pure.

Sources: COMMAND_LINE_SIZE of the kernel's architectures; kernel/params.c (``--``); Documentation/admin-guide/kernel-parameters.rst.
"""

from __future__ import annotations

from collections.abc import Sequence

from .._cpus.cmdline import canonical, kernel_part, key_of
from .arguments import KernelArgumentError, is_list_key

#: x86 and Arm keep 2048 bytes with the last zero; the rest is cut off without a word.
MOST = 2047
#: The name of a device that some boot loaders put before the kernel's path.
_DEVICE = "(hd0,gpt00)"


def check_line(where: str, kernel: str, lines: Sequence[Sequence[str]], wanted: Sequence[str]) -> None:
    """Refuse command lines in which a planned token is missing, contradicted, behind ``--`` or cut off."""
    for line in lines:
        read = [canonical(token) for token in kernel_part(line)]
        for token in map(canonical, wanted):
            if token not in read and token in map(canonical, line):
                raise KernelArgumentError(
                    f"{where}: {token} stands behind --, and the kernel hands everything behind it to init; "
                    "remove -- and what follows from the boot configuration, since init's arguments cannot be kept there"
                )
            if token not in read:
                raise KernelArgumentError(f"{where}: {token} did not reach the boot menu")
            others = [other for other in read if key_of(other) == key_of(token) and other not in map(canonical, wanted)]
            if others and not is_list_key(key_of(token)):
                raise KernelArgumentError(f"{where}: it has {others[0]} beside the planned {token}; remove it there")
        size = len(" ".join([f"BOOT_IMAGE={_DEVICE}{kernel}", *line]).encode())
        if wanted and size > MOST:
            raise KernelArgumentError(
                f"{where}: its command line has {size} bytes, and the kernel reads {MOST}; the rest would be lost. "
                "Remove arguments (rt_kernel_arguments, or those of the administrator)"
            )
