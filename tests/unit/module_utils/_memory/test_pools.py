# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory of NUMA nodes and its huge pages: read, grown, never taken away, given back."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.pages import PAGE_MIB
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import BOOT_ID, Host
from ansible_collections.realtime.kvm.plugins.module_utils._memory import pools as _memory
from ansible_collections.realtime.kvm.plugins.module_utils._memory.pools import (
    HOST_MIB,
    NodeMemory,
    Pool,
    guest_memory_mib,
    plan_pages,
    pool_path,
    process_pages,
    read_memory,
    read_pool,
)
from unit.trees import fill, memory_files, writable


@pytest.fixture(name="root")
def _root(tmp_path):
    return fill(tmp_path, {BOOT_ID: "aaaa\n", "/var/lib/": None, **memory_files({0: 2000, 1: 4000}, free={0: 1000, 1: 4000})})


def run(root, pages, *, check_mode=False):
    host = writable(root, "kvm_host", check_mode)
    with host.locked():
        plan_pages(host, pages)
        host.commit()
    return host


def made(root, node, size="2M"):
    return int(Path(f"{root}{pool_path(node, size)}/nr_hugepages").read_text())


# -- reading ---------------------------------------------------------------------------------------


def test_memory_by_node(root):
    fill(root, {"/sys/devices/system/node/node2/meminfo": "Node 2 MemTotal:  0 kB\nNode 2 MemFree:  0 kB\n"})
    cache = "Node 3 MemTotal: 4096000 kB\nNode 3 MemFree: 1024000 kB\nNode 3 Active(file): 102400 kB\n"
    fill(
        root,
        {"/sys/devices/system/node/node3/meminfo": f"{cache}Node 3 Inactive(file): 204800 kB\nNode 3 SReclaimable: 102400 kB\n"},
    )
    assert read_memory(Host(str(root))) == {0: NodeMemory(2000, 1000), 1: NodeMemory(4000, 4000), 3: NodeMemory(4000, 1200)}
    assert guest_memory_mib(Host(str(root))) == {0: 2000 - HOST_MIB, 1: 4000 - HOST_MIB, 3: 4000 - HOST_MIB}


def test_a_node_smaller_than_what_the_host_keeps(tmp_path):
    fill(tmp_path, memory_files({0: 100}))
    assert guest_memory_mib(Host(str(tmp_path))) == {0: 0}


def test_a_snapshot_that_tells_nothing(tmp_path):
    assert guest_memory_mib(Host(str(tmp_path))) is None


def test_pools(root):
    fill(root, memory_files({0: 2000}, pages={(0, "2M"): (7, 3)}))
    assert read_pool(Host(str(root)), 0, "2M") == Pool(7, 3)
    assert read_pool(Host(str(root)), 1, "1G") == Pool(0, 0)
    fill(root, {f"{pool_path(0, '2M')}/surplus_hugepages": "2\n"})  # taken away while in use
    assert read_pool(Host(str(root)), 0, "2M") == Pool(5, 3, surplus=2)
    assert read_pool(Host(str(root)), 2, "2M") is None


def test_pages_of_a_process(tmp_path):
    text = (
        "7f00 bind:0 file=/dev/hugepages/libvirt/qemu/1-x/ram huge dirty=100 N0=100 N1=28 kernelpagesize_kB=2048\n"
        "7f10 bind:1 file=/dev/hugepages1G/x huge dirty=2 N1=2 kernelpagesize_kB=1048576\n"
        "7f20 default file=/memfd:ram huge dirty=1 N0=1 kernelpagesize_kB=2048\n"
        "7f30 default anon=50 dirty=50 N0=50 kernelpagesize_kB=4\n"
        "7f40 default huge N0=3 kernelpagesize_kB=65536\n"
    )
    fill(tmp_path, {"/proc/7/numa_maps": text})
    assert process_pages(Host(str(tmp_path)), 7) == {(0, "2M"): 101, (1, "2M"): 28, (1, "1G"): 2}
    assert process_pages(Host(str(tmp_path)), 8) == {}


# -- growing ---------------------------------------------------------------------------------------


def test_pages_are_added_and_never_taken_away(root):
    fill(root, memory_files({1: 4000}, pages={(1, "2M"): (500, 500)}))
    host = run(root, {"0": {"2M": 64}, "1": {"2M": 256, "1G": 2}})
    assert [(change.resource, change.before, change.after, change.disruption) for change in host.changes] == [
        (f"{pool_path(0, '2M')}/nr_hugepages", "0", "64", "none")
    ]
    assert (made(root, 0), made(root, 1), made(root, 1, "1G")) == (64, 500, 0)
    assert run(root, {"0": {"2M": 64}}).changes == []
    assert run(root, {"0": {"2M": 32}}).changes == []


def test_check_mode_foresees_and_writes_nothing(root):
    host = run(root, {"0": {"2M": 64}}, check_mode=True)
    assert [change.after for change in host.changes] == ["64"]
    assert made(root, 0) == 0


def test_undo_gives_the_first_number_back(root):
    fill(root, memory_files({0: 2000}, pages={(0, "2M"): (5, 5)}))
    run(root, {"0": {"2M": 64}})
    run(root, {"0": {"2M": 96}})
    host = writable(root, "kvm_host")
    with host.locked():
        host.restore_values()
        host.commit()
    assert made(root, 0) == 5


def test_a_node_that_has_gone_is_noted(root):
    host = run(root, {"7": {"2M": 64}})
    assert host.changes == []
    assert host.notes == [f"{pool_path(7, '2M')} does not exist: NUMA node 7 has no 2 MiB pages"]


class Fragmented(Host):
    """A kernel that finds ``pieces`` pages in one piece, and ``more`` once memory was compacted."""

    pieces, more = 10, 0

    def write_value(self, path, value):
        if path.endswith("/compact"):
            self.pieces += self.more
        else:
            super().write_value(path, str(min(int(value), self.pieces)) if path.endswith("nr_hugepages") else value)


def fragmented(root, **numbers):
    fill(root, {"/sys/devices/system/node/node0/compact": ""})
    host = Fragmented(str(root), owner="kvm_host")
    for name, value in numbers.items():
        setattr(host, name, value)
    plan_pages(host, {"0": {"2M": 64}})
    return host


def test_memory_in_pieces_is_put_together_once(root):
    fragmented(root, more=100).commit()
    assert made(root, 0) == 64


def test_pages_that_cannot_be_had_are_told_with_numbers(root):
    with pytest.raises(
        HostError,
        match=r"^NUMA node 0: of 64 huge pages of 2M the kernel could make 30 \(1000 MiB are free there, but in pieces\); these are kept\. Reboot the node",
    ):
        fragmented(root, more=20).commit()
    assert made(root, 0) == 30


def test_no_compaction_beside_realtime_guests(root, monkeypatch):
    """It waits for a work item on every CPU, which a vCPU that spins does not let run."""
    monkeypatch.setattr(_memory, "realtime_guests", lambda _host: ["plc1"])
    with pytest.raises(HostError, match="could make 10 "):
        fragmented(root, more=100).commit()


def test_sizes_are_those_of_guests():
    assert {size: pool_path(0, size).rsplit("-", 1)[1] for size in PAGE_MIB} == {"2M": "2048kB", "1G": "1048576kB"}
