# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drivers of functions: handed over and given back; _switch/test_nic.py and _guests/test_device_plan.py do whole runs."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._devices import binding
from unit.functions import DISK, Functions, vf
from unit.trees import fill, writable


@pytest.fixture(name="tree")
def _tree(tmp_path):
    fill(tmp_path, {"/proc/sys/kernel/random/boot_id": "b", "/var/lib/": None})
    return Functions(tmp_path)


def run(tree, planner):
    host = writable(tree.root, "rt_domain")
    with host.locked():
        planner(host)
        host.commit()
    return host


def test_there_and_back(tree):
    run(tree, lambda host: binding.plan_hand_over(host, tree.runner, DISK, name="", reason="r"))
    assert (tree.root / "etc/driverctl.d" / f"pci-{DISK}").read_text() == "vfio-pci\n"
    detached = []
    run(tree, lambda host: binding.release_unused(host, tree.runner, [DISK], detached.append))
    assert detached == []
    host = run(tree, lambda host: binding.release_unused(host, tree.runner, [], detached.append))
    assert (detached, host.entries("driver"), list((tree.root / "etc/driverctl.d").iterdir())) == ([DISK], {}, [])


def test_one_that_vfio_has_is_kept_over_boots_and_nobody_takes_it(tree):
    tree.bind(DISK, "mlx5_vfio_pci")
    assert not binding.is_kept(writable(tree.root), DISK)
    host = run(tree, lambda host: binding.plan_hand_over(host, tree.runner, DISK, name="", reason="r"))
    assert [(change.before, change.after, change.disruption) for change in host.changes] == [
        ("mlx5_vfio_pci until a boot", "mlx5_vfio_pci, kept over boots", "none")
    ]
    assert ((tree.root / f"etc/driverctl.d/pci-{DISK}").read_text(), tree.commands) == ("mlx5_vfio_pci\n", [])
    assert binding.is_kept(writable(tree.root), DISK)
    run(tree, lambda host: binding.release_unused(host, tree.runner, []))
    assert (list((tree.root / "etc/driverctl.d").iterdir()), tree.commands) == ([], [])


@pytest.mark.parametrize("driver", ["nvme", ""])
def test_vfio_that_knows_the_device_gives_it_back_all_the_same(tree, monkeypatch, driver):
    """As on a node: driverctl has told vfio-pci the device's id, so the kernel binds it again when its override is gone."""
    tree.bind(DISK, driver)
    run(tree, lambda host: binding.plan_hand_over(host, tree.runner, DISK, name="", reason="r"))
    override = tree.root / "etc/driverctl.d" / f"pci-{DISK}"
    monkeypatch.setattr(tree, "_driverctl", lambda _command, **_probe: (0, "", "", override.unlink())[:3])
    written = []

    def write(_host, path, value):
        written.append((path.rpartition("/")[2], value))
        if path.endswith("/unbind"):
            tree.bind(DISK, "")
        elif path.endswith("/drivers_probe"):
            tree.bind(DISK, written[0][1].strip())

    monkeypatch.setattr(binding.Host, "write_value", write)
    host = run(tree, lambda host: binding.release_unused(host, tree.runner, []))
    assert (binding.driver_of(host, DISK), host.entries("driver")) == (driver, {})
    probed = [("driver_override", "nvme\n"), ("unbind", DISK), ("drivers_probe", DISK), ("driver_override", "\n")]
    assert written == (probed if driver else [("unbind", DISK)])
    monkeypatch.setattr(binding.Host, "write_value", lambda *_arguments: None)
    tree.bind(DISK, "vfio-pci")
    with pytest.raises(
        HostError, match=f"{DISK}: it is bound to vfio-pci and not to its former one, {driver or 'none'}; load that driver"
    ):
        binding._give_back(host, tree.runner, DISK, driver)


