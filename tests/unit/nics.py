# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine with network devices as a tree, and what ip and driverctl show and do there."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import parse_networks
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import BOOT_ID
from ansible_collections.realtime.kvm.plugins.module_utils._switch.nic import plan_binding
from unit.trees import fill, writable

ADDRESS = "0000:41:00.0"
DEVICE = f"/sys/devices/pci0000:40/{ADDRESS}"
PCI = "/sys/bus/pci/devices"
NETWORK = parse_networks([{"name": "control", "device": "ens1"}])["control"]


def _info(address):
    local, _slash, length = address.partition("/")
    return {"local": local, "prefixlen": int(length), "scope": "link" if local.startswith("fe80:") else "global"}


class Machine:
    """A tree with network devices, and what the programs do to it."""

    def __init__(self, root):
        self.root, self.commands = root, []
        self.addresses, self.routes, self.ways = {}, [], {}  # by interface; default routes; interface by address of a client
        fill(root, {BOOT_ID: "b", "/var/lib/": None})
        self.add(ADDRESS, "ens1", "igb")

    def add(self, address, name, driver, *, iommu=True, node="0", inner="", kind="0x020000"):
        device = f"/sys/devices/pci0000:40/{address}"
        files = {
            f"{device}/class": f"{kind}\n",
            f"{device}/numa_node": f"{node}\n",
            f"{device}/sriov_numvfs": "0\n",
            f"{PCI}/{address}": ("link", f"../../../devices/pci0000:40/{address}"),
        }
        if driver:
            files[f"/sys/bus/pci/drivers/{driver}/"] = None
            files[f"{device}/driver"] = ("link", f"../../../bus/pci/drivers/{driver}")
        if name:
            files[f"{device}{inner}/net/{name}/"] = None
            files[f"/sys/class/net/{name}"] = ("link", f"../../devices/pci0000:40/{address}{inner}/net/{name}")
            files[f"{device}{inner}/net/{name}/device"] = ("link", f"../../../{address}" if not inner else "../..")
        if iommu:
            files[f"{device}/iommu_group/devices/{address}/"] = None
        fill(self.root, files)

    def upper(self, below, *names):
        """Build interfaces on another, one on top of the other."""
        for name in names:
            files = {f"/sys/devices/virtual/net/{name}/": None}
            if not os.path.lexists(f"{self.root}/sys/class/net/{name}"):
                files[f"/sys/class/net/{name}"] = ("link", f"../../devices/virtual/net/{name}")
            fill(self.root, {**files, f"/sys/class/net/{below}/upper_{name}/": None})
            below = name

    def _ip(self, arguments):
        if arguments[:2] == ["address", "show"]:
            return [
                {"ifname": name, "addr_info": [_info(address) for address in addresses]}
                for name, addresses in self.addresses.items()
            ]
        if arguments[:2] == ["route", "get"]:
            return [{"dst": arguments[2], "dev": self.ways[arguments[2]]}] if arguments[2] in self.ways else None
        assert arguments[1:] == ["route", "show", "table", "all", "default"]
        return [route for route in self.routes if arguments[0] == ("-6" if ":" in route.get("gateway", "") else "-4")]

    def runner(self, command):
        if command[:2] == ["ip", "-json"]:
            shown = self._ip(command[2:])
            return (0, json.dumps(shown), "") if shown is not None else (2, "", "RTNETLINK answers: Network is unreachable\n")
        self.commands.append(" ".join(command))
        if command[0] == "driverctl":
            address = command[2]
            override = Path(f"{self.root}/etc/driverctl.d/pci-{address}")
            override.parent.mkdir(parents=True, exist_ok=True)
            driver = command[3] if command[1] == "set-override" else "igb"
            if command[1] == "set-override":
                override.write_text(f"{driver}\n")
            else:
                override.unlink()
            link = Path(f"{self.root}{DEVICE}/driver")
            link.unlink()
            link.symlink_to(f"../../../bus/pci/drivers/{driver}")
            if driver == "vfio-pci" and os.path.lexists(f"{self.root}/sys/class/net/ens1"):
                os.unlink(f"{self.root}/sys/class/net/ens1")
                os.unlink(f"{self.root}{DEVICE}/net/ens1/device")
                os.rmdir(f"{self.root}{DEVICE}/net/ens1")
        return 0, "", ""

    def host(self, *, check=False):
        return writable(self.root, "ovs_dpdk", check_mode=check)

    def run(self, planner, *, check=False):
        host = self.host(check=check)
        with host.locked():
            planner(host)
            host.commit()
        return host

    def plan(self, host, devices):
        plan_binding(host, self.runner, devices, "GenuineIntel")

    def bind(self, network=NETWORK, **more):
        return self.run(lambda host: self.plan(host, {ADDRESS: network}), **more)


def network(**more):
    """The network of these tests, with another device or driver."""
    return parse_networks([{"name": "control", **more}])["control"]
