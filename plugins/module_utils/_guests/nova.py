# SPDX-License-Identifier: GPL-3.0-or-later
"""What the XML of an instance of OpenStack's Nova says: whose it is, and which CPUs its threads have. Pure.

Nova writes both itself (nova/virt/libvirt/config.py: LibvirtConfigGuestMetaNovaInstance, LibvirtConfigGuestCPUTune). Names of
instances, flavors, users and projects are what a tenant typed: data, shown with its control characters as codes.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field

from .._cpus.answers import plain
from .._cpus.cpulist import parse_or_empty
from .domain_xml import is_ours, read_schedulers, whole

#: The version at the end of the namespace: 1.0 from Juno on, 1.1 since metadata has the ports.
_NOVA = re.compile(r"\{http://openstack\.org/xmlns/libvirt/nova/1\.\d+\}(\w+)", re.ASCII)
_CREATED = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.\d+)?Z?", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
#: Nova's default instance_name_template (nova/conf/compute.py).
_NAME = re.compile(r"instance-[0-9a-f]{8}", re.ASCII)
#: What Nova calls itself in <sysinfo> (nova/version.py, product_string; Red Hat's packages: OpenStack Compute).
_PRODUCT = re.compile(r"OpenStack (Nova|Compute)\b")
#: The most characters of a name that a message shows; Nova's own limit is 255.
_SHOWN = 60


@dataclass(frozen=True)
class Instance:
    """An instance, as its metadata names it; texts are empty where it has none."""

    domain: str  # libvirt's name, such as instance-0000001a
    uuid: str = ""
    name: str = ""
    flavor: str = ""
    user: str = ""
    user_id: str = ""
    project: str = ""
    project_id: str = ""
    created: str = ""  # ISO 8601, UTC
    specs: Mapping[str, str] = field(default_factory=dict)  # the flavor's extra specs; Nova before 2025 writes none

    def __str__(self) -> str:
        """Return how messages name it: ``instance-0000001a (web, 0b7c...)``."""
        known = ", ".join(filter(None, (plain(self.name, _SHOWN), self.uuid)))
        return f"{plain(self.domain, _SHOWN)} ({known})" if known else plain(self.domain, _SHOWN)

    @property
    def server(self) -> str:
        """The argument by which ``openstack server`` finds it."""
        return self.uuid or plain(self.domain, _SHOWN)


def read_instance(tree: ET.Element) -> Instance | None:
    """Return the instance that a domain is, None for a domain that is not Nova's.

    A domain without Nova's metadata is Nova's by its product in ``<sysinfo>`` or by its name. A domain of this collection is not.
    """
    if is_ours(tree):
        return None
    domain = (tree.findtext("name") or "").strip()
    uuid = (tree.findtext("uuid") or "").strip().lower()
    bare = Instance(domain, uuid if _UUID.fullmatch(uuid) else "")
    for element in tree.findall("metadata/*"):
        if _name(element) == "instance":
            return _with_metadata(bare, element)
    products = [entry.text or "" for entry in tree.findall("sysinfo/system/entry[@name='product']")]
    return bare if any(map(_PRODUCT.match, products)) or _NAME.fullmatch(domain) else None


def _name(element: ET.Element) -> str:
    """Return the name of an element of Nova's, an empty text for others (a comment's tag is no text)."""
    match = _NOVA.fullmatch(element.tag) if isinstance(element.tag, str) else None
    return match[1] if match else ""


def _child(element: ET.Element | None, name: str) -> ET.Element | None:
    """Return the first child of Nova's with a name; only the place where Nova writes it counts."""
    return next((child for child in element if _name(child) == name), None) if element is not None else None


def _text(element: ET.Element | None) -> str:
    return "" if element is None else (element.text or "").strip()


def _attribute(element: ET.Element | None, name: str) -> str:
    return "" if element is None else element.get(name, "").strip()