@pytest.mark.parametrize(
    ("driver", "override"),
    [
        ("nvme", "vfio-pci"),
        ("nvme", "igb_uio"),
        ("nvme", "none"),
        ("", "vfio-pci"),
        ("", "none"),
        ("uio_pci_generic", "uio_pci_generic"),
    ],
)
def test_a_driver_beside_driverctls_own_is_back_and_what_driverctl_keeps_too(tree, driver, override):
    """Somebody has bound the device by hand meanwhile, or the module of the other driver is missing."""
    tree.bind(DISK, driver)
    kept = tree.root / f"etc/driverctl.d/pci-{DISK}"
    kept.write_text(f"{override}\n")
    run(tree, lambda host: binding.plan_hand_over(host, tree.runner, DISK, name="", reason="r"))
    host = run(tree, lambda host: binding.release_unused(host, tree.runner, []))
    assert (binding.driver_of(host, DISK), kept.read_text(), host.entries("driver")) == (driver, f"{override}\n", {})


def test_a_virtual_function_without_a_driver_has_none_again(tree):
    """Those that kvm_host makes are never probed, so driverctl would fail, and keep its override."""
    tree.make(1)
    run(tree, lambda host: binding.plan_hand_over(host, tree.runner, vf(0), name="", reason="r"))
    host = run(tree, lambda host: binding.release_unused(host, tree.runner, []))
    assert (binding.driver_of(host, vf(0)), host.entries("driver")) == ("", {})
    assert list((tree.root / "etc/driverctl.d").iterdir()) == []


def test_a_virtual_function_with_a_driver_has_it_again_though_none_is_probed(tree, monkeypatch):
    tree.make(1)
    tree.bind(vf(0), "iavf")
    run(tree, lambda host: binding.plan_hand_over(host, tree.runner, vf(0), name="", reason="r"))
    written = []

    def write(_host, path, value):
        written.append((path.rpartition("/")[2], value))
        if path.endswith("/drivers_probe"):
            tree.bind(vf(0), written[0][1].strip())

    monkeypatch.setattr(binding.Host, "write_value", write)
    host = run(tree, lambda host: binding.release_unused(host, tree.runner, []))
    assert (binding.driver_of(host, vf(0)), host.entries("driver"), tree.commands[-1]) == ("iavf", {}, "modprobe iavf")
    assert written == [("driver_override", "iavf\n"), ("drivers_probe", vf(0)), ("driver_override", "\n")]
    assert list((tree.root / "etc/driverctl.d").iterdir()) == []


def test_a_function_that_driverctl_cannot_take_from_vfio_keeps_its_override(tree):
    run(tree, lambda host: binding.plan_hand_over(host, tree.runner, DISK, name="", reason="r"))
    tree.refuse = {DISK: "driverctl: unbinding failed\n"}
    with pytest.raises(HostError, match=r"unset-override .* failed: driverctl: unbinding failed"):
        run(tree, lambda host: binding.release_unused(host, tree.runner, []))
    assert (tree.root / f"etc/driverctl.d/pci-{DISK}").exists()


def test_a_function_that_has_gone_leaves_no_override(tree):
    tree.make(1)
    run(tree, lambda host: binding.plan_hand_over(host, tree.runner, vf(0), name="", reason="r"))
    tree.make(0)
    host = run(tree, lambda host: binding.release_unused(host, tree.runner, []))
    assert (len(host.changes), host.entries("driver"), list((tree.root / "etc/driverctl.d").iterdir())) == (1, {}, [])


def test_a_driver_that_is_not_there_after_all(tree):
    tree._driverctl = lambda _command, **_probe: (0, "", "")
    with pytest.raises(HostError, match="driverctl reported no error, but the device is bound to nvme, not vfio-pci"):
        run(tree, lambda host: binding.plan_hand_over(host, tree.runner, DISK, name="", reason="r"))


def test_names():
    assert binding.address_in(binding.resource_of(DISK)) == DISK
