# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts of /proc/interrupts."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._interrupts.counts import (
    load,
    parse_interrupt_counts,
    parse_names,
    rates,
)
from unit.loaders import field

X86 = """           CPU0       CPU2
   8:          0          1   IO-APIC    8-edge      rtc0
  24:    1000000          0   PCI-MSI 524288-edge      ens1-rx-0
 NMI:          5          0   Non-maskable interrupts
 LOC:     200000        300   Local timer interrupts
 RES:         10          7   Rescheduling interrupts
 ERR:          0
 MIS:          0
"""
ARM = """           CPU0       CPU1
 11:       5000          4     GICv3  30 Level     arch_timer
 13:          9          0     GICv3  33 Level     uart-pl011
IPI0:         3          2       Rescheduling interrupts
"""


def test_counts_are_told_by_cpu_and_kind():
    counts = parse_interrupt_counts(X86)
    assert counts.cpus == (0, 2)
    assert counts.lines["24"] == {0: 1000000}
    assert "ERR" not in counts.lines
    assert [(counts.devices(cpu), counts.ticks(cpu), counts.others(cpu)) for cpu in (0, 2)] == [
        (1000000, 200000, 15),
        (1, 300, 7),
    ]


def test_the_timer_of_arm_is_no_device():
    counts = parse_interrupt_counts(ARM)
    assert [(counts.devices(cpu), counts.ticks(cpu), counts.others(cpu)) for cpu in (0, 1)] == [(9, 5000, 3), (0, 4, 2)]


OWN = """           CPU0       CPU1
  9:          0          7     GICv2  25 Level     vgic
 12:     183235     217133     GICv2  27 Level     kvm guest vtimer
 13:     130282     239972     GICv3  26 Level     arch_timer
 14:          5          6     GICv3  23 Level     arm-pmu
 15:      34307          1     GICv2  65 Level     107c013880.mailbox
 16:          2          3     GIC-0  29 Level     twd
"""


def test_what_each_cpu_of_arm_has_for_itself_is_no_device():
    counts = parse_interrupt_counts(OWN)
    assert [(counts.devices(cpu), counts.ticks(cpu), counts.others(cpu)) for cpu in (0, 1)] == [
        (34307, 130282, 183242),
        (1, 239972, 217149),
    ]
    told = load(counts, {"12": {0: 100.0}, "15": {0: 1.0}})["0"]
    assert (told["devices_per_s"], told["others_per_s"]) == (1.0, 100.0)


def test_rates_are_per_second_and_of_what_fired():
    after = parse_interrupt_counts(X86.replace("1000000", "1000500").replace("       300", "       302"))
    found = rates(parse_interrupt_counts(X86), after, 2.0)
    assert found == {"24": {0: 250.0}, "LOC": {2: 1.0}}
    told = load(after, found)
    assert told["0"]["devices_per_s"] == 250.0
    assert (told["2"]["devices_per_s"], told["2"]["ticks_per_s"]) == (0.0, 1.0)


def test_an_interrupt_that_began_anew_counts_from_zero():
    after = parse_interrupt_counts(X86.replace("1000000", "     40"))
    assert rates(parse_interrupt_counts(X86), after, 1.0)["24"] == {0: 40.0}


def test_without_a_measurement_no_rate_is_claimed():
    assert "devices_per_s" not in load(parse_interrupt_counts(X86), None)["0"]
    assert rates(parse_interrupt_counts(X86), parse_interrupt_counts(X86), 0) == {}


def test_what_is_no_table_counts_nothing():
    for text in ("", "\n", "no CPUs here\n 1: 2\n", "CPU0\n 1:\n 2: x\n"):
        assert all(not counts for counts in parse_interrupt_counts(text).lines.values())


def test_18_names_on_arm_follow_a_number_and_the_trigger():
    assert parse_names(field("18")[""].partition("\n")[2]) == {}, "the heading is not the table"
    table = "".join(line for line in field("18")[""].splitlines(keepends=True) if not line.startswith("#"))
    assert parse_names(table) == {11: ("arch_timer",), 116: ("48500.dma chan6",), 134: ("nvme0q0",)}


@pytest.mark.parametrize(
    ("line", "handlers"),
    [
        ("  8:          0          1   IO-APIC    8-edge      rtc0", ("rtc0",)),
        ("  9:          0          1   IR-IO-APIC    9-fasteoi   acpi, i2c", ("acpi", "i2c")),
        (" 24:    1000000          0   PCI-MSI 524288-edge      ens1-rx-0", ("ens1-rx-0",)),
        # an Arm server: chips are followed by a number, then Level or Edge
        (" 11:       7155       8882     GICv3  30 Level     arch_timer", ("arch_timer",)),
        ("116:          4          0  MSI-INTA 1716234 Level     48500.dma chan6", ("48500.dma chan6",)),
        ("134:        166          0  ITS-PCI-MSI-0000:01:00.0   0 Edge      nvme0q0", ("nvme0q0",)),
        # chips with a name of two words, a line with a name of its own, and one without a handler
        (" 10:          4          0  SiFive PLIC   8 Edge      ttyS0", ("ttyS0",)),
        (" 12:          4          0     GICv2  33 Level    -mmc     mmc0", ("mmc0",)),
        ("  2:          0          0    XT-PIC    2-edge    ", None),
        ("IPI0:         3          2       Rescheduling interrupts", None),
    ],
)
def test_handlers_of_a_line(line, handlers):
    found = parse_names(f"           CPU0       CPU1\n{line}\n")
    assert list(found.values()) == ([handlers] if handlers else [])