def _with_metadata(bare: Instance, element: ET.Element) -> Instance:
    flavor, owner = _child(element, "flavor"), _child(element, "owner")
    user, project, specs = _child(owner, "user"), _child(owner, "project"), _child(flavor, "extraSpecs")
    created = _CREATED.fullmatch(_text(_child(element, "creationTime")))
    return Instance(
        bare.domain,
        bare.uuid,
        name=_text(_child(element, "name")),
        flavor=_attribute(flavor, "name"),
        user=_text(user),
        user_id=_attribute(user, "uuid"),
        project=_text(project),
        project_id=_attribute(project, "uuid"),
        created=f"{created[1]}T{created[2]}Z" if created else "",
        specs={item.get("name", ""): _text(item) for item in (specs if specs is not None else ()) if _name(item) == "extraSpec"},
    )


# -- its CPUs --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class InstanceCpus:
    """The CPUs of an instance's threads, by role (``vcpu0``, ``emulator``, ``iothread1``), and the policies of its vCPUs."""

    pins: Mapping[str, frozenset[int]]  # without threads that no element pins
    schedulers: Mapping[int, str]  # as ``fifo 1``, by vCPU
    hugepages: bool = False
    locked: bool = False

    @property
    def realtime(self) -> bool:
        """Whether any vCPU has a real-time policy."""
        return any(text.split(" ")[0] in ("fifo", "rr") for text in self.schedulers.values())

    @property
    def vcpus(self) -> frozenset[int]:
        """The CPUs of all pinned vCPUs."""
        return frozenset().union(*(cpus for role, cpus in self.pins.items() if role.startswith("vcpu")))

    def own(self, realtime: frozenset[int]) -> frozenset[int]:
        """Return its own CPUs of the realtime set: one of a vCPU each, and those of an emulator that has no vCPU's."""
        vcpus = frozenset().union(
            *(cpus for role, cpus in self.pins.items() if role.startswith("vcpu") and len(cpus) == 1 and cpus <= realtime)
        )
        others = [cpus for role, cpus in self.pins.items() if not role.startswith("vcpu")]
        return vcpus.union(*(cpus for cpus in others if cpus <= realtime and not cpus & self.vcpus))


def instance_cpus(tree: ET.Element) -> InstanceCpus:
    """Return the CPUs of an instance's threads.

    A vCPU without a pin runs where ``<vcpu cpuset=>`` says, and so does an emulator (libvirt, formatdomain.html). libvirt may return
    one ``vcpusched`` for each vCPU where Nova wrote one for all.
    """
    element = tree.find("vcpu")
    floating = parse_or_empty(element.get("cpuset")) if element is not None else frozenset()
    pins = {f"vcpu{vcpu}": floating for vcpu in range(min(whole(tree.findtext("vcpu")) or 0, 4096))}
    pins["emulator"] = floating
    for pin in tree.findall("cputune/vcpupin"):
        if whole(pin.get("vcpu")) is not None:
            pins[f"vcpu{whole(pin.get('vcpu'))}"] = parse_or_empty(pin.get("cpuset"))
    for pin in tree.findall("cputune/emulatorpin"):
        pins["emulator"] = parse_or_empty(pin.get("cpuset"))
    for pin in tree.findall("cputune/iothreadpin"):
        if whole(pin.get("iothread")) is not None:
            pins[f"iothread{whole(pin.get('iothread'))}"] = parse_or_empty(pin.get("cpuset"))
    backing = tree.find("memoryBacking")
    return InstanceCpus(
        {role: cpus for role, cpus in pins.items() if cpus},
        read_schedulers(tree),
        hugepages=backing is not None and backing.find("hugepages") is not None,
        locked=backing is not None and backing.find("locked") is not None,
    )


@dataclass(frozen=True)
class NodeInstance:
    """An instance on this node; of one that runs, the CPUs are those of its live XML."""

    instance: Instance
    cpus: InstanceCpus
    running: bool

    @property
    def state(self) -> str:
        """Its state as ``virsh list`` shows it."""
        return "running" if self.running else "shut off"


def instance_of(tree: ET.Element, *, running: bool) -> NodeInstance | None:
    """Return the instance that a domain is, None for a domain of others."""
    instance = read_instance(tree)
    return NodeInstance(instance, instance_cpus(tree), running) if instance else None
