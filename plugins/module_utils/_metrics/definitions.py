# SPDX-License-Identifier: GPL-3.0-or-later
"""What metrics show of a guest's definition. Pure.

Only what comes before the devices is parsed: the rest is most of the text, and says nothing of owners and CPUs. A whole definition is read by
``_guests/domain_owner.py`` and ``_guests/domain_xml.py``, whose answers the tests compare with these.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any, NamedTuple

from .._cpus.answers import AnswerError, plain
from .._cpus.cpulist import parse_or_empty
from .._devices.marks import NAMESPACE

_OURS = f"metadata/{{{NAMESPACE}}}guest"
_NOVA = re.compile(r"(\{http://openstack\.org/xmlns/libvirt/nova/1\.\d+\})instance", re.ASCII)
_STATE = re.compile(r"<domstatus state='(\w+)'", re.ASCII)
#: States of libvirt in which a guest's CPUs do not run (virDomainState).
_STILL = ("paused", "shutoff", "crashed", "pmsuspended")


class Definition(NamedTuple):
    """Whose guest it is, how many of its vCPUs have a real-time policy, and the CPUs that its vCPUs are pinned to."""

    owner: str = ""
    project: str = ""
    size: str = ""  # its class
    realtime: int = 0
    pinned: frozenset[int] = frozenset()


def parse_definition(text: str) -> Definition:
    """Return what a domain's XML says; ``AnswerError`` where it is none. libvirt's record of a running domain has the XML in it."""
    if "<!DOCTYPE" in text:  # entities could expand to any size; libvirt writes none
        raise AnswerError("it has a document type")
    head, _devices, _rest = text[max(text.find("<domain "), 0) :].partition("<devices>")
    parser: Any = ET.XMLPullParser(("start",))
    try:
        parser.feed(head)
        begun = [element for _event, element in parser.read_events()]
    except ET.ParseError as error:
        raise AnswerError(f"it is no XML: {error}") from None
    if not begun or begun[0].tag != "domain":
        raise AnswerError("it describes no domain")
    tree: ET.Element = begun[0]
    policies = [item for item in tree.findall("cputune/vcpusched") if item.get("scheduler") in ("fifo", "rr")]
    vcpus: frozenset[int] = frozenset().union(*(parse_or_empty(item.get("vcpus")) for item in policies))
    pinned: frozenset[int] = frozenset().union(*(parse_or_empty(item.get("cpuset")) for item in tree.findall("cputune/vcpupin")))
    return Definition(*_owner(tree), len(vcpus), pinned)


def _owner(tree: ET.Element) -> tuple[str, str, str]:
    """Return owner, project and class: of this collection's guest, or of Nova's instance; names there are what a tenant typed."""
    ours = tree.find(_OURS)
    if ours is not None:
        return ours.get("owner", ""), ours.get("project", ""), ours.get("class", "")
    for element in tree.findall("metadata/*"):
        nova = _NOVA.fullmatch(element.tag) if isinstance(element.tag, str) else None
        if nova:
            user, project = (
                plain((element.findtext(f"{nova[1]}owner/{nova[1]}{key}") or "").strip()) for key in ("user", "project")
            )
            flavor = element.find(f"{nova[1]}flavor")
            return user, project, "" if flavor is None else plain(flavor.get("name", ""))
    return "", "", ""


def runs(record: str) -> bool:
    """Whether a domain's CPUs run, by libvirt's record of a domain that has a process."""
    state = _STATE.search(record)
    return state is None or state[1] not in _STILL
