# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages that the roles installed are removed by the real apt and dpkg, with what came along, and nothing else."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.packages import plan_packages, record_packages
from conformance.apt_root import NEEDS_APT, AptRoot

pytestmark = NEEDS_APT
OFFERED = {
    ("qemu-utils", "1"): "Depends: libslirp, libold\n",
    ("libslirp", "1"): "",
    ("virt-viewer", "1"): "Depends: qemu-utils\n",
}


@pytest.fixture(name="node")
def _node(tmp_path):
    node = AptRoot(tmp_path, {("bash", "1"): "", ("libold", "1"): ""}, OFFERED)
    node.runner(["apt-mark", "auto", "libold"])
    assert node.runner(["apt-get", "update"])[0] == 0

    def record(host):
        record_packages(host, node.runner, "kvm_host", ["qemu-utils", "bash"])
        host.perform(lambda: None)

    node.make("package_origins", record)
    assert node.runner(["apt-get", "--yes", "install", "qemu-utils"])[0] == 0
    assert set(node.selections) == {"bash", "libold", "libslirp", "qemu-utils"}
    return node


def undo(node, *, remove):
    told = []
    host = node.make("package_origins", lambda host: told.extend(plan_packages(host, node.runner, (), remove=remove)))
    return [change.resource for change in host.changes], told


def test_packages_go_with_what_came_along(node):
    assert undo(node, remove=True) == (["package:qemu-utils", "package:libslirp"], [])
    assert set(node.selections) == {"bash", "libold"}, "libold is unused now, but was there before"
    assert undo(node, remove=True) == ([], [])


def test_packages_stay_unless_asked_for(node):
    assert undo(node, remove=False) == ([], ["qemu-utils"])
    assert "qemu-utils" in node.selections


def test_what_the_administrator_installed_on_top_is_named(node):
    assert node.runner(["apt-get", "--yes", "install", "virt-viewer"])[0] == 0
    with pytest.raises(HostError, match="virt-viewer would be removed too"):
        undo(node, remove=True)
    assert "virt-viewer" in node.selections
