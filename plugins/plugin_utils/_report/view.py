# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's content, from the nodes' results. Pure: no markup here.

A node with a partial result or none is shown as such; it never prevents the others from being shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._audit.rules import RULES
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import UNREADABLE, counted, differs, plain, reason_of
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._latency.verdict import VIRTUAL
from ansible_collections.realtime.kvm.plugins.plugin_utils._natural import natural

from .accounting import SUMS_BY, Account, Holding, sums
from .clock import FORM, clock_text
from .facts import memory_of, since_of
from .firmware import firmware_of
from .latency import histogram, maximum_text, series, trend, verdict_text
from .map import cpu_map, segments
from .placement import placement_view
from .placement_now import Seen

#: Of what rt_node_info returns.
INFO_FORMAT = 1
#: Bounds of what is shown of a verdict: reasons, and characters of each.
_MOST_REASONS, _MOST_WORDS = 50, 2000
#: No counter and no amount of a machine is larger.
_MOST = 1 << 64
#: The part of rt_node_info's result that a node lacks which was never configured.
DOCUMENT = "partition file"
_MISSING = [{"part": str, "state": str, "reason": str}]
STATES = {
    "ok": ("✔", "as planned"),
    "findings": ("▲", "differs from its plan"),
    "half": ("◐", "half-configured"),
    "captured": ("◇", "captured, not compared"),
    "new": ("○", "not configured"),
    "failed": ("✖", "could not be read"),
    "unreachable": ("✖", "unreachable"),
}
_CAPTURED = (
    "these are files of a machine, not the machine: what runs there is not known, so nothing was compared with a partition file"
)
#: Words for the severities of findings, worst first.
_SEVERITIES = (("critical", "error", "high"), ("warning", "medium", ""), ("info", "notice", "low"))
_RANK = {word: rank for rank, words in enumerate(_SEVERITIES) for word in words}


@dataclass(frozen=True)
class Input:
    """The input of a report."""

    nodes: Mapping[str, Mapping[str, Any]]  # by host: info, verify, firmware, unreachable, error
    generated: str
    results: Sequence[Mapping[str, Any]] = ()
    rejected: Sequence[Mapping[str, str]] = ()  # file and reason
    title: str = "Real-time nodes"
    placement: Mapping[str, Any] | None = None  # file, plan, refusal (why the plan is not used); None: there is none


@dataclass
class Books:
    """The accounting of the whole fleet."""

    accounts: dict[str, Account] = field(default_factory=dict)
    shown: dict[str, dict[str, Any]] = field(default_factory=dict)  # what the page shows of a node
    broken: dict[str, str] = field(default_factory=dict)  # hosts whose data cannot be used, and why

    @cached_property
    def holdings(self) -> list[Holding]:
        return [row for account in self.accounts.values() for row in account.holdings]


def account_fleet(nodes: Mapping[str, Mapping[str, Any]]) -> Books:
    """Return the accounting of the nodes with a usable result."""
    books = Books()
    for host in sorted(nodes, key=natural):
        node = nodes[host]
        info = node.get("info")
        if not info:
            continue
        known = info.get("format") if isinstance(info, Mapping) else None
        if known != INFO_FORMAT or isinstance(known, bool):
            books.broken[host] = f"its result has format {plain(repr(known), 100)}; {INFO_FORMAT} is known"
            continue
        try:
            if wrong := differs(info.get("missing") or [], _MISSING, "missing") or _out_of_range(info):
                raise ValueError(wrong)
            account = Account(host, info)
            shown, _rows = _shown(account), account.holdings
            books.shown[host], books.accounts[host] = shown, account
        except UNREADABLE as error:
            books.broken[host] = f"its result cannot be used ({plain(f'{type(error).__name__}: {error}', 200)})"
    return books


def _out_of_range(info: Any) -> str:
    """Return which number no machine has, an empty text if there is none: NaN and infinity are no JSON, and would be in every sum."""
    left: list[tuple[str, Any]] = [("", info)]
    while left:
        place, value = left.pop()
        if isinstance(value, Mapping):
            left += [(f"{place}.{key}", inner) for key, inner in value.items()]
        elif isinstance(value, list):
            left += [(f"{place}.{number}", inner) for number, inner in enumerate(value)]
        elif isinstance(value, (int, float)) and not abs(value) <= _MOST:
            return f"{place[1:]} is {plain(str(value), 40)}, which no machine has"
    return ""


