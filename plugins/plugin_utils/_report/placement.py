# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan of place in the report: each host before and after, the moves, and the guests without a host. Pure.

Who reads the file checks that the plan was not edited. Whether it has the form of a plan is checked here; what has another is not drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import UNREADABLE, differs, plain, reason_of
from ansible_collections.realtime.kvm.plugins.plugin_utils._natural import few, natural
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.answer import headline

from .placement_now import Seen, differences

#: Bounds of what is shown: characters of a name and of a text, guests of a host, rows of a table.
_NAME, _WORDS, _GUESTS, _ROWS = 120, 600, 60, 1000
#: Tables of more rows are folded.
_OPEN = 40
#: No number of a plan is larger.
_MOST = 1 << 53
#: Symbol and words of a host that takes no guests.
_SHUT = {"drained": "▼ drained", "closed": "✖ closed"}


def placement_view(file: str, plan: Any, refusal: str, seen: Seen) -> dict[str, Any]:
    """Return what the page shows of a plan, or in ``refusal`` why it shows none."""
    if not refusal:
        try:
            refusal = differs(plan, _FORM, "it")
            if not refusal:
                return {"file": plain(file, _WORDS), "refusal": "", **_drawn(plan, seen)}
            refusal = f"it has not the form of a plan: {refusal}"
        except UNREADABLE as error:
            refusal = f"it has not the form of a plan ({reason_of(error)})"
    return {"file": plain(file, _WORDS), "refusal": plain(refusal, _WORDS)}


# -- the form --------------------------------------------------------------------------------------


def _number(value: Any) -> str:
    fine = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST
    return "" if fine else "is no number of 0 or more"


def _number_or_none(value: Any) -> str:
    return "" if value is None else _number(value)


def _word(*words: str) -> Any:
    return lambda value: "" if isinstance(value, str) and value in words else f"is none of {', '.join(words)}"


def _guest(value: Any) -> str:
    wrong = differs(value, {"guest": str, "host": str, "change": _word("stays", "moves", "new")}, "entry")
    if not wrong and value["change"] == "moves":
        wrong = differs(value, {"from": str}, "entry")
    return f"has a wrong {wrong}" if wrong else ""


def _host(value: Any) -> str:
    use = {"guests": _number, "nodes": {str: {"cores": _number, "memory_mib": _number}}}
    form = {
        "state": _word("open", *_SHUT),
        "room": {str: {"cores": _number, "memory_mib": _number_or_none}},
        "before": use,
        "after": use,
    }
    more = {"reason": str, "leave": [str], "come": [str], "pages_1g_missing": {str: _number}}
    wrong = differs(value, form, "entry") or differs(value, {key: more[key] for key in more if key in value}, "entry")
    if not wrong and any(set(value["room"]) - set(value[time]["nodes"]) for time in ("before", "after")):
        wrong = "entry lacks a NUMA node"
    return f"has a wrong {wrong}" if wrong else ""


_SUMMARY = ("guests", "stay", "moved", "new", "unplaced")
_FORM: dict[str, Any] = {
    "summary": dict.fromkeys(_SUMMARY, _number),
    "unplaced": [{"guest": str, "reason": str, "change": str, "proven": bool}],
    "moves": [{"step": _number, "guest": str, "from": str, "to": str, "how": str, "node": _number_or_none}],
    "guests": [_guest],
    "hosts": {str: _host},
    "left_out": {str: str},
    "remarks": [str],
}


# -- what is shown ---------------------------------------------------------------------------------


def _drawn(plan: Mapping[str, Any], seen: Seen) -> dict[str, Any]:
    summary, hosts = plan["summary"], plan["hosts"]
    names = sorted(hosts, key=natural)
    changed = [name for name in names if _changes(hosts[name])]
    same = [name for name in names if not _changes(hosts[name])]
    places = seen.hosts_by_guest()
    asked = plan.get("what_if") or {}
    imagined = asked.get("hosts") or []
    return {
        "summary": headline(summary),
        "what_if": plain(few([str(name) for name in imagined]), _WORDS) if imagined else "",
        "would_fit": [(plain(str(name), _NAME), int(found["more"])) for name, found in (asked.get("guests") or {}).items()][
            :_ROWS
        ],
        "differences": [plain(text, _WORDS) for text in differences(plan, seen)],
        "compared": len(set(hosts) & set(seen.guests)),
        "totals": _totals(hosts.values()),
        "hosts": len(hosts),
        "changed": [_row(name, hosts[name]) for name in changed[:_ROWS]],
        "same": [_row(name, hosts[name]) for name in same[:_ROWS]],
        "moves": [_move(step, places) for step in plan["moves"][:_ROWS]],
        "unplaced": [
            {**{key: plain(entry[key], _WORDS) for key in ("guest", "reason", "change")}, "proven": entry["proven"]}
            for entry in plan["unplaced"][:_ROWS]
        ],
        "left_out": [
            (plain(name, _NAME), plain(plan["left_out"][name], _WORDS)) for name in sorted(plan["left_out"], key=natural)[:_ROWS]
        ],
        "remarks": [plain(text, _WORDS) for text in plan["remarks"][:_ROWS]],
        "counts": {
            "changed": len(changed),
            "same": len(same),
            **{key: len(plan[key]) for key in ("moves", "unplaced", "left_out", "remarks")},
        },
        "most": _ROWS,
        "few": _OPEN,
    }


def _changes(host: Mapping[str, Any]) -> bool:
    """Whether a host is another after the plan; guests that change places leave its numbers as they are."""
    return bool(host["before"] != host["after"] or host.get("leave") or host.get("come"))


def _row(name: str, host: Mapping[str, Any]) -> dict[str, Any]:
    missing = host.get("pages_1g_missing") or {}
    return {
        "host": name,
        "name": plain(name, _NAME),
        "shut": _SHUT.get(host["state"], ""),
        "state": host["state"],
        "reason": plain(host.get("reason", ""), _WORDS),
        "before": host["before"]["guests"],
        "after": host["after"]["guests"],
        "leave": few(host.get("leave") or [], _WORDS, _GUESTS),
        "come": few(host.get("come") or [], _WORDS, _GUESTS),
        "pages": plain(", ".join(f"{count} on NUMA node {node}" for node, count in missing.items()), _WORDS),
        "nodes": [_node(node, host) for node in sorted(host["room"], key=natural)],
    }


def _node(node: str, host: Mapping[str, Any]) -> dict[str, Any]:
    was, now, room = host["before"]["nodes"][node], host["after"]["nodes"][node], host["room"][node]
    return {
        "node": plain(node, 20),
        **{key: _pair(was[key], now[key], room[key]) for key in ("cores", "memory_mib")},
    }


def _pair(before: int, after: int, total: int | None) -> dict[str, Any]:
    """Return two numbers with the lengths of their bars in percent; without bars where the total is not known."""
    parts = [min(round(100 * amount / total, 1), 100) if total else 0 for amount in (before, after)]
    return {"before": before, "after": after, "total": total, "bars": parts}


def _totals(hosts: Any) -> dict[str, Any]:
    cores = [0, 0, 0]
    for host in hosts:
        for node, room in host["room"].items():
            cores[0] += host["before"]["nodes"][node]["cores"]
            cores[1] += host["after"]["nodes"][node]["cores"]
            cores[2] += room["cores"]
    return _pair(*cores)


def _move(step: Mapping[str, Any], places: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    texts = {key: plain(step[key], _NAME) for key in ("guest", "from", "to", "how")}
    return {**texts, "step": step["step"], "node": step["node"], "now": few(places.get(step["guest"], ()), _NAME)}
