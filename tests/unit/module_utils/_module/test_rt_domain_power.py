# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All guests off before a reboot and on after it: who blocks it, in which order, and what a failure or a kill leaves."""

from __future__ import annotations

import json

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.stopped_guests import RECORD
from ansible_collections.realtime.kvm.plugins.module_utils._module import rt_domain_power
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import carry_out
from ansible_collections.realtime.kvm.plugins.module_utils._module._switch_edges import SwitchEdges
from unit.guests import OTHER, PLC, resources
from unit.instances import UUID, instance_xml
from unit.libvirts import FakeLibvirtOf, Killed
from unit.trees import fill, snapshot, task, writable

GIVEN = {
    "allowed": True, "order": [], "shutdown_timeout_s": 1, "force_off": False, "switch_timeout_s": 0, "packages_timeout_s": 0,
    "guests": [],
}  # fmt: skip


class Reboot:
    """The module on a node with two guests of this collection, and one that is not."""

    def __init__(self, node):
        self.node, self.libvirt = node, node.libvirt
        node.run({**PLC, "autostart": False}, OTHER)
        node.foreign(running=True)
        self.libvirt.calls.clear()

    def run(self, state, *, check=False, **parameters):
        host = writable(self.node.root, "rt_domain_power", check_mode=check)
        self.libvirt.calls.clear()
        edges = SwitchEdges(host, None, self.node.edge, self.node.ports)
        return carry_out(edges, rt_domain_power.run, {"state": state, **GIVEN, **parameters})

    def off(self, **parameters):
        """Predict, then do it: the prediction is what is done."""
        return self._as_predicted("stopped", **parameters)

    def _as_predicted(self, state, **parameters):
        before = snapshot(self.node.root)
        predicted = self.run(state, check=True, **parameters)
        assert self.libvirt.calls == []
        assert snapshot(self.node.root) == before
        result = self.run(state, **parameters)
        assert result == predicted
        return result

    def on(self, **parameters):
        return self._as_predicted("started", **parameters)

    @property
    def running(self):
        return sorted(self.libvirt.live)

    @property
    def record(self):
        path = self.node.root / RECORD[1:]
        return json.loads(path.read_text())["guests"] if path.exists() else None


@pytest.fixture(name="reboot")
def _reboot(node):
    return Reboot(node)


EVERYONE = ["historian", "plc1", "theirs"]


def test_every_running_guest_blocks_by_name_unless_allowed(reboot):
    for check in (True, False):
        with pytest.raises(HostError, match=r"^guests run on this node, so it is not rebooted: historian, plc1, theirs\. Move"):
            reboot.run("stopped", allowed=False, check=check)
    assert reboot.running == EVERYONE
    reboot.libvirt.stop(EVERYONE, 1, force=False)
    assert reboot.off(allowed=False)["running"] == []


def test_all_at_once_and_all_run_again(reboot):
    result = reboot.off()
    assert result["guests"] == result["running"] == EVERYONE
    assert result["disruption"] == "guest"
    assert resources(result) == [f"domain {name}: state" for name in EVERYONE]
    assert reboot.libvirt.calls == [f"stop {name}" for name in EVERYONE]
    assert (reboot.running, reboot.record) == ([], EVERYONE)
    result = reboot.on()
    assert result["guests"] == EVERYONE
    assert (reboot.running, reboot.record) == (EVERYONE, None)
    assert reboot.on() == {"changed": False, "changes": [], "disruption": "none", "diff": [], "running": [], "guests": []}


def test_in_order_and_back(reboot):
    reboot.off(order=["theirs", "historian", "elsewhere"])
    assert reboot.libvirt.calls == ["stop plc1", "stop theirs", "stop historian"]
    reboot.on(order=["theirs", "historian", "elsewhere"])
    assert reboot.libvirt.calls == ["start historian", "start theirs", "start plc1"]


def test_check_mode_of_a_whole_run_shows_both(reboot):
    off = reboot.run("stopped", check=True)
    on = reboot.run("started", check=True, guests=off["guests"])
    assert resources(on) == resources(off)
    assert [change["after"] for change in on["changes"]] == ["running"] * 3


def test_those_that_libvirt_has_started_itself_are_not_started_again(reboot):
    reboot.off()
    reboot.libvirt.run("historian")
    assert reboot.on()["guests"] == ["plc1", "theirs"]
    assert reboot.record is None


