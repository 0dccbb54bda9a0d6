# SPDX-License-Identifier: GPL-3.0-or-later
"""The arguments that several modules share; the doc fragment ``guests`` describes them."""

from __future__ import annotations

from typing import Any


def _text(*choices: str, default: str | None = None) -> dict[str, Any]:
    spec: dict[str, Any] = {"type": "str"}
    if choices:
        spec["choices"] = list(choices)
    if default is not None:
        spec["default"] = default
    return spec


def _list(options: dict[str, Any]) -> dict[str, Any]:
    return {"type": "list", "elements": "dict", "default": [], "options": options}


_NETWORKS = {
    "name": {"type": "str", "required": True},
    "realtime": {"type": "bool", "default": True},
    "datapath": _text("switch", "bridge", "macvtap"),
    "bridge": {"type": "str"},
    "vlan": {"type": "int"},
    "device": {"type": "str"},
    "driver": _text("vfio-pci", "keep", default="vfio-pci"),
    "mtu": {"type": "int", "default": 1500},
    "queues": {"type": "int", "default": 1},
    "physical_network": {"type": "str"},
    "kbps": {"type": "int", "default": 1000000},
    "state": _text("present", "absent", default="present"),
}
_DISKS = {
    "path": {"type": "str"},
    "pool": {"type": "str"},
    "format": _text("qcow2", "raw"),
    "base": {"type": "str"},
    "base_mode": _text("copy", "overlay"),
    "base_format": _text("qcow2", "raw"),
    "size_gib": {"type": "int"},
    "bus": _text("virtio", "scsi", "sata"),
    "read_only": {"type": "bool"},
    "cache": _text("none", "writeback", "writethrough", "directsync", "unsafe"),
    "io": _text("native", "threads", "io_uring"),
    "discard": _text("unmap", "ignore"),
}
#: Text or mapping; a mapping comes as JSON (GuestAnsibleModule).
_CLOUD_INIT = {key: {"type": "raw", "no_log": True} for key in ("user_data", "meta_data", "network_config")}
_INTERFACES = {
    "network": {"type": "str", "required": True},
    "mac": {"type": "str"},
    "queues": {"type": "int"},
    "rx_queue_size": {"type": "int", "choices": [256, 512, 1024]},
    "tx_queue_size": {"type": "int", "choices": [256, 512, 1024]},
}
_GUESTS = {
    "name": {"type": "str", "required": True},
    "state": _text("running", "present", "stopped", "absent", default="running"),
    "uuid": {"type": "str"},
    "guest_os": _text("linux", "windows", "other", default="linux"),
    "memory_mib": {"type": "int"},
    "hugepages": _text("2M", "1G", "none"),
    "vcpus": {"type": "int"},
    "realtime_vcpus": _text(default=""),
    "policy": _text("fifo", "rr"),
    "priority": {"type": "int"},
    "vcpu_schedulers": {"type": "dict"},
    "numa": _text("strict", "spread", default="strict"),
    "numa_node": {"type": "int"},
    "siblings": _text("idle", "realtime", "any", default="idle"),
    "emulator": _text("housekeeping", "own", default="housekeeping"),
    "emulator_scheduler": {"type": "dict"},
    "io_threads": {"type": "int"},
    "io_thread_scheduler": {"type": "dict"},
    "vhost": _text("emulator", "vcpu"),
    "vhost_scheduler": {"type": "dict"},
    "disks": _list(_DISKS),
    "seed": {"type": "str"},
    "cloud_init": {"type": "dict", "options": _CLOUD_INIT},
    "networks": _list(_INTERFACES),
    "devices": {"type": "list", "elements": "raw", "default": []},  # an address, or a mapping
    "agent": {"type": "bool", "default": False},
    "serial_log": {"type": "bool", "default": False},
    "watchdog": _text("reset", "poweroff", "shutdown", "pause", "inject-nmi", "none"),
    "tpm": {"type": "bool", "default": False},
    "firmware": _text("bios", "uefi"),
    "secure_boot": {"type": "bool"},
    "machine": _text(default="q35"),
    "cpu_mode": _text("host-passthrough", "host-model"),
    "invariant_tsc": {"type": "bool"},
    "dedicated_hint": {"type": "bool"},
    "hyperv": {"type": "bool"},
    "clock": _text("utc", "localtime"),
    "on_crash": _text("destroy", "restart", "preserve"),
    "xml": {"type": "str", "no_log": True},  # passwords of consoles may be in it
    "autostart": {"type": "bool"},
    "owner": _text(default=""),
    "project": _text(default=""),
    "class": _text(default=""),
    "description": _text(default=""),
    "adopt": {"type": "bool", "default": False},
    "remove_disks": {"type": "bool", "default": False},
}

#: For modules that need no guests.
NETWORKS: dict[str, Any] = {"networks": _list(_NETWORKS)}

#: partition, networks and guests, for the modules of switch, host and guests.
GUESTS: dict[str, Any] = {"partition": {"type": "dict"}, **NETWORKS, "guests": _list(_GUESTS)}

#: The definition of the guest whose inside a machine is.
INSIDE: dict[str, Any] = {
    "type": "dict",
    "options": {
        "name": {"type": "str", "required": True},
        "realtime_vcpus": {"type": "str", "required": True},
        "vcpus": {"type": "int"},
        "idle": _text("halt", "poll", default="halt"),
    },
}
