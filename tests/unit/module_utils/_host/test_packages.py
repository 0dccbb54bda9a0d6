# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Undo removes exactly the packages that came with the roles, on request, and nothing that others need."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL
from ansible_collections.realtime.kvm.plugins.module_utils._host.packages import (
    parse_dnf_removal,
    plan_packages,
    record_packages,
    recorded_roles,
    removal_command,
)
from unit.trees import fill, writable

#: What dnf 4 prints, with a row that is too long for its line.
DNF = """\
Dependencies resolved.
================================================================================
 Package                 Arch       Version               Repository       Size
================================================================================
Removing:
 qemu-img                x86_64     17:9.1.0-15.el9       @appstream      9.4 M
Removing dependent packages:
 libvirt-daemon-driver-storage-core
                         x86_64     10.10.0-7.el9         @appstream      1.0 M
Removing unused dependencies:
 liburing                x86_64     2.5-1.el9             @appstream      107 k

Transaction Summary
================================================================================
Remove  3 Packages

Freed space: 11 M
Operation aborted.
"""


class Packages:
    """A node's packages, what each needs, and which were asked for by name. It answers as apt and dpkg do, or dnf and rpm."""

    def __init__(self, root, apt=True):
        program = {"/usr/bin/apt-get": ""} if apt else {"/usr/bin/dnf": "", "/usr/bin/rpm": ""}
        self.root = fill(root, {"/var/lib/": None, **program})
        self.installed = {"bash", "liburing"}
        self.manual = {"bash"}
        self.needs = {
            "qemu-utils": {"liburing", "libslirp"},
            "libvirt-daemon-system": {"libvirt-daemon"},
            "libvirt-daemon": {"qemu-utils"},
        }
        self.provided = {}
        self.calls = []

    def install(self, *names):
        for name in names:
            self.manual.add(name)
            self._add(name)

    def _add(self, name):
        self.installed.add(name)
        for other in self.needs.get(name, ()):
            self._add(other)

    def _would_go(self, names, unused):
        gone = set(names) & self.installed
        while more := {name for name in self.installed - gone if self.needs.get(name, set()) & gone}:
            gone |= more
        while unused:
            left = self.installed - gone
            needed = {other for name in left for other in self.needs.get(name, ())}
            more = {name for name in left - self.manual if name not in needed}
            if not more:
                break
            gone |= more
        return sorted(gone)

    def __call__(self, command):
        words = [word for word in command if not word.startswith("-")]
        if command[0] == "dpkg-query":
            return 0, "".join(f"{name}:amd64\tinstall\tinstalled\n" for name in sorted(self.installed)), ""
        if command[0] == "apt-mark":
            return 0, "\n".join(self.manual), ""
        if "--simulate" in command:
            gone = self._would_go(words[2:], "--auto-remove" in command)
            return 0, "".join(f"Purg {name} [1.0]\n" for name in gone), ""
        if command[:2] == ("rpm", "-q") or command[:2] == ["rpm", "-q"]:
            found = [self.provided.get(name, name) for name in command[5:]]
            return 1, "".join(f"{name}\n" if name in self.installed else f"no package provides {name}\n" for name in found), ""
        if command[0] == "rpm":
            return 0, "\n".join(sorted(self.installed)), ""
        if "repoquery" in command:
            return 0, "\n\n".join(self.manual), ""
        if "--assumeno" in command:
            gone = self._would_go([self.provided.get(name, name) for name in words[2:]], "--noautoremove" not in command)
            return (
                1,
                "Removing:\n" + "".join(f" {name}  x86_64  1.0\n" for name in gone) + "\nTransaction Summary\n",
                "Operation aborted.",
            )
        assert "purge" in words or "remove" in words
        self.calls.append(words[words.index("purge" if "purge" in words else "remove") + 1 :])
        self.installed -= set(self.calls[-1])
        return 0, "", ""

    def record(self, role, *names):
        host = writable(self.root)
        record_packages(host, self, role, names)
        host.perform(lambda: None)
        host.commit()

    def undo(self, kept=(), remove=False, check=False):
        host = writable(self.root, check_mode=check)
        stays = plan_packages(host, self, kept, remove=remove)
        host.commit()
        return [change.resource.partition(":")[2] for change in host.changes], stays

    @property
    def journalled(self):
        return (self.root / JOURNAL[1:]).exists()


@pytest.fixture(name="node", params=[True, False], ids=["apt", "dnf"])
def _node(tmp_path, request):
    return Packages(tmp_path, request.param)


