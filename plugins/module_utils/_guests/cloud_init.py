# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest's first boot is told: the files of a seed for cloud-init's NoCloud data source. Pure.

Passwords may stand in any of them, so no message quotes them. What is given as a mapping is written as JSON, which is YAML too; a node has no
other YAML writer. Sources: cloud-init, docs/explanation/format.rst (user data), docs/reference/datasources/nocloud.rst (the files),
cloudinit/sources/DataSourceNoCloud.py (a network configuration may stand below a key ``network``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from .guest import CloudInit, Guest, GuestError
from .guest_reader import Reader

KEYS = ("user_data", "meta_data", "network_config")
#: How user data begins by which cloud-init knows what it is; anything else it drops with a warning in its log.
HEADERS = (
    "#cloud-config",
    "#cloud-config-archive",
    "#cloud-boothook",
    "#include",
    "#part-handler",
    "#!",
    "## template: jinja",
    "content-type:",
    "mime-version:",
)
#: Of each file, in characters; cloud providers accept 16 KiB.
MAX_TEXT = 1 << 18
#: What JSON may hold as it is and YAML may not (YAML 1.1, "Character Set").
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
#: Of YAML: comments, a key on a line of its own, and a version in braces.
_COMMENT = re.compile(r"(?:^|(?<=\s))#.*$", re.MULTILINE)
_KEY = re.compile(r"""([ \t]*)["']?([\w-]+)["']?[ \t]*:(?:[ \t]+(.*))?$""")
#: How YAML writes nothing.
_EMPTY = ("", "~", "null", "Null", "NULL", "''", '""', "|", ">", "{}", "[]")
VERSIONS = (1, 2)
#: A name or a type before a value of YAML.
_MARK = r"(?:[&!]\S*[ \t]+)*"
_MARKS = re.compile(r"(?:[&!]\S*(?:\s+|$))+")
#: A text in quotes that is no key.
_QUOTED = re.compile(r"""(?:(?<=[\s{\[,:])|^)(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\n]|'')*')(?!\s*:)""", re.MULTILINE)
#: ``match: {network: NAME}``, in braces or on lines of its own, between which lines may be empty.
_IN_BRACES = re.compile(rf"""(?<![\w-])["']?match["']?\s*:\s*{_MARK}(?=\{{)""")
_BLOCK = re.compile(
    rf"""^([ \t]*)["']?match["']?[ \t]*:[ \t]*{_MARK}(?:[&!]\S*)?\n((?:[ \t]*\n|\1[ \t]+\S[^\n]*(?:\n|$))+)""", re.MULTILINE
)


def read_cloud_init(read: Reader) -> CloudInit | None:
    """Return what the first boot is told; None where it is told nothing."""
    given = read.get("cloud_init")
    if given is None:
        return None
    where = f"{read.where}: cloud_init"
    if not isinstance(given, Mapping):
        raise GuestError(f"{where} is not a mapping of {', '.join(KEYS)}")
    Reader(given, where, dict.fromkeys(KEYS, (object, bool)))
    contents = {key: _content(given[key], f"{where}: {key}") for key in KEYS if given.get(key) is not None}
    user, meta, network = (contents.get(key) for key in KEYS)
    if isinstance(user, str) and not user.lower().startswith(HEADERS):
        raise GuestError(
            f"{where}: user_data does not begin as cloud-init knows it; the first line must be #cloud-config (or #!, #include, ... for other kinds), "
            "or give a mapping"
        )
    if isinstance(meta, str):
        if not has_instance(meta):
            raise GuestError(
                f"{where}: meta_data has no instance-id, without which cloud-init takes no seed; add it at the beginning of a line, with its text "
                "behind it, or give a mapping"
            )
    elif meta is not None:
        given_id = meta.get("instance-id")
        if given_id is not None and (isinstance(given_id, (bool, Mapping, list)) or not str(given_id).strip()):
            raise GuestError(f"{where}: meta_data: instance-id must be a text; give one, or leave it out for the guest's UUID")
    if network is not None:
        _check_version(network, f"{where}: network_config")
    return CloudInit(user, meta, network)


def text_of(content: Mapping[str, Any] | list[Any]) -> str:
    """Return a mapping (or list) as one line of JSON that every reader of YAML takes."""
    # a date, which YAML knows and JSON does not, as the text it was
    text = json.dumps(content, ensure_ascii=False, default=str)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _content(given: Any, where: str) -> str | dict[str, Any]:
    """Return a text, or a mapping; text that is JSON of a mapping is one, in which form the modules carry it."""
    if isinstance(given, str):
        text = given
    elif isinstance(given, Mapping):
        text = text_of(given)
    else:
        raise GuestError(f"{where} is neither a text nor a mapping")
    if len(text) > MAX_TEXT:
        raise GuestError(f"{where} has {len(text)} characters; at most {MAX_TEXT} are accepted")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise GuestError(f"{where} holds half a character (a surrogate), which no file can") from None
    if "\0" in text:
        raise GuestError(f"{where} holds a zero byte; binary data is for write_files with encoding: b64")
    try:
        found = json.loads(text) if text.lstrip().startswith("{") else text
    except (ValueError, RecursionError):
        return text  # YAML may begin so too
    return found if isinstance(found, dict) else text


def _check_version(network: str | Mapping[str, Any], where: str) -> None:
    if isinstance(network, str):
        known = version_of(network) in map(str, VERSIONS)
    else:
        below = network.get("network", network)
        version = below.get("version") if isinstance(below, Mapping) else None
        known = isinstance(version, int) and not isinstance(version, bool) and version in VERSIONS
    if not known:
        raise GuestError(
            f"{where} has no version, without which cloud-init does not know its form; give version: 2 (netplan's), or 1, as a number"
        )
    if isinstance(network, str) and matches_network(network):
        raise GuestError(
            f"{where} is a text with a network in match, of which the MAC is worked out in a mapping alone; give it as a mapping (without the | behind "
            "network_config), or match by macaddress or name"
        )


def has_instance(meta: str) -> bool:
    """Return whether a text of YAML gives an ``instance-id`` at its top."""
    instance = _keys(meta).get("instance-id", "")
    return instance not in _EMPTY and not instance.startswith(("{", "["))


def matches_network(text: str) -> bool:
    """Return whether a text of YAML names a network in ``match``."""
    text = _QUOTED.sub("''", _COMMENT.sub("", _lines(text)))
    braces = (_in_braces(text[found.end() :]) for found in _IN_BRACES.finditer(text))
    return any("network" in keys for keys in braces) or any("network" in _keys(block[2]) for block in _BLOCK.finditer(text))


def version_of(text: str) -> str:
    """Return the ``version`` of a YAML text, from its top level or from below ``network``; empty if it has none."""
    keys = _keys(text)
    return keys.get("version") or _keys(keys.get("network", "")).get("version", "")


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _keys(text: str) -> dict[str, str]:
    """Return the keys at the top of a text of YAML; each has what follows it, on its line and on those further in."""
    found: dict[str, str] = {}
    indent, last = None, ""
    lines = [
        re.sub(r"^---(?:\s+|$)", "", line) for line in _COMMENT.sub("", _lines(text)).split("\n") if not line.startswith("%")
    ]
    whole = _bare("\n".join(lines))
    if whole.startswith("{"):
        return _in_braces(whole)
    for line in lines:
        key = _KEY.match(line)
        if not line.strip():
            continue
        if key and indent in (None, key[1]):
            indent, last = key[1], key[2]
            found[last] = key[3] or ""
        elif last:
            found[last] += f"\n{line}"
    return {key: _bare(value, indented=True) for key, value in found.items()}


def _bare(text: str, *, indented: bool = False) -> str:
    """Return a value without a name or a type before it."""
    found = _MARKS.match(text.lstrip())
    kept = text.lstrip()[found.end() :] if found else text
    return kept.rstrip() if indented and kept.startswith("\n") else kept.strip()


def _in_braces(text: str) -> dict[str, str]:
    """Return the keys at the top of a mapping in braces, which begins the text, each with its value."""
    parts, depth, quote = [""], 0, ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'" and parts[-1].rstrip()[-1:] in ("", ":", ",", "{", "["):
            quote = char
        elif char in "{[":
            depth += 1
            if depth == 1:
                continue
        elif char in "}]":
            depth -= 1
            if depth == 0:
                break
        elif char == "," and depth == 1:
            parts.append("")
            continue
        parts[-1] += char
    pairs = (re.match(r"""\s*["']?([\w-]+)["']?\s*:(?=\s|["'{\[]|$)(.*)""", part, re.DOTALL) for part in parts)
    return {pair[1]: _bare(pair[2]) for pair in pairs if pair}


# -- networks by name ------------------------------------------------------------------------------


def check_networks(guest: Guest) -> None:
    """Refuse a network in ``match`` that the guest is not on."""
    if guest.cloud_init:
        _network_config(guest)


def _network_config(guest: Guest) -> str | Mapping[str, Any] | None:
    """Return the network configuration with the MAC of its interface for each ``match: {network: NAME}``, a form of this collection."""
    given = guest.cloud_init.network_config if guest.cloud_init else None
    if not isinstance(given, Mapping):
        return given
    macs = {attachment.network.name: attachment.mac for attachment in guest.networks}

    def named(match: Mapping[str, Any]) -> Mapping[str, Any]:
        mac = macs.get(str(match["network"]))
        if mac is None:
            known = ", ".join(sorted(macs)) or "none"
            raise GuestError(
                f"realtime_guests: {guest.name}: cloud_init: network_config: match names a network that the guest is not on (it is on {known}); "
                "add it to networks, or match by macaddress or name"
            )
        return {**{key: item for key, item in match.items() if key != "network"}, "macaddress": mac}

    if isinstance(given.get("network"), Mapping):
        found: Mapping[str, Any] = {**given, "network": _with_macs(given["network"], named)}
    else:
        found = _with_macs(given, named)
    if _names_network(found):
        raise GuestError(
            f"realtime_guests: {guest.name}: cloud_init: network_config: match names a network outside ethernets, where its MAC is not worked out; "
            "move the interface to ethernets (version: 2), or match by macaddress or name"
        )
    return found


def _names_network(value: Any) -> bool:
    """Whether a ``match`` with a network is left anywhere."""
    if isinstance(value, Mapping):
        match = value.get("match")
        return (isinstance(match, Mapping) and "network" in match) or any(map(_names_network, value.values()))
    return isinstance(value, list) and any(map(_names_network, value))


def _with_macs(config: Mapping[str, Any], named: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Mapping[str, Any]:
    cards = config.get("ethernets")
    if not isinstance(cards, Mapping):
        return config
    found = {}
    for name, card in cards.items():
        match = card.get("match") if isinstance(card, Mapping) else None
        found[name] = {**card, "match": named(match)} if isinstance(match, Mapping) and "network" in match else card
    return {**config, "ethernets": found}


# -- the files -------------------------------------------------------------------------------------


def seed_files(guest: Guest, uuid: str) -> dict[str, bytes]:
    """Return the files of a guest's seed by name; cloud-init wants user-data and meta-data in any case."""
    given = guest.cloud_init or CloudInit()
    user = given.user_data if given.user_data is not None else {}
    files = {"user-data": user if isinstance(user, str) else f"#cloud-config\n{text_of(user)}\n"}
    meta = given.meta_data if given.meta_data is not None else {}
    # a name of a guest may hold _, a name of a host may not (RFC 1123)
    known = {"instance-id": uuid, "local-hostname": guest.name.replace("_", "-")}
    files["meta-data"] = (
        meta
        if isinstance(meta, str)
        else f"{text_of({**known, **{key: item for key, item in meta.items() if item is not None}})}\n"
    )
    network = _network_config(guest)
    if network is not None:
        files["network-config"] = network if isinstance(network, str) else f"{text_of(network)}\n"
    return {name: text.encode() for name, text in files.items()}
