# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node in service: what drivers, a vCPU that spins, ordinary guests and an administrator's hand do to it, and what it does then.

The tests build on each other in the order they stand in. LIVE_SECONDS shortens the long looks (600 s) for a quick run.
"""

from __future__ import annotations

import os
import time

import pytest
from integration.conftest import NODES
from integration.lab import lab, playbook, reboot, ssh, wait_for
from integration.test_site import INTERRUPTS, cpus, on_node

NODE = "node1"
pytestmark = pytest.mark.skipif(NODE not in NODES, reason="the guests are those of node1 of the lab (LAB_NODES)")

SECONDS = int(os.environ.get("LIVE_SECONDS", "600"))
ISOLATED, HOUSEKEEPING = cpus("2-5,8-11"), "0-1,6-7"
PORT = "ens1"  # the data port with several queues (igb)
BIND = f"""
cd /sys/bus/pci/drivers/igb && device=$(basename $(realpath /sys/class/net/{PORT}/device))
echo $device > unbind; sleep 3; echo $device > bind; ip link set {PORT} up
"""
#: A CPU of the realtime set that no guest of the inventory has.
FREE = 11
#: The kernel's default, which it has again once this node is not managed.
KERNEL_RUNTIME, KERNEL_FAIR = "950000", "50000000"
FAIR = f"/sys/kernel/debug/sched/fair_server/cpu{FREE}/runtime"
RUNTIME = "/proc/sys/kernel/sched_rt_runtime_us"

#: Interrupt threads that the kernel lets move and that may run on an isolated CPU.
THREADS = r"""
import glob, json
rows = []
for folder in glob.glob("/proc/[0-9]*/task/[0-9]*"):
    try:
        name = open(folder + "/comm").read().strip()
        status = dict(line.split(":", 1) for line in open(folder + "/status") if ":" in line)
    except OSError:
        continue
    if name.startswith("irq/"):
        rows.append([name, status["Cpus_allowed_list"].strip()])
print(json.dumps(rows))
"""
#: Prints the longest time for which this thread did not run, in microseconds.
SPIN = f"""
import os, time
os.sched_setaffinity(0, {{{FREE}}})
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
clock, longest = time.monotonic_ns, 0
now = clock()
end = now + {SECONDS} * 10**9
while now < end:
    last, now = now, clock()
    longest = max(longest, now - last)
