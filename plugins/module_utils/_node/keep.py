# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the look's code on the node, compiled, so that the next look need not be sent. Edge.

Python compiles what Ansible sends anew in each call, since it comes as an archive of sources. What is kept is this archive as it came, compiled by
the node's own Python, as a program: it reads the module's arguments from standard input and answers as the module does. It is a cache: nothing is
lost with it, and a look that does not find it, or cannot use it, is sent whole.
"""

from __future__ import annotations

import marshal
import os
import stat
import sys
import zipfile
from contextlib import suppress
from importlib.util import MAGIC_NUMBER, source_hash
from io import BytesIO

from .._host import files
from .._host.paths import LOOK, WATCH, is_kept, kept_path, kept_watch_path

#: What runs the kept code, and nothing else: its byte code is that of this Python.
PYTHON = "/usr/bin/python3"
#: Of a compiled file whose source is not looked for (PEP 552).
_UNCHECKED = (1).to_bytes(4, "little")
_MAIN = """\
import sys

from ansible.module_utils import basic

basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = sys.stdin.buffer.read(), "legacy"

from ansible_collections.realtime.kvm.plugins.modules.rt_plan import main

main()
"""


def compiled(sources: zipfile.ZipFile) -> bytes:
    """Return the program, made of the archive in which the module was sent."""
    contents = {name: sources.read(name) for name in filter(_is_part, sources.namelist())}
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, source in sorted(contents.items()):
            archive.writestr(f"{name}c", _byte_code(name, source))
            archive.writestr(name, source, zipfile.ZIP_DEFLATED)  # of the sources the boot service's archive is made
        # without its source, so that another Python cannot start it
        archive.writestr("__main__.pyc", _byte_code("__main__.py", _MAIN.encode()))
    return buffer.getvalue()


def _byte_code(name: str, source: bytes) -> bytes:
    return MAGIC_NUMBER + _UNCHECKED + source_hash(source) + marshal.dumps(compile(source, name, "exec", dont_inherit=True))


def keep(release: str, root: str = "") -> None:
    """Keep the module's code; what was kept before goes.

    Nothing is kept where another Python runs the module than would run the kept code, or where others than root could change it.
    """
    sent = getattr(sys.modules[__name__].__loader__, "archive", None)
    if not sent or os.path.realpath(sys.executable) != os.path.realpath(PYTHON):
        return
    path = f"{root}{kept_path(release)}"
    with suppress(OSError, ValueError, SyntaxError, zipfile.BadZipFile):
        if _is_safe(os.path.dirname(path)):
            with zipfile.ZipFile(sent) as sources:
                _replace(path, compiled(sources), LOOK)


def keep_watch(archive: str, release: str, root: str = "") -> None:
    """Keep the programs of an archive, compiled by this Python; what was kept of them before goes. The archive's start looks for it."""
    path = f"{root}{kept_watch_path(release, sys.implementation.cache_tag)}"
    with suppress(OSError, ValueError, SyntaxError, zipfile.BadZipFile):
        if not _is_safe(os.path.dirname(path)):
            return
        buffer = BytesIO()
        with zipfile.ZipFile(archive) as sources, zipfile.ZipFile(buffer, "w") as program:
            for name in filter(_is_part, sorted(sources.namelist())):
                source = sources.read(name)
                program.writestr(f"{name}c", _byte_code(name, source))
                program.writestr(
                    name, source, zipfile.ZIP_DEFLATED
                )  # the audit compares the boot service's archive with what they make
        _replace(path, buffer.getvalue(), WATCH)


def _is_part(name: str) -> bool:
    return name.endswith(".py") and "/" in name


def _is_safe(folder: str) -> bool:
    """Make the folder, and return whether it is root's alone."""
    files.make_directories(folder, 0o700)
    found = os.lstat(folder)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _replace(path: str, program: bytes, kind: str) -> None:
    """Write a program in place of others of its kind."""
    folder = os.path.dirname(path)
    for name in os.listdir(folder):
        if is_kept(name, kind):
            files.unlink(f"{folder}/{name}")
    files.write_file(path, program, 0o600)
