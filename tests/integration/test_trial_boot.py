# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A boot on trial on the lab: with each cause the node ends in its former kernel and arguments, without a hand; without it, in the new ones.

Each cause is tried three times in a row. The BMC is the stand-in of tests/bmc, whose reset is that of QEMU.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
from bmc.replay import PASSWORD, USER, Bmc, make_certificate
from bmc.small import tree
from integration.conftest import NODES
from integration.lab import ROOT, STATE, Run, lab, playbook, ssh

NODE = NODES[-1]  # the one that boots fastest
TIMES = 3
#: Longer than a boot and a trial of the lab under emulation.
PATIENCE = 1800
SHAPE = "uname -r; cat /proc/cmdline"
#: A unit that takes every CPU from everything else, systemd included, in boots that ask for it.
HANG = """\
[Unit]
ConditionKernelCommandLine=lab.hang=1
[Service]
ExecStartPre=/bin/sh -c 'echo -1 > /proc/sys/kernel/sched_rt_runtime_us'
ExecStart=/bin/sh -c 'for cpu in $(seq $(nproc --all)); do chrt -f 99 sh -c "while :; do :; done" & done; wait'
[Install]
WantedBy=multi-user.target
"""
#: A hook of initramfs-tools: the disk's driver is lost.
LOSE = """\
#!/bin/sh
test "$1" = prereqs && exit
find "$DESTDIR" -name 'virtio_blk.ko*' -delete
"""


REBUILD = "for kernel in /boot/vmlinuz-*-rt-*; do update-initramfs -u -k ${kernel#/boot/vmlinuz-}; done"


@pytest.fixture(name="stock")
def _stock() -> str:
    """A stock node without guests."""
    lab("reset", NODE)
    return NODE


@pytest.fixture(name="installed", scope="module")
def _installed() -> str:
    """The snapshot of a node with the new kernel installed and its entry configured, but not booted."""
    lab("reset", NODE)
    site(NODE, ok=None, realtime_reboot_allowed=False)  # its verification reports that nothing is isolated yet
    ssh(NODE, "ls /boot/vmlinuz-*-rt-*; grep -q isolcpus= /boot/grub/grub.cfg")
    lab("snapshot", NODE, lab_snapshot="installed")
    return "installed"


@pytest.fixture(name="diskless", scope="module")
def _diskless(installed: str) -> str:
    """The same, with an initial RAM disk that has lost the disk's driver."""
    lab("reset", NODE, lab_snapshot=installed)
    ssh(NODE, "cat > /etc/initramfs-tools/hooks/zz-lose; chmod +x /etc/initramfs-tools/hooks/zz-lose", stdin=LOSE)
    ssh(NODE, REBUILD, timeout=600)
    lab("snapshot", NODE, lab_snapshot="diskless")
    return "diskless"


@pytest.fixture(name="node")
def _node(installed: str) -> str:
    """A node that lacks nothing but the reboot."""
    lab("reset", NODE, lab_snapshot=installed)
    return NODE


def site(node: str, *, ok: bool | None, **extra: object) -> Run:
    given = {"realtime_guests": [], "realtime_networks": [], "rt_kernel_trial_timeout": 240, **extra}
    return playbook("site.yml", nodes=node, ok=ok, timeout=PATIENCE, extra=given)


def said(run: Run) -> str:
    return " ".join(run.output.split())


def boots(node: str) -> int:
    """The boots that the journal knows."""
    return len(ssh(node, "journalctl --list-boots --quiet --no-pager").splitlines())


def assert_returned(node: str, run: Run, before: str, reason: str) -> None:
    assert "is up again in its former kernel" in said(run)
    assert reason in said(run)
    assert ssh(node, SHAPE) == before


def test_a_boot_that_is_well_costs_one_reboot(stock: str) -> None:
    before = boots(stock)
    site(stock, ok=True)
    assert "PREEMPT_RT" in ssh(stock, "uname -v")
    assert boots(stock) - before <= 1, "a journal in memory knows only its own boot"
    assert '"state": "confirmed"' in ssh(stock, "cat /etc/realtime-kvm/trial.json")
    assert ssh(stock, "test ! -e /boot/grub/custom.cfg && cat /proc/sys/kernel/panic").strip() == "0"
    assert site(stock, ok=True).changes(stock) == []


@pytest.mark.parametrize("again", range(TIMES))
def test_a_panic_leads_back(node: str, again: int) -> None:
    before = ssh(node, SHAPE)
    failed = site(node, ok=False, rt_kernel_arguments=["rdinit=/nonexistent"])
    assert_returned(node, failed, before, "was booted once and did not come as far as to be judged")
    if again == TIMES - 1:
        site(node, ok=True)
        assert "PREEMPT_RT" in ssh(node, "uname -v")


