# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write what is made of extensions/monitoring/alerts.yml and panels.yml: rules and their unit tests for Prometheus, Grafana's dashboard, pages.

PYTHONPATH=collections:tests python tests/tools/monitoring.py [FOLDER]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml
from ansible_collections.realtime.kvm.plugins.module_utils._audit.rules import RULES
from tools.dashboard import dashboard_of
from tools.monitoring_pages import alerts_page, explaining, with_tables

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path("extensions/monitoring")
PAGE = "docs/monitoring.md"
RUNBOOK = "https://github.com/realtime-kvm/realtime.kvm/blob/main/docs/alerts.md"
HEAD = "---\n# Written by `make monitoring` from extensions/monitoring/alerts.yml.\n"
#: Rules of the audit that an alert has to tell of.
TOLD = [rule.id for rule in RULES.values() if rule.severity != "info"]
#: The node's name in the inventory.
HOST = "{{ if $labels.host }}{{ $labels.host }}{{ else }}{{ stripPort $labels.instance }}{{ end }}"
#: Every alert has them, so that a route and a rulebook need no other.
COMMON = {"collection": "realtime.kvm", "host": HOST}
#: What a node is known by; nodes of two clusters can have the same address.
NODE = "job, instance, cluster"
#: What looks back over a day is not evaluated with each scrape.
INTERVALS = {"realtime-kvm-seen": {"interval": "1m"}}
JOB, INSTANCE = "node", "kvm01.example.com:9100"
FIRING = 'ALERTS{alertstate="firing"}'


class Dumper(yaml.SafeDumper):
    """Writes lists as yamllint wants them, and texts of several lines as they are."""

    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)


Dumper.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)
)


def read_source(name="alerts.yml"):
    """Return one of the two sources."""
    return yaml.safe_load((ROOT / FOLDER / name).read_text(encoding="utf-8"))


def dump(document):
    """Return a document as a generated file has it."""
    return HEAD + "# yamllint disable rule:line-length\n" + yaml.dump(document, Dumper=Dumper, sort_keys=False, width=10**6)


# Rules


def expression(alert, source):
    """Return the expression of an alert."""
    parts = []
    if "rules" in alert:
        sooner = alert.get("sooner", {})
        if later := [rule for rule in alert["rules"] if rule not in sooner]:
            parts.append(_findings(f'rule=~"{"|".join(later)}"'))
        for rule, known in sooner.items():
            parts.append(_findings(f'rule="{rule}"') + f" unless on ({NODE}) {known}")
    if alert.get("others"):
        parts.append(_findings(f'rule!~"{"|".join(TOLD)}"'))
    if "expr" in alert:
        parts.append(alert["expr"])
    text = "\nor\n".join(parts)
    explained = explanations(alert, source)
    if "after_boot_s" in alert:
        explained.append(_booted(alert["after_boot_s"]))
    return "\n".join([f"({text})", *(f"unless on ({NODE}) {each}" for each in explained)]) if explained else text


def explanations(alert, source):
    """Return when an alert is not shown: expressions of other alerts that explain it, and that others fire."""
    others = [(_named(source, name), rules) for name, rules in explaining(alert).items()]
    whole = [other["alert"] for other, rules in others if "explains" not in other and not rules]
    found = [other["explains"] for other, _rules in others if "explains" in other]
    found += [f'ALERTS{{alertname=~"{"|".join(whole)}",alertstate="firing"}}'] if whole else []
    return found + [
        f'ALERTS{{alertname="{other["alert"]}",rule=~"{"|".join(rules)}",alertstate="firing"}}'
        for other, rules in others
        if rules
    ]


def _booted(seconds):
    """When a node has started less than so many seconds ago.

    By its own clock, which may be hours off after a start. node_exporter knows it also before the first pass of the metrics, which know it where
    node_exporter reads nothing else.
    """
    return f"(node_time_seconds - node_boot_time_seconds < {seconds} or realtime_kvm_uptime_seconds < {seconds})"


def _findings(which):
    return f'sum without (severity) (realtime_kvm_audit_findings{{severity!="info",{which}}}) > 0'


def places(alert):
    """Return the labels that name the place of an alert, beside the node."""
    return [*(["rule"] if "rules" in alert or alert.get("others") else []), *alert.get("where", [])]


