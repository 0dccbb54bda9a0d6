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

import pytest
import yaml
from integration.conftest import NODES
from integration.lab import ROOT, Run, lab, playbook, ssh
from integration.machine import answers, cpus, look, traffic

NODE = "node1"
pytestmark = pytest.mark.skipif(NODE not in NODES, reason="the guests are those of node1 of the lab (LAB_NODES)")

_VARIABLES = yaml.safe_load((ROOT / "inventories" / "lab" / "host_vars" / f"{NODE}.yml").read_text())
GUESTS = _VARIABLES["realtime_guests"]
REALTIME = [guest["name"] for guest in GUESTS if guest.get("realtime_vcpus")]
NETWORKS = _VARIABLES["realtime_networks"]
BRIDGE = NETWORKS[0].get("bridge", f"br-{NETWORKS[0]['name']}")

#: Worked out by hand from the node's hardware.
REALTIME_CPUS = cpus("4-5,8-11")


def pins() -> dict[str, dict[int, frozenset[int]]]:
    """The CPUs that each guest's vCPU threads are allowed on."""
    guests, _switch = look(NODE)
    return {name: {vcpu: thread.cpus for vcpu, thread in guest.vcpus.items()} for name, guest in sorted(guests.items())}


def run(*arguments: str, ok: bool | None = True, guests: list | None = None, **options: object) -> Run:
    """Run the guests playbook with other guests or options than the inventory's."""
    extra = {**({} if guests is None else {"realtime_guests": guests}), **options}
    return playbook("guests.yml", "--diff", *arguments, nodes=NODE, ok=ok, extra=extra)


def changed(done: Run) -> list[dict]:
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


@pytest.fixture(scope="module", autouse=True)
def _hosting() -> None:
    """The node with its guests running: as site.yml leaves it, whoever ran it."""
    lab("guests", NODE)
    playbook("site.yml", nodes=NODE, timeout=1500)


def test_frames_cross_the_switch_between_the_guests() -> None:
    for name in REALTIME:
        assert answers(NODE, name, BRIDGE), name
    assert traffic(NODE, [f"{name}.{NETWORKS[0]['name']}" for name in REALTIME])


def test_the_socket_folder_is_for_qemus_user_alone() -> None:
    assert ssh(NODE, "stat -c '%a %U %G' /run/realtime-kvm/vhost").split() == ["700", "libvirt-qemu", "root"]
    for member in ("runuser -u nobody --", "runuser -u nobody -g kvm --"):
        assert ssh(NODE, f"{member} ls /run/realtime-kvm/vhost 2>&1 || true").find("denied") > 0


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
    tid = ssh(NODE, f"grep -l 'CPU 1/KVM' /proc/$(cat /run/libvirt/qemu/{name}.pid)/task/*/comm").split("/")[4]
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
    before = pins()
    third = {**next(guest for guest in GUESTS if guest["name"] in REALTIME), "name": "third", "disks": []}
    run(guests=[third, *GUESTS])
    after = pins()
    assert {name: after[name] for name in before} == before
    assert set().union(*after["third"].values()) <= REALTIME_CPUS
    state = definitions()
    refused = run(guests=[*GUESTS, third, {**third, "name": "fourth"}], ok=False)
    text = " ".join(refused.output.split())
    assert "fourth asks for 2 realtime CPUs" in text
    assert "third has" in text
    assert "Traceback" not in text
    assert definitions() == state
    run(guests=[*GUESTS, {"name": "third", "state": "absent"}], rt_guest_force_off=True, rt_guest_shutdown_timeout=5)
    assert pins() == before
    assert "third" not in ssh(NODE, "virsh list --all --name; ovs-vsctl list-ports " + BRIDGE)


def test_switch_and_libvirt_restart_under_running_guests() -> None:
    pids = {name: guest.pid for name, guest in look(NODE)[0].items()}
    ssh(NODE, "systemctl restart openvswitch-switch libvirtd", timeout=300)
    for name in REALTIME:
        assert answers(NODE, name, BRIDGE), name
    assert {name: guest.pid for name, guest in look(NODE)[0].items()} == pids
    assert changed(run()) == []


def test_a_run_killed_in_the_middle_is_completed_by_the_next() -> None:
    extra = [{"name": f"many{number}", "memory_mib": 64, "state": "present"} for number in range(40)]
    networks = [*NETWORKS, {"name": "second"}]
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
        assert ssh(
            NODE, "for d in $(virsh list --all --name); do virsh dumpxml --inactive $d | grep -c '</domain>'; done"
        ).split() == ["1"] * len(half)
        for name in [item for item in half if item.startswith("many")][:20]:
            ssh(NODE, f"virsh undefine {name}")
    run(guests=[*GUESTS, *extra], realtime_networks=networks)
    assert len([name for name in ssh(NODE, "virsh list --all --name").split() if name.startswith("many")]) == len(extra)
    assert ssh(NODE, "ovs-vsctl list-ports br-second").split() == []
    gone = [{"name": guest["name"], "state": "absent"} for guest in extra]
    run(guests=[*GUESTS, *gone], realtime_networks=[*NETWORKS, {"name": "second", "state": "absent"}])
    assert "many" not in ssh(NODE, "virsh list --all --name")
    assert "br-second" not in ssh(NODE, "ovs-vsctl list-br")
    assert changed(run()) == []


def test_two_hundred_domains_in_one_call() -> None:
    many = [{"name": f"many{number}", "memory_mib": 64, "state": "present"} for number in range(200)]
    # what the module costs over this connection with nothing to do: Python reads its source again each time, slowly when emulated
    bare = min(timed("realtime.kvm.rt_domain", [])[1] for _attempt in range(2))
    first, cold = timed("realtime.kvm.rt_domain", many)
    again = [timed("realtime.kvm.rt_domain", many) for _attempt in range(2)]
    timed("realtime.kvm.rt_domain", [{"name": guest["name"], "state": "absent"} for guest in many])
    unchanged = min(seconds for _changed, seconds in again)
    assert first
    assert not any(changed for changed, _seconds in again)
    print(
        f"200 domains defined in {cold - bare:.1f} s, unchanged in {unchanged - bare:.1f} s, beside a call without guests ({bare:.1f} s)"
    )
    assert cold - bare < 10
    assert unchanged - bare < 3


def timed(module: str, guests: list | None = None) -> tuple[bool, float]:
    """Run one module by itself; return whether it changed something, and the seconds."""
    arguments = [] if guests is None else ["-a", json.dumps({"guests": guests})]
    command = ["ansible", "-i", str(ROOT / "inventories/lab/hosts.yml"), NODE, "-m", module, *arguments]
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return "CHANGED" in done.stdout or "changed: true" in done.stdout, time.monotonic() - started
