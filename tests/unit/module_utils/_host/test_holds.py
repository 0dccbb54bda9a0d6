# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages held and released on apt and dnf: exactly those, and the administrator's own holds stay."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import Change
from ansible_collections.realtime.kvm.plugins.module_utils._host.holds import DNF, LOCKS, PLUGIN
from ansible_collections.realtime.kvm.plugins.module_utils._host.holds import HELD as HELD_BY_UPDATE
from ansible_collections.realtime.kvm.plugins.module_utils._module import package_holds
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import Edges, carry_out
from unit.trees import fill, refuse_reads, snapshot, writable

INSTALLED = {
    "linux-image-rt-amd64": "install", "linux-image-6.12.1-rt-amd64": "hold", "openvswitch-switch-dpdk": "install", "librte-eal25:amd64": "install",
    "qemu-system-x86": "install", "qemu-guest-agent": "install", "libvirt0:amd64": "install", "bash": "install", "linux-libc-dev": "install",
}  # fmt: skip
HELD = [
    "librte-eal25:amd64", "libvirt0:amd64", "linux-image-6.12.1-rt-amd64", "linux-image-rt-amd64", "openvswitch-switch-dpdk", "qemu-system-x86",
]  # fmt: skip


class Node:
    """A node with a package manager that remembers."""

    def __init__(self, root, files):
        self.root = fill(root, {"/var/lib/": None, "/etc/dnf/plugins/": None, **files})
        self.packages, self.calls = dict(INSTALLED), []
        self.rpms = "kernel-rt\t0:5.14.0-1.el9\nbash\t0:5.1-1\nopenvswitch3.3\t0:3.3.0-1\nqemu-kvm-core\t17:9.1-2\nqemu-guest-agent\t17:9.1-2\n"

    def runner(self, command):
        program, *rest = command
        if program == "dpkg-query":
            shown = [f"{name}\t{want}\tinstalled" for name, want in self.packages.items()]
            return 0, "\n".join([*shown, "openvswitch-common\tdeinstall\tconfig-files"]) + "\n", ""
        if program == "apt-mark":
            self.calls.append(rest)
            self.packages[rest[1]] = {"hold": "hold", "unhold": "install"}[rest[0]]
            return 0, "", ""
        assert program == "rpm"
        return 0, self.rpms, ""

    def run(self, state="present", check=False):
        host = writable(self.root, "package_holds", check_mode=check)
        return carry_out(Edges(host, self.runner), package_holds.run, {"state": state})

    def converge(self, state="present"):
        predicted = self.run(state, check=True)
        assert self.calls == []
        result = self.run(state)
        assert result == predicted
        self.calls.clear()
        assert self.run(state)["changed"] is False
        assert self.calls == []
        return result


@pytest.fixture(name="apt")
def _apt(tmp_path):
    return Node(tmp_path, {"/usr/bin/apt-mark": ""})


@pytest.fixture(name="dnf")
def _dnf(tmp_path):
    return Node(tmp_path, {"/usr/bin/rpm": "", "/usr/bin/dnf": "", PLUGIN: "[main]\n"})


def test_apt_holds_what_would_disturb_guests_and_nothing_else(apt):
    result = apt.converge()
    assert result["held"] == HELD
    assert [name for name, want in sorted(apt.packages.items()) if want == "hold"] == HELD
    assert [change["resource"] for change in result["changes"]] == [f"package:{name}" for name in HELD if "6.12.1" not in name]
    assert result["disruption"] == "none"


def test_apt_releases_exactly_those_that_it_has_held(apt):
    apt.converge()
    apt.packages["qemu-system-x86"] = "install"  # released by hand
    del apt.packages["librte-eal25:amd64"]  # removed
    apt.converge("absent")
    assert apt.packages == {name: want for name, want in INSTALLED.items() if name != "librte-eal25:amd64"}
    assert not (apt.root / "var/lib/realtime-kvm").exists()


