# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a fleet as text for a terminal: what it disturbs first, at most 118 columns. Pure.

Nodes whose details agree share one section, so that a fleet of equal machines reads like one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import counted
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import DISRUPTIONS
from ansible_collections.realtime.kvm.plugins.module_utils._tables import MOST_ROWS, columns, paragraph, text_table
from ansible_collections.realtime.kvm.plugins.plugin_utils._natural import BEFORE_TEXT, few
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.view import mib

from .changes import families, worst_first
from .document import is_unchanged

#: How many of the changes that disturb most the first table names, and how many packages the text does.
_NAMED, _PACKAGES = 3, 150
#: Before the class of a node of which not everything is counted.
AT_LEAST = "at least "
#: What people call the layers whose run-time values wait for a boot.
VALUES = {"partition": "CPUs", "power": "power management", "interrupts": "interrupts", "host": "huge pages and KVM"}
#: Characters of a value that the text shows.
_SHORT = 60


def plan_lines(document: Mapping[str, Any]) -> list[str]:
    """Return the plan of a fleet; a document of one node without a name shows no names of nodes."""
    nodes = document["nodes"]
    parts = [_refused(nodes), _disruption(nodes), guest_lines(nodes), _packages(nodes), _remarks(nodes), _policies(nodes)]
    parts += [_details(hosts, nodes[hosts[0]]) for hosts in _alike(nodes)]
    return [line for part in parts if part for line in [*part, ""]][:-1]


def _title(text: str) -> list[str]:
    return [f"== {text} =="]


def _grouped(pairs: Iterable[tuple[Any, str]]) -> list[tuple[Any, list[str]]]:
    """Return what nodes share, each with its nodes, in the order in which it comes first."""
    found: dict[Any, list[str]] = {}
    for key, host in pairs:
        found.setdefault(key, []).append(host)
    return list(found.items())


def _lead(hosts: Sequence[str]) -> str:
    """Return what comes before a text of nodes: not all names of a large fleet, since the text must not be cut for them."""
    return f"{few(hosts, BEFORE_TEXT)}: " if any(hosts) else ""


# -- what is refused, what is disturbed ------------------------------------------------------------


def _refused(nodes: Mapping[str, Any]) -> list[str]:
    pairs = [(text, host) for host, node in nodes.items() for text in node["refused"]]
    lost = [(node["lost"], host) for host, node in nodes.items() if node["lost"]]
    lines = [line for text, hosts in _grouped([*pairs, *lost]) for line in _paragraphs(f"{_lead(hosts)}{text}")]
    return [*_title("Refused, or not planned"), *lines[:MOST_ROWS]] if lines else []


def _paragraphs(text: str) -> list[str]:
    """Return a text of several lines; all but the first are indented."""
    return [line for number, part in enumerate(text.splitlines()) for line in paragraph(part, "  " if number else "", "  ")]


def _disruption(nodes: Mapping[str, Any]) -> list[str]:
    groups = _grouped((_disturbs(node), host) for host, node in nodes.items() if not node["lost"])
    if not groups:
        return []
    limits = {node["limit"] for node in nodes.values()} - {DISRUPTIONS[-1]}
    header = ["disruption", "nodes", "allowed", "changes", "what"]
    rows = [[worst, few(hosts), limit, count, what] for (worst, limit, count, what), hosts in sorted(groups, key=_worst_group)]
    left = [column for column, name in enumerate(header) if (name != "nodes" or any(nodes)) and (name != "allowed" or limits)]
    table = text_table([header[column] for column in left], [[row[column] for column in left] for row in rows])
    above = _grouped((text, host) for host, node in nodes.items() for text in node["above_limit"])
    more = [line for text, hosts in above for line in paragraph(f"{_lead(hosts)}above realtime_max_disruption: {text}")]
    open_ends = _grouped((text, host) for host, node in nodes.items() if not node["lost"] for text in _not_counted(node))
    more += [line for text, hosts in open_ends for line in paragraph(f"{_lead(hosts)}not counted: {text}")]
    return [*_title("What the run disturbs"), *table, *more[:MOST_ROWS]]


