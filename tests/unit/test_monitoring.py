# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a site gets for its Prometheus, Grafana and Alertmanager (extensions/monitoring/), and that one table says it all."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest
import yaml
from ansible_collections.realtime.kvm.plugins.module_utils._audit.rules import RULES
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.families import FAMILIES
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.known import PLAYBOOK_OPTIONS, ROLES, read_known
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard
from tools.dashboard import WIDTH
from tools.monitoring import COMMON, HOST, NODE, PAGE, cases_of, expression, files_of, read_source, rules_of
from tools.monitoring_pages import explaining, with_tables
from unit.documents import ROOT, text_of

SOURCE = read_source()
PANELS = read_source("panels.yml")
ALERTS = {alert["alert"]: alert for alert in SOURCE["alerts"]}
RECORDED = {one["record"] for one in SOURCE["recordings"]}
NAMES = {family.name: set(family.labels) for family in FAMILIES.values()}
DASHBOARD = json.loads(text_of("extensions/monitoring/dashboard.json"))
QUERIES = [query["expr"] for row in PANELS["rows"] for panel in row["panels"] for query in panel["queries"]]
EXPRESSIONS = [
    *(one["expr"] for one in SOURCE["recordings"]),
    *(expression(alert, SOURCE) for alert in ALERTS.values()),
    *QUERIES,
]


def test_what_is_committed_is_what_is_written():
    for name, text in files_of(SOURCE, PANELS, text_of(PAGE)).items():
        assert text_of(name) == text, f"{name}: run make monitoring"


def test_a_page_without_its_places_is_refused():
    with pytest.raises(SystemExit, match=r"docs/monitoring\.md has no place for metrics"):
        with_tables("# Monitoring\n", SOURCE)


# The table of alerts


def test_every_rule_of_the_audit_belongs_to_exactly_one_alert():
    found = Counter(rule for alert in ALERTS.values() for rule in alert.get("rules", []))
    assert [rule for rule, count in found.items() if count > 1] == []
    assert set(found) == {rule.id for rule in RULES.values() if rule.severity != "info"}


def test_names_are_unique_and_sort_together():
    assert len(ALERTS) == len(SOURCE["alerts"])
    assert [name for name in ALERTS if not re.fullmatch("RealtimeKvm[A-Z][A-Za-z]+", name)] == []


@pytest.mark.parametrize("alert", ALERTS.values(), ids=ALERTS)
def test_an_alert_says_what_it_means_and_what_to_do(alert):
    told = {"alert", "severity", "summary", "means", "action", "page", "test", "group", "where"}
    assert set(alert) <= told | {"rules", "sooner", "others", "expr", "for", "after", "after_boot_s", "explains"}
    assert alert["severity"] in ("critical", "warning", "info")
    assert re.fullmatch(r"[a-z].*[^.]", alert["summary"]), "the end of a sentence that begins with the node's name"
    for text in (alert["means"], alert["action"]):
        assert re.fullmatch(r"[`A-Z].*\.", text)
    assert (ROOT / "docs" / alert["page"]).is_file()
    assert "rules" in alert or "test" in alert, "an expression has a test of its own"


@pytest.mark.parametrize("alert", ALERTS.values(), ids=ALERTS)
def test_how_a_node_behaves_is_no_alert_at_once(alert):
    """So that the cause of a disturbance, which the audit finds, is told first and alone."""
    if alert.get("group") == "behaviour":
        assert alert["for"] == "10m"
        assert alert["severity"] in ("warning", "info")
        assert "RealtimeKvmKernel" in alert["after"]


@pytest.mark.parametrize("alert", ALERTS.values(), ids=ALERTS)
def test_an_alert_that_explains_others_comes_first_and_at_once(alert):
    """Prometheus evaluates the rules of a group in their order; it knows of an alert by ALERTS from then on."""
    before = list(ALERTS)[: list(ALERTS).index(alert["alert"])]
    for name, rules in explaining(alert).items():
        assert name in before
        assert "for" not in ALERTS[name] or "for" in alert
        assert set(rules) <= set(ALERTS[name].get("rules", [])), "only a finding has a rule to look at"
        assert not (rules and "explains" in ALERTS[name])


def test_variables_and_playbooks_that_texts_name_exist():
    text = json.dumps([[alert[key] for key in ("summary", "means", "action")] for alert in ALERTS.values()])
    known = {*read_known(ROLES).options, *PLAYBOOK_OPTIONS}
    named = set(re.findall(rf"\b((?:{'|'.join(path.name for path in ROLES.iterdir())}|realtime)_[a-z_]+)\b", text))
    assert named - known == set()
    assert len(named) > 3
    books = set(re.findall(r"[Pp]laybook ([a-z_]+)", text))
    assert {book for book in books if not (ROOT / "playbooks" / f"{book}.yml").is_file()} == set()
    assert len(books) > 5