def test_a_guest_that_does_not_end_is_named_and_the_others_run_again(reboot):
    reboot.libvirt.deaf = {"plc1"}
    with pytest.raises(HostError) as error:
        reboot.run("stopped", order=["plc1"])
    assert str(error.value) == (
        "plc1: still running 1 s after being asked to shut down (by agent or ACPI). The node was not rebooted; "
        "historian, theirs ended and run again"
    )
    assert reboot.running == EVERYONE
    assert reboot.record == ["plc1"], "it may end later, and is then started after the next reboot"
    assert reboot.off(force_off=True)["guests"] == EVERYONE
    reboot.on()
    assert (reboot.running, reboot.record) == (EVERYONE, None)


def test_a_libvirt_that_answers_no_more_is_told_with_every_guest_that_may_be_down(reboot, monkeypatch):
    reboot.libvirt.deaf = {"plc1"}
    domains = reboot.libvirt.domains

    def silent():
        if not reboot.libvirt.calls:
            return domains()
        raise HostError("libvirt: libvirt could not list its domains: client socket is closed")

    monkeypatch.setattr(reboot.libvirt, "domains", silent)
    with pytest.raises(HostError) as error:
        reboot.run("stopped", order=["plc1"])
    assert str(error.value).endswith(
        "The node was not rebooted; which of historian, plc1, theirs run is not known, since libvirt does not answer any more: look "
        "(virsh list --all), and start those that are off (virsh start)"
    )
    assert sorted(reboot.record) == EVERYONE


def test_a_failed_run_reports_no_change_that_it_has_reverted(reboot):
    reboot.libvirt.deaf = {"plc1"}
    host = writable(reboot.node.root, "rt_domain_power")
    edges = SwitchEdges(host, None, reboot.node.edge, reboot.node.ports)
    with pytest.raises(HostError):
        carry_out(edges, rt_domain_power.run, {"state": "stopped", **GIVEN, "order": ["plc1"]})
    assert host.changes == []


@pytest.mark.parametrize("step", range(4))
def test_a_killed_run_loses_no_guest(reboot, step):
    reboot.libvirt.kill_at = step
    try:
        reboot.run("stopped")
    except Killed:
        assert reboot.record == EVERYONE, "kept before the first guest is asked"
    reboot.libvirt.kill_at = -1
    reboot.off()
    reboot.on()
    assert (reboot.running, reboot.record) == (EVERYONE, None)


def test_one_that_cannot_start_keeps_none_of_the_others_down(reboot):
    reboot.off()
    reboot.node.ports.rows.clear()
    with pytest.raises(
        HostError, match=r"^guests that ran before the reboot do not run: plc1: not started, since it would wait"
    ) as e:
        reboot.run("started")
    assert "the switch has no port with the socket /run/realtime-kvm/vhost/plc1.control" in str(e.value)
    assert (reboot.running, reboot.record) == (["historian", "theirs"], ["plc1"])


def test_none_starts_while_packages_are_changed(reboot, monkeypatch):
    reboot.off()
    asked = []

    def at_work(_host, timeout_s):
        asked.append(timeout_s)
        return "process 7 (dpkg) holds /var/lib/dpkg/lock"

    monkeypatch.setattr(rt_domain_power, "package_manager_at_work", at_work)
    assert reboot.run("started", check=True, packages_timeout_s=5)["guests"] == EVERYONE
    with pytest.raises(
        HostError, match=r"^guests historian, plc1, theirs are not started, since packages are still changed.*\(dpkg\)"
    ):
        reboot.run("started", packages_timeout_s=5)
    assert (asked, reboot.running, reboot.record) == ([5], [], EVERYONE)
    reboot.on()
    assert asked == [5], "0 does not look"


def test_one_that_is_gone_is_noted(reboot):
    reboot.off()
    del reboot.libvirt.definitions["theirs"]
    assert reboot.on()["guests"] == ["historian", "plc1"]
    assert reboot.record is None


def test_a_guest_that_nothing_could_start_again_is_refused_by_name_before_any_goes_down(reboot):
    reboot.libvirt.transient.add("theirs")
    for check in (True, False):
        with pytest.raises(HostError, match=r"^guests theirs have no persistent definition, so libvirt forgets them"):
            reboot.run("stopped", check=check)
    assert (reboot.running, reboot.record) == (EVERYONE, None)
    host = writable(reboot.node.root, "rt_domain_power", check_mode=True)
    edges = SwitchEdges(host, None, reboot.node.edge, reboot.node.ports)
    assert carry_out(edges, rt_domain_power.run, {"state": "stopped", **GIVEN, "force_off": True})["guests"] == EVERYONE
    assert host.notes == ["theirs: without a persistent definition, so it does not start again after the reboot"]


