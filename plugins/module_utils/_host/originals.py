# SPDX-License-Identifier: GPL-3.0-or-later
"""The form of the journal's entries, by kind, so that all are checked before the first is restored. Pure.

A kind that this table lacks, and keys beside those named here, may come from another release and are accepted.
"""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any

from .._cpus.answers import AnswerError, answering, decode, differs, plain
from .._cpus.cpulist import parse_cpulist

_TEXT_OR_NONE = (str, type(None))


def wrong_entries(entries: Any) -> str:
    """Return what is wrong with the first damaged entry, an empty text where all are well."""
    if wrong := differs(entries, {str: {"owner": str, "kind": str, "before": None, "boot_id": str}}, "entries"):
        return wrong.removeprefix("entries ")
    for resource, entry in entries.items():
        if wrong := _wrong_original(resource, entry["kind"], entry["before"]):
            return f"{plain(resource, 120)}: {wrong}"
    return ""


def _wrong_original(resource: str, kind: str, before: Any) -> str:
    if kind == "thread" and not re.fullmatch(r"thread:.+:\d+:\d+:\w+", resource, re.DOTALL):
        return "is no thread"
    if kind in _PATHS and not re.fullmatch(r"(/[^/\0]+)+", resource):
        return "is no path"
    return differs(before, _FORMS.get(kind), "its original")


def _wrong_file(value: Any) -> str:
    if value is None:
        return ""
    if wrong := differs(value, {"mode": int, "content": str}, "file"):
        return wrong
    try:
        base64.b64decode(value["content"], validate=True)
    except ValueError:
        return "holds damaged content"
    return "" if 0 <= value["mode"] <= 0o7777 else f"has mode {value['mode']}"


def _wrong_thread(value: Any) -> str:
    if not isinstance(value, str):
        return differs(value, str, "").strip()
    if re.fullmatch(r"[A-Z_]+ \d+|\d+ \d+", value):  # policy and priority
        return ""
    try:
        with answering(AnswerError):
            parse_cpulist(value)
    except AnswerError as error:
        return f"is neither a policy nor CPUs: {error}"
    return ""


def _wrong_domain(value: Any) -> str:
    if wrong := differs(value, {"xml": str, "autostart": bool}, "domain"):
        return wrong
    try:
        ET.fromstring(value["xml"])
    except ET.ParseError as error:
        return f"holds damaged XML: {error}"
    return ""


def _wrong_grubby(value: Any) -> str:
    if not isinstance(value, str):
        return differs(value, str, "").strip()
    try:
        original: Mapping[str, Any] = decode(value, dict)
        form = next((form for key, form in _GRUBBY.items() if key in original), _GRUBBY["tokens"])
        return differs(original, form, "holds")
    except AnswerError as error:
        return f"is damaged: {error}"


def _wrong_hold(value: Any) -> str:
    """apt's state of a package, or whether dnf's list of locks existed."""
    return "" if isinstance(value, str) else differs(value, {"absent": bool}, "").strip()


#: The default entry, the arguments of kernels installed later, an entry.
_GRUBBY: dict[str, Any] = {
    "default": {"default": str},
    "text": {"text": str, "ours": [str]},
    "tokens": {"tokens": [str], "ours": [str]},
}
_PATHS = ("value", "file", "link", "lines", "cgroup", "output")
_FORMS: dict[str, Any] = {
    "value": _TEXT_OR_NONE,
    "cgroup": _TEXT_OR_NONE,
    "thread": _wrong_thread,
    "file": {"file": _wrong_file},
    "link": {"link": _TEXT_OR_NONE},
    "lines": {"lines": str, "absent": bool},
    "service": str,
    "alternative": {"program": str, "mode": str},
    "driver": {"driver": _TEXT_OR_NONE, "override": str},
    "module": str,
    "ovs": {"value": _TEXT_OR_NONE},
    "domain": _wrong_domain,
    "grubby": _wrong_grubby,
    "hold": _wrong_hold,
    "after": type(None),
    "held": type(None),
    "daemons": {str: {"enabled": bool, "active": bool}},
    "package": str,
    "packages": [str],
    "replaced": {"role": str, "version": str, "manual": bool, "units": {str: {"enabled": bool, "active": bool}}},
    "resctrl": str,
    "output": type(None),
}