def test_undo_after_an_update_that_was_cut_off_holds_what_the_administrator_held(apt):
    """apt releases each held package that it installs; the update journals them, and was killed before it held them again."""
    theirs = sorted(name for name, want in apt.packages.items() if want == "hold")
    assert theirs
    apt.converge()
    host = writable(apt.root, "package_update")
    with host.locked():
        for name, want in sorted(apt.packages.items()):
            if want == "hold":
                host.keep(f"hold:{name}", HELD_BY_UPDATE, None)
        host.follow_up(Change("package:bash", "1", "2"), lambda: None)
        host.commit()
    apt.packages = dict.fromkeys(apt.packages, "install")
    result = apt.converge("absent")
    assert [change["resource"] for change in result["changes"]] == [f"package:{name}" for name in theirs]
    assert apt.packages == INSTALLED
    assert not (apt.root / "var/lib/realtime-kvm").exists()


def test_a_package_that_came_later_is_held_too(apt):
    apt.converge()
    apt.packages["linux-image-6.12.2-rt-amd64"] = "install"
    assert [change["resource"] for change in apt.converge()["changes"]] == ["package:linux-image-6.12.2-rt-amd64"]


OURS = """# realtime.kvm: begin
kernel-rt-0:5.14.0-1.el9.*
openvswitch3.3-0:3.3.0-1.*
qemu-kvm-core-17:9.1-2.*
# realtime.kvm: end
"""


@pytest.mark.parametrize("before", [None, "", "# mine\nbash-0:5.1-1.*\n"])
def test_dnf_locks_versions_in_a_block_of_its_own(dnf, before):
    if before is not None:
        fill(dnf.root, {LOCKS: before})
    assert dnf.converge()["held"] == ["kernel-rt", "openvswitch3.3", "qemu-kvm-core"]
    path = dnf.root / LOCKS[1:]
    assert path.read_text() == (before or "") + OURS
    path.write_text(path.read_text() + "later-0:1-1.*\n")
    dnf.converge("absent")
    assert path.read_text() == (before or "") + "later-0:1-1.*\n"


def test_a_list_in_another_encoding_is_kept_and_one_that_cannot_be_read_is_not_replaced(dnf, monkeypatch):
    theirs = b"# f\xfcr die Linie\nbash-0:5.1-1.*\n"
    fill(dnf.root, {LOCKS: theirs})
    path = dnf.root / LOCKS[1:]
    dnf.converge()
    assert path.read_bytes() == theirs + OURS.encode()
    held = path.read_bytes()
    again = refuse_reads(monkeypatch, LOCKS)
    for state in ("present", "absent"):
        with pytest.raises(HostError, match=f"^{LOCKS} exists, but cannot be read"):
            dnf.converge(state)
    again()
    assert path.read_bytes() == held
    dnf.converge("absent")
    assert path.read_bytes() == theirs


@pytest.mark.parametrize("linked", [True, False])
def test_a_list_keeps_its_mode_and_where_its_link_leads(dnf, linked):
    theirs = "/etc/site/locks" if linked else LOCKS
    fill(dnf.root, {theirs: "bash-0:5.1-1.*\n", **({LOCKS: ("link", "../../site/locks")} if linked else {})})
    os.chmod(f"{dnf.root}{theirs}", 0o600)
    before = snapshot(dnf.root / "etc")
    dnf.converge()
    assert "kernel-rt" in Path(f"{dnf.root}{theirs}").read_text()
    dnf.converge("absent")
    assert snapshot(dnf.root / "etc") == before


@pytest.mark.parametrize("before", [None, "", "bash-0:5.1-1.*\n"])
def test_dnf_is_as_before_after_undo(dnf, before):
    if before is not None:
        fill(dnf.root, {LOCKS: before})
    dnf.converge()
    dnf.converge("absent")
    path = dnf.root / LOCKS[1:]
    assert (path.read_text() if path.exists() else None) == before


