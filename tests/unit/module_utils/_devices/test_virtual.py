# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual functions are made, kept over boots, and removed as the kernel allows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError, RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._devices import virtual
from ansible_collections.realtime.kvm.plugins.module_utils._devices.use import Use
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from unit.functions import DISK, NIC, Functions, vf
from unit.trees import fill

USE = Use()


class Kernel(Host):
    """A host whose kernel makes virtual functions: a number only where there is none, and no more than there can be."""

    functions: Functions
    busy = False

    def write_value(self, path, value):
        if virtual.is_number_file(path):
            if value != "0" and self.value(path) != "0":
                raise AssertionError("EBUSY")
            self.functions.make(int(value))
            return
        super().write_value(path, value)


@pytest.fixture(name="tree")
def _tree(tmp_path):
    fill(tmp_path, {"/proc/sys/kernel/random/boot_id": "b", "/var/lib/": None})
    return Functions(tmp_path)


@pytest.fixture(name="host")
def _host(tree):
    def make(check=False):
        host = Kernel(str(tree.root), owner="kvm_host", check_mode=check)
        host.functions = tree
        return host

    return make


def run(host, planner):
    with host.locked():
        planner(host)
        host.commit()
    return [(change.resource.rsplit("/", 1)[1], change.before, change.after, change.disruption) for change in host.changes]


def test_made_repeated_changed_and_taken_back(host, tree):
    def plan(count):
        return lambda host: virtual.plan_functions(host, {NIC: count})

    made = [("sriov_drivers_autoprobe", "1", "0", "none"), ("sriov_numvfs", "0", "2", "stall")]
    assert run(host(check=True), plan(2)) == made
    assert run(host(), plan(2)) == made
    assert (host().value(virtual.number_file(NIC)), run(host(), plan(2))) == ("2", [])
    assert run(host(), plan(4)) == [("sriov_numvfs", "2", "4", "guest")]
    changes = run(host(), lambda host: virtual.restore_functions(host, USE))
    assert changes == [("sriov_drivers_autoprobe", "0", "1", "none"), ("sriov_numvfs", "4", "0", "guest")]  # in this order
    assert (host().value(virtual.number_file(NIC)), host().entries("value")) == ("0", {})


def test_drivers_that_somebody_lets_loose_again_are_drift_where_the_functions_are_ours(host, tree):
    def plan(host):
        virtual.plan_functions(host, {NIC: 2})

    loose = Path(f"{tree.root}{tree.folder(NIC)}/sriov_drivers_autoprobe")
    tree.make(2)
    assert run(host(), plan) == []  # somebody else's functions
    tree.make(0)
    run(host(), plan)
    loose.write_text("1\n")
    assert run(host(), plan) == [("sriov_drivers_autoprobe", "1", "0", "none")]
    assert run(host(), plan) == []
    run(host(), lambda host: virtual.restore_functions(host, USE))
    assert (loose.read_text().strip(), host().entries("value")) == ("1", {})


def test_a_function_that_is_named_no_more_has_its_number_again(host):
    run(host(), lambda host: virtual.plan_functions(host, {NIC: 2}))
    assert run(host(), lambda host: virtual.restore_functions(host, USE, {NIC: 2})) == []
    assert run(host(), lambda host: virtual.restore_functions(host, USE, {DISK: 2}))[1][:3] == ("sriov_numvfs", "2", "0")


def test_a_function_that_has_gone_is_noted(host):
    found = host()
    virtual.plan_functions(found, {"0000:09:00.0": 2})
    assert (found.changes, found.notes) == (
        [],
        ["0000:09:00.0 is not there, or can have no virtual functions, so none are made (kvm_host_virtual_functions)"],
    )


def test_names_and_addresses(host):
    assert virtual.resolve_functions(host(), {"ens1f0": 4, "01:00.0": 4}) == {NIC: 4}


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (
            {"ens9": 2},
            "kvm_host_virtual_functions: ens9 is not on this node; functions that can have virtual ones are: 0000:01:00.0 (ens1f0 igb)",
        ),
        ({"../x": 2}, "kvm_host_virtual_functions: ../x is not on this node"),
        (
            {"ens1f0": 8},
            "kvm_host_virtual_functions: ens1f0: 8 virtual functions are asked for, and it can have at most 7 (sriov_totalvfs)",
        ),
        ({"ens1f0": -1}, "ens1f0: -1 is not a number of virtual functions; give 1 to 7, or 0 for none"),
        ({"ens1f0": True}, "True is not a number"),
        ({"ens1f0": "4"}, "'4' is not a number"),
        ({DISK: 1}, f"{DISK} can have no virtual functions; functions that can are: 0000:01:00.0 (ens1f0 igb)"),
        ({"ens1f0": 2, NIC: 3}, f"{NIC}: 0000:01:00.0 is named twice, with different numbers"),
    ],
)
def test_numbers_that_cannot_be(host, wanted, said):
    with pytest.raises(RefusalError) as error:
        virtual.resolve_functions(host(), wanted)
    assert said in str(error.value)


def test_a_physical_function_at_vfio(host, tree):
    tree.bind(NIC, "vfio-pci")
    with pytest.raises(RefusalError, match=f"{NIC} is bound to vfio-pci, and only its network driver sets virtual functions up"):
        virtual.resolve_functions(host(), {NIC: 2})


def test_a_physical_function_without_driver(host, tree):
    tree.bind(NIC, "")
    with pytest.raises(RefusalError, match=f"{NIC} is bound to no driver, and only its network driver sets virtual functions up"):
        virtual.resolve_functions(host(), {NIC: 2})


