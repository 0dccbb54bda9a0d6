# SPDX-License-Identifier: GPL-3.0-or-later
"""The password of a BMC in every form in which it may quote it, and texts without it. Pure."""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Collection
from typing import Any
from urllib.parse import quote, quote_plus

HIDDEN = "********"
#: A shorter password is a part of common words: it is hidden in what is shown, not in what is compared and asked for.
_LEAST = 4


def forms_of(username: str, password: str) -> set[str]:
    """Return what no output may contain: the password and its HTTP header, as they are and as programs encode them."""
    if not password:
        return set()
    header = f"{username}:{password}".encode()
    if len(password) < _LEAST:
        return {password, *_base64(header)}
    return {password, *_base64(header), *_base64(password.encode()), *_hex(password.encode()), *_escaped(password)}


def _base64(content: bytes) -> set[str]:
    found = {encode(content).decode() for encode in (b64encode, urlsafe_b64encode)}
    return found | {text.rstrip("=") for text in found}


def _hex(content: bytes) -> set[str]:
    return {content.hex(), content.hex().upper()}


def _escaped(text: str) -> set[str]:
    """Return a text as addresses, HTML, JSON and Python write it."""
    found = {quote(text, safe=""), quote(text), quote_plus(text)}
    found |= {re.sub("%..", lambda code: code[0].lower(), one) for one in found}
    for quoted in (html.escape(text), html.escape(text, quote=False)):
        found |= {
            quoted,
            quoted.replace("&#x27;", "&#39;"),
            quoted.replace("&#x27;", "&apos;"),
            quoted.replace("&quot;", "&#34;"),
        }
    for ascii_only in (True, False):
        escaped = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        found |= {escaped, escaped.replace("/", "\\/"), json.dumps(escaped)[1:-1]}
    return found | {repr(text)[1:-1]}


def without(value: Any, secrets: Collection[str]) -> Any:
    """Return an answer without secrets, in the names of its fields too."""
    ordered = sorted((secret for secret in secrets if len(secret) >= _LEAST), key=len, reverse=True)

    def clean(inner: Any) -> Any:
        if isinstance(inner, str):
            for secret in ordered:
                inner = inner.replace(secret, HIDDEN)
            return inner
        if isinstance(inner, dict):
            return {clean(name): clean(field) for name, field in inner.items()}
        return [clean(item) for item in inner] if isinstance(inner, list) else inner

    return clean(value) if ordered else value