def _worst_group(group: tuple[tuple[str, ...], list[str]]) -> int:
    worst = group[0][0].removeprefix(AT_LEAST)
    return -DISRUPTIONS.index(worst) if worst in DISRUPTIONS else 1


def _not_counted(node: Mapping[str, Any]) -> list[str]:
    """Return what the class of a node leaves out."""
    return [*node["not_counted"], *(["what is refused"] if node["refused"] else [])]


def _disturbs(node: Mapping[str, Any]) -> tuple[str, str, str, str]:
    if is_unchanged(node):
        return "nothing", node["limit"], "0", "nothing to change"
    changes = worst_first(node["changes"])
    top = [change for change in families(changes) if change[0]["disruption"] == node["disruption"]]
    boot = [one for one in top if one[0]["resource"].startswith("running kernel")]
    names = [_resource(*one) for one in [*boot, *(one for one in top if one not in boot)]]
    what = "; ".join(names[:_NAMED]) + (f"; and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    return (
        f"{AT_LEAST if node['at_least'] else ''}{node['disruption']}",
        node["limit"],
        str(len(changes) + node["more_changes"]),
        what or ("packages" if node["packages"] else "see below"),
    )


def _resource(change: Mapping[str, Any], times: int) -> str:
    return f"{change['resource']} ({times} times)" if times > 1 else str(change["resource"])


# -- guests ----------------------------------------------------------------------------------------

#: A table of more guests than this leaves out those on which nothing happens.
MOST_GUESTS = 60


def helpers(guest: Mapping[str, Any]) -> str:
    """Return the CPUs of the emulator, and those of vhost's threads where they have a place."""
    emulator = guest["emulator"] or "-"
    return f"{emulator}, vhost {guest['vhost']}" if guest["vhost"] else emulator


def guest_lines(nodes: Mapping[str, Any], happens: str = "happens") -> list[str]:
    """Return the guests of a fleet as a table: where they run, on which CPUs, with which memory and ports; ``happens`` heads what happens to them.

    Of a large fleet, only the guests on which something happens; the page of the plan has all.
    """
    found = [(host, guest) for host, node in nodes.items() for guest in node["guests"]]
    if not found:
        return []
    shown = found if len(found) <= MOST_GUESTS else [(host, guest) for host, guest in found if guest["happens"]]
    more = len(found) - len(shown)
    others = [f"{counted(more, 'guest')} on which nothing happens {'is' if more == 1 else 'are'} not shown"] if more else []
    if not shown:
        return [*_title("Guests"), *others]
    rows = [
        [guest["name"], host, happening(guest), cpus(guest), helpers(guest), memory(guest), ports(guest)] for host, guest in shown
    ]
    header = ["guest", "node", happens, "vCPU -> CPU", "emulator", "memory", "ports"]
    left = [column for column, name in enumerate(header) if name != "node" or any(nodes)]
    table = text_table([header[column] for column in left], [[row[column] for column in left] for row in rows])
    marks = ["* real-time vCPU"] if any("*" in row[3] for row in rows) else []
    return [*_title("Guests"), *table, *marks, *others]


def happening(guest: Mapping[str, Any]) -> str:
    """Return what happens to a guest, with its disruption class if that is not none."""
    text = ", ".join(guest["happens"]) or "nothing"
    return f"{text} ({guest['disruption']})" if guest["disruption"] != "none" else text


def cpus(guest: Mapping[str, Any]) -> str:
    """Return which vCPU gets which CPU, neighbours together: ``0->4, 1-3->5-7*``; a star marks real-time vCPUs."""
    return ", ".join(cpu_runs(guest)) or "-"


def cpu_runs(guest: Mapping[str, Any]) -> list[str]:
    """Return the parts of ``cpus``."""
    if not guest["vcpus"]:
        return [f"{guest['vcpu_count']} on {guest['floating']}"] if guest["floating"] else []
    realtime = _members(guest["realtime_vcpus"])
    runs: list[tuple[int, int, str, bool]] = []
    for vcpu, on in sorted((int(key), text) for key, text in guest["vcpus"].items()):
        first, last, text, fast = runs[-1] if runs else (0, -2, "", False)
        start = text.partition("-")[0]
        follows = on.isdecimal() and start.isdecimal() and int(on) == int(start) + vcpu - first
        if vcpu == last + 1 and follows and fast == (vcpu in realtime):
            runs[-1] = (first, vcpu, f"{start}-{on}", fast)
        else:
            runs.append((vcpu, vcpu, on, vcpu in realtime))
    return [f"{first if first == last else f'{first}-{last}'}->{text}{'*' if fast else ''}" for first, last, text, fast in runs]


