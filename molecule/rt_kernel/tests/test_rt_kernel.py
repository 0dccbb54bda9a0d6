# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel and boot loader after one reboot."""

import os

from integration.lab import module

NODE = os.environ.get("LAB_NODES", "node1")


def test_realtime_kernel_runs(host):
    assert "PREEMPT_RT" in host.check_output("uname -v")
    assert "-rt-" in host.check_output("uname -r")


def test_arguments_are_merged_and_foreign_ones_kept(host):
    tokens = host.check_output("cat /proc/cmdline").split()
    for token in (
        "isolcpus=managed_irq,domain,2-5,8-11",
        "nohz_full=2-5,8-11",
        "rcu_nocbs=2-5,8-11",
        "irqaffinity=0-1,6-7",
        "log_buf_len=1M",
    ):
        assert tokens.count(token) == 1, token
    for token in ("console=ttyS0,115200", "net.ifnames=1", "quiet", "panic=30"):
        assert tokens.count(token) == 1, token
    assert tokens.count("skew_tick=1") == 2  # the administrator's two; the role adds no third


def test_administrators_files_are_untouched(host):
    assert "realtime" not in host.file("/etc/default/grub").content_string
    assert (
        host.file("/etc/default/grub.d/50-admin.cfg").content_string
        == 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX skew_tick=1 skew_tick=1 panic=30"\n'
    )


def test_a_kernel_update_stays_with_the_newest_realtime_kernel(host):
    """update-grub alone, as a package's hook runs it, must reproduce the menu."""
    before = host.check_output("sha256sum /boot/grub/grub.cfg")
    assert host.run("update-grub").succeeded
    assert host.check_output("sha256sum /boot/grub/grub.cfg") == before
    assert not host.file("/boot/grub/grub.cfg.realtime-kvm").exists


def test_a_contradicting_argument_is_refused_with_both_values(host):
    host.run("echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX isolcpus=3\"' > /etc/default/grub.d/60-typo.cfg")
    try:
        result = module(NODE, "realtime.kvm.kernel_arguments", "-a", "default_kernel=*-rt-*", "--check")
        assert result["failed"]
        for part in ("/etc/default/grub.d/60-typo.cfg", "isolcpus=3", "isolcpus=managed_irq,domain,2-5,8-11"):
            assert part in result["msg"]
    finally:
        host.run("rm /etc/default/grub.d/60-typo.cfg")


def test_an_immutable_menu_is_refused_before_any_change(host):
    assert host.run("chattr +i /boot/grub/grub.cfg").succeeded
    try:
        result = module(NODE, "realtime.kvm.kernel_arguments", "-a", "default_kernel=*-rt-* tsc=reliable")
        assert result["failed"]
        assert "/boot/grub/grub.cfg" in result["msg"]
        assert "tsc=reliable" not in host.file("/etc/default/grub.d/99-realtime-kvm.cfg").content_string
    finally:
        host.run("chattr -i /boot/grub/grub.cfg")
