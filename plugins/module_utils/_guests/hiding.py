# SPDX-License-Identifier: GPL-3.0-or-later
"""Hides the secrets of a domain's XML, in what people see of it and in what libvirt and QEMU say about it. Pure."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from xml.sax.saxutils import escape

HIDDEN = "(hidden)"

#: Words in the name of a secret.
_WORD = (
    r"passw(?:or)?d|passphrase|secret|token|cookie|credential|(?:api|access|private)[_-]?key"
    r"|(?<![a-z])(?:root|user|admin)?pwd?(?![a-z])"
)
#: The short word, where no longer one (bypass, passthrough) holds it: pass, root_pass, adminPass.
_PASS = r"(?<![a-z])pass(?![a-z])|(?-i:(?<=[a-z])Pass(?![a-z]))"
#: Attributes and elements that hold a secret: passwords of VNC and SPICE, cookies of disks, and those in other programs' metadata.
_SECRET = re.compile(rf"(?:{_WORD}|pass)s?$", re.IGNORECASE)
#: The name in a pair of name and value, such as a variable of QEMU's environment.
_LABEL = re.compile(rf"{_WORD}|pass(?![a-z])", re.IGNORECASE)
#: A value within a text: quoted, a list or object of JSON to the end, or up to a comma (doubled ones are QEMU's way to write one).
_VALUE = r"""("(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|[\[{].*|(?:,,|[^,\n])+)"""
_ANY = re.IGNORECASE | re.DOTALL
#: A value in YAML on the lines that follow its key, further in.
_BLOCK = (
    rf"((?:^|\n)([ \t]*)(- )?[\w.\"'-]*(?:{_WORD}|{_PASS})[\w.-]*[\"']?[ \t]*:[ \t]*(?:[|>][^\n]*)?)"
    r"(?P<hide>(?:\n\2(?(3)  )(?:[ \t]+|- )[^\n]*|\n[ \t]*(?=\n))+)"
)
#: Secrets within any text; the first group stays, the second is hidden. From the longest form to the shortest.
_EVERYWHERE = tuple(
    re.compile(pattern, _ANY)
    for pattern in (
        r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)(.*?)(?=-----END|$)",
        _BLOCK,
        # markup in a text or comment: <password>x</password>, <item name="password">x</item>
        rf"(<([\w:.-]*(?:{_WORD}|{_PASS})[\w.-]*)(?:\s[^<>]*)?>)(?P<hide>.*?)(?=</\2|$)",
        rf"(<([\w:.-]+)\s[^<>]*\b(?:name|key)\s*=\s*[\"'][^\"'<>]*(?:{_WORD}|{_PASS})[^<>]*>)(?P<hide>.*?)(?=</\2|$)",
        # password=x, {"password": "x"}, io.systemd.credential.binary:name=x
        rf"((?:{_WORD}|{_PASS})[\w.-]{{0,200}}[\"']?\s*[=:]\s*){_VALUE}",
        r"(//[^/\s:@%]*[:%])([^/\s]+)(?=@)",  # https://user:x@host, iscsi://user%x@host, //user:x@host/share
        r"(\bauthorization[\"']?\s*[:=]\s*[\"']?(?:bearer|basic)\s+)([^\s\"']+)",
        r"(\"auth\"\s*:\s*)(\"[^\"]*\")",  # of Docker
        r"(:key=)((?:\\.|[^:,\s\"'])+)",  # of Ceph, in the name of an image
    )
)
#: Ceph's key in a name of QEMU's (rbd:pool/image:id=x:key=y), or as JSON; a dotted name, such as a kernel's argument, is another.
_KEY = re.compile(r"""((?<![\w.-])(?:file\.)*key["']?\s*[=:]\s*)("(?:[^"\\]|\\.)*"?|(?:,,|\\.|[^,:\n])+)""", re.IGNORECASE)
#: What is a secret beside a word: the data of a secret object of QEMU, and the text of a firmware setting with a secret's name.
_BESIDE = (
    (re.compile(r"\bsecret\b"), re.compile(rf"(\bdata[\"']?\s*[=:]\s*){_VALUE}", re.DOTALL)),
    (_LABEL, re.compile(rf"((?<![\w.-])string[\"']?\s*[=:]\s*){_VALUE}", re.DOTALL)),
)
_QEMU = "{http://libvirt.org/schemas/domain/qemu/1.0}"
#: libvirt and QEMU's log cut long messages (1024 bytes); only a few signs of a secret may be left there.
_CUT_FROM = 1000
_LEAST = 4