def metrics_of(text):
    """Each metric of this collection in an expression, with the labels that it selects by."""
    text = re.sub(r"\[[^\]]*\]", "", text)
    found = []
    for name, _all, inside in re.findall(r"((?:[a-z]+:)?realtime_kvm_[a-z_]+(?::[a-z0-9_]+)?)(\{([^}]*)\})?", text):
        found.append((name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", inside))))
    return found


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_an_expression_names_metrics_and_labels_that_exist(text):
    for name, labels in metrics_of(text):
        assert name in {*NAMES, *RECORDED}
        if name in NAMES:
            assert labels <= NAMES[name] | {"instance", "job", "cluster"}


def test_tests_of_alerts_use_metrics_and_labels_that_exist():
    tests = [alert["test"] for alert in ALERTS.values() if "test" in alert]
    cases = [case for test in tests for case in (*cases_of(test["fires"]), test["quiet"])]
    for case in [*cases, *(one["series"] for one in [*SOURCE["sabotages"], *SOURCE["together"]])]:
        for text in case:
            assert [(name, labels) for name, labels in metrics_of(text) if name not in NAMES or not labels <= NAMES[name]] == []
            assert text in ("up", "node_boot_time_seconds", "node_time_seconds") or metrics_of(text)


def test_counters_are_looked_at_as_rates():
    counters = [name for name in NAMES if name.endswith("_total")]
    for text in EXPRESSIONS:
        for name in counters:
            for match in re.finditer(rf"{name}\b", text):
                assert text[: match.start()].endswith("rate("), text


def test_the_ten_sabotages_each_have_an_alert_of_their_own():
    alerts = [case["alert"] for case in SOURCE["sabotages"]]
    assert len(alerts) == len(set(alerts)) == 10
    assert set(alerts) <= set(ALERTS)


def test_an_alert_for_everything_else_is_no_reason_to_hide_what_it_does_not_explain():
    """RealtimeKvmKernel explains others only by what the kernel does, and a reboot that is due for weeks (RealtimeKvmRebootDue) nothing."""
    for alert in ALERTS.values():
        if "RealtimeKvmKernel" in explaining(alert):
            assert f"unless on ({NODE}) realtime_kvm_kernel_isolates == 0" in expression(alert, SOURCE)
        assert "RealtimeKvmRebootDue" not in explaining(alert)
    assert not [text for text in EXPRESSIONS if "ALERTS" in text and "RealtimeKvmKernel" in text]


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_nodes_are_told_apart_by_their_cluster_too(text):
    """A set operator does not fail for two nodes of one address: it takes one for the other."""
    for labels in re.findall(r"\bon \(([^)]*)\)", text):
        assert labels == NODE or labels.startswith(f"{NODE}, ")


def test_every_rule_has_what_routes_and_rulebooks_read():
    rules = [rule for group in rules_of(SOURCE)["groups"] for rule in group["rules"] if "alert" in rule]
    assert len(rules) == len(ALERTS)
    for rule in rules:
        assert set(rule["labels"]) == {"severity", *COMMON}
        assert set(rule["annotations"]) == {"summary", "description", "action", "runbook_url"}
        assert f"## {rule['alert']}\n" in text_of("docs/alerts.md")
        assert rule["annotations"]["summary"].startswith(f"{HOST}: "), "the name that the desk knows, not an address"
        assert rule["annotations"]["runbook_url"].endswith(f"/docs/alerts.md#{rule['alert'].lower()}")


# The dashboard


def lost(given, read, where=""):
    """What a model does not know of a document: it has neither these keys nor these values."""
    if isinstance(given, dict) and isinstance(read, dict):
        return [
            one
            for key, value in given.items()
            for one in (lost(value, read[key], f"{where}.{key}") if key in read else [f"{where}.{key}"])
        ]
    if isinstance(given, list) and isinstance(read, list) and len(given) == len(read):
        return [one for number, pair in enumerate(zip(given, read, strict=True)) for one in lost(*pair, f"{where}[{number}]")]
    return [] if given == read else [where]


def unknown_to_grafana(dashboard):
    """What the model of Grafana's own library does not know of a dashboard."""
    register_default_plugins()
    model = Dashboard.from_json(json.loads(json.dumps(dashboard)))
    return lost(dashboard, json.loads(JSONEncoder().encode(model)))


def test_grafana_s_library_knows_every_key_of_the_dashboard():
    assert unknown_to_grafana(DASHBOARD) == []


@pytest.mark.parametrize(
    ("where", "key"),
    [
        (lambda board: board, "refreshed"),
        (lambda board: board["panels"][1], "discription"),
        (lambda board: board["panels"][1]["gridPos"], "z"),
        (lambda board: board["panels"][1]["targets"][0], "query"),
        (lambda board: board["panels"][1]["options"], "colour"),
        (lambda board: board["panels"][1]["fieldConfig"]["defaults"], "unite"),
        (lambda board: board["templating"]["list"][1], "several"),
    ],
)
def test_grafana_s_library_finds_a_key_that_grafana_does_not_have(where, key):
    board = json.loads(json.dumps(DASHBOARD))
    where(board)[key] = 1
    assert [name.rpartition(".")[2] for name in unknown_to_grafana(board)] == [key]


def test_units_are_grafana_s():
    known = {value for value in vars(units).values() if isinstance(value, str)}
    with_units = [one for row in PANELS["rows"] for panel in row["panels"] for one in (panel, *panel["queries"])]
    used = {one["unit"] for one in with_units if "unit" in one}
    assert used <= known | {"none"}


def test_panels_lie_side_by_side_and_have_ids_of_their_own():
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= WIDTH
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    assert [panel["title"] for panel in panels if panel["type"] == "row"] == ["Fleet", "Node", "Guest"]
    assert len({panel["title"] for panel in panels}) == len(panels)


def test_a_query_uses_only_variables_that_the_dashboard_has():
    variables = {one["name"] for one in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD)))
    assert used - variables == {"__rate_interval", "__all"}
    assert variables <= used


