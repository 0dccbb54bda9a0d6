# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The digest of what a placement was made from, and of a plan's own text. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document

from .model import Host, Options, Rule, Wish


def digest(value: Any) -> str:
    """Return a short digest of plain data."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def inputs_digest(
    hosts: Sequence[Host],
    unread: Mapping[str, str],
    wishes: Sequence[Wish],
    rules: Sequence[Rule],
    options: Options,
    more: Any = None,
) -> str:
    """Return the digest of what a placement is made from, but for what changes by itself.

    These have no part in it: sizes of memory, which another kernel moves by some MiB; whether a guest runs, and what only a running one shows; whether
    the switch runs. A plan is compared with the one that they lead to now (``plan_file.check_current``).
    """
    return digest(
        {
            "hosts": {host.name: _host(host) for host in hosts},
            "unread": dict(unread),
            "guests": {
                wish.name: [dict(wish.given), wish.home, wish.stays, _plain(wish.hosts), _plain(wish.devices)] for wish in wishes
            },
            "rules": sorted(_plain(rule) for rule in rules),
            "options": _plain(options),
            "more": more,
        }
    )


def _host(host: Host) -> dict[str, Any]:
    return {
        "partition": to_document(host.partition),
        "topology": host.topology.digest(),
        "domains": [
            [field.name, _plain(getattr(domain, field.name))]
            for domain in host.existing
            for field in fields(domain)
            if field.name not in ("running", "io_threads")
        ],
        "networks": {
            name: [network.realtime, network.state, *([network.datapath] if network.datapath else [])]
            for name, network in sorted(host.networks.items())
        },
        "values": [
            _plain(getattr(host, name))
            for name in (
                "devices",
                "domains",
                "priority_limit",
                "switch_pages",
                "reserve_mib",
                "refusal",
                "drained",
            )
        ],
    }


def _plain(value: Any) -> Any:
    """Return a value as plain data whose text does not depend on the order of sets."""
    if is_dataclass(value) and not isinstance(value, type):
        return [_plain(getattr(value, field.name)) for field in fields(value)]
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
