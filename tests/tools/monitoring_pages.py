# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pages say of metrics and alerts, from the tables that metrics and rules come from."""

from __future__ import annotations

import re

from ansible_collections.realtime.kvm.plugins.module_utils._audit.rules import RULES
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal_events import EVENTS, PREFIX
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.families import FAMILIES

#: Between these lines of docs/monitoring.md stands what is written here.
BEGIN, END = "<!-- written by make monitoring: {} -->", "<!-- end of {} -->"


def with_tables(page, source):
    """Return the page with its generated parts."""
    tables = {
        "metrics": metrics_table(),
        "recordings": recordings_table(source),
        "alerts": alerts_table(source),
        "events": events_table(),
    }
    for name, text in tables.items():
        begin, end = BEGIN.format(name), END.format(name)
        if page.count(begin) != 1 or page.count(end) != 1:
            raise SystemExit(f"docs/monitoring.md has no place for {name}: it needs the lines {begin} and {end}")
        page = re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n\n{text}\n{end}", page, flags=re.DOTALL)  # noqa: B023
    return page


def metrics_table():
    """Return the table of metrics."""
    rows = [
        f"| `{family.name}` | {family.kind} | {', '.join(f'`{label}`' for label in family.labels) or '-'} | {_cell(family.help)} | {family.bound} |"
        for family in FAMILIES.values()
    ]
    return _table(["Metric", "Type", "Labels", "Meaning", "Series"], rows)


def events_table():
    """Return the table of what the journal is told."""
    rows = [
        f"| {_cell(event.meaning)} | `{event.name}` | `{event.id}` | {', '.join(f'`{PREFIX}{field}`' for field in event.fields) or '-'} |"
        for event in EVENTS
    ]
    return _table(["Event", "`REALTIME_KVM_EVENT`", "`MESSAGE_ID`", "Fields"], rows)


def recordings_table(source):
    """Return the table of what the rules record."""
    return _table(["Recorded", "Meaning"], [f"| `{one['record']}` | {_cell(one['means'])} |" for one in source["recordings"]])


def alerts_table(source):
    """Return the table of alerts."""
    rows = [
        f"| [{alert['alert']}](alerts.md#{alert['alert'].lower()}) | {alert['severity']} | {alert.get('for', 'at once')} | {_cell(alert['summary'])} |"
        for alert in source["alerts"]
    ]
    return _table(["Alert", "Severity", "After", "The node's state"], rows)


def alerts_page(source):
    """Return the page that alerts link to."""
    lines = [
        "# Alerts: what each means, and what to do",
        "",
        "<!-- Written by `make monitoring` from extensions/monitoring/alerts.yml. -->",
        "",
        "An alert's notification links to its section here. [Monitoring](monitoring.md) says how alerts come to be and reach people. The node's own words are",
        "always in `rtpart status`: each finding with place, expected and actual state, and remedy. A run of `site` passes through states that alerts are for;",
        "silence the node for that time.",
        "",
    ]
    for alert in source["alerts"]:
        lines += _section(alert, source)
    return "\n".join(lines).rstrip("\n") + "\n"


def _section(alert, source):
    lines = [f"## {alert['alert']}", "", f"*{alert['severity']}*: {alert['summary']}.", "", f"**It means:** {alert['means']}", ""]
    lines += [f"**Do:** {alert['action']} More: [{alert['page']}]({alert['page']}).", ""]
    when = []
    if "rules" in alert:
        sooner = alert.get("sooner", {})
        if later := [rule for rule in alert["rules"] if rule not in sooner]:
            when.append(f"a finding of {_rules(later)} ([audit](audit.md))")
        for rule, known in sooner.items():
            when.append(
                f"a finding of {_rules([rule])} ([audit](audit.md)) where the node has no `{known}`, which knows it sooner"
            )
    if alert.get("others"):
        when.append("a finding of a rule that is in no other alert")
    if "expr" in alert:
        when.append(f"`{alert['expr'].strip()}`")
    lasting = f", for {alert['for']}" if "for" in alert else ""
    explained = explaining(alert)
    hidden = _hidden([(one, explained[one["alert"]]) for one in source["alerts"] if one["alert"] in explained])
    booted = f" Not in the first {alert['after_boot_s']} s after the node's start." if "after_boot_s" in alert else ""
    return [*lines, f"**It fires on** {', or on '.join(when)}{lasting}.{hidden}{booted}", ""]


def explaining(alert):
    """Return the alerts that explain an alert, each with the rules whose findings do; no rules: all of it does."""
    found = {}
    for one in alert.get("after", []):
        found.update(one if isinstance(one, dict) else {one: []})
    return found


def _rules(names):
    found = [f"`{name}`" for name in names if name in RULES]
    return f"the rule {found[0]}" if len(found) == 1 else f"the rules {', '.join(found[:-1])} or {found[-1]}"


def _hidden(others):
    """When the alert is not shown: while others fire, or that which makes them explain it."""
    parts = []
    for one, rules in others:
        on = f" on `{one['explains']}`" if "explains" in one else f" on a finding of {_rules(rules)}" if rules else ""
        parts.append(f"[{one['alert']}](#{one['alert'].lower()}) fires{on}")
    return f" Not while {', or '.join(parts)} for the node." if parts else ""


def _table(head, rows):
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *rows, ""])


def _cell(text):
    return text.replace("|", r"\|")
