# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of others behind symbolic links. Edge."""

from __future__ import annotations

import os

from .change import Change
from .files import mode_of
from .host import Host


def resolve(host: Host, path: str) -> str:
    """Return the path behind symbolic links, inside the machine's root."""
    real = os.path.realpath(host.path(path))
    return real[len(host.root) :] if real.startswith(host.root) else real


def rewrite(host: Host, path: str, content: bytes | None) -> None:
    """Write a file that is not ours, or remove it: where its link leads, and with its mode."""
    real = resolve(host, path)
    host.write_file(real, content, mode_of(host.path(real)) if host.exists(real) else 0o644)


def read_text(host: Host, path: str) -> str | None:
    """Return a file that is not ours and that is going to be rewritten, None where there is none; ``HostError`` where it cannot be read.

    Bytes of another encoding are kept as surrogates, which ``rewrite_text`` writes as they were.
    """
    content = host.read_whole(path)
    return None if content is None else content.decode("utf-8", "surrogateescape")


def rewrite_text(host: Host, path: str, text: str | None) -> None:
    """Write a text that was read by ``read_text``, or remove the file."""
    rewrite(host, path, None if text is None else text.encode("utf-8", "surrogateescape"))


def rewriting(path: str, before: str | None, after: str | None, *, reason: str) -> Change:
    """Return the change of such a text; bytes of another encoding show as replacement characters."""

    def shown(text: str | None) -> str | None:
        return None if text is None else text.encode("utf-8", "surrogateescape").decode(errors="replace")

    return Change(path, shown(before), shown(after), reason=reason)
