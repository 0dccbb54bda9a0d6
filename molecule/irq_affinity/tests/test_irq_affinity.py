# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interrupts of a running node."""

ISOLATED = {2, 3, 4, 5, 8, 9, 10, 11}
ORDINARY = {0, 1, 6, 7}


def cpus(text):
    found = set()
    for part in text.strip().split(","):
        first, _rest, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def test_new_interrupts_start_on_housekeeping(host):
    mask = int(host.check_output("cat /proc/irq/default_smp_affinity").replace(",", ""), 16)
    assert {cpu for cpu in range(12) if mask >> cpu & 1} == ORDINARY


def test_movable_interrupts_are_off_isolated_cpus(host):
    listing = host.check_output(
        "cd /proc/irq; for irq in [0-9]*; do ls -d $irq/*/ >/dev/null 2>&1 && echo $irq $(cat $irq/smp_affinity_list); done; true"
    )
    strays = [line.split()[0] for line in listing.splitlines() if cpus(line.split()[1]) & ISOLATED]
    for irq in strays:  # what is left is managed by the kernel, which refuses to move it
        assert host.run(f"echo 0 > /proc/irq/{irq}/smp_affinity_list").failed, irq
    assert cpus(host.check_output("cat /proc/irq/9/smp_affinity_list")) <= ORDINARY


def test_irqbalance_runs_and_keeps_off_isolated_cpus(host):
    assert host.service("irqbalance").is_running
    environment = host.check_output("tr '\\0' '\\n' < /proc/$(pidof irqbalance)/environ").splitlines()
    assert "IRQBALANCE_BANNED_CPULIST=2-5,8-11" in environment
    assert "realtime" not in host.file("/etc/default/irqbalance").content_string  # the distribution's own file