def converge(node):
    node.record("kvm_host", "libvirt-daemon-system", "bash")
    node.install("libvirt-daemon-system")


def test_packages_stay_unless_their_removal_is_requested(node):
    converge(node)
    before = set(node.installed)
    assert node.undo() == ([], ["libvirt-daemon-system"])
    assert node.installed == before
    assert not node.journalled
    assert node.undo() == ([], []), "the record is gone with the undo"


def test_packages_go_with_what_came_along_and_nothing_else(node):
    converge(node)
    predicted = node.undo(remove=True, check=True)
    assert node.calls == []
    assert node.undo(remove=True) == predicted
    assert set(predicted[0]) == {"libvirt-daemon-system", "libvirt-daemon", "qemu-utils", "libslirp"}
    assert node.installed == {"bash", "liburing"}, "what was there before stays, although nothing needs it now"
    assert not node.journalled
    assert node.undo(remove=True) == ([], [])


def test_a_package_that_another_one_needs_is_not_removed(node):
    converge(node)
    node.needs["virt-manager"] = {"libvirt-daemon-system"}
    node.install("virt-manager")
    with pytest.raises(HostError, match=r"^realtime_undo_packages: virt-manager would be removed too, .*remove them first"):
        node.undo(remove=True)
    assert "libvirt-daemon-system" in node.installed
    assert node.undo() == ([], ["libvirt-daemon-system"])


def test_packages_of_a_role_whose_daemons_are_used_stay_and_go_later(node):
    converge(node)
    node.record("rt_latency", "rt-tests")
    node.install("rt-tests")
    assert node.undo(kept=["kvm_host"], remove=True) == (["rt-tests"], ["libvirt-daemon-system"])
    assert node.journalled
    assert recorded_roles(writable(node.root)) == {"kvm_host"}
    assert "libvirt-daemon-system" in node.undo(remove=True)[0]
    assert node.installed == {"bash", "liburing"}


def test_what_was_there_is_not_recorded(node):
    node.record("kvm_host", "bash")
    assert not node.journalled


def test_a_killed_removal_is_repeated(node):
    converge(node)
    node.installed.discard("libvirt-daemon-system")  # dpkg had come so far
    node.manual.discard("libvirt-daemon-system")
    node.undo(remove=True)
    assert not node.journalled


def test_an_rpm_may_provide_the_name(tmp_path):
    node = Packages(tmp_path, apt=False)
    node.provided = {"openvswitch": "openvswitch3.3"}
    node.record("ovs_dpdk", "openvswitch")
    node.installed.add("openvswitch3.3")
    node.manual.add("openvswitch3.3")
    assert node.undo(remove=True) == (["openvswitch3.3"], [])


def test_apt_that_would_install_instead_is_refused(tmp_path):
    node = Packages(tmp_path)
    converge(node)

    def runner(command):
        return (0, "Purg qemu-utils [1]\nInst qemu-utils-ng (2 stable)\n", "") if "--simulate" in command else node(command)

    with pytest.raises(HostError, match="apt would install or finish qemu-utils-ng"):
        plan_packages(writable(node.root), runner, (), remove=True)


def test_dnf_that_does_not_say_what_it_would_remove_is_refused(tmp_path):
    node = Packages(tmp_path, apt=False)
    converge(node)

    def runner(command):
        return (1, "", "unknown option") if "--assumeno" in command else node(command)

    with pytest.raises(HostError, match=r"dnf does not say that it would remove libvirt-daemon-system \(unknown option\)"):
        plan_packages(writable(node.root), runner, (), remove=True)


def test_the_tables_of_dnf_are_read_with_their_broken_rows():
    assert parse_dnf_removal(DNF) == ["qemu-img", "libvirt-daemon-driver-storage-core", "liburing"]


def test_a_node_without_apt_and_dnf_has_no_record(tmp_path):
    def never(_command):
        raise AssertionError

    host = writable(fill(tmp_path, {"/var/lib/": None}))
    record_packages(host, never, "kvm_host", ["qemu-kvm"])
    assert plan_packages(host, never, (), remove=True) == []


def test_the_command_by_hand_is_the_package_manager_s(node):
    assert removal_command(writable(node.root), ["a", "b"]) in ("apt-get purge a b", "dnf remove a b")


def test_a_version_and_an_architecture_are_no_part_of_the_name(tmp_path):
    node = Packages(tmp_path)
    node.record("kvm_host", "qemu-utils:amd64", "bash=5.2")
    node.install("qemu-utils")
    assert node.undo(remove=True)[0][0] == "qemu-utils"
    assert node.installed == {"bash", "liburing"}
