# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vCPUs that move while their guests run: what is open when libvirt pins, and that it is closed again whatever happens."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._host import locks as _locks
from ansible_collections.realtime.kvm.plugins.module_utils._host.locks import CPU_LOCK, LockedError, take_lock
from ansible_collections.realtime.kvm.plugins.module_utils._isolation import moves as _cgroup_moves
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.cgroups import RESERVED, read_holders, read_reserved
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.holders import HOLDERS, ROOT
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.moves import Moves
from unit.trees import fill, machine_files, plan, writable

PARTITION = plan(Intent(smt="together", isolation="runtime"), cores=5)  # housekeeping 0, realtime 1-4
SCOPE = f"{ROOT}/machine.slice/machine-qemu\\x2d1\\x2dplc1.scope/libvirt"


def cgroup(path, cpus="", state="member", threads=""):
    return {
        f"{path}/cpuset.cpus": f"{cpus}\n",
        f"{path}/cpuset.cpus.partition": f"{state}\n",
        f"{path}/cpuset.cpus.exclusive": "\n",
        f"{path}/cgroup.subtree_control": "cpuset\n",
        f"{path}/cgroup.threads": threads,
    }


class Node:
    """A guest with vCPU 0 on CPU 1 and vCPU 1 on CPU 2, each in a partition of its own; CPUs 3-4 are in the holder."""

    def __init__(self, root, monkeypatch):
        self.root = fill(
            root,
            {
                **machine_files(cores=5),
                f"{ROOT}/cgroup.controllers": "cpuset cpu io memory\n",
                f"{ROOT}/cgroup.subtree_control": "cpuset cpu memory\n",
                f"{ROOT}/cpuset.cpus.isolated": "1-4\n",
                **cgroup(HOLDERS["realtime"], "3-4", "isolated"),
                **cgroup(f"{SCOPE}/vcpu0", "1", "isolated", "70\n"),
                **cgroup(f"{SCOPE}/vcpu1", "2", "isolated", "71\n"),
                "/var/lib/": None,
            },
        )
        monkeypatch.setattr(_cgroup_moves, "Host", lambda owner: writable(root, owner))
        self.host = writable(root, "rt_domain")

    def moves(self, **threads):
        return Moves(self.host, PARTITION, {("plc1", thread): frozenset({cpu}) for thread, cpu in threads.items()})

    def text(self, path):
        return Path(f"{self.root}{path}").read_text().strip()

    def pin(self, thread, cpu):
        """As libvirt does it, which the kernel lets it do only outside a partition."""

        def pin():
            assert self.states()[thread][1] == "member"
            Path(f"{self.root}{SCOPE}/{thread}/cpuset.cpus").write_text(f"{cpu}\n")

        return pin

    def states(self):
        files = ("cpuset.cpus", "cpuset.cpus.partition")
        return {name: tuple(self.text(f"{SCOPE}/{name}/{file}") for file in files) for name in ("vcpu0", "vcpu1")}

    def held(self):
        return read_holders(self.host)["realtime"].cpus

    def reserved(self):
        path = Path(f"{self.root}{RESERVED}")
        return json.loads(path.read_text()) if path.exists() else {}


@pytest.fixture(name="node")
def _node(tmp_path, monkeypatch):
    return Node(tmp_path, monkeypatch)


def test_two_vcpus_swap_their_cpus(node):
    moves = node.moves(vcpu0=2, vcpu1=1)
    moves.pin(node.pin("vcpu0", 2))
    assert node.states() == {"vcpu0": ("2", "member"), "vcpu1": ("2", "member")}, "open until the last one has moved"
    assert node.reserved() == {"moves plc1": "1-2"}
    with pytest.raises(LockedError, match=r"\(rt_domain\)"):  # a guest that starts waits until the partitions are closed
        take_lock(f"{node.root}{CPU_LOCK}", "libvirt's hook", 0)
    moves.pin(node.pin("vcpu1", 1))
    assert node.states() == {"vcpu0": ("2", "isolated"), "vcpu1": ("1", "isolated")}
    assert (node.reserved(), node.held()) == ({}, {3, 4})
    os.close(take_lock(f"{node.root}{CPU_LOCK}", "libvirt's hook", 0))


def test_a_new_cpu_leaves_the_holder_first_and_the_old_one_comes_to_it(node):
    seen = []

    def pin():
        seen.append((node.held(), node.states()["vcpu1"]))
        node.pin("vcpu0", 3)()

    node.moves(vcpu0=3).pin(pin)
    assert seen == [({4}, ("2", "isolated"))], "who does not move stays in its partition"
    assert node.held() == {1, 4}
    assert node.states() == {"vcpu0": ("3", "isolated"), "vcpu1": ("2", "isolated")}


def test_an_error_closes_the_partitions_at_once(node):
    def refuse():
        raise RuntimeError("no")

    moves = node.moves(vcpu0=2, vcpu1=1)
    with pytest.raises(RuntimeError, match="no"):
        moves.pin(refuse)
    assert node.states() == {"vcpu0": ("1", "isolated"), "vcpu1": ("2", "isolated")}
    assert (node.reserved(), node.held()) == ({}, {3, 4})


def test_without_the_lock_nothing_is_opened(node, monkeypatch):
    monkeypatch.setattr(_locks, "WAIT_S", 0)
    handle = take_lock(f"{node.root}{CPU_LOCK}", "cpu_partition")
    with pytest.raises(LockedError):
        node.moves(vcpu0=3).pin(lambda: pytest.fail("pinned"))
    assert node.states() == {"vcpu0": ("1", "isolated"), "vcpu1": ("2", "isolated")}
    os.close(handle)


@pytest.mark.parametrize("content", ["{", "[]", "null", '{"guest plc1": 7}', "[" * 5000])
def test_a_damaged_list_of_reservations_counts_as_none(node, content):
    fill(node.root, {RESERVED: content})
    assert read_reserved(node.host) in ({}, {"guest plc1": frozenset()})