def test_a_number_that_the_driver_refuses(host):
    found = host()

    def refuse(path, _value):
        if virtual.is_number_file(path):
            raise HostError("No space left")

    found.write_value = refuse
    with pytest.raises(
        HostError, match=r"No space left; the kernel's log has the driver's reason .journalctl -k.: mostly too little"
    ):
        run(found, lambda host: virtual.plan_functions(host, {NIC: 2}))


def used_by_guest(tree):
    tree.bind(vf(1), "vfio-pci")
    return USE, f"in use are {vf(1)} (vfio-pci)"


def used_by_node(tree):
    fill(tree.root, {f"{tree.folder(vf(0))}/net/ens1f0v0/": None, "/sys/class/net/ens1f0v0/": None})
    return Use(addresses={"ens1f0v0": ["192.0.2.1/24"]}), f"in use are {vf(0)} (ens1f0v0 no driver)"


def used_by_program(tree):
    tree.bind(vf(1), "uio_pci_generic")
    return USE, f"in use are {vf(1)} (uio_pci_generic)"


def mounted(tree):
    """A disk with virtual functions of its own."""
    tree.bind(vf(0), "nvme")
    disk = f"{tree.folder(vf(0))}/nvme/nvme1/nvme1n1"
    files = {f"{disk}/dev": "259:4\n", "/sys/class/block/": None, "/sys/class/block/nvme1n1": ("link", f"../../..{disk}")}
    fill(tree.root, {**files, "/proc/1/mountinfo": "25 1 259:4 / /srv rw - xfs /dev/nvme1n1 rw\n"})
    return USE, f"in use are {vf(0)} (nvme)"


@pytest.mark.parametrize("how", [used_by_guest, used_by_node, used_by_program, mounted])
def test_another_number_while_one_is_in_use(host, tree, how):
    run(host(), lambda host: virtual.plan_functions(host, {NIC: 2}))
    use, said = how(tree)
    with pytest.raises(RefusalError) as error:
        virtual.check_functions(host(), use, {NIC: 4})
    assert (
        f"{NIC} has 2 virtual functions, and the kernel changes that number to 4 only by removing all of them first; {said}"
        in str(error.value)
    )
    virtual.check_functions(host(), use, {NIC: 2})
    virtual.check_functions(host(), USE, {DISK: 2, "0000:09:00.0": 1})
    with pytest.raises(RefusalError, match="keeps its 2 virtual functions while they are in use"):
        run(host(), lambda host: virtual.restore_functions(host, use, guests_first=True))
    for check in (True, False):
        with pytest.raises(RefusalError, match="take them from their guests in a run of its own first"):
            virtual.restore_functions(host(check=check), use)
    dry = host(check=True)
    virtual.restore_functions(dry, use, guests_first=True)  # the guests' devices are taken back before
    assert "the real run removes them after the guests' devices" in dry.notes[0]


def test_the_boot_service_waits_for_drivers(host, tree, monkeypatch):
    tree.bind(NIC, "")
    waits = []
    monkeypatch.setattr(
        virtual.time, "sleep", lambda seconds: waits.append(seconds) or (len(waits) == 3 and tree.bind(NIC, "igb"))
    )
    virtual.await_drivers(host(), {NIC: 2, "0000:09:00.0": 1})
    assert len(waits) == 3
    tree.bind(NIC, "")
    waits.clear()
    monkeypatch.setattr(virtual.time, "sleep", waits.append)
    virtual.await_drivers(host(), {NIC: 2})
    assert sum(waits) == virtual.WAIT_S


def test_the_boot_service_waits_for_an_interface_that_its_driver_needs(host, tree, monkeypatch):
    """bnxt_en makes no functions while it is down, without an error (systemd issue 40739)."""
    tree.bind(NIC, "bnxt_en")
    flags = tree.root / tree.folder(NIC).lstrip("/") / "net/ens1f0/flags"
    flags.write_text("0x1002\n")
    node = host()
    node.write_value = lambda *_arguments: None
    with pytest.raises(HostError, match=r"the kernel shows 0; ens1f0 is down, and some drivers .* only while it is up"):
        virtual._set(node, virtual.number_file(NIC), "2")
    waits = []
    monkeypatch.setattr(
        virtual.time, "sleep", lambda seconds: waits.append(seconds) or (len(waits) == 3 and flags.write_text("0x1003\n"))
    )
    virtual.await_drivers(host(), {NIC: 2})
    assert len(waits) == 3


def test_the_boot_service_waits_for_what_driverctl_hands_over(host, tree, monkeypatch):
    tree.make(2)
    fill(tree.root, {f"/etc/driverctl.d/pci-{vf(1)}": "vfio-pci\n"})
    waits = []
    monkeypatch.setattr(
        virtual.time, "sleep", lambda seconds: waits.append(seconds) or (len(waits) == 3 and tree.bind(vf(1), "vfio-pci"))
    )
    virtual.await_overrides(host(), {NIC: 2, "0000:09:00.0": 1})
    assert len(waits) == 3
    tree.bind(vf(1), "")
    waits.clear()
    monkeypatch.setattr(virtual.time, "sleep", waits.append)
    virtual.await_overrides(host(), {NIC: 2})
    assert sum(waits) == virtual.WAIT_S
    waits.clear()
    fill(tree.root, {f"/etc/driverctl.d/pci-{vf(1)}": "none\n"})  # it shall have no driver
    virtual.await_overrides(host(), {NIC: 2})
    assert waits == []
