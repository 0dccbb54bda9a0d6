# SPDX-License-Identifier: GPL-3.0-or-later
"""The owner of a domain, from its metadata: this collection or OpenStack's nova. Pure."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from .domain_xml import accounting, is_ours

#: nova writes its version at the end of the namespace (nova/virt/libvirt/config.py).
_NOVA = re.compile(r"\{http://openstack\.org/xmlns/libvirt/nova/[\d.]+\}(\w+)")
_CREATED = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.\d+)?Z?")


def owner_of(tree: ET.Element) -> dict[str, str]:
    """Return owner, project, class, time of creation (ISO 8601, UTC) and manager; empty where the metadata lacks them."""
    if is_ours(tree):
        return {**accounting(tree), "created": "", "manager": "realtime.kvm"}
    for element in tree.findall("metadata/*"):
        if _name(element) == "instance":
            return _of_nova(element)
    return {"owner": "", "project": "", "class": "", "created": "", "manager": ""}


def _name(element: ET.Element) -> str:
    """Return the name of an element of nova's, an empty text for others (a comment's tag is no text)."""
    match = _NOVA.fullmatch(element.tag) if isinstance(element.tag, str) else None
    return match[1] if match else ""


def _of_nova(instance: ET.Element) -> dict[str, str]:
    found = {_name(element): element for element in instance.iter()}

    def text(name: str) -> str:
        element = found.get(name)
        return "" if element is None else (element.text or "").strip()

    created = _CREATED.fullmatch(text("creationTime"))
    flavor = found.get("flavor")
    return {
        "owner": text("user"),
        "project": text("project"),
        "class": flavor.get("name", "") if flavor is not None else "",
        "created": f"{created[1]}T{created[2]}Z" if created else "",
        "manager": "nova",
    }