def _members(text: str) -> set[int]:
    found: set[int] = set()
    for part in text.split(",") if text else ():
        low, _dash, high = part.partition("-")
        found |= set(range(int(low), int(high or low) + 1))
    return found


def memory(guest: Mapping[str, Any]) -> str:
    """Return a guest's memory: its amount, its huge pages by NUMA node."""
    if not guest["memory_mib"]:
        return "-"
    by_node = ", ".join(f"{count} x {guest['hugepages']} on node {node}" for node, count in guest["pages"].items())
    if not by_node and guest["numa_nodes"]:
        by_node = f"on node {', '.join(map(str, guest['numa_nodes']))}"
    return f"{mib(guest['memory_mib'])}{': ' if guest['pages'] else ' ' if by_node else ''}{by_node}"


def ports(guest: Mapping[str, Any]) -> str:
    """Return the networks of a guest, with the CPUs that poll its ports."""
    texts = [
        f"{port['network']}{f' (PMD on {port_cpus})' if (port_cpus := port['polled_by']) else ''}" for port in guest["ports"]
    ]
    return ", ".join(texts) or "-"


# -- packages, remarks -----------------------------------------------------------------------------


def package_counts(packages: Sequence[Mapping[str, str]]) -> str:
    """Return how many packages are installed, updated and removed."""
    new = sum(not item["before"] and bool(item["after"]) for item in packages)
    updated = sum(bool(item["before"] and item["after"]) for item in packages)
    removed = sum(not item["after"] for item in packages)
    counts = ((new, "to install"), (updated, "to update"), (removed, "to remove"))
    return ", ".join(f"{count} {what}" for count, what in counts if count)


def _packages(nodes: Mapping[str, Any]) -> list[str]:
    groups = _grouped((tuple(tuple(item.items()) for item in node["packages"]), host) for host, node in nodes.items())
    lines: list[str] = []
    for key, hosts in groups:
        packages = [dict(item) for item in key]
        if packages:
            gone = [f"{item['name']} (removed)" for item in packages if not item["after"]]
            names = gone + [item["name"] for item in packages if item["after"]]
            more = f", and {len(names) - _PACKAGES} more" if len(names) > _PACKAGES else ""
            lines += [*paragraph(f"{_lead(hosts)}{package_counts(packages)}:"), *_words(", ".join(names[:_PACKAGES]) + more)]
    return [*_title("Packages"), *lines] if lines else []


def _words(text: str) -> list[str]:
    """Return a text longer than one cell may be, from words that are each bounded."""
    lines: list[str] = []
    line = ""
    for part in text.split(", "):
        if line and columns(line) + columns(part) > 110:
            lines += paragraph(f"{line},", "  ", "  ")
            line = part
        else:
            line = f"{line}, {part}" if line else part
    return lines + paragraph(line, "  ", "  ")


def _remarks(nodes: Mapping[str, Any]) -> list[str]:
    groups = _grouped((tuple(item.items()), host) for host, node in nodes.items() for item in node["remarks"])
    lines: list[str] = []
    for key, hosts in groups:
        lines += remark_lines(dict(key), _lead(hosts))
    return [*_title("Remarks"), *lines[:MOST_ROWS]] if lines else []


def remark_lines(item: Mapping[str, str], lead: str = "") -> list[str]:
    """Return a remark: place and text, then remedy and source."""
    lines = paragraph(f"{lead}{item['place']}: {item['text']}")
    lines += paragraph(item["remedy"], "  remedy: ", "    ") if item["remedy"] else []
    return lines + (paragraph(item["source"], "  source: ", "    ") if item["source"] else [])


# -- nodes -----------------------------------------------------------------------------------------