@pytest.mark.parametrize("again", range(TIMES))
def test_an_initial_ram_disk_without_the_disks_driver_leads_back(diskless: str, again: int) -> None:
    lab("reset", NODE, lab_snapshot=diskless)
    before = ssh(NODE, SHAPE)
    assert_returned(NODE, site(NODE, ok=False), before, "did not find its disk")
    if again == TIMES - 1:
        ssh(NODE, "rm /etc/initramfs-tools/hooks/zz-lose")
        ssh(NODE, REBUILD, timeout=600)
        site(NODE, ok=True)
        assert "PREEMPT_RT" in ssh(NODE, "uname -v")


@pytest.mark.parametrize("again", range(TIMES))
def test_a_hang_is_ended_by_the_watchdog(node: str, again: int) -> None:
    del again
    if ssh(node, "modprobe i6300esb; cat /sys/class/watchdog/watchdog0/nowayout", ok=False).strip() != "0":
        pytest.skip("the node has no watchdog device (i6300esb)")
    ssh(node, "echo i6300esb > /etc/modules-load.d/watchdog.conf")
    ssh(node, "cat > /etc/systemd/system/lab-hang.service; systemctl enable lab-hang.service", stdin=HANG)
    before = ssh(node, SHAPE)
    failed = site(node, ok=False, rt_kernel_arguments=["lab.hang=1"], rt_kernel_reboot_timeout=900)
    assert_returned(node, failed, before, "hung until a reset")
    assert "its BMC reset it" not in said(failed)


def test_a_node_that_runs_but_is_not_reached_returns(node: str) -> None:
    """A kernel that boots, but without network: its driver may not be loaded."""
    driver = ssh(node, "basename $(readlink /sys/class/net/enp0s2/device/driver/module)").strip()
    before = ssh(node, SHAPE)
    failed = site(node, ok=False, rt_kernel_arguments=[f"module_blacklist={driver}"], rt_kernel_trial_timeout=60)
    assert_returned(node, failed, before, "network:")


def test_a_run_whose_controller_is_killed_ends_by_itself(node: str) -> None:
    starts = {
        event["task"]: event["number"]
        for event in playbook("site.yml", "--check", nodes=node).events
        if event["event"] == "start"
    }
    wait = next(number for task, number in starts.items() if "Reboot | Reboot" in task)
    killed = playbook("site.yml", nodes=node, kill_at=wait + 1, ok=None, timeout=PATIENCE)
    assert killed.code == -9
    site(node, ok=True)
    assert "PREEMPT_RT" in ssh(node, "uname -v")


class QemuBmc(Bmc):
    """A BMC whose reset is that of the virtual node."""

    def __init__(self, node: str, certificate) -> None:
        path = "/redfish/v1/Systems/1"
        super().__init__(tree(), certificate)
        system = self.machine.get(path)
        system["PowerState"] = "On"
        system["Actions"] = {"#ComputerSystem.Reset": {"target": f"{path}/Actions/ComputerSystem.Reset"}}
        monitor = [sys.executable, str(ROOT / "molecule/lab/files/monitor.py"), str(STATE / node / "monitor"), "system_reset"]
        count = self.machine.reset

        def reset() -> None:
            count()
            subprocess.run(monitor, check=True, timeout=60)

        self.machine.reset = reset


@pytest.mark.parametrize("again", range(TIMES))
def test_a_hang_before_systemd_is_ended_by_the_bmc(node: str, tmp_path, again: int) -> None:
    """The initial RAM disk's first program is a shell that waits for its console; nothing on the node ends that."""
    before = ssh(node, SHAPE)
    bmc = QemuBmc(node, make_certificate(tmp_path))
    access = {"bios_address": bmc.address, "bios_username": USER, "bios_password": PASSWORD, "bios_ca_file": str(bmc.certificate)}
    try:
        # the lab starts a node again that is silent for five minutes, so the BMC must come first
        failed = site(node, ok=False, rt_kernel_arguments=["rdinit=/bin/sh"], rt_kernel_reboot_timeout=180, **access)
    finally:
        bmc.close()
    assert bmc.machine.resets == 1
    assert_returned(node, failed, before, "its BMC reset it, since it did not answer within 180 s")
    if again == TIMES - 1:
        site(node, ok=True)
        assert "PREEMPT_RT" in ssh(node, "uname -v")