print(longest // 1000)
"""


@pytest.fixture(scope="module", autouse=True)
def _hosting() -> None:
    lab("guests", NODE)
    playbook("site.yml", nodes=NODE, timeout=1500)


def strays() -> list:
    """Interrupts and interrupt threads that may run on an isolated CPU although the kernel lets them move."""
    found = []
    for names, allowed, effective, number in on_node(NODE, INTERRUPTS):
        if ISOLATED & (cpus(allowed) | cpus(effective)):
            file = f"/proc/irq/{number}/smp_affinity_list"
            if ssh(NODE, f"echo {HOUSEKEEPING} > {file} 2>/dev/null; echo $?", ok=False).strip() == "0":
                found.append((number, names, allowed, effective))
    managed = ("-req.", "virtio")  # a managed interrupt's thread stays with it
    found += [row for row in on_node(NODE, THREADS) if cpus(row[1]) & ISOLATED and not any(word in row[0] for word in managed)]
    return found


def guest_pids() -> str:
    return ssh(NODE, "for name in plc1 plc2 historian; do cat /run/libvirt/qemu/$name.pid; echo; done")


def watcher_seconds() -> float:
    """The CPU time that the watcher has used."""
    text = ssh(NODE, "systemctl show --property=CPUUsageNSec --value realtime-kvm-watch")
    return int(text) / 1e9


# -- A7: drivers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        f"ip link set {PORT} up; sleep 3; ip link set {PORT} down; ip link set {PORT} up",
        f"ethtool -L {PORT} combined 1; sleep 3; ethtool -L {PORT} combined 2",
        f"ip link set {PORT} mtu 1400",
        BIND,
    ],
    ids=["link", "queues", "mtu", "bind"],
)
def test_two_seconds_after_an_event_no_movable_interrupt_is_on_an_isolated_cpu(event: str) -> None:
    ssh(NODE, f"{event.strip()}; sleep 2")
    assert strays() == []
    assert ssh(NODE, f"ls -d /sys/class/net/{PORT}/device")


def test_ten_quiet_minutes_cost_the_watcher_less_than_a_thousandth_of_a_cpu() -> None:
    time.sleep(15)  # its looks after the last event
    before = watcher_seconds()
    time.sleep(SECONDS)
    used = watcher_seconds() - before
    print(f"the watcher used {used:.3f} s in {SECONDS} s")
    assert used < SECONDS / 1000
    peak = ssh(NODE, "grep -E 'VmHWM|Cpus_allowed_list' /proc/$(systemctl show -P MainPID realtime-kvm-watch)/status")
    print(peak)


# -- A3: a vCPU that spins ------------------------------------------------------------------------


def test_while_a_thread_spins_work_of_the_kernel_ends_on_its_cpu_within_the_budget() -> None:
    """vm.stat_refresh runs a work item on every CPU and waits for all of them."""
    assert ssh(NODE, f"cat {FAIR}").strip() == "10000"
    ssh(NODE, "cat > /run/spin.py", stdin=SPIN)
    ssh(NODE, "dmesg --clear; systemd-run --unit=spin --property=StandardOutput=file:/run/spin.out python3 /run/spin.py")
    waits = []
    end = time.monotonic() + SECONDS - 30
    while time.monotonic() < end:
        started = time.monotonic()
        ssh(NODE, "cat /proc/sys/vm/stat_refresh", timeout=120)
        waits.append(time.monotonic() - started)
        time.sleep(5)
    assert wait_for(NODE, "! systemctl is-active --quiet spin", 120)
    print(
        f"longest gap of the thread {ssh(NODE, 'cat /run/spin.out').strip()} us; work items waited {max(waits):.1f} s at most, {len(waits)} times"
    )
    noise = ssh(NODE, "dmesg | grep -iE 'rcu.*(stall|starved)|blocked for more|BUG: workqueue' || true")
    assert noise == ""


def test_unlimited_is_the_documented_opposite() -> None:
    playbook("site.yml", "--tags", "cpu_partition", nodes=NODE, extra={"cpu_partition_rt_throttling": "unlimited"})
    assert ssh(NODE, f"cat {FAIR} {RUNTIME}").split() == ["0", "-1"]
    ssh(NODE, "sed -i 's/^end = .*/end = now + 60 * 10**9/' /run/spin.py; systemd-run --unit=spin python3 /run/spin.py")
    started = time.monotonic()
    ssh(NODE, "cat /proc/sys/vm/stat_refresh", timeout=150)
    assert time.monotonic() - started > 40, "the work item waits until the thread ends"
    playbook("site.yml", "--tags", "cpu_partition", nodes=NODE)
    assert ssh(NODE, f"cat {FAIR}").strip() == "10000"


# -- A5: ordinary guests --------------------------------------------------------------------------


def test_a_reboot_waits_for_ordinary_guests_by_name() -> None:
    before = guest_pids()
    boot = ssh(NODE, "cat /proc/sys/kernel/random/boot_id")
    refused = playbook("site.yml", nodes=NODE, ok=False, extra={"rt_kernel_arguments": ["log_buf_len=1M"]})
    assert "historian" in refused.output
    assert "rt_kernel_reboot_with_guests" in refused.output
    assert guest_pids() == before
    assert ssh(NODE, "cat /proc/sys/kernel/random/boot_id") == boot


def test_a_permitted_reboot_shuts_guests_down_cleanly_and_they_run_again() -> None:
    ssh(NODE, "systemd-run --unit=listen script -qfc 'virsh console historian' /root/historian.log")
    time.sleep(3)
    done = playbook(
        "site.yml",
        nodes=NODE,
        extra={"rt_kernel_arguments": ["log_buf_len=1M"], "rt_kernel_reboot_with_guests": True},
        timeout=1500,
    )
    assert "log_buf_len=1M" in ssh(NODE, "cat /proc/cmdline")
    assert "guest powers off" in ssh(NODE, "cat /root/historian.log")
    assert "reason=shutdown" in ssh(NODE, "grep 'shutting down' /var/log/libvirt/qemu/historian.log | tail -n 1")
    assert wait_for(NODE, "test $(virsh list --name | grep -c .) -eq 3", 200), done.output[-3000:]


# -- A1: a hand in the boot menu ------------------------------------------------------------------


def test_without_the_arguments_no_real_time_guest_starts_and_the_kernels_own_limits_hold() -> None:
    ours = ssh(NODE, "cat /etc/default/grub.d/*realtime-kvm*.cfg /etc/default/grub")
    ssh(NODE, r"sed -i -E '/^\s*linux/ s/ (isolcpus|nohz_full|rcu_nocbs|irqaffinity)=[^ ]*//g' /boot/grub/grub.cfg")
    ssh(NODE, "for name in plc1 plc2 historian; do virsh shutdown $name; done; sleep 20", ok=False)
    assert reboot(NODE, seconds=400, degraded=True), "the boot service fails, and says why"
    assert "isolcpus" not in ssh(NODE, "cat /proc/cmdline")
    assert ssh(NODE, "virsh list --name").split() == ["historian"], "an ordinary guest starts as ever"
    assert ssh(NODE, f"cat {FAIR} {RUNTIME}").split() == [KERNEL_FAIR, KERNEL_RUNTIME]
    refused = ssh(NODE, "virsh start plc1 2>&1", ok=False)
    assert "does not isolate CPUs 2-5,8-11 (isolated: none)" in refused, refused
    verify = playbook("verify.yml", nodes=NODE, ok=False)
    assert "no real-time guest starts" in " ".join(verify.output.split())
    assert ssh(NODE, "cat /etc/default/grub.d/*realtime-kvm*.cfg /etc/default/grub") == ours


def test_site_brings_the_node_back_to_its_document() -> None:
    playbook("site.yml", nodes=NODE, extra={"rt_kernel_reboot_with_guests": True}, timeout=1500)
    assert "isolcpus" in ssh(NODE, "cat /proc/cmdline")
    assert wait_for(NODE, "test $(virsh list --name | grep -c .) -eq 3", 200)
    playbook("verify.yml", nodes=NODE)
