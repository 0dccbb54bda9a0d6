# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""irq_affinity: interrupts are moved, those that the kernel keeps are read back, irqbalance is told only where that is wanted."""

from __future__ import annotations

import errno
import os

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import PartitionError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL, LOCK, STATE_DIR
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import config_path
from ansible_collections.realtime.kvm.plugins.module_utils._interrupts.irqbalance import IRQBALANCE_DROP_IN
from ansible_collections.realtime.kvm.plugins.module_utils._interrupts.watcher import WATCHER, WATCHER_LINK, WATCHER_UNIT
from ansible_collections.realtime.kvm.plugins.module_utils._module import irq_affinity
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import Edges, carry_out
from unit.features import KNOBS, PARTITION, text
from unit.trees import documented, fill, machine_files, plan, refuse_writes, snapshot, writable

PARAMETERS = {"state": "present", "partition": to_document(PARTITION), "irqbalance": False, "watcher": False}


@pytest.fixture(name="root")
def _root(tmp_path):
    return fill(
        tmp_path,
        {**machine_files(isolated="1-3"), **KNOBS, "/var/lib/": None, **documented(PARTITION), "/etc/systemd/system/": None},
    )


def run(root, *, check_mode=False, **parameters):
    edges = Edges(writable(root, "irq_affinity", check_mode=check_mode), lambda _command: (0, "", ""))
    return carry_out(edges, irq_affinity.run, {**PARAMETERS, **parameters})


def test_interrupts_are_moved_once_and_put_back(root):
    predicted = run(root, check_mode=True)
    made = run(root)
    assert made["changes"] == predicted["changes"]
    assert text(root, "/proc/irq/9/smp_affinity_list") == "0"
    assert run(root)["changed"] is False
    assert run(root, state="absent")["changed"] is True
    assert text(root, "/proc/irq/9/smp_affinity_list") == "0-3"
    assert run(root, state="absent") == {
        "changed": False,
        "changes": [],
        "diff": [],
        "disruption": "none",
        "deferred": False,
        "managed": [],
    }


@pytest.mark.parametrize("number", [errno.EIO, errno.EINVAL, errno.ENOSPC])
def test_undo_goes_on_where_the_kernel_refuses_an_interrupts_former_cpus(root, monkeypatch, number):
    """The number belongs to an interrupt that the kernel manages now, its CPUs are off, or no vector is free there."""
    before = snapshot(root)
    run(root, watcher=True, irqbalance=True)
    path = "/proc/irq/9/smp_affinity_list"
    refuse_writes(monkeypatch, [f"{root}{path}"], number)
    edges = Edges(writable(root, "irq_affinity"), lambda _command: (0, "", ""))
    done = carry_out(edges, irq_affinity.run, {**PARAMETERS, "state": "absent"})
    said = f"{path}: the kernel refused '0-3': {os.strerror(number)}; it stays as it is until the next reboot"
    assert edges.host.notes == [said]
    assert path not in [change["resource"] for change in done["changes"]]
    assert text(root, "/proc/irq/default_smp_affinity") == "f"
    assert set(snapshot(root)) == set(before), "unit, options and journal have gone"
    assert run(root, state="absent")["changed"] is False


def test_what_the_kernel_keeps_on_isolated_cpus_is_found_after_the_changes(root, monkeypatch):
    looks = []
    monkeypatch.setattr(irq_affinity, "stuck_interrupts", lambda host, _partition: looks.append(host.committed) or [len(looks)])
    assert run(root)["managed"] == [2]
    assert looks == [False, True], "planned before, read back afterwards"
    assert run(root, check_mode=True)["managed"] == [3]
    assert len(looks) == 3


@pytest.mark.parametrize("wanted", [True, False])
def test_irqbalance_is_told_only_where_that_is_wanted(root, wanted):
    fill(root, {"/usr/lib/systemd/system/irqbalance.service": "", "/usr/sbin/irqbalance": ""})
    resources = [change["resource"] for change in run(root, irqbalance=wanted)["changes"]]
    assert (IRQBALANCE_DROP_IN in resources) is wanted
    assert run(root, irqbalance=False)["changed"] is wanted
    assert not (root / IRQBALANCE_DROP_IN[1:]).exists()


def test_a_partition_of_another_topology_is_refused_before_any_change(root):
    fill(root, documented(plan(cores=3)))
    before = snapshot(root)
    with pytest.raises(PartitionError, match="another topology"):
        run(root, partition=to_document(plan(cores=3)))
    assert snapshot(root) == before


