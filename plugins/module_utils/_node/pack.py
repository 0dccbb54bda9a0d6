# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs programs of this collection for a node: one file that Python runs, with only the code that the program needs."""

from __future__ import annotations

import inspect
import io
import posixpath
import re
import zipfile
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

PACKAGE = "realtime_kvm"
_BASE = __package__.rpartition(".")[0]
_IMPORT = re.compile(r"^from (\.+)([\w.]*) import (.*)", re.MULTILINE)


def sources(*entries: str) -> dict[str, str]:
    """Return sources by name below module_utils: the entries (such as ``_node.archive``) and all that they import, directly or not."""
    found: dict[str, str] = {}
    missing = list(entries)
    while missing:
        name = missing.pop()
        if name not in found:
            found[name] = inspect.getsource(import_module(f"{_BASE}.{name}"))
            for dots, module, names in _IMPORT.findall(found[name]):
                whence = [*name.split(".")[: -len(dots)], *([module] if module else [])]
                missing += [".".join([*whence, file]) for file in names.split(", ")] if _is_folder(whence) else [".".join(whence)]
    return found


def _is_folder(name: Sequence[str]) -> bool:
    spec = find_spec(".".join([_BASE, *name]))
    return spec is not None and spec.submodule_search_locations is not None


def pack(entry: str, *others: str, main: str = "") -> bytes:
    """Return the program whose ``main`` is in ``entry``, or that ``main`` chooses among several; equal sources give equal bytes."""
    contents = {"__main__.py": main or f"from {PACKAGE}.{entry} import main\n\nmain()\n"}
    for name, source in sources(entry, *others).items():
        path = f"{PACKAGE}/{name.replace('.', '/')}.py"
        contents[path] = source
        contents[f"{posixpath.dirname(path)}/__init__.py"] = contents[f"{PACKAGE}/__init__.py"] = ""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(contents):
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_STORED
            info.external_attr = 0o644 << 16
            archive.writestr(info, contents[name].encode())
    return buffer.getvalue()
