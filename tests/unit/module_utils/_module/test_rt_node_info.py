# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_node_info on trees that take themselves for a node, with a libvirt that remembers what it is told; nothing is written."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.threads import PID_DIR
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import DOCUMENT
from ansible_collections.realtime.kvm.plugins.module_utils._module import rt_node_info as body
from ansible_collections.realtime.kvm.plugins.module_utils._module._switch_edges import SwitchEdges
from ansible_collections.realtime.kvm.plugins.module_utils._switch.rows import Database, Row
from ansible_collections.realtime.kvm.plugins.modules import rt_node_info
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.accounting import Account
from unit.libvirts import FakeLibvirt
from unit.trees import fill, machine_files, memory_files, plan, snapshot

SHAPE = {"nodes": 1, "cores": 6, "threads": 1}
PARTITION = to_document(plan(**SHAPE))  # housekeeping 0, realtime 1-5
PLC = """<domain type='kvm'><name>plc1</name><metadata><r:guest xmlns:r="https://github.com/realtime-kvm/realtime.kvm/guest"
owner="automation" project="line-1" class="gold"/></metadata><memory unit='MiB'>256</memory><vcpu>2</vcpu>
<memoryBacking><hugepages/></memoryBacking><numatune><memory mode='strict' nodeset='0'/></numatune>
<cputune><vcpupin vcpu='0' cpuset='1'/><vcpupin vcpu='1' cpuset='2'/><emulatorpin cpuset='0'/>
<vcpusched vcpus='1' scheduler='fifo' priority='1'/></cputune>
<devices><hostdev mode='subsystem' type='pci'><source><address domain='0x0000' bus='0x41' slot='0x00' function='0x1'/></source></hostdev>
<interface type='vhostuser'><mac address='52:54:00:00:00:01'/><source type='unix' path='/run/x' mode='server'/></interface></devices></domain>"""
FOREIGN = "<domain type='kvm'><name>theirs</name><memory unit='MiB'>64</memory><vcpu>1</vcpu></domain>"
INTERRUPTS = (
    "           CPU0       CPU1\n  24:       7          0   PCI-MSI  ens1\n LOC:     10          3   Local timer interrupts\n"
)


@pytest.fixture(name="tree")
def _tree(tmp_path):
    irq = {"smp_affinity_list": "0-1\n", "effective_affinity_list": "0\n", "node": "0\n", "ens1/": None}
    files = {
        **machine_files(isolated="1-5", **SHAPE),
        **memory_files({0: 8192}, pages={(0, "2M"): (512, 384)}),
        **{f"/proc/irq/24/{name}": text for name, text in irq.items()},
        DOCUMENT: json.dumps(PARTITION),
        "/proc/sys/kernel/hostname": "kvm01\n",
        "/proc/stat": "cpu 1 2\nbtime 1790000000\n",
        "/proc/interrupts": INTERRUPTS,
        "/etc/libvirt/qemu/plc1.xml": PLC,
    }
    return fill(tmp_path / "node", files)


@pytest.fixture(name="read")
def _read(tree):
    """Run the module's body on the tree as on a running node; the two edges that are no files are given."""

    def read(libvirt=None, database=None):
        edges = SwitchEdges(
            Host(str(tree), check_mode=True), lambda _command: (1, "", ""), Answers(libvirt), lambda *_edge: Answers(database)
        )
        before = snapshot(tree)
        node = body.run(edges, {"interval": 0.0}).results["node"]
        assert snapshot(tree) == before
        assert json.loads(json.dumps(node)) == node  # plain data, as it crosses the wire
        return node

    return read


class Answers:
    """An edge that answers with what it was given, or fails with it."""

    def __init__(self, answer):
        self.answer = answer

    def connect(self, _host):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def read(self):
        return self.connect(None) or Database()


def missing(node):
    return {item["part"]: (item["state"], item["reason"]) for item in node["missing"]}


def running(tree, *names):
    libvirt = FakeLibvirt(tree)
    libvirt.definitions = {"plc1": PLC, "theirs": FOREIGN}
    for name in names:
        libvirt.run(name)
        pid = (tree / PID_DIR[1:] / f"{name}.pid").read_text()
        main = tree / "proc" / pid / "task" / pid
        fill(tree, {f"/proc/{pid}/{file}": (main / file).read_text() for file in ("stat", "status")})
    return libvirt


def test_a_running_guest_tells_owner_threads_and_since_when(tree, read):
    node = read(running(tree, "plc1"))
    plc, theirs = node["guests"]
    assert (plc["owner"], plc["project"], plc["class"], plc["manager"]) == ("automation", "line-1", "gold", "realtime.kvm")
    assert {thread["role"]: thread["cpus"] for thread in plc["threads"]} == {"vcpu0": "1", "vcpu1": "2", "emulator": "0"}
    assert plc["running_since"] == "2026-09-21T14:13:21Z"  # boot, and 100 ticks of 10 ms
    assert plc["devices"] == ["0000:41:00.1"]
    assert plc["defined_since"].startswith("20")
    assert (theirs["ours"], theirs["manager"], theirs["state"], theirs["running_since"]) == (False, "", "shut off", "")


