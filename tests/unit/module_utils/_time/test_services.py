# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services that are installed, that run, and that steer the clock beside ours."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._time.answers import Running
from ansible_collections.realtime.kvm.plugins.module_utils._time.services import (
    ConflictError,
    check_alone,
    find_chrony,
    has_ptp,
    other_processes,
    other_units,
    running,
)
from unit.clocks import DEBIAN, EL, LINUXPTP, Clocks, node
from unit.trees import fill, writable

VENDOR = "/lib/systemd/system"


@pytest.mark.parametrize(
    ("part", "unit", "main", "ours"),
    [
        (DEBIAN, "chrony.service", "/etc/chrony/chrony.conf", "/etc/chrony/realtime-kvm.conf"),
        (EL, "chronyd.service", "/etc/chrony.conf", "/etc/chrony.realtime-kvm.conf"),
    ],
)
def test_chrony_of_each_family(tmp_path, part, unit, main, ours):
    found = find_chrony(writable(node(tmp_path, part)))
    assert (found.unit, found.main, found.ours, found.command) == (unit, main, ours, "!/usr/sbin/chronyd $DAEMON_OPTS")


def test_what_is_not_there(tmp_path):
    host = writable(node(tmp_path))
    assert (find_chrony(host), has_ptp(host), running(host, "chrony.service")) == (None, False, None)
    assert has_ptp(writable(fill(tmp_path, LINUXPTP)))


def test_how_a_service_runs(tmp_path):
    root = node(tmp_path, DEBIAN)
    systemd = Clocks(root, {"chrony.service": (True, True)})
    systemd.start("chrony.service", cpus="0-1")
    assert running(writable(root), "chrony.service") == Running(102, frozenset({0, 1}), 0, ("/usr/sbin/chronyd", "$DAEMON_OPTS"))


def test_beside_chrony_ptp4l_may_steer_the_clock_of_a_nic(tmp_path):
    names = ("ptp4l.service", "phc2sys.service", "ntpsec.service", "systemd-timesyncd.service", "chronyd-restricted.service")
    root = node(tmp_path, DEBIAN, {f"{VENDOR}/{name}": "[Service]\nExecStart=/x\n" for name in names})
    systemd = Clocks(
        root,
        {
            "chrony.service": (True, True),
            names[0]: (True, True),
            names[1]: (False, True),
            names[2]: (True, False),
            names[3]: (False, False),
            names[4]: (True, False),
        },
    )
    host = writable(root)
    assert list(other_units(host, systemd, "chrony")) == ["chronyd-restricted.service", "ntpsec.service", "phc2sys.service"]
    assert list(other_units(host, systemd, "ptp")) == [
        "chrony.service",
        "ptp4l.service",
        *names[4:],
        "ntpsec.service",
        "phc2sys.service",
    ]
    assert other_processes(host, "ptp") == []


def test_programs_of_no_unit(tmp_path):
    root = node(tmp_path)
    systemd = Clocks(root)
    systemd.process(7, "/opt/chronyd -n", cgroup="/a.scope")
    systemd.process(8, "/opt/ptp4l", cgroup="/b.scope")
    host = writable(root)
    assert other_processes(host, "chrony") == ["chronyd (process 7, cgroup /a.scope)"]
    assert other_processes(host, "ptp") == ["chronyd (process 7, cgroup /a.scope)", "ptp4l (process 8, cgroup /b.scope)"]
    with pytest.raises(ConflictError, match="steered by chronyd"):
        check_alone({}, other_processes(host, "chrony"), take_over=True)
    check_alone({}, [], take_over=False)


@pytest.mark.parametrize(
    ("command", "files", "steers"),
    [
        ("/usr/sbin/chronyd -d -x", {}, False),
        ("/usr/sbin/chronyd -d", {"status": "Name:\tchronyd\nCapEff:\t00000000a80425fb\n"}, False),  # a container as it is
        ("/usr/sbin/chronyd -d", {"status": "Name:\tchronyd\nCapEff:\t0000000002000400\n"}, True),
        ("/usr/sbin/ntpd", {"status": "CapEff:\t000001ffffffffff\n", "ns/user": ("link", "user:[4026532000]")}, False),
        ("/usr/sbin/ntpd -x", {"status": "CapEff:\t000001ffffffffff\n", "ns/user": ("link", "user:[4026531837]")}, True),
    ],
)
def test_a_program_in_a_container_that_cannot_set_the_clock_is_no_conflict(tmp_path, command, files, steers):
    root = node(tmp_path, {"/proc/1/ns/user": ("link", "user:[4026531837]")} if "ns/user" in files else {})
    Clocks(root).process(7, command, cgroup="/system.slice/docker-1.scope")
    fill(root, {f"/proc/7/{name}": content for name, content in files.items()})
    assert bool(other_processes(writable(root), "chrony")) is steers
