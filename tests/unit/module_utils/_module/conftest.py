# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes and snapshots that tests of modules begin with, and the modules as Ansible calls them."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.realtime.kvm.plugins.module_utils._boot.loader import GRUB_CFG, GRUB_DEFAULTS
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._module import _door
from unit.calls import MODULES
from unit.guests import Node
from unit.menus import MakeConfig
from unit.plants import Plant
from unit.trees import fill, machine_files, snapshot


@pytest.fixture(name="node")
def _node(tmp_path):
    """A node with guests, for rt_domain and rt_domain_info."""
    return Node(tmp_path)


@pytest.fixture(name="call")
def _call(capsys):
    def call(name, *, check=False, **arguments):
        with patch_module_args({**arguments, "_ansible_check_mode": check}), pytest.raises(SystemExit) as stopped:
            MODULES[name].main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        result = json.loads(out)
        assert bool(result.get("failed")) == (stopped.value.code != 0)
        return result

    return call


@pytest.fixture(name="snap")
def _snap(tmp_path):
    """A captured machine, for fsroot."""
    device = "/sys/devices/pci0000:00/0000:00:03.0"
    network = {
        f"{device}/net/ens1/": None,
        f"{device}/class": "0x020000\n",
        f"{device}/numa_node": "0\n",
        "/sys/bus/pci/devices/0000:00:03.0": ("link", "../../../devices/pci0000:00/0000:00:03.0"),
        "/sys/class/net/ens1": ("link", "../../devices/pci0000:00/0000:00:03.0/net/ens1"),
    }
    return fill(tmp_path / "snap", {**machine_files(cores=4, threads=2), **network})


@pytest.fixture(name="refuse")
def _refuse(call, snap):
    def refuse(name, **arguments):
        before = snapshot(snap)
        result = call(name, fsroot=str(snap), **arguments)
        assert result.get("failed"), result
        assert snapshot(snap) == before
        return result["msg"]

    return refuse


@pytest.fixture(name="tree")
def _tree(tmp_path, monkeypatch):
    """A tree that takes itself for a machine, with a boot loader."""
    root = tmp_path / "node"
    kernel = "6.1.0-50-rt-amd64"
    files = {
        **machine_files(isolated="1-3"),
        "/proc/sys/vm/stat_interval": "1\n",
        "/proc/irq/default_smp_affinity": "f\n",
        "/sys/devices/system/cpu/cpu1/power/pm_qos_resume_latency_us": "0\n",
        **{f"{folder}/": None for folder in ("/var/lib", "/run", "/usr/local/lib", "/etc/systemd/system", "/etc/default/grub.d")},
        "/usr/sbin/grub-mkconfig": "",
        GRUB_DEFAULTS: 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n',
        f"/boot/vmlinuz-{kernel}": "",
        "/boot/grub/": None,
    }
    fill(root, files)
    make = MakeConfig(root)
    make(["/usr/sbin/grub-mkconfig", "-o", f"{root}{GRUB_CFG}"])
    monkeypatch.setattr(_door, "Host", lambda _root, **options: Host(str(root), **options))
    monkeypatch.setattr(_door, "runner_of", lambda _module: make)
    return root


@pytest.fixture(name="plant")
def _plant(tmp_path, monkeypatch):
    """A converged node with guests and a switch, for rt_audit."""
    return Plant(tmp_path / "node", monkeypatch)
