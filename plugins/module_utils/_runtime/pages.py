# SPDX-License-Identifier: GPL-3.0-or-later
"""The feature of kvm_host. Edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._cpus.pages import PAGE_MIB
from .._cpus.partition import Partition
from .._devices.functions import is_address
from .._devices.virtual import plan_functions
from .._host.host import Host
from .._memory.pools import plan_pages
from .feature import Feature, one_of, plan_settings
from .kvm_settings import kvm_settings


def _plan_kvm_host(host: Host, partition: Partition, options: Mapping[str, Any]) -> None:
    del partition  # the numbers of pages already depend on it
    plan_pages(host, options["pages"])
    settings = kvm_settings(options["nx_huge_pages"], options["halt_poll_ns"])
    # "never" means off until the next boot
    plan_settings(host, [setting for setting in settings if host.value(setting.path) != "never"])
    plan_functions(host, options.get("virtual_functions", {}))


def _check_pages(pages: Any) -> str:
    good = isinstance(pages, dict) and all(
        node.isdecimal()
        and isinstance(sizes, dict)
        and set(sizes) <= set(PAGE_MIB)
        and all(isinstance(count, int) and count > 0 for count in sizes.values())
        for node, sizes in pages.items()
    )
    return "" if good else "not numbers of pages by NUMA node and size"


def _check_functions(value: Any) -> str:
    good = isinstance(value, dict) and all(
        is_address(str(address)) and isinstance(count, int) and count >= 0 for address, count in value.items()
    )
    return "" if good else "not numbers of virtual functions by PCI address"


def _check_devices(value: Any) -> str:
    good = isinstance(value, dict) and all(isinstance(labels, list) for labels in value.values())
    return "" if good else "not lists of devices by guest"


def _check_halt_poll(value: Any) -> str:
    return "" if isinstance(value, int) and value >= -1 else "not a number of nanoseconds (-1: left alone)"


PAGES = Feature(
    "kvm_host",
    "kvm_host",
    _plan_kvm_host,
    {
        "pages": _check_pages,
        "nx_huge_pages": one_of("keep", "off", "never"),
        "halt_poll_ns": _check_halt_poll,
        "virtual_functions": _check_functions,
        "devices": _check_devices,  # of guests, by their names: they need the IOMMU
    },
    {"pages": {}, "nx_huge_pages": "keep", "halt_poll_ns": -1, "virtual_functions": {}, "devices": {}},
)
