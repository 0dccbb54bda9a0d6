# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""package_origins: the record before an installation, the way back, and who keeps daemons on."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import NAMESPACE
from ansible_collections.realtime.kvm.plugins.module_utils._module import package_origins
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import carry_out
from ansible_collections.realtime.kvm.plugins.module_utils._module._switch_edges import SwitchEdges
from unit.libvirts import FakeLibvirt, FakeLibvirtOf
from unit.switches import Rows
from unit.systemds import Systemd
from unit.trees import fill, snapshot, writable

FOREIGN = (
    "<domain type='kvm'><name>web1</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type>hvm</type></os><devices/></domain>"
)
ON = {"libvirtd.service": (True, True), "ovs-vswitchd.service": (False, True), "openvswitch-switch.service": (True, True)}


class Node:
    """A node on which both roles have installed their packages."""

    def __init__(self, root):
        self.root = fill(root, {"/var/lib/": None, "/run/systemd/system/": None, "/usr/bin/apt-get": ""})
        self.systemd, self.installed, self.purged = Systemd({}), {"bash"}, []
        self.libvirt, self.rows = FakeLibvirt(root), Rows()
        for role, names in (("kvm_host", ["qemu-utils"]), ("ovs_dpdk", ["openvswitch-switch-dpdk"])):
            assert self.run(state="present", role=role, names=names)["changed"] is False
            self.installed |= set(names)
        self.systemd.units.update({name: list(state) for name, state in ON.items()})

    def runner(self, command):
        if command[0] == "systemctl":
            return self.systemd(command)
        if command[0] == "dpkg-query":
            return 0, "".join(f"{name}\tinstall\tinstalled\n" for name in self.installed), ""
        if command[0] == "apt-mark":
            return 0, "\n".join(self.installed), ""
        if "install" in command:
            return 0, "", ""
        names = list(command[command.index("purge") + 1 :])
        if "--simulate" not in command:
            self.purged += names
            self.installed -= set(names)
        return 0, "".join(f"Purg {name} [1]\n" for name in names), ""

    def run(self, check=False, **parameters):
        host = writable(self.root, "package_origins", check_mode=check)
        edges = SwitchEdges(host, self.runner, FakeLibvirtOf(self.libvirt), lambda *_edges: self)
        return carry_out(
            edges, package_origins.run, {"state": "absent", "role": None, "names": [], "remove": False, **parameters}
        )

    def read(self):
        """The switch's database."""
        return self.rows.database()

    @property
    def on(self):
        return sorted(name for name, (_enabled, active) in self.systemd.units.items() if active)


@pytest.fixture(name="node")
def _node(tmp_path):
    return Node(tmp_path)


def test_daemons_are_off_again_and_packages_stay(node):
    predicted = node.run(check=True)
    assert node.on == sorted(ON)
    result = node.run()
    assert result == predicted
    assert [change["resource"] for change in result["changes"]] == ["daemons:kvm_host", "daemons:ovs_dpdk"]
    assert result["disruption"] == "none"
    assert node.on == []
    assert result["stays"] == ["packages that the roles installed stay: openvswitch-switch-dpdk, qemu-utils"]
    assert result["remove_by_hand"] == "apt-get purge openvswitch-switch-dpdk qemu-utils"
    before = snapshot(node.root)
    assert node.run() == {**node.run(), "changed": False, "stays": [], "packages": [], "remove_by_hand": ""}
    assert snapshot(node.root) == before
    assert not (node.root / "var/lib/realtime-kvm").exists()


def test_packages_go_on_request(node):
    predicted = node.run(check=True, remove=True)
    assert node.purged == []
    assert node.run(remove=True) == predicted
    assert sorted(node.purged) == ["openvswitch-switch-dpdk", "qemu-utils"]
    assert node.run(remove=True)["changed"] is False


@pytest.mark.parametrize("check", [True, False], ids=["check", "real"])
def test_libvirt_with_a_guest_of_others_stays_on_with_its_packages(node, check):
    node.libvirt.definitions["web1"] = FOREIGN
    result = node.run(check=check, remove=True)
    assert result["stays"] == [
        "libvirt stays on, although it was off before, since it has the guests web1",
        "packages that the roles installed stay, since their daemons stay: qemu-utils",
    ]
    assert ("libvirtd.service" in node.on) is True
    assert "qemu-utils" in node.installed


def test_guests_of_this_collection_count_only_where_undo_has_left_them(node):
    mark = f"<metadata><realtime:guest xmlns:realtime='{NAMESPACE}'/></metadata>"
    node.libvirt.definitions["web1"] = FOREIGN.replace("<os>", f"{mark}<os>")
    assert node.run(check=True)["stays"][0].startswith("packages")
    assert node.run()["stays"][0] == "libvirt stays on, although it was off before, since it has the guests web1"


@pytest.mark.parametrize("check", [True, False], ids=["check", "real"])
def test_a_switch_with_a_bridge_of_others_stays_on(node, check):
    node.rows.bridge("br-admin")
    result = node.run(check=check)
    assert result["stays"][0] == "Open vSwitch stays on, although it was off before, since it has the bridges br-admin"
    assert "ovs-vswitchd.service" in node.on


def test_bridges_of_this_collection_count_only_where_undo_has_left_them(node):
    node.rows.bridge("br-control", "control")
    assert node.run(check=True)["stays"][0].startswith("packages")
    assert "br-control" in node.run()["stays"][0]


def test_a_bridge_of_this_collection_with_a_port_of_others_stays_also_in_check_mode(node):
    node.rows.bridge("br-control", "control").port("br-control", "admin0", type="internal")
    assert "br-control" in node.run(check=True)["stays"][0]


def test_a_libvirt_that_does_not_answer_is_left_on(node, monkeypatch):
    def silent(_self, _host):
        raise HostError("libvirt (qemu:///system) does not answer: x")

    monkeypatch.setattr(FakeLibvirtOf, "existing", silent)
    assert node.run()["stays"][0].endswith("since libvirt (qemu:///system) does not answer: x")


def test_a_record_in_check_mode_is_none(node):
    before = snapshot(node.root)
    assert node.run(check=True, state="present", role="rt_latency", names=["rt-tests"])["changed"] is False
    assert snapshot(node.root) == before


def test_a_node_without_a_record_is_not_asked(tmp_path):
    host = writable(fill(tmp_path, {"/var/lib/": None}), "package_origins")

    def never(*_arguments):
        raise AssertionError

    edges = SwitchEdges(host, never, FakeLibvirtOf(None), never)
    result = carry_out(edges, package_origins.run, {"state": "absent", "role": None, "names": [], "remove": True})
    assert (result["changed"], result["stays"]) == (False, [])