def test_a_query_has_no_key_that_nobody_reads():
    """A comma ends a text without quotation marks in YAML's short form."""
    for row in PANELS["rows"]:
        for panel in row["panels"]:
            assert [query for query in panel["queries"] if not set(query) <= {"expr", "legend", "name", "unit", "instant"}] == []


def test_all_guests_are_not_a_list_of_their_names():
    """A query with 256 names is longer than proxies take."""
    assert {one["allValue"] for one in DASHBOARD["templating"]["list"] if one["includeAll"]} == {".*"}


@pytest.mark.parametrize("query", [*QUERIES, *(one["expr"] for one in DASHBOARD["annotations"]["list"])])
def test_a_query_looks_at_the_chosen_cluster_alone(query):
    """Nodes of two clusters can have the same name."""
    selectors = re.findall(r"(?:realtime_kvm\w+|ALERTS)(?::\w+)?(\{[^}]*\})?", query)
    assert [inside for inside in selectors if 'cluster=~"$cluster"' not in inside] == []


@pytest.mark.parametrize("query", [query for query in QUERIES if "$instance" not in query])
def test_a_node_that_two_jobs_scrape_counts_once(query):
    """Queries over all nodes drop the label job before they add up or count."""
    assert re.search(r"(max|count|group) (by \([^)]*\)|without \(job\))|^max\(", query) or query.startswith("ALERTS{")


def test_what_the_node_tells_is_shown_or_has_an_alert():
    """A metric that nobody looks at is not worth its series."""
    used = {name for text in EXPRESSIONS for name, _labels in metrics_of(text)}
    assert sorted(set(NAMES) - used) == []
    assert sorted(RECORDED - used) == []


# Alertmanager and the rulebook


def test_the_example_of_alertmanager_sends_what_the_rulebook_takes():
    config = yaml.safe_load(text_of("extensions/monitoring/alertmanager.yml"))
    first = config["route"]["routes"][0]
    assert first["group_by"] == ["host"], "the rulebook reads groupLabels.host"
    assert first["continue"], "people hear of it as well"
    (rules,) = yaml.safe_load(text_of("extensions/eda/rulebooks/drift.yml"))
    (rule,) = [one for one in rules["rules"] if "groupLabels.host is match" in one["condition"]]
    assert rule["throttle"]["once_within"] == "5 minutes"
    assert first["group_interval"] == "6m", "an alert that comes in later is not dropped with the rulebook's repetitions"
    assert rule["action"]["run_job_template"]["job_args"]["limit"] == "{{ event.payload.groupLabels.host }}"
    assert 'event.payload.status == "firing"' in rule["condition"]
    matchers = {matcher for route in config["route"]["routes"] for matcher in route["matchers"]}
    assert matchers == {f'collection="{COMMON["collection"]}"', 'severity="info"'}
    receivers = {one["name"]: one for one in config["receivers"]}
    assert {route["receiver"] for route in config["route"]["routes"]} <= set(receivers)
    (hook,) = receivers[first["receiver"]]["webhook_configs"]
    assert hook["http_config"]["authorization"] == {"credentials_file": "/etc/alertmanager/drift_token"}, (
        "Bearer, as the rulebook's webhook wants it"
    )
    (inhibit,) = config["inhibit_rules"]
    assert inhibit["equal"] == ["host", "cluster"], "a node that is down hides nothing of its namesake in another cluster"
    assert all(name in ALERTS for name in re.findall(r'alertname="(\w+)"', json.dumps(inhibit).replace("\\", "")))
