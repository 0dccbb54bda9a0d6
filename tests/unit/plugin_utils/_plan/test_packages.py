# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What apt and dnf answer in check mode, read as packages; their output is that of apt 2.6, dnf 4.20 and dnf5 5.2."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.packages import planned_packages

APT = """Reading package lists...
Building dependency tree...
The following NEW packages will be installed:
  driverctl openvswitch-switch-dpdk
0 upgraded, 2 newly installed, 1 to remove and 4 not upgraded.
Remv openvswitch-switch [3.1.0-2]
Inst libssl3 [3.0.11-1] (3.0.17-1~deb12u2 Debian:12/oldstable [amd64])
Inst driverctl (0.111-1.1 Debian:12/oldstable [all])
Inst openvswitch-switch-dpdk (3.1.0-2+deb12u1 Debian:12/oldstable [amd64])
Conf libssl3 (3.0.17-1~deb12u2 Debian:12/oldstable [amd64])
Conf driverctl (0.111-1.1 Debian:12/oldstable [all])
Conf openvswitch-switch-dpdk (3.1.0-2+deb12u1 Debian:12/oldstable [amd64])
"""


def row(name, before, after):
    return {"name": name, "before": before, "after": after}


def test_packages_of_apt():
    assert planned_packages({"changed": True, "stdout": APT}) == [
        row("openvswitch-switch", "3.1.0-2", ""),
        row("libssl3", "3.0.11-1", "3.0.17-1~deb12u2"),
        row("driverctl", "", "0.111-1.1"),
        row("openvswitch-switch-dpdk", "", "3.1.0-2+deb12u1"),
    ]


def test_packages_of_dnf():
    lines = [
        "Installed: kernel-rt-5.14.0-570.el9.x86_64",
        "Installed: qemu-kvm-17:9.1.0-15.el9.x86_64",
        "Removed: tuned-2.25-1.el9.noarch",
    ]
    assert planned_packages({"results": lines, "msg": "Check mode: No changes made, but would have if not in check mode"}) == [
        row("kernel-rt", "", "5.14.0-570.el9.x86_64"),
        row("qemu-kvm", "", "17:9.1.0-15.el9.x86_64"),
        row("tuned", "2.25-1.el9.noarch", ""),
    ]


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"changed": False},
        {"stdout": 7, "results": "Installed: a-1-1"},
        {"stdout": "", "results": [None, 7, "Installed: ", "Installed: nothing", "Loaded plugins: x"]},
        {"failed": True, "msg": "no package matches"},
        7,
    ],
)
def test_other_answers_name_no_package(answer):
    assert planned_packages(answer) == []


def test_an_answer_of_a_few_mib_names_a_bounded_number_of_packages():
    names = "".join(f"Inst p{number} (1 x)\n" for number in range(200_000))
    found = planned_packages({"stdout": names, "results": ["Installed: " + "x" * 100_000 + "-1-1"] * 100_000})
    assert len(found) <= 2000
    assert max(len(item["name"]) for item in found) <= 200
