# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node with PCI functions and a libvirt, and guests that ask for them."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._devices.marks import NAMESPACE, PCI, address_in
from unit.functions import Functions
from unit.guests import Node
from unit.trees import fill, snapshot, task

GUEST = {"name": "plc1", "memory_mib": 256, "vcpus": 2, "realtime_vcpus": "1"}


def with_devices(*devices, name="plc1", **more):
    """A guest of the list with these devices."""
    return {**GUEST, "name": name, "devices": list(devices), **more}


class DeviceNode(Node):
    """A node with functions; ``commands`` are those of driverctl and ip that change something."""

    def __init__(self, root, **functions):
        super().__init__(root)
        self.functions = Functions(root, **functions)
        tools = self.tools

        def runner(command):
            return self.functions.runner(command) if command[0] in ("ip", "driverctl", "modprobe") else tools(command)

        self.tools = runner
        start = self.libvirt.run

        def run(name):
            start(name)
            self._give(self.tree(name))

        self.libvirt.run = run

    def _give(self, tree):
        """What libvirt sets of a virtual function when it starts a guest."""
        for interface in tree.findall("devices/interface[@type='hostdev']"):
            number = self.functions.number_of(address_in(interface))
            tag = interface.find("vlan/tag")
            vlans = [{"vlan": int(tag.get("id"))}] if tag is not None else []
            self.functions.vfs[number].update({"address": interface.find("mac").get("address"), "vlan_list": vlans})

    @property
    def commands(self):
        return self.functions.commands

    def refuse(self, *guests, **parameters):
        def state():
            files = {path: found for path, found in snapshot(self.root).items() if not path.endswith(("realtime-kvm", "/lock"))}
            return files, list(self.commands), dict(self.libvirt.definitions), dict(self.libvirt.live)

        before, messages = state(), []
        for check in (True, False):
            with pytest.raises(RefusalError) as error:
                self.run(*guests, check=check, **parameters)
            messages.append(str(error.value))
            assert state() == before
        assert (self.libvirt.calls, messages[0]) == ([], messages[1])
        return messages[0]

    def outcome(self):
        """What undo and a second run are compared by."""
        return {
            path: found for path, found in snapshot(self.root).items() if path.endswith("/driver") or path.startswith("/etc/")
        }


def domain_of(name, *addresses, interrupts="0", **settings):
    """A domain of this collection with these functions, and what our metadata says of them."""
    more = "".join(f" {key}='{value}'" for key, value in settings.items())
    marks = "".join(f"<r:assigned address='{address}' interrupts='{interrupts}'{more}/>" for address in addresses)
    parts = [address.replace(".", ":").split(":") for address in addresses]
    place = "domain='0x{}' bus='0x{}' slot='0x{}' function='0x{}'"
    devices = "".join(
        f"<hostdev mode='subsystem' type='pci'><source><address {place.format(*one)}/></source></hostdev>" for one in parts
    )
    metadata = f"<metadata><r:guest xmlns:r='{NAMESPACE}'>{marks}</r:guest></metadata>"
    return f"<domain type='kvm'><name>{name}</name>{metadata}<devices>{devices}</devices></domain>"


def running_guest(root, name, *addresses, vcpus=("0",), vectors=(), pid=500, **more):
    """Files of a running guest: libvirt's, and its vCPUs' threads; ``vectors`` are the numbers of its first function's interrupts."""
    text = domain_of(name, *addresses, **more)
    files = {
        f"/run/libvirt/qemu/{name}.xml": f"<domstatus state='running' pid='{pid}'>{text}</domstatus>",
        f"/run/libvirt/qemu/{name}.pid": str(pid),
        f"/etc/libvirt/qemu/{name}.xml": text,
    }
    for number, cpus in enumerate(vcpus):
        files.update(task(f"/proc/{pid}/task/{pid + 1 + number}", f"CPU {number}/KVM", allowed=cpus))
    for number in vectors:
        files[f"{PCI}/{addresses[0]}/msi_irqs/{number}"] = "msix\n"
    return fill(root, files)
