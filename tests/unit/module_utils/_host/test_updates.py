# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Updates on apt and dnf: what is listed, and the one run that installs them."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager, nullcontext
from unittest.mock import patch

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host import updates
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import BOOT_ID
from ansible_collections.realtime.kvm.plugins.module_utils._host.runner import Transaction
from ansible_collections.realtime.kvm.plugins.module_utils._host.updates import parse_apt, parse_dnf, plan_updates
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


#: What the genuine apt-get prints after a run that was killed between unpacking and configuring.
KILLED = """Reading package lists...
0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.
2 not fully installed or removed.
Conf bar (2.0  [amd64])
Conf foo broken
"""


def test_what_a_killed_run_of_apt_has_left_is_work():
    unpacked = "unpacked, not configured"
    assert parse_apt(KILLED) == [("bar", unpacked, "2.0"), ("foo", unpacked, "configured")]
    assert parse_apt("Purg old-thing [1.0]\n") == [("old-thing", "1.0", None)]


#: ansible/ansible-modules-core#2802 and ansible/ansible#20043: a row that is too long goes on in the next line.
WRAPPED = """
dbus-libs.x86_64                     1:1.6.12-13.el7                   base
PACKAGE.x86_64                        0.0.201601130408git9dd37204-1.el7.centos
                                                                       REPO-devel
Red_Hat_Enterprise_Linux-Release_Notes-6-en-US.noarch
                                   8-2.el6                    rhel-6-server-rpms
device-mapper.x86_64                 7:1.02.107-5.el7                  base
"""
#: AvengeMedia/DankMaterialShell#3522: dnf5.
DNF5 = """Upgrades
apparmor-libs.x86_64                      6.0.0~alpha1-1.fc44 terra

Obsoleting packages
python3-proton-vpn-api-core.aarch64       5.6.10-1.fc44       protonvpn-fedora-stable
    python3-proton-vpn-api-core.noarch    5.2.5-1.fc44        protonvpn-fedora-stable
"""


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (WRAPPED, "dbus-libs.x86_64 PACKAGE.x86_64 Red_Hat_Enterprise_Linux-Release_Notes-6-en-US.noarch device-mapper.x86_64"),
        (
            "\nkernel-rt-modules-extra-matched.x86_64\n      5.14.0-427.el9_4 rhel-9-nfv-rpms\n",
            "kernel-rt-modules-extra-matched.x86_64",
        ),
        ("\na.noarch\n      1-1\n   nfv\nb.noarch\nc.noarch 1-1 nfv\n", "a.noarch c.noarch"),
        (DNF5, "apparmor-libs.x86_64"),
    ],
)
def test_rows_that_dnf_breaks_and_the_headings_of_dnf5(text, names):
    assert [name for name, _before, _after in parse_dnf(text)] == names.split()


@pytest.mark.parametrize("text", ["", "kernel-rt.x86_64\n", "a word, and another, and more\n"])
def test_updates_of_which_none_can_be_read_are_refused(tmp_path, text):
    host = writable(fill(tmp_path, {"/usr/bin/rpm": "", "/usr/bin/dnf": "", "/var/lib/": None}), "package_update")
    with pytest.raises(HostError, match=r"ended with 100, so there are updates, but none could be read .*dnf upgrade"):
        plan_updates(host, lambda _command: (100, text, ""), refresh=False)


def test_packages_that_others_replace_are_no_update(tmp_path):
    host = writable(fill(tmp_path, {"/usr/bin/rpm": "", "/usr/bin/dnf": "", "/var/lib/": None}), "package_update")
    plan_updates(host, lambda _command: (100, DNF5.replace("apparmor", "nothing of"), ""), refresh=False)
    assert host.changes == []


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


@pytest.mark.parametrize(("listed", "files"), [(KILLED, {}), ("", {"/var/lib/dpkg/updates/0003": ""}), (KILLED + APT, {})])
@pytest.mark.parametrize("refuses", [False, True])
def test_a_killed_update_is_configured_before_the_node_may_reboot(tmp_path, listed, files, refuses):
    host = writable(fill(tmp_path, {"/var/lib/": None, "/usr/bin/apt-mark": "", **files}), "package_update")
    calls = []

    def runner(command):
        if "--simulate" in command or command[0] == "dpkg-query":
            return 0, listed if "--simulate" in command else "", ""
        assert isinstance(command, Transaction)
        calls.append("configure" if "--configure" in command else command[-1])
        return (1, "", "dependency problems") if refuses and calls[-1] == "configure" else (0, "", "")

    result = carry_out(Edges(host, runner), package_update.run, {"refresh": False})
    assert result["disruption"] == "reboot"
    assert result["restart_owed"]
    assert calls == ["configure", "dist-upgrade"], "apt-get does not begin while dpkg is cut off"


LISTS = "/var/lib/apt/lists/lock"
LOCKED = f"E: Could not get lock {LISTS}. It is held by process 7 (apt-get)\nE: Unable to lock directory /var/lib/apt/lists/"
DPKG = "dpkg: error: dpkg frontend lock was locked by another process with pid 7"


@pytest.mark.parametrize("said", [LOCKED, DPKG])
def test_a_lock_that_apt_does_not_wait_for_is_waited_for(tmp_path, monkeypatch, said):
    host = writable(fill(tmp_path, {"/var/lib/": None, "/usr/bin/apt-mark": ""}), "package_update")
    waits, calls = [], []
    monkeypatch.setattr(updates.time, "sleep", waits.append)

    def runner(command):
        calls.append(command[-1])
        return (100, "", said) if command[-1] == "update" and len(waits) < 2 else (0, "", "")

    plan_updates(host, runner, refresh=True)
    assert calls.count("update") == 3


def test_the_holder_of_a_lock_is_named_in_the_end(tmp_path, monkeypatch):
    host = writable(fill(tmp_path, {LISTS: "", "/usr/bin/apt-mark": ""}), "package_update")
    monkeypatch.setattr(updates, "_WAIT_S", 0)
    with locked_by(host.path(LISTS)) as pid:
        fill(tmp_path, {f"/proc/{pid}/comm": "apt-get\n"})
        with pytest.raises(HostError) as caught:
            plan_updates(host, lambda _command: (100, "", LOCKED), refresh=True)
    assert f"another program holds a lock (process {pid} (apt-get) holds {LISTS}): E: Could not get lock" in str(caught.value)


@contextmanager
def locked_by(path):
    """Another process that holds a lock as apt does; its number."""
    code = "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process.pid
        process.stdin.close()


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
