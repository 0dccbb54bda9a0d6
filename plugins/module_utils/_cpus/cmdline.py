# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel command line as text: tokens, keys and values. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def key_of(token: str) -> str:
    """Return a token's key in the kernel's canonical spelling."""
    return token.lstrip('"').split("=", 1)[0].replace("-", "_")


def canonical(token: str) -> str:
    """Return a token with its key in the kernel's spelling and without quotes; equal results mean the same."""
    key = key_of(token)
    return key + token.replace('"', "")[len(key) :]


def split_tokens(cmdline: str) -> list[str]:
    """Split a command line at blanks outside double quotes."""
    return re.findall(r'(?:[^\s"]|"[^"]*"?)+', cmdline)


def kernel_part(tokens: Sequence[str]) -> list[str]:
    """Return what comes before ``--``; the kernel hands the rest to init, unread (kernel/params.c)."""
    return list(tokens[: tokens.index("--")] if "--" in tokens else tokens)


def values_by_key(tokens: Iterable[str]) -> dict[str, list[str]]:
    """Return each key's tokens in order, repeats of the same token once."""
    found: dict[str, list[str]] = {}
    for token in tokens:
        known = found.setdefault(key_of(token), [])
        if token not in known:
            known.append(token)
    return found
