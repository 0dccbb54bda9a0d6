# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files: which command counts, and what is added to it."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._time.texts import (
    PHC2SYS_UNIT,
    PTP4L_UNIT,
    chrony_drop_in,
    chrony_text,
    environment_files,
    expanded,
    needs_configuration,
    ptp_units,
    start_commands,
)
from ansible_collections.realtime.kvm.plugins.module_utils._time.wanted import Wanted


@pytest.mark.parametrize(
    ("texts", "commands"),
    [
        (["[Service]\nExecStart=/a b\n"], ["/a b"]),
        (["[Service]\nExecStart=/a\n", "[Service]\nExecStart=\nExecStart=!/c \\\n  d\n"], ["!/c    d"]),
        (["[Unit]\nExecStart=/no\n"], []),
        (["[Service]\nExecStart=/a\nExecStart=/b\n"], ["/a", "/b"]),
    ],
)
def test_the_commands_that_count(texts, commands):
    assert start_commands(texts) == commands


def test_chrony_is_told_only_what_is_asked_for():
    plain = Wanted("chrony")
    assert not needs_configuration(plain)
    assert "ExecStart" not in chrony_drop_in(plain, [1, 0], "/c", "")
    assert "CPUAffinity=\nCPUAffinity=0-1\n" in chrony_drop_in(plain, [1, 0], "/c", "")
    asked = Wanted("chrony", servers=("a",), makestep="0.1 3", interface="e0")
    assert needs_configuration(asked)
    assert chrony_text(asked, "/m", "e0").splitlines()[2:] == [
        "include /m",
        "server a iburst prefer",
        "makestep 0.1 3",
        "hwtimestamp e0",
    ]
    assert "hwtimestamp" not in chrony_text(Wanted("chrony", interface="e0", stamping="software"), "/m", "e0")


def test_never_means_no_step_of_the_systems_clock():
    wanted = Wanted("ptp", interface="e0", makestep="never")
    units = ptp_units(wanted, "e0", [0], hardware=True)
    assert "first_step" not in units[PTP4L_UNIT], "there it is the NIC's clock"
    assert "phc2sys -a -r -n 0 -F 0\n" in units[PHC2SYS_UNIT]
    assert list(ptp_units(wanted, "e0", [0], hardware=False)) == [PTP4L_UNIT]


def test_the_units_start_before_guests_and_again_whenever_they_end():
    for text in ptp_units(Wanted("ptp", interface="e0", priority=1), "e0", [0, 6], hardware=True).values():
        for line in (
            "Before=libvirtd.service virtqemud.service libvirt-guests.service time-sync.target",
            "Restart=always",
            "StartLimitIntervalSec=0",
            "CPUAffinity=0,6",
            "CPUSchedulingPriority=1",
        ):
            assert f"\n{line}\n" in text


def test_the_variables_of_a_command_come_from_its_files():
    unit = "[Service]\nEnvironmentFile=/gone\nEnvironmentFile=\nEnvironmentFile=-/etc/default/chrony\n"
    assert environment_files([unit, "EnvironmentFile = /etc/more\n"]) == ["/etc/default/chrony", "/etc/more"]
    files = ['# DAEMON_OPTS=-x\nDAEMON_OPTS="-F 1 -x"\n', "DAEMON_OPTS='-F 2'\n"]
    assert expanded("!/usr/sbin/chronyd $DAEMON_OPTS ${NONE} -d", files) == ["!/usr/sbin/chronyd", "-F", "2", "-d"]