def test_the_watcher_is_set_up_by_default_and_undone_exactly(root):
    before = snapshot(root)
    made = run(root, watcher=True)
    resources = [change["resource"] for change in made["changes"]]
    assert {WATCHER_UNIT, WATCHER_LINK} <= set(resources)
    assert WATCHER not in resources, "no systemd here"
    assert run(root, watcher=True)["changed"] is False
    off = run(root, watcher=False)
    assert [change["resource"] for change in off["changes"]] == [WATCHER_LINK, WATCHER_UNIT]
    assert text(root, "/proc/irq/9/smp_affinity_list") == "0", "only the watcher is gone"
    run(root, watcher=True)
    run(root, state="absent")
    after = snapshot(root)
    assert {path: after.get(path) for path in before if not path.startswith("/proc/")} == {
        path: entry for path, entry in before.items() if not path.startswith("/proc/")
    }
    assert set(after) == set(before)
    assert text(root, "/proc/irq/9/smp_affinity_list") == "0-3"


def test_a_partition_without_isolated_cpus_leaves_only_its_options(root):
    queue = "/sys/class/net/ens1/queues/rx-0/rps_cpus"
    fill(root, {queue: "f\n"})
    before = snapshot(root)
    given = {"irqbalance": True, "watcher": True}
    run(root, **given)
    assert [text(root, path) for path in ("/proc/irq/9/smp_affinity_list", queue)] == ["0", "00000001"]
    nothing = {**given, "partition": to_document(plan(Intent(realtime="0")))}
    fill(root, documented(nothing["partition"]))
    predicted = run(root, check_mode=True, **nothing)
    assert run(root, **nothing)["changes"] == predicted["changes"]
    restored = ("/proc/irq/9/smp_affinity_list", "/proc/irq/default_smp_affinity", queue)
    assert [text(root, path) for path in restored] == ["0-3", "f", "f"]
    left = {path for path in snapshot(root) if path not in before}
    assert left == {"/etc/realtime-kvm", config_path("irq_affinity"), STATE_DIR, JOURNAL, LOCK}
    assert run(root, **nothing)["changed"] is False
    run(root, state="absent")
    assert set(snapshot(root)) == set(before)


NIC, DISK = "/proc/irq/24", "nvme9q1"


@pytest.fixture(name="replaced")
def _replaced(root):
    """A NIC's interrupt was moved; the NIC goes, and its interrupt's number is another device's, whose driver chose CPU 0."""
    fill(root, {f"{NIC}/eth0-rx/": None, f"{NIC}/smp_affinity_list": "0-3\n"})
    run(root)
    assert text(root, f"{NIC}/smp_affinity_list") == "0"
    (root / f"{NIC[1:]}/eth0-rx").rmdir()
    fill(root, {f"{NIC}/{DISK}/": None})
    return root


def test_undo_leaves_the_interrupt_of_another_device_alone(replaced):
    host = writable(replaced, "irq_affinity")
    result = carry_out(Edges(host, lambda _command: (0, "", "")), irq_affinity.run, {**PARAMETERS, "state": "absent"})
    assert text(replaced, f"{NIC}/smp_affinity_list") == "0"
    assert f"{NIC}/smp_affinity_list" not in {change["resource"] for change in result["changes"]}
    assert host.notes == [
        f"{NIC}/smp_affinity_list is that of {DISK} now, not of eth0-rx, so its former value 0-3 is not restored"
    ]
    assert not (replaced / JOURNAL[1:]).exists()


def test_another_devices_interrupt_that_is_moved_goes_back_to_its_own_cpus(replaced):
    fill(replaced, {f"{NIC}/smp_affinity_list": "0-1\n"})
    run(replaced)
    assert text(replaced, f"{NIC}/smp_affinity_list") == "0"
    run(replaced, state="absent")
    assert text(replaced, f"{NIC}/smp_affinity_list") == "0-1"


@pytest.mark.parametrize("handlers", [(), ("eth0-rx", "uhci"), ("uhci", "eth0-rx")])
def test_an_interrupt_without_handlers_or_with_one_more_is_the_same(root, handlers):
    fill(root, {f"{NIC}/eth0-rx/": None, f"{NIC}/smp_affinity_list": "0-3\n"})
    run(root)
    (root / f"{NIC[1:]}/eth0-rx").rmdir()
    fill(root, {f"{NIC}/{name}/": None for name in handlers})
    run(root, state="absent")
    assert text(root, f"{NIC}/smp_affinity_list") == "0-3"


@pytest.mark.parametrize(("device", "mask"), [("0000:42:00.0", "00000001"), ("0000:41:00.0", "f")])
def test_the_queues_of_another_interface_of_the_same_name_are_left_alone(root, device, mask):
    link, queue = "/sys/class/net/ens1", "queues/rx-0/rps_cpus"
    first = "/sys/devices/pci0000:00/0000:41:00.0/net/ens1"
    other = f"/sys/devices/pci0000:00/{device}/net/ens1"
    fill(root, {f"{first}/{queue}": "f\n", link: ("link", f"../../..{first}")})
    run(root)
    assert text(root, f"{link}/{queue}") == "00000001"
    (root / link[1:]).unlink()
    fill(root, {f"{other}/{queue}": "00000001\n", link: ("link", f"../../..{other}")})
    run(root, state="absent")
    assert text(root, f"{link}/{queue}") == mask