def alerting_rule(alert, source):
    """Return an alert as Prometheus reads it."""
    where = "".join(f"{{{{ with $labels.{name} }}}}, {name} {{{{ . }}}}{{{{ end }}}}" for name in places(alert))
    return {
        "alert": alert["alert"],
        "expr": expression(alert, source),
        **({"for": alert["for"]} if "for" in alert else {}),
        "labels": {"severity": alert["severity"], **COMMON},
        "annotations": {
            "summary": f"{HOST}: {alert['summary']}{where}",
            "description": alert["means"],
            "action": alert["action"],
            "runbook_url": f"{RUNBOOK}#{alert['alert'].lower()}",
        },
    }


def rules_of(source):
    """Return the rules: those that record first, then the alerts by group."""
    groups = {}
    for one in source["recordings"]:
        groups.setdefault(f"realtime-kvm-{one.get('group', 'rates')}", []).append({"record": one["record"], "expr": one["expr"]})
    for alert in source["alerts"]:
        groups.setdefault(f"realtime-kvm-{alert.get('group', 'state')}", []).append(alerting_rule(alert, source))
    return {"groups": [{"name": name, **INTERVALS.get(name, {}), "rules": rules} for name, rules in groups.items()]}


# Unit tests of the rules


def tests_of(source):
    """Return promtool's unit tests: each alert fires for its cause alone, and is quiet without it.

    A test has many nodes, each with one cause and the cause's name as its instance: promtool makes a database for each test.
    """
    at: dict[str, list[_Case]] = {}
    for alert in source["alerts"]:
        if "test" in alert:
            given = alert["test"]
            cases = at.setdefault(given.get("at", "25m"), [])
            for number, fires in enumerate(cases_of(given["fires"])):
                cases.append(_Case(f"{alert['alert']} fires{f' {number}' if number else ''}", fires, alert["alert"]))
            cases.append(_Case(f"{alert['alert']} is quiet", given["quiet"]))
    at["25m"] += [_Case("all is well", WELL), *_rules_one_by_one(source)]
    tests = [_test(f"alerts after {when}", [(when, cases)]) for when, cases in at.items()]
    harm = [
        _Case(case["name"], {name: f"{values} stale" for name, values in case["series"].items()}, case["alert"])
        for case in source["sabotages"]
    ]
    repaired = [_Case(case.name, case.series) for case in harm]
    tests.append(_test("sabotages, and their repair", [("2m", harm), ("25m", repaired)]))
    together: dict[str, list[_Case]] = {}
    for one in source["together"]:
        together.setdefault(one.get("at", "2m"), []).append(_Case(one["name"], one["series"], *one["alerts"]))
    tests += [_test(f"causes that do not explain each other, after {when}", [(when, cases)]) for when, cases in together.items()]
    tests += [_message(source), _host_of_the_site(source), _clusters(source)]
    return {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}


def days_of(source):
    """Return the tests that last for more than a day, with an hour between two evaluations.

    An alert does not see a recording of the hour before, so promtool is told the order of the groups: else it takes any.
    """
    told, down = "1x2 stale", "1x2 0x26 1x20"
    cases = [
        _Case("it is down for days", {"up": "1x2 0x60", "realtime_kvm_info": told}, "RealtimeKvmNodeDown"),
        _Case("it has been undone", {"up": "1x60", "realtime_kvm_info": told}),
        _Case("it has been undone, and is down", {"up": "1x29 0x10", "realtime_kvm_info": told}),
        _Case("it comes back and tells nothing", {"up": down, "realtime_kvm_info": told}, "RealtimeKvmMetricsAbsent"),
        _Case("it comes back", {"up": down, "realtime_kvm_info": f"{told} _x24 1x20"}),
    ]
    test = _test("a node that is gone for days", [("34h", cases)])
    order = [group["name"] for group in rules_of(source)["groups"]]
    return {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1h",
        "group_eval_order": order,
        "tests": [{**test, "interval": "1h"}],
    }


def cases_of(fires):
    """Return the cases for which an alert fires."""
    return fires if isinstance(fires, list) else [fires]


class _Case:
    """A node of a test: its name, what it tells, and the alerts that fire for it, which is mostly one or none."""

    def __init__(self, name: str, series: dict[str, str], *alerts: str) -> None:
        self.name, self.series, self.alerts = name, series, [alert for alert in alerts if alert]


WELL = {
    "up": "1x40",
    'realtime_kvm_info{release="1.0.0"}': "1x40",
    "realtime_kvm_pass_timestamp_seconds": "0+60x40",
    "realtime_kvm_audit_timestamp_seconds": "0+60x40",
    "realtime_kvm_audit_success": "1x40",
    'realtime_kvm_audit_severity_findings{severity="error"}': "0+0x40",
    "realtime_kvm_kernel_as_documented": "1x40",
    "realtime_kvm_kernel_isolates": "1x40",
    "realtime_kvm_partition_valid": "1x40",
}