@pytest.mark.parametrize(
    "given",
    [
        {"shutdown_timeout_s": 0},
        {"shutdown_timeout_s": -1, "force_off": True},
        {"switch_timeout_s": -1},
        {"packages_timeout_s": -1},
    ],
)
def test_seconds_that_mean_nothing_are_refused(reboot, given):
    for state in ("stopped", "started"):
        with pytest.raises(HostError, match=r"_timeout_s: (0|-1) is not a number of seconds from [01] on$"):
            reboot.run(state, **given)
    assert reboot.running == EVERYONE


def test_a_guest_of_another_switch_runs_again(reboot):
    source = "<source type='unix' path='/run/vpp/vpp.sock' mode='server'/>"
    devices = f"<interface type='vhostuser'><mac address='52:54:00:00:00:01'/>{source}<model type='virtio'/></interface>"
    reboot.node.foreign("vpp", devices=devices, running=True)
    reboot.off()
    reboot.on()
    assert "vpp" in reboot.running


@pytest.mark.parametrize("name", ["plc,line 2", ".plc", "a[1]", "x.pid"])
def test_a_guest_with_an_odd_name_is_the_nodes_own(reboot, name):
    reboot.node.foreign(name, running=True)
    pid = (reboot.node.root / "run/libvirt/qemu" / f"{name}.pid").read_text()
    arguments = f"/usr/bin/qemu-system-x86_64\0-name\0guest={name.replace(',', ',,')},debug-threads=on\0"
    fill(reboot.node.root, {f"/proc/{pid}/comm": "qemu-system-x86\n", f"/proc/{pid}/cmdline": arguments})
    assert reboot.off()["running"] == sorted([*EVERYONE, name])


def test_guests_without_the_nodes_libvirt_block_too(reboot):
    arguments = "/usr/bin/qemu-system-x86_64\0-name\0guest=bare,process=x\0"
    fill(reboot.node.root, {**task("/proc/77", "qemu-system-x86"), "/proc/77/cmdline": arguments})
    with pytest.raises(HostError, match="not rebooted: bare, historian"):
        reboot.run("stopped", allowed=False)
    with pytest.raises(HostError, match=r"^guests bare run without the node's libvirt"):
        reboot.run("stopped")
    assert reboot.running == EVERYONE
    result = reboot.off(force_off=True)
    assert result["running"] == ["bare", *EVERYONE]
    assert result["guests"] == EVERYONE


def test_a_node_without_libvirt_has_no_guests_to_stop(node):
    node.edge = FakeLibvirtOf(None)
    edges = SwitchEdges(writable(node.root, "rt_domain_power"), None, node.edge, node.ports)
    for state in ("stopped", "started"):
        assert carry_out(edges, rt_domain_power.run, {"state": state, **GIVEN, "allowed": False})["changed"] is False


def test_libvirt_that_does_not_answer_after_the_boot_is_said(reboot, monkeypatch):
    reboot.off()
    reboot.node.edge = FakeLibvirtOf(None)
    monkeypatch.setattr(rt_domain_power, "LIBVIRT_S", -1)
    with pytest.raises(HostError, match="so guests historian, plc1, theirs are not started"):
        reboot.run("started")
    assert sorted(reboot.record) == EVERYONE


# -- instances of Nova -----------------------------------------------------------------------------


def test_an_instance_of_nova_is_neither_stopped_nor_started(reboot):
    """Nova would take it for the user's wish, and stop one that runs against its database."""
    reboot.libvirt.definitions["instance-00000001"] = instance_xml(1, ["4"])
    reboot.libvirt.run("instance-00000001")
    for check in (True, False):
        with pytest.raises(
            HostError, match=rf"instances of Nova run .*instance-00000001 \(web, {UUID.format(1)}\).*openstack server stop"
        ):
            reboot.run("stopped", check=check)
    assert reboot.libvirt.calls == []
    host = writable(reboot.node.root, "rt_domain_power")
    result = carry_out(
        SwitchEdges(host, None, reboot.node.edge, reboot.node.ports),
        rt_domain_power.run,
        {"state": "stopped", **GIVEN, "force_off": True},
    )
    assert result["guests"] == EVERYONE
    assert reboot.running == ["instance-00000001"]
    assert reboot.record == EVERYONE
    assert "resume_guests_state_on_host_boot" in host.notes[-1]