def when(text: str) -> str:
    """Return a time in a form for people."""
    return f"{text[:10]} {text[11:16]}" if len(text) >= 16 else text


def mib(amount: float) -> str:
    """Return an amount of memory in the unit that suits it."""
    return f"{amount / 1024:.1f} GiB".replace(".0 ", " ") if amount >= 1024 else f"{amount:g} MiB"


# -- one node --------------------------------------------------------------------------------------


def findings_of(verify: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """Return the findings of a verification, the worst first."""
    found = []
    items = verify.get("findings") if isinstance(verify, Mapping) else None
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, Mapping):
            continue
        subject = item.get("resource") or item.get("subject") or ""
        repair = item.get("repair") or item.get("remedy") or ""
        keys = {key: str(item.get(key) or "") for key in ("rule", "severity", "expected", "actual", "source")}
        keys["meaning"] = meaning_of(keys["rule"])
        found.append({**keys, "subject": str(subject), "repair": str(repair)})
    return sorted(found, key=lambda item: (_RANK.get(item["severity"].lower(), 1), item["rule"], item["subject"]))


def state_of(node: Mapping[str, Any], findings: Sequence[Mapping[str, str]], broken: str = "") -> tuple[str, str]:
    """Return a node's state (a key of STATES) and, if it is not ok, the reason."""
    info, verify = node.get("info"), node.get("verify")
    verify = verify if isinstance(verify, Mapping) else {}
    if broken:
        return "failed", broken
    if node.get("unreachable"):
        return "unreachable", str(node.get("error") or "it did not answer")
    if not info:
        return "failed", str(node.get("error") or "it returned no result")
    missing = info.get("missing") or []
    if info.get("captured") is True and "findings" not in verify:
        return "captured", _CAPTURED
    untouched = [item["reason"] for item in missing if item["part"] == DOCUMENT and item["state"] == "absent"]
    if untouched:
        return "new", untouched[0]
    serious = [item for item in missing if item["state"] == "broken"]
    if serious:
        return "half", "; ".join(f"{item['part']}: {item['reason']}" for item in serious)
    if "findings" not in verify:
        return "half", str(verify.get("error") or "it was not compared with its partition file")
    if findings:
        return "findings", counted(len(findings), "finding")
    return "ok", ""


def _node(number: int, host: str, node: Mapping[str, Any], books: Books, latency: Sequence[dict[str, Any]]) -> dict[str, Any]:
    findings = findings_of(node.get("verify"))
    state, reason = state_of(node, findings, books.broken.get(host, ""))
    view: dict[str, Any] = {
        "id": f"node-{number}",
        "host": host,
        "state": state,
        "symbol": STATES[state][0],
        "state_text": STATES[state][1],
        "reason": reason,
        "findings": findings,
        "latency": latency,
        "firmware": firmware_of(node.get("firmware")),
        "known": host in books.shown,
        "realtime": {"capacity": 0, "used": 0, "stranded": 0, "free": 0},
        "largest": {"vcpus": 0, "memory_mib": 0},
        "pages": {"capacity": 0, "free": 0},
        "guests": [],
        "kernel": "",
    }
    return {**view, **books.shown.get(host, {})}


def _shown(account: Account) -> dict[str, Any]:
    info, capacity = account.info, account.capacity
    kernel, clock = info.get("kernel") or {}, info.get("clock") or {}
    if clock and (wrong := differs(clock, FORM, "clock")):
        raise ValueError(wrong)
    cpus = [
        {"set": name, **figures, "bar": _cpu_bar(figures)} for name, figures in capacity["cpus"].items() if figures["capacity"]
    ]
    pages = [{**item, "bar": _bar(item, ("used", "reserved", "free"))} for item in capacity["hugepages"]]
    return {
        "kernel": kernel.get("release", ""),
        "preempt_rt": bool(kernel.get("realtime")),
        "read": when(info.get("read", "")),
        "booted": when(info.get("booted", "")),
        "partitioned": when(info.get("partition_since", "")),
        "isolation": (info.get("partition") or {}).get("isolation", ""),
        "missing": info.get("missing") or [],
        "clock": clock_text(clock),
        "sockets": cpu_map(account),
        "seconds": (info.get("interrupts") or {}).get("seconds", 0),
        "cpus": cpus,
        "realtime": capacity["cpus"].get("realtime", {"capacity": 0, "used": 0, "stranded": 0, "free": 0}),
        "hugepages": pages,
        "pages": {key: sum(item[key] for item in capacity["hugepages"]) for key in ("capacity", "free")},
        "memory": capacity["memory"],
        "largest": capacity["largest"],
        "largest_spread": capacity["largest_spread"],
        "largest_by_numa_node": capacity["largest_by_numa_node"],
        "guests": [_guest(account, guest) for guest in account.guests],
        "others": [_other(row) for row in account.holdings if _is_platform(row)],
        "irqs": [_irq(item) for item in (info.get("interrupts") or {}).get("irqs", ())],
    }