def _rules_one_by_one(source):
    """Every rule of the audit, broken: it has the one alert that has this rule, and none for a remark."""
    alert_of = {rule: alert["alert"] for alert in source["alerts"] for rule in alert.get("rules", [])}
    for rule in RULES.values():
        broken = {f'realtime_kvm_audit_findings{{rule="{rule.id}",severity="{rule.severity}"}}': "1x40"}
        yield _Case(f"rule {rule.id}", broken, alert_of.get(rule.id, ""))


def series(name, values, **labels):
    """Return a series with the labels that Prometheus adds."""
    metric, _brace, inside = name.partition("{")
    everything = {"job": JOB, "instance": INSTANCE, **labels}
    added = ",".join(f'{key}="{value}"' for key, value in everything.items())
    own = inside.rstrip("}")
    return {"series": f"{metric}{{{own}{',' if own else ''}{added}}}", "values": str(values)}


def _test(name, looks):
    given = {(case.name, each): values for _when, cases in looks for case in cases for each, values in case.series.items()}
    queries = [
        {
            "expr": f"group by (alertname, instance) ({FIRING})",
            "eval_time": when,
            "exp_samples": [
                {"labels": f'{{alertname="{alert}",instance="{case.name}"}}', "value": 1}
                for case in cases
                for alert in case.alerts
            ],
        }
        for when, cases in looks
    ]
    return {
        "name": name,
        "interval": "1m",
        "input_series": [series(each, values, instance=case) for (case, each), values in given.items()],
        "promql_expr_test": queries,
    }


def _named(source, name):
    return next(alert for alert in source["alerts"] if alert["alert"] == name)


def _message(source):
    """What a person and the rulebook read of an alert, with a name of a guest that is no identifier."""
    alert = _named(source, "RealtimeKvmGuestStopped")
    guest = r"Säge \"A\" {{ . }}"
    given = [
        series(f'realtime_kvm_guest_autostart{{guest="{guest}"}}', "1x5"),
        series(f'realtime_kvm_guest_running{{guest="{guest}"}}', "0x5"),
    ]
    name = 'Säge "A" {{ . }}'
    return _told(source, "what an alert says", alert, given, {"guest": name}, f", guest {name}", INSTANCE.partition(":")[0])


def _host_of_the_site(source):
    """A site whose addresses are not the names of its inventory gives its targets the label host."""
    alert = _named(source, "RealtimeKvmPartition")
    given = [series("realtime_kvm_partition_valid", "0x5", instance="192.0.2.7:9100", host="kvm07.example.com")]
    labels = {"instance": "192.0.2.7:9100"}
    return _told(source, "a host of the site's own name", alert, given, labels, "", "kvm07.example.com")


def _clusters(source):
    """Nodes of two clusters with the same address: what is wrong with one does not explain what is wrong with the other."""
    alert = _named(source, "RealtimeKvmPartition")
    given = [
        series("realtime_kvm_kernel_isolates", "0x5", cluster="east"),
        series("realtime_kvm_partition_valid", "0x5", cluster="east"),
        series("realtime_kvm_partition_valid", "0x5", cluster="west"),
    ]
    return _told(
        source, "two clusters with the same addresses", alert, given, {"cluster": "west"}, "", INSTANCE.partition(":")[0]
    )


def _told(source, name, alert, given, labels, where, host):
    labels = {"job": JOB, "instance": INSTANCE, **labels}
    written = alerting_rule(alert, source)
    annotations = {**written["annotations"], "summary": f"{host}: {alert['summary']}{where}"}
    expected = {
        "exp_labels": {"severity": alert["severity"], "collection": "realtime.kvm", "host": host, **labels},
        "exp_annotations": annotations,
    }
    test = {"eval_time": "2m", "alertname": alert["alert"], "exp_alerts": [expected]}
    return {"name": name, "interval": "1m", "input_series": given, "alert_rule_test": [test]}


def files_of(source, panels, page):
    """Return every generated file: its path in the repository, and its text."""
    return {
        str(FOLDER / "rules.yml"): dump(rules_of(source)),
        str(FOLDER / "rules_test.yml"): dump(tests_of(source)),
        str(FOLDER / "rules_days_test.yml"): dump(days_of(source)),
        str(FOLDER / "dashboard.json"): json.dumps(dashboard_of(panels), indent=2, ensure_ascii=False) + "\n",
        "docs/alerts.md": alerts_page(source),
        PAGE: with_tables(page, source),
    }


def main(folder=ROOT):
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    for name, text in files_of(read_source(), read_source("panels.yml"), page).items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
