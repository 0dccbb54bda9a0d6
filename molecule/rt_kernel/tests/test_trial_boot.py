# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kernel argument that panics: the node is back in its former kernel and arguments, and says why; without it all is as before."""

import os
from pathlib import Path

from integration.lab import playbook

NODE = os.environ.get("LAB_NODES", "node1")
CONVERGE = str(Path(__file__).resolve().parents[1] / "converge.yml")
#: The kernel finds no program to begin with, and has no driver for its disk by itself.
PANICS = "rdinit=/nonexistent"


def shape(host):
    """The running kernel and its arguments, without those of a trial; panic= is only in the trial where the administrator has none."""
    words = host.check_output("uname -r; cat /proc/cmdline").split()
    return [word for word in words if word not in ("realtime-kvm.trial=1", "panic=10", "rd.shell=0", "rd.emergency=reboot")]


def test_a_panic_leads_back_and_the_next_run_succeeds(host):
    before = shape(host)
    failed = playbook(CONVERGE, nodes=NODE, ok=False, extra={"rt_kernel_arguments": ["log_buf_len=1M", PANICS]})
    assert "is up again in its former kernel" in " ".join(failed.output.split())
    assert "was booted once and did not come as far as to be judged" in " ".join(failed.output.split())
    assert shape(host) == before
    assert PANICS in host.file("/boot/grub/grub.cfg").content_string, "the new entry stays configured, but is not the default"
    assert "realtime-kvm-previous" in host.file("/boot/grub/custom.cfg").content_string

    playbook(CONVERGE, nodes=NODE)
    assert shape(host) == before, "without the argument there is nothing to boot"
    assert not host.file("/boot/grub/custom.cfg").exists
    assert not host.file("/etc/systemd/system/realtime-kvm-trial.service").exists


def test_the_last_trial_was_confirmed_and_left_nothing_behind(host):
    assert "realtime_kvm_trial" not in host.check_output("grub-editenv list")
    for path in ("/etc/realtime-kvm/trial.pyz", "/etc/systemd/system.conf.d/zz-realtime-kvm-trial.conf"):
        assert not host.file(path).exists
