# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What rt_domain refuses before any change: domains of others, and what the node does not have."""

from __future__ import annotations

import re

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import DOCUMENT
from unit.guests import OTHER, PLC, SHAPE, resources
from unit.instances import UUID, instance_xml
from unit.trees import documented, fill, memory_files, plan


def test_a_foreign_domain_is_not_touched_unasked(node):
    node.foreign("plc1")
    message = node.refuse(PLC)
    assert message.startswith(
        "realtime_guests: plc1: a domain of this name exists that this collection did not make, so it is not changed; adopt: true"
    )
    message = node.refuse({**PLC, "state": "absent", "adopt": True})
    assert "so it is not removed; delete its entry from the list, or remove it with virsh undefine plc1" in message
    assert "adopt" not in message


@pytest.mark.parametrize(
    "more", [{}, {"adopt": True}, {"state": "absent"}, {"state": "absent", "adopt": True}, {"state": "stopped", "adopt": True}]
)
def test_an_instance_of_nova_is_never_taken_over_or_removed(node, more):
    node.libvirt.definitions["instance-00000001"] = instance_xml(1, ["4"])
    message = node.refuse({**PLC, "name": "instance-00000001", **more})
    assert message.startswith(
        f"realtime_guests: instance-00000001: this domain is the instance instance-00000001 (web, {UUID.format(1)}) of Nova, which alone"
    )


def test_the_cpus_of_an_instance_of_nova_count(node):
    """Those of its vCPUs, and the one of an isolated emulator; whether it runs or not."""
    node.libvirt.definitions["instance-00000001"] = instance_xml(1, ["2"], "3", "0")
    assert node.converge(PLC)["domains"][0]["vcpus"] == {"0": "4", "1": "5"}


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
    (node.root / "sys/class/net/br0").rmdir()
    message = node.refuse(PLC, OTHER)
    assert re.match(
        "realtime_guests: historian: network office is the ordinary bridge br0, which this node does not have; make it", message
    )
    assert "macvtap on ens1, which this node does not have" in node.refuse({**PLC, "networks": [{"network": "field"}]})
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
    older = to_document(plan(Intent(smt="together", dataplane_cores_per_node=1), nodes=1, cores=8, threads=1))
    fill(node.root, documented(older))
    message = node.refuse(PLC, partition=older)
    assert re.match("the partition file describes another topology than the node has now .* run the cpu_partition role", message)


def test_no_partition(node):
    (node.root / DOCUMENT[1:]).unlink()
    assert re.match("there is no partition on this node .* run the cpu_partition role first", node.refuse(PLC, partition=None))


def test_a_node_without_dataplane_cpus(node):
    partition = to_document(plan(**SHAPE))
    fill(node.root, documented(partition))
    assert "plc1 is on real-time network control, but this node has no dataplane CPUs to poll it" in node.refuse(
        PLC, partition=partition
    )


def polled(tid, name, cpus):
    """A poll-mode thread of the switch."""
    task = f"/proc/77/task/{tid}"
    fields = " ".join(["S", *["0"] * 18, "100", *["0"] * 17, "0", "0", "0"])
    return {
        "/run/openvswitch/ovs-vswitchd.pid": "77\n",
        f"{task}/stat": f"{tid} ({name}) {fields}\n",
        f"{task}/status": f"Cpus_allowed_list:\t{cpus}\n",
    }


@pytest.mark.parametrize(
    ("threads", "refused"),
    [
        ([(78, "pmd-c01/id:9", "5")], True),
        ([(78, "pmd-c01/id:9", "5"), (79, "pmd-c05/id:10", "5")], True),
        ([(78, "pmd-c05/id:10", "5"), (79, "pmd-c01/id:9", "5")], True),
        ([(78, "pmd9", "5")], False),  # Open vSwitch before 2.13 calls them so; they are not seen
        ([(78, "pmd-9", "5")], True),
        ([(78, "pmd-c04/id:9", "5")], False),
    ],
    ids=["by hand", "beside one that goes", "one that goes beside it", "old name", "no CPU in its name", "by hand, and it goes"],
)
def test_check_mode_expects_no_more_of_the_switch_than_it_does(node, threads, refused):
    """The switch ends threads of CPUs that its mask no longer names; it does not take back one that was moved by hand."""
    for thread in threads:
        fill(node.root, polled(*thread))
    planned = {"pmd_cpus": "1"}
    if not refused:
        assert node.run(PLC, check=True, switch=planned)["changes"]
        return
    with pytest.raises(RefusalError, match="realtime CPUs 5 are polled by") as predicted:
        node.run(PLC, check=True, switch=planned)
    assert ("pmd-c01/id:9 was moved by hand, which that role leaves: taskset -cp" in str(predicted.value)) == (
        threads != [(78, "pmd-9", "5")]
    )


def test_poll_mode_threads_on_realtime_cpus(node):
    fill(node.root, polled(78, "pmd-c05/id:9", "5"))
    assert node.refuse(PLC).startswith("realtime CPUs 5 are polled by pmd-c05/id:9")
    assert node.refuse(PLC, switch={"pmd_cpus": "5"}).startswith("realtime CPUs 5 are polled by pmd-c05/id:9"), (
        "nobody sends it away"
    )
    predicted = node.run(PLC, check=True, switch={"pmd_cpus": "1"})
    assert predicted["changes"], "ovs_dpdk sends it away before"
    said = "realtime CPUs 5 are polled by pmd-c05/id:9 until the ovs_dpdk role, which comes first, has sent these threads back"
    assert said in node.host.notes
    with pytest.raises(RefusalError, match="realtime CPUs 5 are polled by pmd-c05/id:9; poll-mode threads belong"):
        node.run(PLC, switch={"pmd_cpus": "1"})  # it has not


@pytest.mark.parametrize(
    "given", [{"shutdown_timeout_s": 0}, {"shutdown_timeout_s": -1, "force_off": True}, {"switch_timeout_s": -1}]
)
def test_seconds_that_mean_nothing(node, given):
    assert re.fullmatch(r"[a-z]+_timeout_s: (0|-1) is not a number of seconds from [01] on", node.refuse(PLC, **given))
    assert re.fullmatch(r"[a-z]+_timeout_s: .*", node.refuse(state="absent", **given))
