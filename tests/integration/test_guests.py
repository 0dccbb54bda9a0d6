# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real-time guests on a real switch, on node1: what site.yml made runs as its inventory says, and stays so.

The tests build on each other in the order they stand in. Everything is read from the machine: /proc, libvirt, OVSDB.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
import yaml
from integration.conftest import NODES
from integration.lab import ROOT, lab, playbook, ssh
from integration.test_site import cpus

NODE = "node1"
pytestmark = pytest.mark.skipif(NODE not in NODES, reason="the guests are those of node1 of the lab (LAB_NODES)")

_VARIABLES = yaml.safe_load((ROOT / "inventories" / "lab" / "host_vars" / f"{NODE}.yml").read_text())
GUESTS = _VARIABLES["realtime_guests"]
REALTIME = [guest["name"] for guest in GUESTS if guest.get("realtime_vcpus")]
OTHERS = [guest["name"] for guest in GUESTS if not guest.get("realtime_vcpus")]
NETWORK = _VARIABLES["realtime_networks"][0]
BRIDGE = NETWORK.get("bridge", f"br-{NETWORK['name']}")

#: The node's sets, worked out by hand from its hardware and its one polled NIC.
HOUSEKEEPING, DATAPLANE, RT = cpus("0-1,6-7"), cpus("2-3"), cpus("4-5,8-11")
NUMA = {0: cpus("0-5"), 1: cpus("6-11")}

#: Runs on the node: the threads of each guest and of the switch, and each guest's memory.
LOOK = r"""
import glob, json, os, re
def threads(pid):
    rows = []
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            stat = open(f"/proc/{pid}/task/{task}/stat").read()
            status = dict(line.split(":", 1) for line in open(f"/proc/{pid}/task/{task}/status") if ":" in line)
        except OSError:
            continue
        fields = stat.rpartition(")")[2].split()
        rows.append([status["Name"].strip(), status["Cpus_allowed_list"].strip(), int(fields[38]), int(fields[37]), int(task)])
    return rows
guests = {}
for path in glob.glob("/run/libvirt/qemu/*.pid"):
    pid = open(path).read().strip()
    if not os.path.exists(f"/proc/{pid}"):
        continue
    status = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status") if ":" in line)
    huge = {}
    for line in open(f"/proc/{pid}/numa_maps"):
        if " huge" in line:
            for node, pages in re.findall(r"\bN(\d+)=(\d+)", line):
                huge[node] = huge.get(node, 0) + int(pages)
    guests[os.path.basename(path)[:-4]] = {
        "pid": int(pid), "threads": threads(pid), "locked_kib": int(status["VmLck"].split()[0]), "huge": huge,
    }
switch = threads(open("/run/openvswitch/ovs-vswitchd.pid").read().strip())
print(json.dumps({"guests": guests, "switch": switch}))
"""


def look() -> dict:
    return json.loads(ssh(NODE, "python3 -", stdin=LOOK))


def pins(found: dict) -> dict[str, dict[str, str]]:
    """Each guest's vCPU threads and the CPUs they are allowed on."""
    return {
        name: {row[0]: row[1] for row in guest["threads"] if row[0].startswith("CPU ")}
        for name, guest in sorted(found["guests"].items())
    }


def run(*arguments: str, ok: bool | None = True, guests: list | None = None, **options: object):
    extra = {**({} if guests is None else {"realtime_guests": guests}), **options}
    return playbook("guests.yml", "--diff", *arguments, nodes=NODE, ok=ok, extra=extra)


def changed(done) -> list[dict]:
    """Every change that a run made or predicted, whatever task."""
    return [change for event in done.events if event.get("changed") for change in event["changes"] or []]


def definitions() -> str:
    """All that libvirt and OVSDB hold, as one text."""
    return ssh(
        NODE,
        "for d in $(virsh list --all --name | sort); do virsh dumpxml --inactive --security-info $d; done; "
        "ovs-vsctl -f json --columns=other_config,external_ids list Open_vSwitch; "
        "for t in Bridge Port; do ovs-vsctl -f json --columns=name,external_ids,other_config list $t; done; "
        "ovs-vsctl -f json --columns=name,type,options,external_ids,other_config list Interface",
    )


