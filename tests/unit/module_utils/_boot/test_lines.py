# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command lines that would lose a planned token."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot.arguments import KernelArgumentError
from ansible_collections.realtime.kvm.plugins.module_utils._boot.lines import MOST, check_line

KERNEL = "/boot/vmlinuz-6.1"


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (["ro", "a=1", "console=tty0", "console=ttyS0"], ["a=1", "console=ttyS0"]),
        (["A_B=1"], ["A_B=1"]),
        (["a-b=1"], ["a_b=1"]),
        (["a=1", "a=1"], ["a=1"]),
        (["a=1", "--", "a=2"], ["a=1"]),
        (["x" * 3000], []),
    ],
)
def test_lines_that_have_what_was_planned(line, wanted):
    check_line("menu", KERNEL, [line], wanted)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([["ro"]], "^menu: a=1 did not reach the boot menu"),
        ([["a=1"], ["ro"]], "^menu: a=1 did not reach the boot menu"),
        ([["a=2", "a=1"]], "^menu: it has a=2 beside the planned a=1; remove it there"),
        ([["--", "a=1"]], "^menu: a=1 stands behind --, and the kernel hands everything behind it to init"),
    ],
)
def test_lines_that_lack_it(lines, said):
    with pytest.raises(KernelArgumentError, match=said):
        check_line("menu", KERNEL, lines, ["a=1"])


def test_the_last_byte_that_the_kernel_reads():
    rest = MOST - len(f"BOOT_IMAGE=(hd0,gpt00){KERNEL} a=1 ")
    check_line("menu", KERNEL, [["a=1", "x" * rest]], ["a=1"])
    with pytest.raises(KernelArgumentError, match=r"^menu: its command line has 2048 bytes, and the kernel reads 2047"):
        check_line("menu", KERNEL, [["a=1", "x" * (rest + 1)]], ["a=1"])