# -- in a domain's XML -----------------------------------------------------------------------------


def hide(tree: ET.Element) -> set[str]:
    """Replace the secrets of a tree; return them."""
    found: set[str] = set()
    inside = {
        id(item)
        for node in tree.iter()
        if _is_labelled(node)
        for item in (node, *node)
        if item is node or _local(item) == "value"
    }
    inside |= {id(item) for node in tree.iter() if _SECRET.search(_local(node)) for item in node.iter()}
    for node in tree.iter():
        secret, of_qemu = id(node) in inside, isinstance(node.tag, str) and node.tag.startswith(_QEMU)
        if (node.text or "").strip():
            node.text = _shown(node.text or "", found, secret=secret, of_qemu=of_qemu)
        for key, value in node.attrib.items():
            known = bool(_SECRET.search(key)) or (secret and key == "value")
            node.set(key, _shown(value, found, secret=known, of_qemu=of_qemu))
    return found


def _shown(text: str, found: set[str], *, secret: bool, of_qemu: bool) -> str:
    """Return a text without its secrets; ``found`` gets them."""

    def hidden(match: re.Match[str]) -> str:
        value = match.groupdict().get("hide") or match[2]
        if not value.strip() or value.strip("\"' ").startswith(HIDDEN):  # so is the reason that a message gives behind it
            return match[0]
        found.add(value)
        return f"{match[1]}{HIDDEN}"

    if secret and text.strip():
        found.add(text.strip())
        return HIDDEN
    for beside, pattern in _BESIDE:
        text = pattern.sub(hidden, text) if beside.search(text) else text
    for pattern in (*_EVERYWHERE, *([_KEY] if of_qemu else [])):
        text = pattern.sub(hidden, text)
    return text


def _is_labelled(node: ET.Element) -> bool:
    """Whether an element names a secret beside its value: <env name="PASSWORD" value="x"/>, <item><key>password</key><value>x</value></item>."""
    labels = [node.get("name"), node.get("key"), *(child.text for child in node if _local(child) in ("name", "key"))]
    return any(_LABEL.search(label) for label in labels if label)


def _local(node: ET.Element) -> str:
    """Return an element's name without its namespace; a comment has none."""
    return node.tag.rpartition("}")[2] if isinstance(node.tag, str) else ""


# -- in a message ----------------------------------------------------------------------------------


def bare(secrets: Iterable[str]) -> set[str]:
    """Return secrets, each also without the quotes and doubled commas around and in it, and line by line."""
    whole = set(secrets)
    found = whole | {secret.strip().strip("\"'").replace(",,", ",") for secret in whole}
    found |= {line for secret in whole for line in secret.splitlines() if len(line.strip()) >= _LEAST}
    return {secret.strip() for secret in found} - {"", HIDDEN}


def clean(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a message without the given secrets, as they are, escaped or cut, and without what looks like one."""
    spelled = {form for secret in bare(secrets) for form in _spellings(secret)}
    for form in sorted(spelled, key=len, reverse=True):
        part = re.escape(form)
        text = re.sub(part if len(form) >= _LEAST else rf"(?<!\w){part}(?!\w)", HIDDEN, text)  # short ones are parts of words too
    return _shown(_without_cut(text, spelled), set(), secret=False, of_qemu=True)


def _spellings(secret: str) -> set[str]:
    """Return the forms in which XML, JSON, QEMU's lists and shells write a secret, and that on one line."""
    quoted = {'"': "&quot;", "'": "&apos;"}
    forms = {secret, escape(secret), escape(secret, quoted), escape(secret, {'"': "&#34;", "'": "&#39;"})}
    forms |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    forms |= {secret.replace(",", ",,"), secret.replace("'", "'\\''"), secret.replace("\n", " ")}
    return forms


def _without_cut(text: str, spelled: Iterable[str]) -> str:
    """Hide what is left of a secret where a message was cut: its beginning at the end, or its end at the beginning of a log."""
    forms = sorted(spelled, key=len, reverse=True)
    least = 1 if len(text.encode()) >= _CUT_FROM else _LEAST
    for form in forms:
        size = next((size for size in range(min(len(form) - 1, len(text)), least - 1, -1) if text.endswith(form[:size])), 0)
        if size:
            text = text[:-size] + HIDDEN
            break
    for form in forms:
        for start in {0, *(match.end() for match in re.finditer(r": |\n", text))}:
            size = next((size for size in range(len(form) - 1, _LEAST - 1, -1) if text.startswith(form[-size:], start)), 0)
            if size:
                return text[:start] + HIDDEN + text[start + size :]
    return text