def link_local(name: str) -> str:
    """The guest's IPv6 link-local address, from the MAC that libvirt shows."""
    mac = ssh(NODE, f"virsh domiflist {name} | awk '/:/ {{print $5}}'").split()[0].split(":")
    mac[0] = f"{int(mac[0], 16) ^ 2:x}"
    return f"fe80::{mac[0]}{mac[1]}:{mac[2]}ff:fe{mac[3]}:{mac[4]}{mac[5]}"


def answers(name: str, seconds: int = 90) -> bool:
    """Whether the guest answers a ping from the switch's own port."""
    ssh(NODE, f"ip link set {BRIDGE} up")
    command = (
        f"for i in $(seq {seconds}); do ping -6 -c1 -W1 {link_local(name)}%{BRIDGE} >/dev/null 2>&1 && echo yes && break; done"
    )
    return ssh(NODE, command, timeout=2 * seconds + 60, ok=False).strip() == "yes"


@pytest.fixture(scope="module", autouse=True)
def hosting() -> Iterator[None]:
    """The node with its guests running: as site.yml leaves it, whoever ran it."""
    lab("guests", NODE)
    playbook("site.yml", nodes=NODE, timeout=1500)
    return


def test_each_thread_of_a_realtime_guest_is_where_and_what_it_should_be() -> None:
    found = look()
    used: list[int] = []
    for guest in GUESTS:
        if guest["name"] not in REALTIME:
            continue
        threads = found["guests"][guest["name"]]["threads"]
        realtime = cpus(str(guest["realtime_vcpus"]))
        vcpus = {int(row[0].split()[1].partition("/")[0]): row for row in threads if row[0].startswith("CPU ")}
        assert sorted(vcpus) == list(range(guest["vcpus"]))
        for vcpu, row in vcpus.items():
            allowed = cpus(row[1])
            assert len(allowed) == 1, row
            assert allowed <= RT, row
            used += allowed
            assert (row[2], row[3]) == ((1, 1) if vcpu in realtime else (0, 0)), row  # SCHED_FIFO 1, SCHED_OTHER
        for row in threads:
            if not row[0].startswith(("CPU ", "kvm-nx-lpage")):  # the kernel's own, where the processor needs it
                assert cpus(row[1]) <= HOUSEKEEPING, row
    assert len(used) == len(set(used)), f"a CPU has two vCPUs: {used}"


