# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PCI functions as trees of /sys, and what the kernel, ip and driverctl do to them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from ansible_collections.realtime.kvm.plugins.module_utils._devices.marks import PCI
from unit.trees import fill

#: A network device with virtual functions, as igb of QEMU shows itself; and a disk.
NIC, DISK = "0000:01:00.0", "0000:02:00.0"
ROOT = "/sys/devices/pci0000:00"


def vf(number):
    """The address of a virtual function of the network device."""
    return f"0000:01:1{number * 2 // 8}.{number * 2 % 8}"


class Functions:
    """A tree with functions behind root ports of their own, each in a group of its own."""

    def __init__(self, root, *, iommu=True, down=False):
        self.root, self.iommu, self.commands, self.refuse = root, iommu, [], {}
        self.addresses, self.routes = {}, []
        self.vfs = {}  # what ip shows of virtual functions, by number
        fill(root, {"/usr/sbin/driverctl": "", "/etc/driverctl.d/": None, "/proc/swaps": "Filename Type Size Used Priority\n"})
        self.port("0000:00:1c.0")
        self.port("0000:00:1d.0")
        able = {"totalvfs": 7, "numvfs": 0, "offset": 128, "stride": 2, "drivers_autoprobe": 1}
        self.add(NIC, "igb", above="0000:00:1c.0", name="ens1f0", more={f"sriov_{key}": value for key, value in able.items()})
        fill(root, {f"{self.folder(NIC)}/net/ens1f0/flags": "0x1002\n" if down else "0x1003\n"})
        self.add(DISK, "nvme", above="0000:00:1d.0", kind="0x010802")

    def folder(self, address):
        return os.path.realpath(f"{self.root}{PCI}/{address}")[len(str(self.root)) :]

    def port(self, address, driver="pcieport"):
        self.add(address, driver, kind="0x060400")

    def add(self, address, driver, *, above="", node="0", kind="0x020000", name="", more=None, group=""):
        device = f"{self.folder(above) if above else ROOT}/{address}"
        link = os.path.relpath(f"{self.root}{device}", f"{self.root}{PCI}")
        files = {
            f"{PCI}/": None,
            f"{device}/class": f"{kind}\n",
            f"{device}/numa_node": f"{node}\n",
            f"{PCI}/{address}": ("link", link),
            **{f"{device}/{key}": f"{value}\n" for key, value in (more or {}).items()},
        }
        if name:
            files[f"{device}/net/{name}/flags"] = "0x1003\n"
            files[f"/sys/class/net/{name}"] = ("link", f"../../..{device}/net/{name}")
        fill(self.root, files)
        if driver:
            self.bind(address, driver)
        if self.iommu:
            self.join(group or address, address)

    def join(self, group, address):
        """Make a function a member of the group of another."""
        fill(self.root, {f"/sys/kernel/iommu_groups/{group}/devices/{address}/": None})
        link = Path(f"{self.root}{self.folder(address)}/iommu_group")
        if os.path.lexists(link):
            link.unlink()
        link.symlink_to(f"{self.root}/sys/kernel/iommu_groups/{group}")

    def bind(self, address, driver):
        link = Path(f"{self.root}{self.folder(address)}/driver")
        if os.path.lexists(link):
            link.unlink()
        if driver:
            fill(self.root, {f"/sys/bus/pci/drivers/{driver}/": None})
            link.symlink_to(os.path.relpath(f"{self.root}/sys/bus/pci/drivers/{driver}", link.parent))

    def make(self, count):
        """Make virtual functions of the network device, or remove all of them."""
        folder = Path(f"{self.root}{self.folder(NIC)}")
        for link in folder.glob("virtfn*"):
            address = os.path.basename(os.readlink(link))
            shutil.rmtree(f"{self.root}{self.folder(address)}")
            os.unlink(f"{self.root}{PCI}/{address}")
            link.unlink()
        for number in range(count):
            self.add(vf(number), "", above="0000:00:1c.0")
            (folder / f"virtfn{number}").symlink_to(f"../{vf(number)}")
            Path(f"{self.root}{self.folder(vf(number))}/physfn").symlink_to(f"../{NIC}")
            self.vfs.setdefault(number, {"vf": number, "trust": False, "spoofchk": True, "rate": {"max_tx": 0, "min_tx": 0}})
        (folder / "sriov_numvfs").write_text(f"{count}\n")

    def disk(self, name, **files):
        """A disk of the nvme device."""
        base = f"{self.folder(DISK)}/nvme/nvme0/{name}"
        fill(
            self.root,
            {f"{base}/dev": "259:0\n", "/sys/class/block/": None, f"/sys/class/block/{name}": ("link", f"../../..{base}")},
        )
        fill(self.root, {f"{base}/{path}": content for path, content in files.items()})

    def number_of(self, address):
        """The number of a virtual function."""
        return next(number for number in self.vfs if vf(number) == address)

    # -- programs ----------------------------------------------------------------------------------

    def runner(self, command):
        if command[:2] == ["ip", "-json"]:
            return 0, json.dumps(self._show(command[2:])), ""
        self.commands.append(" ".join(command))
        for word, error in self.refuse.items():
            if word in command:
                return 2, "", error
        if command[0] == "driverctl":
            return self._driverctl([word for word in command if word != "--noprobe"], probe="--noprobe" not in command)
        if command[:3] == ["ip", "link", "set"]:
            self._set(command[3:])
        return 0, "", ""

    def _show(self, arguments):
        if arguments[0] == "address":
            return [
                {"ifname": name, "addr_info": [{"local": one, "prefixlen": 24, "scope": "global"} for one in found]}
                for name, found in self.addresses.items()
            ]
        if "link" in arguments:
            return [{"ifname": "ens1f0", "vfinfo_list": [self.vfs[number] for number in sorted(self.vfs)]}]
        return self.routes if arguments[0] == "-4" else []

    def _driverctl(self, command, *, probe=True):
        """As 0.111 and 0.115: what is bound to nothing in the end is an error, and then the override's file stays as it was."""
        address = command[2]
        override = Path(f"{self.root}/etc/driverctl.d/pci-{address}")
        override.parent.mkdir(parents=True, exist_ok=True)
        if command[1] == "set-override":
            override.write_text(f"{command[3]}\n")
            self.bind(address, "" if command[3] == "none" else command[3])
            return 0, "", ""
        virtual = os.path.lexists(f"{self.root}{self.folder(address)}/physfn")
        self.bind(address, {DISK: "nvme"}.get(address, "igb") if probe and not virtual else "")
        if probe and virtual:
            return 1, "", f"driverctl: failed to bind device {address} to driver \n"
        override.unlink()
        return 0, "", ""

    def _set(self, words):
        """``ip link set PF vf N key value``."""
        number = int(words[words.index("vf") + 1])
        for key, value in zip(words[3::2], words[4::2]):
            found = self.vfs[number]
            if key == "max_tx_rate":
                found["rate"]["max_tx"] = int(value)
            elif key == "vlan":
                found["vlan_list"] = [{"vlan": int(value)}]
            else:
                found[{"mac": "address"}.get(key, key)] = value if key == "mac" else value == "on"