def test_what_it_tells_can_be_accounted_for(tree, read):
    books = Account("kvm01", read(running(tree, "plc1")))
    owners = {row.cpus: row.owner for row in books.holdings if row.kind == "cpu" and row.exclusive and row.user_kind == "guest"}
    assert owners == {"1": "automation", "2": "automation"}
    assert books.capacity["largest"]["vcpus"] == 3
    assert books.capacity["hugepages"] == [
        {"numa_node": "0", "size": "2M", "capacity": 1024, "used": 256, "reserved": 0, "free": 768}
    ]


def test_interrupts_are_counted_by_cpu(read):
    interrupts = read()["interrupts"]
    assert interrupts["load"]["0"] == {"devices": 7, "ticks": 10, "others": 0}
    [irq] = interrupts["irqs"]
    assert (irq["irq"], irq["actions"], irq["cpus"], irq["counts"]) == (24, ["ens1"], "0", {"0": 7})


def test_ports_tell_bridge_guest_and_queues(read):
    interface = {"name": "plc1.control", "type": "dpdkvhostuserclient", "external_ids": {"realtime-kvm-guest": "plc1"}}
    interface.update(
        options={"vhost-server-path": "/run/x"}, other_config={"pmd-rxq-affinity": "0:3"}, status={"status": "connected"}
    )
    database = Database(
        root=Row("r", {"other_config": {"dpdk-socket-mem": "1024"}, "dpdk_initialized": True}),
        bridges={"br-control": Row("b", {"name": "br-control", "ports": ("p",)})},
        ports={"plc1.control": Row("p", {"name": "plc1.control", "interfaces": ("i",), "external_ids": {}, "tag": 5})},
        interfaces={"plc1.control": Row("i", interface)},
    )
    node = read(database=database)
    [port] = node["switch"]["ports"]
    assert (port["bridge"], port["tag"], port["interfaces"][0]["guest"], port["interfaces"][0]["queues"]) == (
        "br-control",
        5,
        "plc1",
        {"0": 3},
    )
    assert "ovs-vswitchd does not run" in missing(node)["switch"][1]


@pytest.mark.parametrize("files", [{DOCUMENT: "{"}, {DOCUMENT: "[]"}, {DOCUMENT: '{"schema": 9}'}])
def test_a_damaged_document_is_named_and_the_rest_comes(tree, read, files):
    fill(tree, files)
    node = read(running(tree))
    assert missing(node)["partition file"][0] == "broken"
    assert DOCUMENT in missing(node)["partition file"][1]
    assert len(node["guests"]) == 2


def test_nothing_there_is_told_part_by_part(tmp_path, read, tree):
    (tree / DOCUMENT[1:]).unlink()
    (tree / "proc/interrupts").unlink()
    node = read()
    assert {part: state for part, (state, _reason) in missing(node).items()} == {
        "partition file": "absent", "libvirt": "absent", "switch": "absent", "interrupts": "absent",
    }  # fmt: skip
    assert node["topology"]["online"] == "0-5"


def test_broken_edges_are_named_and_the_rest_comes(read):
    node = read(HostError("libvirt (qemu:///system) does not answer: off"), HostError("ovsdb-server did not answer"))
    assert missing(node)["libvirt"] == ("broken", "libvirt (qemu:///system) does not answer: off")
    assert missing(node)["switch"] == ("broken", "ovsdb-server did not answer")
    assert node["partition"] == PARTITION


def test_a_domain_that_cannot_be_read_is_named_and_the_others_come(tree, read):
    libvirt = running(tree)
    libvirt.definitions["odd"] = FOREIGN.replace("theirs", "odd").replace(
        "</domain>", "<cpu><topology threads='x'/></cpu></domain>"
    )
    node = read(libvirt)
    assert [guest["name"] for guest in node["guests"]] == ["plc1", "theirs"]
    assert missing(node)["guest odd"][0] == "broken"


def test_a_machine_without_a_core_layout_still_tells_its_memory(tree, read):
    for path in tree.glob("sys/devices/system/cpu/cpu*/topology/*"):
        path.unlink()
    node = read()
    assert "thread_siblings_list is missing" in missing(node)["topology"][1]
    assert node["memory"]["0"]["total_mib"] == 8192


@pytest.mark.parametrize("interval", [-1, 61])
def test_an_interval_that_would_hang_the_run_is_refused(capsys, tree, interval):
    with patch_module_args({"fsroot": str(tree), "interval": interval}), pytest.raises(SystemExit):
        rt_node_info.main()
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert "Traceback" not in out + err
    assert result["failed"]
    assert f"interval: {float(interval)} is not in 0-60 seconds" in result["msg"]


def test_a_snapshot_is_read_without_asking_this_machine(capsys, tree):
    with patch_module_args({"fsroot": str(tree)}), pytest.raises(SystemExit):
        rt_node_info.main()
    result = json.loads(capsys.readouterr().out)
    assert result["changed"] is False
    assert missing(result["node"])["libvirt"] == ("absent", "not looked for in a snapshot")
    assert result["node"]["captured"] is True
    assert result["node"]["kernel"]["isolated"] == "1-5"
