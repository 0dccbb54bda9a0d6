# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which units needrestart leaves alone."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host.needrestart import FILE, FOLDER, plan_needrestart
from unit.trees import fill, writable

ALONE = [
    "openvswitch-switch.service", "openvswitch.service", "ovs-vswitchd.service", "ovsdb-server.service", "libvirtd.service",
    "libvirtd-admin.socket", "libvirt-guests.service", "virtqemud.service", "virtlogd.service", "machine-qemu\\x2d1\\x2dplc1.scope",
]  # fmt: skip
RESTARTED = ["ssh.service", "cron.service", "systemd-machined.service", "virtualbox.service", "openvswitch-ipsec.service"]


def written(root):
    host = writable(fill(root, {f"{FOLDER}/": None, "/var/lib/": None}))
    plan_needrestart(host)
    host.commit()
    return (root / FILE[1:]).read_text()


def test_a_node_without_needrestart_gets_no_file(tmp_path):
    host = writable(tmp_path)
    plan_needrestart(host)
    assert host.changes == []


def test_switch_libvirt_and_guests_are_left_alone_and_nothing_else(tmp_path):
    patterns = [re.compile(text) for text in re.findall(r"qr\((.*)\)\} = 0;", written(tmp_path))]
    assert len(patterns) == 3
    assert [unit for unit in ALONE if not any(pattern.search(unit) for pattern in patterns)] == []
    assert [unit for unit in RESTARTED if any(pattern.search(unit) for pattern in patterns)] == []


@pytest.mark.skipif(shutil.which("perl") is None, reason="needs perl")
def test_it_is_perl_that_evaluates_to_true(tmp_path):
    written(tmp_path)
    program = "my $file = shift; our %nrconf; local $/; open(F, $file); my $text = <F>; "
    program += "eval $text or die; print scalar(keys %{$nrconf{override_rc}});"
    done = subprocess.run(["perl", "-e", program, f"{tmp_path}{FILE}"], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("3", "")