def test_dnf_locks_the_versions_after_an_update(dnf):
    dnf.converge()
    dnf.rpms = dnf.rpms.replace("5.14.0-1", "5.14.0-2")
    dnf.converge()
    assert (dnf.root / LOCKS[1:]).read_text() == OURS.replace("5.14.0-1", "5.14.0-2")
    dnf.converge("absent")
    assert not (dnf.root / LOCKS[1:]).exists()


def test_without_the_plugin_dnf_would_not_read_the_list(dnf):
    (dnf.root / PLUGIN[1:]).unlink()
    assert dnf.run(check=True)["changed"], "a role installs the plugin before"
    with pytest.raises(HostError, match="install python3-dnf-plugin-versionlock"):
        dnf.run()


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        (PLUGIN, "[main]\nenabled = 0\n", "has enabled = 0, so dnf reads no list of held packages and none is held; set it to 1"),
        (DNF, "[main]\nplugins=False\n", "has plugins = False, so dnf reads no list"),
        (
            PLUGIN,
            "[main]\nenabled=1\nlocklist = /etc/yum/locks.list\n",
            f"has locklist = /etc/yum/locks.list, so dnf does not read {LOCKS}",
        ),
        (PLUGIN, "enabled=1\n", "cannot be read, so no package is held: File contains no section headers"),
    ],
)
def test_a_list_that_dnf_does_not_read_holds_nothing(dnf, path, text, words):
    fill(dnf.root, {path: text})
    for check in (True, False):
        with pytest.raises(HostError) as error:
            dnf.run(check=check)
        assert f"realtime_hold_packages: {path} {words}" in str(error.value)
    assert not (dnf.root / LOCKS[1:]).exists()
    assert dnf.run("absent")["changed"] is False


def test_the_files_as_the_packages_bring_them_are_read(dnf):
    fill(dnf.root, {PLUGIN: f"[main]\nenabled = 1\nlocklist = {LOCKS}\n", DNF: "[main]\ngpgcheck=1\nplugins=1\n"})
    dnf.converge()


@pytest.mark.parametrize(
    "lines",
    [
        "{begin}ovs-0:1-1.*\nnginx-0:1.2-3.*\n",
        "nginx-0:1.2-3.*\n{end}",
        "{begin}{begin}ovs-0:1-1.*\n{end}nginx-0:1.2-3.*\n",
        "{end}nginx\n{begin}",
    ],
)
@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_block_that_cannot_be_told_from_the_administrators_locks_is_left_alone(dnf, lines, state):
    dnf.converge()
    text = lines.format(begin=OURS.splitlines(keepends=True)[0], end=OURS.splitlines(keepends=True)[-1])
    fill(dnf.root, {LOCKS: text})
    for _run in range(2):
        with pytest.raises(
            HostError, match=r"^/etc/dnf/plugins/versionlock.list: the lines .* one of these two is missing or there again"
        ):
            dnf.run(state)
    assert (dnf.root / LOCKS[1:]).read_text() == text


def test_a_block_without_its_last_line_end_is_known(dnf):
    dnf.converge()
    path = dnf.root / LOCKS[1:]
    path.write_text("nginx-0:1.2-3.*\n" + OURS[:-1])
    dnf.converge()
    assert path.read_text() == "nginx-0:1.2-3.*\n" + OURS


def test_dnf5_is_refused_since_it_reads_another_list(tmp_path):
    node = Node(tmp_path, {"/usr/bin/rpm": "", "/usr/bin/dnf5": "", "/usr/bin/dnf": ("link", "dnf5"), PLUGIN: "[main]\n"})
    with pytest.raises(
        HostError, match=r"^realtime_hold_packages: this node's dnf is dnf5, which does not read .*dnf versionlock add"
    ):
        node.run()
    assert node.run("absent")["changed"] is False


def test_another_package_manager_is_refused_and_has_nothing_to_release(tmp_path):
    node = Node(tmp_path, {})
    with pytest.raises(HostError, match=r"^realtime_hold_packages: this node has neither apt nor dnf"):
        node.run()
    assert node.run("absent")["changed"] is False
