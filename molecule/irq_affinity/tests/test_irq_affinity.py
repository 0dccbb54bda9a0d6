# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interrupts of a running node."""

import time

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


def test_the_watcher_runs_on_housekeeping_cpus(host):
    watcher = host.service("realtime-kvm-watch")
    assert watcher.is_running
    assert watcher.is_enabled
    status = host.check_output("cat /proc/$(systemctl show -P MainPID realtime-kvm-watch)/status").splitlines()
    found = dict(line.split(":", 1) for line in status)
    assert cpus(found["Cpus_allowed_list"]) == ORDINARY
    assert int(found["RssAnon"].split()[0]) < 16 * 1024


def test_after_an_event_of_the_kernel_interrupts_are_moved_back_and_the_journal_says_so(host):
    host.check_output("echo 2 > /proc/irq/9/smp_affinity_list && ip link add watched type veth peer name watched1")
    try:
        deadline = time.monotonic() + 10
        while cpus(host.check_output("cat /proc/irq/9/smp_affinity_list")) & ISOLATED and time.monotonic() < deadline:
            time.sleep(0.2)
        assert cpus(host.check_output("cat /proc/irq/9/smp_affinity_list")) <= ORDINARY
        assert "/proc/irq/9/smp_affinity_list: 2 -> " in host.check_output("journalctl -u realtime-kvm-watch --no-pager")
    finally:
        host.check_output("ip link del watched")
