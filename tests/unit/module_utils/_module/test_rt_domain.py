# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_domain from the list to the calls of libvirt, on a tree that takes itself for a node.

The edge itself, ``_libvirt.Connection``, is replaced: what a daemon does with the calls is seen in
tests/conformance/test_libvirt_define.py (definitions) and on the lab (running guests).
"""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError, RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._guests import libvirt as _libvirt
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import is_ours, parse, read_pins, to_text
from ansible_collections.realtime.kvm.plugins.module_utils._host import host as _host
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL
from ansible_collections.realtime.kvm.plugins.module_utils._module import rt_domain
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import carry_out
from ansible_collections.realtime.kvm.plugins.module_utils._module._guest_edges import GuestEdges
from ansible_collections.realtime.kvm.plugins.modules import rt_domain as module
from unit.libvirts import FakeLibvirt, FakeLibvirtOf, Killed
from unit.trees import fill, machine_files, memory_files, plan, snapshot, writable

SHAPE = {"nodes": 1, "cores": 10, "threads": 1}
#: Housekeeping 0, dataplane 1, realtime 2-9.
PARTITION = to_document(plan(Intent(dataplane_cores_per_node=1), **SHAPE))
NETWORKS = [{"name": "control"}, {"name": "office", "realtime": False, "bridge": "br0"}]
DEFAULTS = {
    "state": "present", "restart": False, "shutdown_timeout_s": 1, "force_off": False, "stop_running": False, "priority_limit": 1,
    "hugepages": None, "partition": PARTITION, "networks": NETWORKS, "guests": [],
}  # fmt: skip
PLC = {
    "name": "plc1", "memory_mib": 256, "vcpus": 2, "realtime_vcpus": "1", "disks": [{"path": "/images/plc1.qcow2"}],
    "networks": [{"network": "control"}],
}  # fmt: skip
OTHER = {
    "name": "historian",
    "memory_mib": 512,
    "disks": [{"path": "/images/historian.qcow2"}],
    "networks": [{"network": "office"}],
}
FOREIGN = """
<domain type='kvm'><name>{name}</name><uuid>0cba19a0-58ba-54b8-99ac-0892790000ff</uuid><title>theirs</title><memory unit='MiB'>64</memory>
<vcpu>1</vcpu>{more}<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>{devices}</devices></domain>
"""


class Node:
    """A node, its libvirt, and runs of the module on it."""

    def __init__(self, root, monkeypatch):
        self.root = fill(
            root,
            {
                **machine_files(isolated="1-9", **SHAPE),
                **memory_files({0: 8192}, pages={(0, "2M"): (1024, 1024)}),
                "/proc/sys/kernel/hostname": "node1\n",
                "/sys/class/net/br0/bridge/": None,
                **{f"/images/{name}.qcow2": "" for name in ("plc1", "plc2", "plc3", "historian")},
                "/var/lib/": None,
            },
        )
        self.libvirt = FakeLibvirt(root)
        self.edge = FakeLibvirtOf(self.libvirt)
        monkeypatch.setattr(_host.os, "fsync", lambda _handle: None)

    def run(self, *guests, check=False, **parameters):
        host = writable(self.root, "rt_domain", check_mode=check)
        self.libvirt.calls.clear()
        edges = GuestEdges(host, lambda _command: (0, "", ""), self.edge)
        return carry_out(edges, rt_domain.run, {**DEFAULTS, "guests": list(guests), **parameters})

    def converge(self, *guests, **parameters):
        """Predict, run, run again: the prediction is what is done, and then there is nothing left to do."""
        before = snapshot(self.root), dict(self.libvirt.definitions)
        predicted = self.run(*guests, check=True, **parameters)
        assert self.libvirt.calls == []
        assert (snapshot(self.root), self.libvirt.definitions) == before
        result = self.run(*guests, **parameters)
        assert result == predicted
        calls = list(self.libvirt.calls)
        again = self.run(*guests, **parameters)
        assert (again["changed"], again["changes"], self.libvirt.calls) == (False, [], [])
        self.libvirt.calls = calls
        return result

    def refuse(self, *guests, **parameters):
        """The words of a refusal; nothing was changed, and check mode says the same."""
        before = snapshot(self.root), dict(self.libvirt.definitions), dict(self.libvirt.live)
        messages = []
        for check in (True, False):
            with pytest.raises(RefusalError) as error:
                self.run(*guests, check=check, **parameters)
            messages.append(str(error.value))
        assert self.libvirt.calls == []
        now = {path: found for path, found in snapshot(self.root).items() if "realtime-kvm" not in path}
        assert (now, self.libvirt.definitions, self.libvirt.live) == before
        assert messages[0] == messages[1]
        return messages[0]

    def tree(self, name="plc1"):
        return parse(self.libvirt.definitions[name])

    def edit(self, old, new, name="plc1"):
        """virsh edit."""
        assert old in self.libvirt.definitions[name], self.libvirt.definitions[name]
        self.libvirt.definitions[name] = self.libvirt.definitions[name].replace(old, new)

    def foreign(self, name="theirs", more="", devices="", *, running=False):
        self.libvirt.definitions[name] = to_text(parse(FOREIGN.format(name=name, more=more, devices=devices)))
        if running:
            self.libvirt.run(name)


@pytest.fixture(name="node")
def _node(tmp_path, monkeypatch):
    return Node(tmp_path, monkeypatch)


def resources(result):
    return [change["resource"] for change in result["changes"]]


# -- making guests ---------------------------------------------------------------------------------


def test_guests_are_defined_and_started(node):
    result = node.converge(PLC, OTHER)
    assert resources(result) == [
        "domain plc1", "domain plc1: autostart", "domain historian", "domain historian: autostart",
        "domain plc1: state", "domain historian: state",
    ]  # fmt: skip
    assert result["disruption"] == "none"
    assert node.libvirt.calls == [
        "define plc1", "autostart plc1 True", "define historian", "autostart historian True", "start plc1", "start historian",
    ]  # fmt: skip
    assert result["domains"][0] == {
        "name": "plc1", "state": "running", "realtime": True, "vcpus": {"0": "2", "1": "3"}, "floating": "", "emulator": "0",
        "nodes": [0], "memory_mib": 256, "macs": {"control": result["domains"][0]["macs"]["control"]},
    }  # fmt: skip
    assert (result["domains"][1]["vcpus"], result["domains"][1]["floating"]) == ({}, "0")
    assert (result["restart_required"], result["unlisted"]) == ({}, [])
    assert not (node.root / JOURNAL[1:]).exists(), "what did not exist has no original"


@pytest.mark.parametrize(
    ("state", "calls"),
    [
        ("running", ["define plc1", "autostart plc1 True", "start plc1"]),
        ("present", ["define plc1"]),
        ("stopped", ["define plc1"]),
        ("absent", []),
    ],
)
def test_states_of_a_new_guest(node, state, calls):
    node.converge({**PLC, "state": state})
    assert node.libvirt.calls == calls


@pytest.mark.parametrize(
    ("state", "calls"),
    [
        ("running", []),
        ("present", ["autostart plc1 False"]),
        ("stopped", ["stop plc1", "autostart plc1 False"]),
        ("absent", ["stop plc1", "remove plc1"]),
    ],
)
def test_states_of_a_running_guest(node, state, calls):
    node.run(PLC)
    result = node.converge({**PLC, "state": state})
    assert node.libvirt.calls == calls
    assert result["disruption"] == ("guest" if state in ("stopped", "absent") else "none")
    assert (node.root / "images/plc1.qcow2").exists()


def test_one_that_is_not_listed_is_left_alone_and_reported(node):
    node.run(PLC, OTHER)
    node.foreign()
    result = node.converge(OTHER)
    assert result["unlisted"] == ["plc1"]
    assert not result["changed"]
    assert sorted(node.libvirt.definitions) == ["historian", "plc1", "theirs"]


def test_one_more_moves_no_other_and_one_less_frees_its_cpus(node):
    second, third = {**PLC, "name": "plc2", "disks": []}, {**PLC, "name": "plc3", "disks": []}
    node.converge(PLC, second)
    result = node.converge(third, second, PLC)
    assert resources(result) == ["domain plc3", "domain plc3: autostart", "domain plc3: state"]
    assert {name: read_pins(node.tree(name))[0] for name in ("plc1", "plc2", "plc3")} == {"plc1": {2}, "plc2": {4}, "plc3": {6}}
    node.converge({"name": "plc1", "state": "absent"}, second, third)
    result = node.converge({**PLC, "name": "plc4", "disks": []}, second, third)
    assert result["domains"][0]["vcpus"] == {"0": "2", "1": "3"}


# -- changes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "resource"),
    [
        ('priority="1"', 'priority="50"', "domain plc1: cputune"),
        ('<vcpupin vcpu="1" cpuset="3" />', '<vcpupin vcpu="1" cpuset="3-9" />', "domain plc1: cputune"),
        ("/images/plc1.qcow2", "/images/plc2.qcow2", "domain plc1: devices/disk[vda]"),
        ("262144", "524288", "domain plc1: memory"),
    ],
)
def test_a_hand_edit_is_exactly_the_difference(node, old, new, resource):
    node.run(PLC)
    before = node.libvirt.definitions["plc1"]
    node.edit(old, new)
    result = node.converge(PLC)
    assert {text.partition("#")[0] for text in resources(result)} <= {resource, "domain plc1: currentMemory"}
    assert node.libvirt.calls == ["define plc1"]
    assert result["disruption"] == "none"
    assert "".join(re.split(r"\s+", node.libvirt.definitions["plc1"])) == "".join(re.split(r"\s+", before))


def test_threads_of_a_running_guest_are_put_right_without_it_noticing(node):
    node.run({**PLC, "io_threads": 1})
    node.libvirt.edit_thread("plc1", "vcpu0", cpus="0-9", scheduler="fifo 1")
    node.libvirt.edit_thread("plc1", "vcpu1", scheduler="rr 7")
    node.libvirt.edit_thread("plc1", "emulator", cpus="3")
    node.libvirt.edit_thread("plc1", "iothread1", cpus="0,3")
    node.libvirt.edit_thread("plc1", "worker", cpus="3")
    result = node.converge({**PLC, "io_threads": 1})
    assert {change["resource"]: (change["before"], change["after"]) for change in result["changes"]} == {
        "domain plc1: vcpu0 cpus": ("0-9", "2"),
        "domain plc1: vcpu0 scheduler": ("fifo 1", "other"),
        "domain plc1: vcpu1 scheduler": ("rr 7", "fifo 1"),
        "domain plc1: emulator cpus": ("3", "0"),
        "domain plc1: iothread1 cpus": ("0,3", "0"),
    }
    assert sorted(node.libvirt.calls) == [
        "pin plc1 emulator 0", "pin plc1 iothread1 0", "pin plc1 vcpu0 2", "schedule plc1 vcpu0 other", "schedule plc1 vcpu1 fifo 1",
    ]  # fmt: skip


def test_policy_and_priority_go_to_the_running_guest(node):
    node.run(PLC)
    wish = {**PLC, "policy": "rr", "owner": "me", "priority": 3}
    result = node.converge(wish, priority_limit=3)
    assert resources(result) == ["domain plc1: metadata", "domain plc1: cputune", "domain plc1: vcpu1 scheduler"]
    assert node.libvirt.calls == ["define plc1", "schedule plc1 vcpu1 rr 3"]
    assert result["restart_required"] == {}


BIGGER = {**PLC, "memory_mib": 512, "io_threads": 1}


def test_what_a_running_guest_cannot_take_is_told_and_waits(node):
    node.run(PLC, OTHER)
    result = node.converge(BIGGER, OTHER)
    assert node.libvirt.calls == ["define plc1"]
    assert set(result["restart_required"]) == {"plc1"}
    assert {"memory", "iothreads", "devices/disk[vda]"} <= set(result["restart_required"]["plc1"])
    again = node.run(BIGGER, OTHER)
    assert (again["changed"], again["restart_required"]) == (False, result["restart_required"])


def test_what_a_running_guest_cannot_take_is_done_when_it_may_restart(node):
    node.run(PLC, OTHER)
    result = node.converge(BIGGER, OTHER, restart=True)
    assert node.libvirt.calls == ["define plc1", "stop plc1", "start plc1"]
    assert resources(result)[-1] == "domain plc1: restart"
    assert result["disruption"] == "guest"
    assert result["restart_required"] == {}


def test_a_restart_that_waits_is_done_by_a_later_run(node):
    node.run(PLC)
    node.run(BIGGER)
    node.converge(BIGGER, restart=True)
    assert node.libvirt.calls == ["stop plc1", "start plc1"]


CHANNEL = "devices/channel[org.qemu.guest_agent.0]"


def test_an_agents_channel_waits_for_a_restart_and_is_told_until_then(node):
    node.run(PLC)
    wish = {**PLC, "agent": True}
    result = node.converge(wish)
    assert resources(result) == ["domain plc1: metadata", f"domain plc1: {CHANNEL}"]
    assert (result["disruption"], result["restart_required"]) == ("none", {"plc1": [CHANNEL]})
    assert node.run(wish)["restart_required"] == {"plc1": [CHANNEL]}
    restarted = node.converge(wish, restart=True)
    assert (restarted["disruption"], restarted["restart_required"]) == ("guest", {})
    gone = node.converge(PLC)
    assert gone["restart_required"] == {"plc1": [CHANNEL]}
    assert node.converge(PLC, restart=True)["restart_required"] == {}
    assert node.tree().find("devices/channel") is None


def test_an_agents_channel_that_a_person_added_is_no_business_of_the_list(node):
    node.run(PLC)
    node.edit("</devices>", "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices>")
    result = node.converge(PLC)
    assert (result["changed"], result["restart_required"]) == (False, {})
    assert resources(node.converge({**PLC, "agent": True})) == ["domain plc1: metadata"]


def test_a_guest_that_shall_be_off_is_not_restarted(node):
    node.run(PLC)
    result = node.converge({**BIGGER, "state": "stopped"}, restart=True)
    assert node.libvirt.calls == ["stop plc1", "define plc1", "autostart plc1 False"]
    assert (node.libvirt.live, result["restart_required"]) == ({}, {})


def test_a_guest_that_does_not_shut_down_is_named(node):
    node.run(PLC)
    node.libvirt.deaf.add("plc1")
    with pytest.raises(HostError, match="plc1: still running 1 s after being asked to shut down"):
        node.run({**PLC, "state": "stopped"})
    node.converge({**PLC, "state": "stopped"}, force_off=True)


# -- domains of others -----------------------------------------------------------------------------


def test_a_foreign_domain_is_not_touched_unasked(node):
    node.foreign("plc1")
    message = node.refuse(PLC)
    assert message.startswith(
        "realtime_guests: plc1: a domain of this name exists that this collection did not make, so it is not changed; adopt: true"
    )
    message = node.refuse({**PLC, "state": "absent", "adopt": True})
    assert "so it is not removed; delete its entry from the list, or remove it with virsh undefine plc1" in message
    assert "adopt" not in message


def test_a_foreign_domain_is_adopted_and_given_back(node):
    node.foreign("plc1", devices="<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>")
    before = node.libvirt.definitions["plc1"]
    result = node.converge({**PLC, "adopt": True, "state": "present", "autostart": True})
    assert is_ours(node.tree())
    assert node.tree().findtext("title") == "theirs"
    assert node.tree().find("devices/rng") is not None
    assert "domain plc1" not in resources(result), "it was there already"
    assert node.converge(PLC)["changed"], "adopt is needed once"
    node.libvirt.stop(["plc1"], 1, force=False)
    node.run(state="absent")
    assert node.libvirt.definitions == {"plc1": before}
    assert node.libvirt.started_with_node == set()
    assert not (node.root / JOURNAL[1:]).exists()


def test_adopting_a_running_guest_does_not_stop_it(node):
    node.foreign("plc1", running=True)
    result = node.converge({**PLC, "adopt": True})
    assert "stop plc1" not in node.libvirt.calls
    assert "memory" in result["restart_required"]["plc1"]
    assert {"pin plc1 vcpu0 2", "pin plc1 emulator 0"} <= set(node.libvirt.calls)


def test_a_transient_domain(node):
    node.foreign("plc1", running=True)
    node.libvirt.transient.add("plc1")
    assert "plc1: a transient domain of this name runs; define it (virsh define) or shut it down first" in node.refuse(
        {**PLC, "adopt": True}
    )


def test_a_mac_of_a_foreign_domain(node):
    mac = "52:54:00:00:00:0a"
    node.foreign(devices=f"<interface type='network'><mac address='{mac.upper()}'/><source network='default'/></interface>")
    message = node.refuse({**PLC, "networks": [{"network": "control", "mac": mac}]})
    assert f"plc1: MAC {mac} is used by domain theirs" in message


def test_cpus_of_a_foreign_domain(node):
    pins = "<cputune><vcpupin vcpu='0' cpuset='{}'/></cputune>"
    node.foreign(more=pins.format(2), running=True)
    assert node.converge(PLC)["domains"][0]["vcpus"] == {"0": "3", "1": "4"}
    node.foreign("late", more=pins.format(4))
    assert "plc1 is pinned to realtime CPU 4, which domain late uses as well" in node.refuse(PLC)


def test_a_foreign_disk_in_the_way(node):
    disk = "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/x'/><target dev='vdb' bus='virtio'/></disk>"
    node.run(PLC)
    node.edit("</devices>", f"{disk}</devices>")
    assert not node.converge(PLC)["changed"]
    message = node.refuse({**PLC, "disks": [*PLC["disks"], {"path": "/images/plc2.qcow2"}]})
    assert "plc1: disk /images/plc2.qcow2 would be vdb, but its domain has /x there" in message


# -- what the node does not have -------------------------------------------------------------------


REFUSED = {
    "missing disk": (
        {"disks": [{"path": "/images/none.qcow2"}]},
        r"plc1: disk /images/none.qcow2 is not on this node \(No such file",
    ),
    "missing seed": ({"seed": "/images/none.iso"}, "disk /images/none.iso is not on this node"),
    "folder": ({"disks": [{"path": "/images"}]}, "plc1: disk /images is no regular file"),
    "no block device": ({"disks": [{"path": "/dev/fake"}]}, "disk /dev/fake is no block device"),
    "unknown network": ({"networks": [{"network": "none"}]}, "network 'none' is not in realtime_networks"),
    "too many vCPUs": ({"vcpus": 9}, "plc1 asks for 9 realtime CPUs and 256 MiB of memory on one NUMA node; node 0: 8 of 8 free"),
    "too much memory": (
        {"memory_mib": 8192},
        "plc1 asks for 2 realtime CPUs and 8192 MiB of memory on one NUMA node with enough memory",
    ),
    "too few huge pages": (
        {"memory_mib": 2050},
        r"not enough huge pages of 2M on NUMA node 0: 1024 of 1024 are free, 1025 are needed \(plc1 1025\); run the kvm_host role",
    ),
    "no huge pages": (
        {"memory_mib": 1024, "hugepages": "1G"},
        r"not enough huge pages of 1G on NUMA node 0: 0 of 0 are free, 1 are needed \(plc1 1\)",
    ),
    "all real-time": ({"realtime_vcpus": "0-1"}, "all 2 vCPUs are real-time"),
    "priority": ({"priority": 2}, "priority 2 is not below the kernel's own threads"),
}


@pytest.mark.parametrize(("more", "said"), REFUSED.values(), ids=REFUSED)
def test_refused_before_any_change(node, more, said):
    """The guest before it in the list is not made either."""
    fill(node.root, {"/dev/fake": ""})
    message = node.refuse(OTHER, {**PLC, **more})
    assert message.startswith("realtime_guests: ")
    assert re.search(said, message), message


def test_a_bridge_that_is_not_there(node):
    (node.root / "sys/class/net/br0/bridge").rmdir()
    message = node.refuse(PLC, OTHER)
    assert re.match(
        "realtime_guests: historian: network office is the ordinary bridge br0, which this node does not have; make it", message
    )
    assert node.converge({**OTHER, "state": "present"})["changed"], "one that is not started can wait for it"


def test_several_guests_share_the_huge_pages(node):
    guests = [{**PLC, "name": f"plc{number}", "disks": [], "memory_mib": 1026} for number in (1, 2)]
    message = node.refuse(*guests)
    assert "1024 of 1024 are free, 1026 are needed (plc1 513, plc2 513)" in message
    assert node.converge(guests[0], {**guests[1], "state": "stopped"})["changed"], "one that is off needs none yet"


def test_what_kvm_host_will_reserve_counts_in_check_mode_alone(node):
    fill(node.root, memory_files({0: 8192}))
    planned = {"0": {"2M": 128}}
    assert node.run(PLC, check=True, hugepages=planned)["changed"]
    with pytest.raises(RefusalError, match="0 of 0 are free, 128 are needed"):
        node.run(PLC, hugepages=planned)
    with pytest.raises(RefusalError, match="not enough huge pages"):
        node.run(PLC, check=True, hugepages={"0": {"2M": 127}})


def test_a_restart_may_use_the_pages_that_it_gives_back(node):
    node.run(PLC)
    fill(node.root, memory_files({0: 8192}, pages={(0, "2M"): (256, 128)}))
    assert "restart" in resources(node.run({**PLC, "memory_mib": 512}, check=True, restart=True))[-1]
    with pytest.raises(RefusalError, match="256 of 256 are free, 257 are needed"):
        node.run({**PLC, "memory_mib": 514}, check=True, restart=True)


def test_a_partition_of_another_topology(node):
    older = to_document(plan(Intent(dataplane_cores_per_node=1), nodes=1, cores=8, threads=1))
    message = node.refuse(PLC, partition=older)
    assert re.match(
        "the partition document describes another topology than the node has now .* run the cpu_partition role", message
    )


def test_no_partition(node):
    assert re.match("there is no partition on this node .* run the cpu_partition role first", node.refuse(PLC, partition=None))


def test_a_node_without_dataplane_cpus(node):
    partition = to_document(plan(**SHAPE))
    assert "plc1 is on real-time network control, but this node has no dataplane CPUs to poll it" in node.refuse(
        PLC, partition=partition
    )


def test_poll_mode_threads_on_realtime_cpus(node):
    task = "/proc/77/task/78"
    fields = " ".join(["S", *["0"] * 18, "100", *["0"] * 17, "0", "0", "0"])
    files = {
        "/run/openvswitch/ovs-vswitchd.pid": "77\n",
        f"{task}/stat": f"78 (pmd-c05/id:9) {fields}\n",
        f"{task}/status": "Cpus_allowed_list:\t5\n",
    }
    fill(node.root, files)
    assert node.refuse(PLC).startswith("realtime CPUs 5 are polled by pmd-c05/id:9")


# -- removal ---------------------------------------------------------------------------------------


def gone(**more):
    return {"name": "plc1", "state": "absent", **more}


def test_disks_go_only_when_asked(node):
    disks = [{"path": "/images/plc1.qcow2"}, {"path": "/images/plc2.qcow2", "read_only": True}]
    node.run({**PLC, "disks": disks, "seed": "/images/plc3.qcow2"})
    result = node.converge(gone(remove_disks=True))
    assert resources(result) == ["domain plc1: state", "/images/plc1.qcow2", "domain plc1"]
    assert sorted(path.name for path in (node.root / "images").iterdir()) == ["historian.qcow2", "plc2.qcow2", "plc3.qcow2"]


def test_a_foreign_disk_stays(node):
    node.run({**PLC, "state": "present"})
    disk = "<disk type='file' device='disk'><source file='/images/plc2.qcow2'/><target dev='vdq' bus='virtio'/></disk>"
    node.edit("</devices>", f"{disk}</devices>")
    node.converge(gone(remove_disks=True))
    assert (node.root / "images/plc2.qcow2").exists()
    assert not (node.root / "images/plc1.qcow2").exists()


def test_a_disk_that_another_domain_has_is_not_removed(node):
    node.run({**PLC, "state": "present"})
    node.foreign(
        devices="<disk type='file' device='disk'><source file='/images/plc1.qcow2'/><target dev='vda' bus='virtio'/></disk>"
    )
    assert node.refuse(gone(remove_disks=True)) == (
        "realtime_guests: plc1: disk /images/plc1.qcow2 is not removed, since domain theirs has it too"
    )


def test_a_disk_that_a_guest_of_the_list_is_to_get_is_not_removed(node):
    node.run({**PLC, "state": "present"})
    heir = {**PLC, "name": "plc2"}
    assert "disk /images/plc1.qcow2 is not removed, since domain plc2 has it too" in node.refuse(gone(remove_disks=True), heir)
    node.converge(gone(), heir)


def test_everything_is_taken_back_but_disks_and_what_others_made(node):
    node.run(PLC, OTHER)
    node.foreign(running=True)
    message = node.refuse(state="absent")
    assert message.startswith(
        "guests historian, plc1 are running, so their definitions are kept and nothing is undone; shut them down"
    )
    result = node.converge(state="absent", stop_running=True)
    assert node.libvirt.calls == ["stop historian", "stop plc1", "remove historian", "remove plc1"]
    assert result["disruption"] == "guest"
    assert list(node.libvirt.definitions) == ["theirs"]
    assert len(list((node.root / "images").iterdir())) == 4


# -- a run that is killed --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([], [PLC, OTHER]),
        ([PLC, OTHER], [BIGGER, {**OTHER, "state": "stopped"}]),
        ([PLC, OTHER], [gone(remove_disks=True), {**OTHER, "owner": "me"}]),
        (["adopt"], [{**PLC, "adopt": True}, OTHER]),
    ],
    ids=["new", "changed", "removed", "adopted"],
)
def test_a_run_killed_anywhere_is_completed_by_the_next(tmp_path, monkeypatch, first, second):
    def prepared(folder):
        node = Node(tmp_path / folder, monkeypatch)
        if first == ["adopt"]:
            node.foreign("plc1")
        else:
            node.run(*first)
        return node

    def outcome(node):
        definitions = {name: re.sub(r"\s+", "", text) for name, text in node.libvirt.definitions.items()}
        return definitions, set(node.libvirt.live), node.libvirt.started_with_node, sorted(node.root.glob("images/*"))

    whole = prepared("whole")
    whole.run(*second, restart=True)
    steps = len(whole.libvirt.calls)
    assert steps >= 3
    expected = outcome(whole)
    for step in range(steps):
        node = prepared(f"step{step}")
        node.libvirt.kill_at = step
        with pytest.raises(Killed):
            node.run(*second, restart=True)
        node.libvirt.kill_at = -1
        node.converge(*second, restart=True)
        found = outcome(node)
        assert found[:3] == expected[:3], step
        assert [path.name for path in found[3]] == [path.name for path in expected[3]], step
        if first == ["adopt"]:
            node.run(state="absent", stop_running=True)
            assert node.tree().findtext("title") == "theirs"
            assert not is_ours(node.tree())


# -- through Ansible -------------------------------------------------------------------------------


@pytest.fixture(name="call")
def _call(capsys, node):
    def call(**arguments):
        given = {"fsroot": str(node.root), "partition": PARTITION, "networks": NETWORKS, **arguments}
        with patch_module_args(given), pytest.raises(SystemExit) as stopped:
            module.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        result = json.loads(out)
        assert bool(result.get("failed")) == (stopped.value.code != 0)
        return result

    return call


def test_a_snapshot_is_planned_for_and_never_written(call, node, monkeypatch):
    before = snapshot(node.root)
    result = call(guests=[PLC, {**OTHER, "state": "stopped"}])
    assert [change["resource"] for change in result["changes"]] == [
        "domain plc1", "domain plc1: autostart", "domain historian", "domain plc1: state",
    ]  # fmt: skip
    assert "<vcpupin" in result["diff"][0]["after"]
    assert snapshot(node.root) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"guests": [{**PLC, "vcpus": 1}]}, "^realtime_guests: plc1: realtime_vcpus '1' names vCPU 1"),
        ({"guests": [PLC, PLC]}, "^realtime_guests: plc1 is listed twice"),
        ({"networks": [{"name": "a b"}]}, r"^realtime_networks\[0\]: name 'a b' must be"),
        ({"guests": [{**PLC, "vcpus": 20}]}, "^realtime_guests: plc1 asks for 20 realtime CPUs"),
        ({"guests": [{"memory_mib": 5}]}, "missing required arguments: name"),
        ({"guests": [{**PLC, "sockets": 1}]}, "Unsupported parameters for .* guests.sockets"),
        ({"guests": [{**PLC, "memory_mib": "much"}]}, "memory_mib.* unable to convert to int"),
        ({"guests": [{**PLC, "state": "on"}]}, "value of state must be one of: running, present, stopped, absent"),
        ({"priority_limit": 0}, "^realtime_priority_limit: 0 is not in"),
        ({"partition": {"schema": 7}}, "^rt_domain: the partition document has schema 7"),
    ],
)
def test_refusals_reach_the_user_in_words(call, arguments, said):
    result = call(**arguments)
    assert result["failed"]
    assert not result.get("changed")
    assert re.search(said, result["msg"]), result["msg"]


def test_a_domain_that_contradicts_the_inventory_reaches_the_user_in_words(call, node, monkeypatch):
    monkeypatch.setattr(_libvirt.Libvirt, "connect", lambda _self, _host: node.libvirt)
    node.foreign("plc1", more="<cpu><numa><cell id='0' cpus='0' memory='64' unit='MiB'/></numa></cpu>")
    result = call(guests=[{**PLC, "adopt": True}])
    assert re.match("realtime_guests: plc1: memory_mib 256 differs from the sum of the NUMA cells", result["msg"])


# -- the edge, as far as it goes without a daemon --------------------------------------------------


def test_without_libvirt_check_mode_plans_and_a_real_run_names_the_role(tmp_path, monkeypatch):
    monkeypatch.setattr(_libvirt, "libvirt", None)
    libvirt = _libvirt.Libvirt()
    assert libvirt.connect(writable(tmp_path, check_mode=True)) is None
    with pytest.raises(HostError, match="python3-libvirt is not installed on this node; run the kvm_host role"):
        libvirt.connect(writable(tmp_path))


class FakeHandle:
    """A domain of the bindings: off after some questions, or never."""

    def __init__(self, name, questions):
        self.name, self.questions, self.calls = name, questions, []

    def __getattr__(self, name):
        return {"isActive": self.is_active}[name]

    def is_active(self):
        self.questions -= 1
        if self.questions < -9:
            raise FakeError("client socket is closed\nreally")
        return self.questions >= 0

    def shutdown(self):
        self.calls.append("shutdown")

    def destroy(self):
        self.calls.append("destroy")

    def create(self):
        self.calls.append("create")


class FakeError(Exception):
    def get_error_message(self):
        return str(self)


@pytest.fixture(name="connect_to")
def _connect_to(monkeypatch):
    monkeypatch.setattr(_libvirt, "libvirt", SimpleNamespace(libvirtError=FakeError))
    monkeypatch.setattr(_libvirt.time, "sleep", lambda _seconds: None)

    def connect_to(*handles):
        connection = _libvirt.Connection(handle=object())
        monkeypatch.setattr(connection, "lookup", {handle.name: handle for handle in handles}.__getitem__, raising=False)
        return connection

    return connect_to


def test_guests_are_asked_all_at_once_and_waited_for(connect_to):
    quick, slow, off = FakeHandle("quick", 2), FakeHandle("slow", 5), FakeHandle("off", 0)
    connect_to(quick, slow, off).stop(["quick", "slow", "off"], 60, force=False)
    assert [handle.calls for handle in (quick, slow, off)] == [["shutdown"], ["shutdown"], []]


def test_guests_that_do_not_shut_down_are_all_named_or_switched_off(connect_to):
    deaf = [FakeHandle(name, 10**6) for name in ("b", "a")]
    with pytest.raises(HostError, match=r"^a, b: still running 0 s after .* set rt_guest_force_off: true to switch it off"):
        connect_to(*deaf).stop(["b", "a"], 0, force=False)
    assert [handle.calls for handle in deaf] == [["shutdown"]] * 2
    connect_to(*deaf).stop(["b", "a"], 0, force=True)
    assert [handle.calls[1:] for handle in deaf] == [["shutdown", "destroy"]] * 2


def test_a_daemon_that_goes_away_is_told_in_words(connect_to):
    lost = FakeHandle("lost", -9)
    for call in (lambda: connect_to(lost).start("lost"), lambda: connect_to(lost).stop(["lost"], 0, force=True)):
        with pytest.raises(HostError, match=r"^lost: libvirt could not return its state: client socket is closed really$"):
            call()
