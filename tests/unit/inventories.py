# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's variables as the collection's own modules take them: known, of their type, and planned for a machine that would have them."""

from __future__ import annotations

import io
import json
import posixpath
from contextlib import redirect_stdout, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from ansible.inventory.manager import InventoryManager
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.testing import patch_module_args
from ansible.parsing.dataloader import DataLoader
from ansible.vars.manager import VariableManager
from ansible_collections.realtime.kvm.plugins.module_utils._module import _door
from ansible_collections.realtime.kvm.plugins.modules import cpu_partition, kvm_host, ovs_dpdk, rt_domain
from unit.documents import PLAYBOOK_DEFAULTS, ROLES, options
from unit.image_tools import TOOLS, ImageTools, qcow2
from unit.trees import fill, machine_files, memory_files

SHAPE = {"nodes": 2, "cores": 8, "threads": 2}
SPECS = {name: (role, spec) for role in ROLES for name, spec in options(role).items()}


def unknown(variables):
    """The names that neither a role nor a playbook of the collection nor Ansible knows."""
    return sorted(
        name for name in variables if name not in SPECS and name not in PLAYBOOK_DEFAULTS and not name.startswith("ansible_")
    )


def complaints(variables):
    """What is wrong with variables by the roles' own argument_specs; templates are left out."""
    found = [f"{name} is unknown" for name in unknown(variables)]
    for name, value in variables.items():
        if name in SPECS and not (isinstance(value, str) and "{{" in value):
            result = ArgumentSpecValidator({name: _spec(SPECS[name][1])}).validate({name: value})
            found += [f"{name}: {message}" for message in result.error_messages]
    return found


def _spec(option):
    kept = {key: option[key] for key in ("type", "elements", "choices") if key in option}
    return {
        **kept,
        **({"options": {name: _spec(each) for name, each in option["options"].items()}} if "options" in option else {}),
    }


def hosts_of(path):
    """The variables of each host as Ansible works them out of an inventory and the folders beside it."""
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[str(path)])
    assert inventory.get_hosts(), f"{path} has no hosts"
    manager = VariableManager(loader=loader, inventory=inventory)
    ours = {
        host.name: {name: value for name, value in manager.get_vars(host=host).items() if not _magic(name)}
        for host in inventory.get_hosts()
    }
    return json.loads(json.dumps(ours, default=str))


def _magic(name):
    return name.startswith(("ansible_", "inventory_", "lab_")) or name in (
        "group_names", "groups", "hostvars", "omit", "playbook_dir", "role_names", "environment",
    )  # fmt: skip


def machine(root, variables):
    """A captured server that has the NICs, bridges and images that the variables name."""
    networks, guests = variables.get("realtime_networks", []), variables.get("realtime_guests", [])
    devices = {
        *variables.get("cpu_partition_dataplane_devices", []),
        *(item["device"] for item in networks if item.get("device")),
        *variables.get("kvm_host_virtual_functions", {}),
        *(item for guest in guests for item in guest.get("devices", ()) if isinstance(item, str)),
    }
    files = {
        **machine_files(**SHAPE),
        **memory_files({0: 65536, 1: 65536}),
        "/etc/debian_version": "13.0\n",
        "/proc/cpuinfo": "vendor_id\t: GenuineIntel\nflags\t: vmx constant_tsc nonstop_tsc pdpe1gb\n",
        "/proc/sys/kernel/hostname": "kvm03\n",
        "/var/lib/libvirt/images/": None,
        "/run/": None,
        **TOOLS,
    }
    for number, name in enumerate(sorted(devices)):
        address = name if ":" in name else f"0000:{0x41 + number:02x}:00.0"
        device = f"/sys/devices/pci0000:00/{address}"
        port = f"ens{number + 70}" if ":" in name else name
        files.update(
            {
                f"{device}/class": "0x020000\n",
                f"{device}/numa_node": "0\n",
                f"{device}/driver": ("link", "../../../bus/pci/drivers/igb"),
                f"{device}/net/{port}/type": "1\n",
                f"{device}/sriov_totalvfs": "7",
                f"{device}/sriov_numvfs": "0",
                f"{device}/sriov_offset": "128",
                f"{device}/sriov_stride": "2",
                f"/sys/bus/pci/devices/{address}": ("link", f"../../../devices/pci0000:00/{address}"),
                f"/sys/class/net/{port}": ("link", f"../../devices/pci0000:00/{address}/net/{port}"),
            }
        )
    for item in networks:
        if item.get("realtime") is False or item.get("datapath") == "bridge":
            files[f"/sys/class/net/{item['bridge']}/bridge/"] = None
    for guest in guests:
        for disk in guest.get("disks", []):
            if isinstance(disk, dict) and "path" in disk:
                files.update(
                    {f"{posixpath.dirname(disk['path'])}/": None}
                    if "size_gib" in disk
                    else {disk["path"]: qcow2() if disk["path"].endswith(".qcow2") else ""}
                )
            if isinstance(disk, dict) and "base" in disk:
                files[disk["base"]] = qcow2()
    return fill(root, files)


def plan(variables):
    """Plan the host's sets, memory, switch and guests by the modules; return the first refusal, or an empty text."""
    with TemporaryDirectory() as folder:  # short, for the path of the switch's socket
        return _plan(machine(Path(folder), variables), variables)


def _plan(root, variables):
    names = [
        name for name in SPECS if SPECS[name][0] == "cpu_partition" and name.startswith("cpu_partition_") and name in variables
    ]
    answer = _call(cpu_partition, fsroot=str(root), **{name.removeprefix("cpu_partition_"): variables[name] for name in names})
    if answer.get("failed"):
        return answer["msg"]
    wanted = {"networks": variables.get("realtime_networks", []), "guests": variables.get("realtime_guests", [])}
    if not wanted["networks"] and not wanted["guests"]:
        return ""
    wanted = {"fsroot": str(root), "partition": answer["partition"], **wanted}
    memory = _call(kvm_host, **wanted, virtual_functions=variables.get("kvm_host_virtual_functions", {}))
    functions = memory.get("virtual_functions")
    others = [_call(ovs_dpdk, **wanted), _call(rt_domain, **wanted, hugepages=memory.get("pages"), virtual_functions=functions)]
    return next((answer["msg"] for answer in (memory, *others) if answer.get("failed")), "")


def _call(module, **arguments):
    out = io.StringIO()
    tools = ImageTools(arguments["fsroot"])  # no program of this machine's is run
    with (
        patch_module_args(arguments),
        patch.object(_door, "runner_of", lambda _module: tools),
        redirect_stdout(out),
        suppress(SystemExit),
    ):
        module.main()
    return json.loads(out.getvalue())
