# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests of a running node: each thread where and what it should be, memory locked beside it, frames from one to the other."""

import os

import pytest
from integration.lab import wait_for
from integration.machine import KVM_WORKER, SCHED_FIFO, SCHED_OTHER, answers, cpus, look, resets, traffic

NODE = os.environ.get("LAB_NODES", "node1")

#: Worked out by hand from the node's hardware and its inventory: the CPUs of vCPU 0 and 1, and of the emulator.
REALTIME = {
    "plc1": {"vcpus": cpus("4-5"), "emulator": cpus("0-1"), "node": 0},
    "plc2": {"vcpus": cpus("8-11"), "emulator": cpus("6-7"), "node": 1},
}
HOUSEKEEPING = cpus("0-1,6-7")
PAGES = 64  # of 2 MiB


@pytest.fixture(scope="module")
def guests():
    found, _switch = look(NODE)
    return found


def test_all_guests_run(guests):
    assert sorted(guests) == ["historian", "plc1", "plc2"]


@pytest.mark.parametrize("name", REALTIME)
def test_each_vcpu_has_a_cpu_of_its_own_and_only_one_is_realtime(guests, name):
    vcpus = guests[name].vcpus
    assert sorted(vcpus) == [0, 1]
    used = [set(thread.cpus) for thread in vcpus.values()]
    assert [len(allowed) for allowed in used] == [1, 1]
    assert used[0] != used[1]
    assert set().union(*used) <= REALTIME[name]["vcpus"]
    assert (vcpus[0].policy, vcpus[0].priority) == (SCHED_OTHER, 0)
    assert (vcpus[1].policy, vcpus[1].priority) == (SCHED_FIFO, 1)


@pytest.mark.parametrize("name", REALTIME)
def test_emulator_and_io_threads_are_on_housekeeping_of_the_same_numa_node(guests, name):
    assert guests[name].others
    for thread in guests[name].others:
        assert thread.cpus <= REALTIME[name]["emulator"], thread
        assert thread.policy == SCHED_OTHER, thread
    workers = [thread for thread in guests[name].threads if thread.name.startswith(KVM_WORKER)]
    for thread in workers:
        assert thread.cpus <= REALTIME[name]["vcpus"] | HOUSEKEEPING, thread


def vhosts(host, pid):
    """CPUs, policy and priority of the vhost threads that serve a guest: tasks of its process, or of the kernel before 6.4."""
    found = []
    for comm in host.check_output(f"grep -lx vhost-{pid} /proc/[0-9]*/task/[0-9]*/comm").split():
        folder = comm.removesuffix("/comm")
        fields = host.check_output(f"cat {folder}/stat").rpartition(")")[2].split()
        allowed = host.check_output(f"sed -n 's/^Cpus_allowed_list:\\s*//p' {folder}/status")
        found.append((frozenset(cpus(allowed)), int(fields[38]), int(fields[37])))
    return found


def test_the_vhost_thread_of_a_network_of_the_kernel_is_beside_the_ordinary_vcpu(host, guests):
    assert vhosts(host, guests["plc2"].pid) == [(guests["plc2"].vcpus[0].cpus, SCHED_FIFO, 1)]


def test_that_vhost_thread_follows_its_vcpu(host, guests):
    release = host.check_output("uname -r").split(".")
    if (int(release[0]), int(release[1])) < (6, 4):
        pytest.skip("a vhost thread is the kernel's here, and moves with the next run")
    here = min(guests["plc2"].vcpus[0].cpus)
    there = min(REALTIME["plc2"]["vcpus"] - guests["plc2"].vcpus[0].cpus - guests["plc2"].vcpus[1].cpus)
    assert host.run(f"virsh vcpupin plc2 0 {there} --live").succeeded
    assert vhosts(host, guests["plc2"].pid) == [(frozenset({there}), SCHED_FIFO, 1)]
    assert host.run(f"virsh vcpupin plc2 0 {here} --live").succeeded
    assert vhosts(host, guests["plc2"].pid) == [(frozenset({here}), SCHED_FIFO, 1)]


@pytest.mark.parametrize("name", REALTIME)
def test_memory_is_locked_in_shared_huge_pages_of_the_same_numa_node(guests, name):
    assert guests[name].pages == {REALTIME[name]["node"]: PAGES}
    assert guests[name].locked_kib >= PAGES * 2048
    assert guests[name].shared


def test_the_other_guest_floats_where_nothing_is_isolated(guests):
    for thread in guests["historian"].threads:
        assert thread.cpus <= HOUSEKEEPING, thread
        assert thread.policy == SCHED_OTHER, thread
    assert guests["historian"].vcpus[0].cpus == HOUSEKEEPING
    assert guests["historian"].pages == {}


@pytest.mark.parametrize("name", REALTIME)
def test_each_guest_answers_across_the_switch(name):
    assert answers(NODE, name, "br-control")


def test_frames_go_from_each_guest_to_the_other():
    assert traffic(NODE, [f"{name}.control" for name in REALTIME])


def test_a_guest_leaves_and_returns_without_another_noticing(host, guests):
    assert host.run("virsh shutdown plc2").succeeded
    assert wait_for(NODE, "test \"$(virsh domstate plc2 | head -n1)\" = 'shut off'", 120)
    before = resets(NODE)
    assert answers(NODE, "plc1", "br-control", 60)
    assert resets(NODE) == before
    assert host.run("virsh start plc2").succeeded
    assert answers(NODE, "plc2", "br-control")
    now, _switch = look(NODE)
    assert now["plc1"].pid == guests["plc1"].pid
    assert {vcpu: thread.cpus for vcpu, thread in now["plc2"].vcpus.items()} == {
        vcpu: thread.cpus for vcpu, thread in guests["plc2"].vcpus.items()
    }
    assert vhosts(host, now["plc2"].pid) == [(now["plc2"].vcpus[0].cpus, SCHED_FIFO, 1)], "libvirt's hook has placed it"


def test_switch_and_libvirt_restart_under_running_guests(host):
    before, _switch = look(NODE)
    for _try in range(2):  # a guest that hung under emulation proves nothing: then all is done again, and no guest may hang
        hung = resets(NODE)
        assert host.run("systemctl restart openvswitch-switch libvirtd").succeeded
        for name in REALTIME:
            assert answers(NODE, name, "br-control")
        if resets(NODE) == hung:
            break
    else:
        pytest.fail("a guest hung after each of two restarts")
    after, _switch = look(NODE)
    assert {name: guest.pid for name, guest in after.items()} == {name: guest.pid for name, guest in before.items()}
