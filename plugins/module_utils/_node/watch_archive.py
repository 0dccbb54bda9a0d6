# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that look at a node by themselves, packed into one file that Python runs: ``metrics`` and ``audit``. Edge.

It is a file beside the boot service's, since metrics start every few seconds: they load little, and what is loaded with them is theirs alone.
"""

from __future__ import annotations

import hashlib

from .._host.paths import kept_watch_path
from . import keep, metrics
from .pack import PACKAGE, pack, sources

#: The entry of each program, as a name below module_utils; the audit's is brought by the module that installs the archive.
METRICS, AUDIT = metrics.__name__.partition("module_utils.")[2], "_module._self_audit"
#: What metrics load only when they keep themselves compiled, so no import at the head of a file leads to it.
_KEEP = keep.__name__.partition("module_utils.")[2]
_MAIN = """\
import os
import stat
import sys

#: What metrics have kept of this archive, compiled: it starts in half the time. It counts only where nobody but root can write.
KEPT = f"{kept}"


def ours():
    for path, is_kind, others in ((os.path.dirname(KEPT), stat.S_ISDIR, 0o077), (KEPT, stat.S_ISREG, 0o077)):
        try:
            found = os.lstat(path)
        except OSError:
            return False
        if not is_kind(found.st_mode) or found.st_uid != 0 or found.st_mode & others:
            return False
    return True


if ours():
    sys.path.insert(0, KEPT)
if sys.argv[1:2] == ["audit"]:
    from {package}.{audit} import main
else:
    from {package}.{metrics} import main

main({release!r})
"""


def build_watch_archive(audit: str = AUDIT) -> bytes:
    """Return the archive; equal sources give equal bytes. Each program's ``main`` is given the release, a digest of all sources."""
    texts = sources(METRICS, audit, _KEEP)
    digest = hashlib.sha256("\0".join(f"{name}\0{text}" for name, text in sorted(texts.items())).encode())
    release = digest.hexdigest()[:12]
    kept = kept_watch_path(release, "{sys.implementation.cache_tag}")
    return pack(
        METRICS, audit, _KEEP, main=_MAIN.format(package=PACKAGE, metrics=METRICS, audit=audit, release=release, kept=kept)
    )