_SHARED = ("table", "kernel_arguments", "changes", "more_changes", "deferred", "lost")


def _alike(nodes: Mapping[str, Any]) -> list[list[str]]:
    """Return the names of nodes, those with equal details together."""
    pairs = [(str([*(node[key] for key in _SHARED), _pages(node)]), host) for host, node in nodes.items() if not node["lost"]]
    return [hosts for _key, hosts in _grouped(pairs)]


def _details(hosts: Sequence[str], node: Mapping[str, Any]) -> list[str]:
    lines = paragraph(f"== {few(hosts)} ==", rest="   ") if any(hosts) else []
    lines += [line for text in node["table"] for line in paragraph(text)] + [""] * bool(node["table"])
    if pages := _pages(node):
        lines += [*text_table(["huge pages", "needed", "there now", "for"], pages), ""]
    if node["changes"]:
        lines += _arguments(node["kernel_arguments"])
        rows = [
            [change["disruption"], _resource(change, times), _difference(change)]
            for change, times in families(worst_first(node["changes"]))
        ]
        more = [f"... and {counted(node['more_changes'], 'more change')}"] if node["more_changes"] else []
        return [*lines, *text_table(["disruption", "what changes", "from -> to"], rows), *more, *_deferred(node)]
    return [*lines, "no change" if node["at_least"] else "nothing to change"]


def _pages(node: Mapping[str, Any]) -> list[list[str]]:
    """Return the huge pages of a node that changes, as rows."""
    return [] if is_unchanged(node) else page_rows(node)


def page_rows(node: Mapping[str, Any]) -> list[list[str]]:
    """Return a row for each kind of huge pages: where, how many are needed and there, and for whom."""
    return [
        [
            f"{row['size']} on node {row['node']}",
            str(row["wanted"]),
            str(row["have"]),
            ", ".join(f"{user} {pages}" for user, pages in row["users"].items()),
        ]
        for row in node["hugepages"]
    ]


def _deferred(node: Mapping[str, Any]) -> list[str]:
    text = deferred_text(node)
    return paragraph(text) if text else []


def deferred_text(node: Mapping[str, Any]) -> str:
    """Return which values are no changes of this run; empty where none waits."""
    names = [VALUES.get(layer, layer) for layer in node["deferred"]]
    return f"made after the reboot by the boot service, so not among these changes: values of {', '.join(names)}" if names else ""


def _policies(nodes: Mapping[str, Any]) -> list[str]:
    """Return the policies of the nodes that change."""
    pairs = [(tuple(item.items()), host) for host, node in nodes.items() if node["changes"] for item in node["policies"]]
    every = {host for _key, host in pairs}
    lines: list[str] = []
    for key, hosts in _grouped(pairs):
        lines += policy_lines(dict(key), "" if set(hosts) == every else _lead(hosts))
    return [*_title("Policies"), *lines[:MOST_ROWS]] if lines else []


def policy_lines(policy: Mapping[str, str], lead: str = "") -> list[str]:
    """Return a chosen policy as lines: what it protects and what it costs."""
    was = f" (was {policy['before']})" if policy["before"] else ""
    lines = paragraph(f"{lead}{policy['variable']}: {policy['value']}{was}")
    return [
        *lines,
        *paragraph(f"protects {policy['protects']}", "  ", "    "),
        *paragraph(f"costs: {policy['costs']}", "  ", "    "),
    ]


def _arguments(arguments: Sequence[Mapping[str, str]]) -> list[str]:
    rows = [[argument["token"], argument["reason"]] for argument in arguments]
    return [*text_table(["kernel argument", "why"], rows), ""] if rows else []


def _difference(change: Mapping[str, Any]) -> str:
    return f"{_shorten(change['before'])} -> {_shorten(change['after'])}"


def _shorten(text: str | None) -> str:
    """Return a value in a few words; the page and the JSON file have it whole."""
    if text is None:
        return "absent"
    lines = text.strip().splitlines()
    if len(lines) > 1:
        return f"{len(lines)} lines"
    return text.strip() if len(text) <= _SHORT else f"{text.strip()[: _SHORT - 3]}..."
