# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that look at a node by themselves, packed into one file that Python runs: ``metrics`` and ``audit``. Edge.

It is a file beside the boot service's, since metrics start every few seconds: they load little, and what is loaded with them is theirs alone.
"""

from __future__ import annotations

import hashlib

from . import metrics
from .pack import PACKAGE, pack, sources

#: The entry of each program, as a name below module_utils; the audit's is brought by the module that installs the archive.
METRICS, AUDIT = metrics.__name__.partition("module_utils.")[2], "_module._self_audit"
_MAIN = """\
import sys

if sys.argv[1:2] == ["audit"]:
    from {package}.{audit} import main
else:
    from {package}.{metrics} import main

main({release!r})
"""


def build_watch_archive(audit: str = AUDIT) -> bytes:
    """Return the archive; equal sources give equal bytes. Each program's ``main`` is given the release, a digest of all sources."""
    texts = sources(METRICS, audit)
    digest = hashlib.sha256("\0".join(f"{name}\0{text}" for name, text in sorted(texts.items())).encode())
    return pack(METRICS, audit, main=_MAIN.format(package=PACKAGE, metrics=METRICS, audit=audit, release=digest.hexdigest()[:12]))