def _cpu_bar(figures: Mapping[str, int]) -> list[dict[str, Any]]:
    return _bar(figures, ("used", "stranded", "free"))


def _bar(figures: Mapping[str, Any], names: Iterable[str]) -> list[dict[str, Any]]:
    return segments([(name, figures[name]) for name in names])


def _is_platform(row: Holding) -> bool:
    """Whether a row is shown beside the guests: the switch's rows, and rows without an owner."""
    return row.user_kind != "guest" and row.kind != "irq" and (row.kind != "cpu" or row.user_kind == "switch")


def _other(row: Holding) -> dict[str, Any]:
    amount = mib(row.amount) if row.unit == "MiB" else ""
    return {
        "what": row.resource,
        "amount": amount,
        "user": row.user,
        "role": row.role,
        "cpus": row.cpus,
        "since": when(row.since),
    }


def _guest(account: Account, guest: Mapping[str, Any]) -> dict[str, Any]:
    own: list[int] = []
    shared: set[int] = set()
    shown = []
    for role, cpus in account.threads(guest).items():
        if any(account.owns(guest, role, cpu) for cpu in cpus):
            own += cpus
            shown.append(f"{role} on CPU {format_cpulist(cpus)}")
        elif role.startswith("vcpu"):
            shared |= cpus
    since, basis = since_of(guest)
    memory = ", ".join(
        f"{mib(amount)}{'' if size == 'none' else f' in {size} pages'}{f' on node {node}' if node else ''}"
        for node, size, amount in memory_of(guest)
    )
    return {
        "name": guest["name"],
        "instance": guest.get("instance", ""),
        "owner": guest["owner"],
        "owner_id": guest.get("owner_id", ""),
        "project": guest["project"],
        "project_id": guest.get("project_id", ""),
        "class": guest["class"],
        "manager": guest["manager"] or "unknown",
        "state": guest["state"],
        "vcpus": guest["vcpu_count"],
        "realtime": any(not text.startswith("other") for text in guest["schedulers"].values()),
        "own": format_cpulist(own),
        "own_count": len(set(own)),
        "own_text": "; ".join(shown),
        "shared": format_cpulist(shared),
        "memory": memory,
        "memory_mib": guest["memory_mib"],
        "ports": len(guest["ports"]),
        "devices": len(guest["devices"]),
        "since": when(since),
        "basis": basis,
        "differs": list(guest["differs_live"]),
    }


def _irq(item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "irq": item["irq"],
        "actions": ", ".join(item["actions"]),
        "cpus": item["cpus"],
        "allowed": item["allowed"],
        "movable": item["movable"],
        "count": sum(item["counts"].values()),
        "rate": round(sum(item["per_s"].values()), 1),
    }


# -- the fleet -------------------------------------------------------------------------------------


