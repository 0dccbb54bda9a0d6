# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Updates on apt and dnf: what is listed, and the one run that installs them."""

from __future__ import annotations

from contextlib import nullcontext
from unittest.mock import patch

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host import updates
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import BOOT_ID
from ansible_collections.realtime.kvm.plugins.module_utils._host.runner import Transaction
from ansible_collections.realtime.kvm.plugins.module_utils._host.updates import parse_apt, parse_dnf
from ansible_collections.realtime.kvm.plugins.module_utils._module import package_update
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import Edges, carry_out
from unit.trees import fill, writable

APT = """NOTE: This is only a simulation!
Reading package lists...
The following packages will be upgraded:
  libc6 openvswitch-switch
Remv old-thing [1.0]
Inst libc6 [2.41-12] (2.41-13 Debian:13.2/stable [amd64]) []
Inst linux-image-6.12.2-rt-amd64 (6.12.2-1 Debian-Security:13/stable-security [amd64])
Conf libc6 (2.41-13 Debian:13.2/stable [amd64])
"""
DNF = """
kernel-rt.x86_64                 5.14.0-2.el9            nfv
openvswitch3.3.x86_64            3.3.0-9.el9fdp          nfv
Obsoleting Packages
new.x86_64                       1-1                     baseos
    old.x86_64                   0-1                     @baseos
"""


def test_what_apt_prints():
    assert parse_apt(APT) == [
        ("old-thing", "1.0", None),
        ("libc6", "2.41-12", "2.41-13"),
        ("linux-image-6.12.2-rt-amd64", None, "6.12.2-1"),
    ]


def test_what_dnf_prints():
    assert parse_dnf(DNF) == [
        ("kernel-rt.x86_64", "installed", "5.14.0-2.el9"),
        ("openvswitch3.3.x86_64", "installed", "3.3.0-9.el9fdp"),
    ]
    assert parse_dnf("") == []


class Node:
    """A node whose package manager has updates until they are installed."""

    def __init__(self, root, *files):
        self.root = fill(root, {"/var/lib/": None, **dict.fromkeys(files, "")})
        self.calls, self.broken, self.breaks = [], False, False
        self.held = {"openvswitch-switch": "hold", "libc6": "install"}

    def runner(self, command):
        verb = command[-1]
        if command[0] == "dpkg-query":
            return 0, "".join(f"{name}\t{selection}\tinstalled\n" for name, selection in self.held.items()), ""
        if command[0] == "apt-mark":
            assert isinstance(command, Transaction)
            self.held[verb] = command[1]
            return 0, "", ""
        if self.broken:
            return 1, "", "no network"
        if verb == "check-update":
            assert "--disableplugin=versionlock" in command
            return (0, "", "") if "upgrade" in self.calls else (100, DNF, "")
        if "--simulate" in command:
            assert "--ignore-hold" in command
            return 0, "" if "dist-upgrade" in self.calls else APT, ""
        if verb in ("dist-upgrade", "upgrade"):
            assert isinstance(command, Transaction)
            self.held = dict.fromkeys(self.held, "install")
        if self.breaks:
            raise self.breaks
        self.calls.append(verb)
        return 0, "", ""

    def run(self, check=False, refresh=True):
        host = writable(self.root, "package_update", check_mode=check)
        return carry_out(Edges(host, self.runner), package_update.run, {"refresh": refresh})


@pytest.mark.parametrize(
    ("files", "refresh", "install", "count"),
    [(["/usr/bin/apt-mark"], "update", "dist-upgrade", 3), (["/usr/bin/rpm", "/usr/bin/dnf"], "makecache", "upgrade", 2)],
)
def test_all_are_installed_in_one_run(tmp_path, files, refresh, install, count):
    node = Node(tmp_path, *files)
    predicted = node.run(check=True)
    assert node.calls == [refresh]
    result = node.run(refresh=False)
    assert result == predicted
    assert node.calls == [refresh, install]
    assert (result["disruption"], len(result["changes"])) == ("reboot", count)
    assert node.run(refresh=False)["changed"] is False
    assert node.calls == [refresh, install]


def test_a_reboot_is_owed_until_the_node_reboots_also_after_a_killed_run(tmp_path):
    node = Node(tmp_path, "/usr/bin/apt-mark")
    fill(tmp_path, {BOOT_ID: "one\n"})
    assert node.run(check=True, refresh=False)["restart_owed"]
    node.breaks = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        node.run(refresh=False)
    node.breaks, node.calls = False, ["dist-upgrade"]  # dpkg went on, so no update is left
    for _again in range(2):
        assert (node.run(refresh=False)["changed"], node.run(check=True, refresh=False)["restart_owed"]) == (False, True)
    fill(tmp_path, {BOOT_ID: "two\n"})
    assert node.run(refresh=False)["restart_owed"] is False


@pytest.mark.parametrize("breaks", [False, HostError("no space left")])
def test_what_was_held_is_held_again_also_after_a_failed_update(tmp_path, breaks):
    node = Node(tmp_path, "/usr/bin/apt-mark")
    node.breaks = breaks
    with pytest.raises(HostError) if breaks else nullcontext():
        node.run(refresh=False)
    assert node.held == {"openvswitch-switch": "hold", "libc6": "install"}


def test_what_was_held_is_held_again_by_the_run_after_one_that_was_cut_off(tmp_path):
    node = Node(tmp_path, "/usr/bin/apt-mark")
    held = dict(node.held)
    with (
        patch.object(updates, "_install", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        node.run(refresh=False)
    node.held, node.calls = dict.fromkeys(held, "install"), ["dist-upgrade"]
    predicted = node.run(check=True, refresh=False)
    assert node.run(refresh=False) == predicted
    assert [change["resource"] for change in predicted["changes"]] == ["package:openvswitch-switch"]
    assert node.held == held
    assert node.run(refresh=False)["changed"] is False


def test_what_is_kept_back_is_named(tmp_path):
    node = Node(tmp_path, "/usr/bin/apt-mark")
    node.calls = type("Deaf", (list,), {"append": lambda *_arguments: None})()
    assert node.run(refresh=False)["left"] == ["libc6", "linux-image-6.12.2-rt-amd64", "old-thing"]


@pytest.mark.parametrize("files", [["/usr/bin/apt-mark"], ["/usr/bin/rpm", "/usr/bin/dnf"]])
@pytest.mark.parametrize("refresh", [True, False])
def test_a_manager_that_fails_is_quoted(tmp_path, files, refresh):
    node = Node(tmp_path, *files)
    node.broken = True
    with pytest.raises(HostError, match="failed with exit code 1: no network"):
        node.run(refresh=refresh)
