# SPDX-License-Identifier: GPL-3.0-or-later
"""The forms in which BMCs want their own ETag back. Pure.

RFC 9110 has a client return an ETag as it came. Some BMCs quote theirs twice in the header (community.general #3268), have another one
in ``@odata.etag``, refuse weak ones (RFC 9110, 13.1.1) though they give no others, add ``-gzip`` to those of compressed answers (Apache's
mod_deflate, Jetty #1416), or want ``If-Match`` though they give none (gofish #171).
"""

from __future__ import annotations

import re

#: Matches any state of an existing resource (RFC 9110, 13.1.1).
ANY = "*"
_COMPRESSED = re.compile(r"(--?|;|:)gzip$")


def forms_of(header: str, document: str) -> dict[str, str]:
    """Return the values for ``If-Match`` by form, in the order in which to try them; an empty text is no such header.

    The last two match any state of the resource: they are right only after it was read again and had not changed.
    """
    given = {name: tag for name, tag in (("header", header.strip()), ("document", document.strip())) if usable(tag)}
    if not given:
        return {"none": "", "any": ANY}
    inner = opaque(next(iter(given.values())))
    return {**given, "quoted": f'"{inner}"', "bare": inner, "weak": f'W/"{inner}"', "any": ANY, "none": ""}


def usable(tag: str) -> bool:
    """Return whether an ETag may become a header, and says anything."""
    return 0 < len(tag) <= 200 and tag.isascii() and tag.isprintable() and opaque(tag) != ""


def opaque(tag: str) -> str:
    """Return what an ETag has inside its quotes, without the marks of a weak one and of a compressed answer."""
    inner = re.sub(r'^"*W/', "", tag).strip('" ')
    return _COMPRESSED.sub("", inner).strip('"')