def _latency(results: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Return what the page shows of the measurements, and those that cannot be drawn, with the reason."""
    found, broken = [], []
    for item in series(results):
        name = " ".join(filter(None, (item["host"], item["guest"], item["tool"], item["profile"])))
        try:
            found.append(_measurement(item))
        except UNREADABLE as error:
            broken.append({"file": plain(name, 200), "reason": f"it cannot be drawn ({reason_of(error)})"})
    return found, broken


def _measurement(item: Mapping[str, Any]) -> dict[str, Any]:
    last = item["runs"][-1]
    reasons = last["verdict"].get("reasons", [])[:_MOST_REASONS]
    return {
        **{key: item[key] for key in ("host", "guest", "tool", "profile")},
        "runs": len(item["runs"]),
        "result": last["verdict"]["result"],
        "verdict": verdict_text(last),
        "virtual": bool(last["verdict"].get("virtual")),
        "reasons": [plain(str(reason), _MOST_WORDS) for reason in reasons if reason != VIRTUAL],  # shown with the verdict
        "started": when(last["started"]),
        "seconds": last.get("seconds", 0),
        "cpus": format_cpulist(last["cpus"]),
        **{key: last[key] for key in ("max_us", "limit_us")},
        "maximum": maximum_text(last),
        "histogram": histogram(last),
        "trend": trend(item["runs"]) if len(item["runs"]) > 1 else None,
    }


def report_view(given: Input, books: Books) -> dict[str, Any]:
    """Return everything that the page shows."""
    latency, broken = _latency(given.results)
    by_host: dict[str, list[dict[str, Any]]] = {}
    for item in latency:
        by_host.setdefault(item["host"], []).append(item)
    nodes = [
        _node(number, host, given.nodes[host], books, by_host.get(host, []))
        for number, host in enumerate(sorted(given.nodes, key=natural))
    ]
    ids = {node["host"]: node["id"] for node in nodes}
    holdings = books.holdings
    return {
        "title": given.title,
        "generated": when(given.generated),
        "nodes": nodes,
        "ids": ids,
        "totals": _totals(nodes, latency),
        **{name: sums(holdings, key) for name, key in SUMS_BY.items()},
        "rules": _rules(nodes),
        "latency": latency,
        "placement": placement_view(**given.placement, seen=_seen(nodes)) if given.placement else None,
        "strangers": [item for item in latency if item["host"] not in ids],
        "rejected": [*given.rejected, *broken],
        "guests": [_listed(node, guest) for node in nodes for guest in node["guests"]],
        "open": len(nodes) <= 4,
    }


def _seen(nodes: Sequence[Mapping[str, Any]]) -> Seen:
    read = {node["host"]: {guest["name"] for guest in node["guests"]} for node in nodes if node["known"]}
    return Seen([node["host"] for node in nodes], read)


def _listed(node: Mapping[str, Any], guest: Mapping[str, Any]) -> list[Any]:
    """Return a guest as a row of the table of all guests; the page has them as JSON."""
    keys = ("own", "state", "shared", "memory", "ports", "owner", "project", "class", "since")
    name = f"{guest['name']} ({guest['instance']})" if guest["instance"] else guest["name"]
    return [name, node["host"], *(guest[key] for key in keys), guest["memory_mib"], node["id"]]


def _totals(nodes: Sequence[Mapping[str, Any]], latency: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    states = {state: sum(node["state"] == state for node in nodes) for state in STATES}
    realtime = {key: sum(node["realtime"][key] for node in nodes) for key in ("capacity", "used", "stranded", "free")}
    best = max(nodes, key=lambda node: (node["largest"]["vcpus"], node["largest"]["memory_mib"]), default=None)
    verdicts = {result: sum(item["result"] == result for item in latency) for result in ("pass", "fail", "inconclusive")}
    return {
        "nodes": len(nodes),
        "states": states,
        "realtime": {**realtime, "bar": _cpu_bar(realtime)},
        "pages": {key: sum(node["pages"][key] for node in nodes) for key in ("capacity", "free")},
        "guests": sum(len(node["guests"]) for node in nodes),
        "findings": sum(len(node["findings"]) for node in nodes),
        "largest": best,
        "verdicts": verdicts,
        "measured": len(latency),
        "virtual": sum(item["virtual"] for item in latency),
    }


def meaning_of(rule: str) -> str:
    """Return what must hold by a rule; nothing for a rule of another release."""
    return RULES[rule].meaning if rule in RULES else ""


def _rules(nodes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rules that are broken, with the nodes on which they are."""
    found: dict[tuple[str, str], list[str]] = {}
    for node in nodes:
        for finding in node["findings"]:
            found.setdefault((finding["rule"], finding["severity"]), []).append(node["host"])
    rows = [
        {
            "rule": rule,
            "meaning": meaning_of(rule),
            "severity": severity,
            "findings": len(hosts),
            "nodes": sorted(set(hosts), key=natural),
        }
        for (rule, severity), hosts in found.items()
    ]
    return sorted(rows, key=lambda row: (_RANK.get(row["severity"].lower(), 1), -row["findings"], row["rule"]))