def test_memory_is_locked_in_huge_pages_of_the_pins_numa_node() -> None:
    found = look()
    for guest in GUESTS:
        if guest["name"] in REALTIME:
            seen = found["guests"][guest["name"]]
            node = next(node for node, members in NUMA.items() if cpus(pins(found)[guest["name"]]["CPU 0/KVM"]) <= members)
            assert seen["huge"] == {str(node): guest["memory_mib"] // 2}, seen["huge"]
            assert seen["locked_kib"] > 0
            xml = ssh(NODE, f"virsh dumpxml {guest['name']}")
            assert "<access mode='shared'/>" in xml
            assert "<locked/>" in xml


def test_poll_mode_threads_run_on_dataplane_cpus_alone_and_the_rest_of_the_switch_on_housekeeping() -> None:
    threads = look()["switch"]
    polling = [cpus(row[1]) for row in threads if row[0].startswith("pmd-")]
    assert polling
    assert all(len(allowed) == 1 for allowed in polling)
    assert set().union(*polling) == DATAPLANE
    for row in threads:
        assert row[0].startswith("pmd-") or cpus(row[1]) <= HOUSEKEEPING, row


def test_other_guests_float_on_housekeeping_or_shared_cpus() -> None:
    found = look()
    assert OTHERS
    for name in OTHERS:
        for row in found["guests"][name]["threads"]:
            assert cpus(row[1]) <= HOUSEKEEPING, row
            assert row[2] == 0


def test_frames_cross_the_switch_between_the_guests() -> None:
    for name in REALTIME:
        assert answers(name), name
    before = {name: counters(name) for name in REALTIME}
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:  # each guest pings all others by multicast
        after = {name: counters(name) for name in REALTIME}
        if all(after[name][way] > before[name][way] for name in REALTIME for way in ("rx_packets", "tx_packets")):
            return
        time.sleep(2)
    raise AssertionError((before, after))


def counters(name: str) -> dict[str, int]:
    text = ssh(NODE, f"ovs-vsctl get Interface {name}.{NETWORK['name']} statistics")
    return {key: int(value) for key, _equals, value in (item.strip(" {}\n").partition("=") for item in text.split(","))}


def test_the_socket_folder_is_for_qemus_group_alone() -> None:
    mode, group = ssh(NODE, "stat -c '%a %G' /run/realtime-kvm/vhost").split()
    assert mode.endswith("0")
    assert group in ("kvm", "libvirt-qemu", "qemu")
    assert ssh(NODE, "runuser -u nobody -- ls /run/realtime-kvm/vhost 2>&1 || true").find("denied") > 0


def test_second_run_changes_nothing() -> None:
    done = run()
    assert changed(done) == []
    assert done.changes(NODE) == []


def test_hand_edits_are_predicted_alone_repaired_and_foreign_additions_kept() -> None:
    name = REALTIME[0]
    ssh(
        NODE,
        f"virsh dumpxml --inactive {name} > /root/g.xml && "
        "sed -i \"s/scheduler='fifo' priority='1'/scheduler='rr' priority='5'/; "
        "s|</devices>|<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng></devices>|\" /root/g.xml && "
        "virsh define /root/g.xml && "
        "ovs-vsctl set Open_vSwitch . other_config:pmd-cpu-mask=0x4 external_ids:admin=mine -- add-br br-admin -- set bridge br-admin datapath_type=netdev",
    )
    tid = next(row[4] for row in look()["guests"][name]["threads"] if row[0] == "CPU 1/KVM")
    ssh(NODE, f"chrt -r -p 3 {tid}")
    predicted = changed(run("--check"))
    resources = sorted(change["resource"] for change in predicted)
    assert len(resources) == 3, resources
    assert resources[:2] == [f"domain {name}: cputune", f"domain {name}: vcpu1 scheduler"], resources
    assert "pmd-cpu-mask" in resources[2]
    assert changed(run()) == predicted
    xml = ssh(NODE, f"virsh dumpxml --inactive {name}")
    assert "/dev/urandom" in xml
    assert "scheduler='fifo' priority='1'" in xml
    assert "priority='5'" not in xml
    assert "mine" in ssh(NODE, "ovs-vsctl get Open_vSwitch . external_ids")
    assert "br-admin" in ssh(NODE, "ovs-vsctl list-br")
    assert "SCHED_FIFO" in ssh(NODE, f"chrt -p {tid}")
    assert changed(run()) == []
    ssh(NODE, "ovs-vsctl del-br br-admin")


def test_a_third_guest_moves_no_other_and_one_too_many_is_refused_with_numbers() -> None:
    before = pins(look())
    third = {**next(guest for guest in GUESTS if guest["name"] in REALTIME), "name": "third", "disks": []}
    run(guests=[third, *GUESTS])
    after = pins(look())
    assert {name: after[name] for name in before} == before
    assert {cpu for allowed in after["third"].values() for cpu in cpus(allowed)} <= RT
    state = definitions()
    refused = run(guests=[*GUESTS, third, {**third, "name": "fourth"}], ok=False)
    text = " ".join(refused.output.split())
    assert "fourth asks for 2 realtime CPUs" in text
    assert "third has" in text
    assert "Traceback" not in text
    assert definitions() == state
    run(guests=[*GUESTS, {"name": "third", "state": "absent"}], rt_guest_force_off=True, rt_guest_shutdown_timeout=5)
    assert pins(look()) == before
    assert "third" not in ssh(NODE, "virsh list --all --name; ovs-vsctl list-ports " + BRIDGE)


def test_switch_and_libvirt_restart_under_running_guests() -> None:
    pids = {name: guest["pid"] for name, guest in look()["guests"].items()}
    ssh(NODE, "systemctl restart openvswitch-switch libvirtd", timeout=300)
    for name in REALTIME:
        assert answers(name), name
    assert {name: guest["pid"] for name, guest in look()["guests"].items()} == pids
    assert changed(run()) == []


def test_a_run_killed_in_the_middle_is_completed_by_the_next() -> None:
    extra = [{"name": f"many{number}", "memory_mib": 64, "state": "present"} for number in range(40)]
    networks = [*_VARIABLES["realtime_networks"], {"name": "second"}]
    for seconds in (0.0, 0.3, 0.6):  # while the module works on the node
        command = [
            "ansible-playbook",
            "-i",
            str(ROOT / "inventories/lab/hosts.yml"),
            str(ROOT / "playbooks/guests.yml"),
            "--limit",
            NODE,
        ]
        command += ["-e", json.dumps({"realtime_guests": [*GUESTS, *extra], "realtime_networks": networks})]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        ssh(NODE, "timeout 200 sh -c 'until virsh list --all --name | grep -q many; do :; done'", timeout=220, ok=False)
        time.sleep(seconds)
        ssh(NODE, "pkill -9 -f '[A]nsiballZ_rt_domain|[A]nsiballZ_ovs_dpdk'; true")
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        half = ssh(NODE, "virsh list --all --name").split()
        assert all(
            ssh(NODE, f"virsh dumpxml --inactive {name} | xmllint --noout - 2>&1; echo $?", ok=False)
            .strip()
            .endswith(("0", "127"))
            for name in half[:2]
        )
        for name in [item for item in half if item.startswith("many")][:20]:
            ssh(NODE, f"virsh undefine {name}")
    run(guests=[*GUESTS, *extra], realtime_networks=networks)
    assert len([name for name in ssh(NODE, "virsh list --all --name").split() if name.startswith("many")]) == len(extra)
    assert ssh(NODE, "ovs-vsctl list-ports br-second").split() == []
    gone = [{"name": guest["name"], "state": "absent"} for guest in extra]
    run(guests=[*GUESTS, *gone], realtime_networks=[*_VARIABLES["realtime_networks"], {"name": "second", "state": "absent"}])
    assert "many" not in ssh(NODE, "virsh list --all --name")
    assert "br-second" not in ssh(NODE, "ovs-vsctl list-br")
    assert changed(run()) == []


def test_two_hundred_domains_in_one_call() -> None:
    many = [{"name": f"many{number}", "memory_mib": 64, "state": "present"} for number in range(200)]
    bare = timed("ansible.builtin.ping")[1]  # what any module costs over this connection
    first, cold = timed("realtime.kvm.rt_domain", many)
    second, unchanged = timed("realtime.kvm.rt_domain", many)
    timed("realtime.kvm.rt_domain", [{"name": guest["name"], "state": "absent"} for guest in many])
    assert first
    assert not second
    print(f"200 domains defined in {cold - bare:.1f} s, unchanged in {unchanged - bare:.1f} s; ping {bare:.1f} s")
    assert cold - bare < 10
    assert unchanged - bare < 2


def timed(module: str, guests: list | None = None) -> tuple[bool, float]:
    """Run one module by itself; return whether it changed something, and the seconds."""
    arguments = [] if guests is None else ["-a", json.dumps({"guests": guests})]
    command = ["ansible", "-i", str(ROOT / "inventories/lab/hosts.yml"), NODE, "-m", module, *arguments]
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return "CHANGED" in done.stdout or "changed: true" in done.stdout, time.monotonic() - started
