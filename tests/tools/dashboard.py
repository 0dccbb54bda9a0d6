# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grafana's dashboard, from extensions/monitoring/panels.yml.

The classic schema of dashboards (schemaVersion 39), which Grafana 10.1 and newer import. A query names the data source by the dashboard's variable, so
that the dashboard fits any Prometheus.
"""

from __future__ import annotations

WIDTH = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
GOOD, BAD = "green", "red"


def dashboard_of(panels):
    """Return the dashboard."""
    return {
        "uid": "realtime-kvm",
        "title": panels["title"],
        "description": "Written by `make monitoring` from extensions/monitoring/panels.yml of the collection realtime.kvm.",
        "tags": ["realtime-kvm"],
        "timezone": "browser",
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": "now-3h", "to": "now"},
        "refresh": "30s",
        "fiscalYearStartMonth": 0,
        "schemaVersion": 39,
        "version": 1,
        "links": [],
        "annotations": {"list": [_firing()]},
        "templating": {"list": _variables()},
        "panels": _panels(panels["rows"]),
    }


def _firing():
    return {
        "name": "Alerts of this node",
        "datasource": SOURCE,
        "enable": True,
        "hide": False,
        "iconColor": BAD,
        "expr": 'ALERTS{alertstate="firing",collection="realtime.kvm",instance="$instance",cluster=~"$cluster"}',
    }


def _variables():
    return [
        {
            "name": "datasource",
            "label": "Prometheus",
            "type": "datasource",
            "query": "prometheus",
            "hide": 0,
            "multi": False,
            "includeAll": False,
        },
        _values("cluster", "Cluster", "label_values(realtime_kvm_info, cluster)", several=True),
        _values("instance", "Node", 'label_values(realtime_kvm_info{cluster=~"$cluster"}, instance)', several=False),
        _values(
            "guest",
            "Guest",
            'label_values(realtime_kvm_guest_running{instance="$instance",cluster=~"$cluster"}, guest)',
            several=True,
        ),
    ]


def _values(name, label, query, *, several):
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 5,
        "hide": 0,
        "multi": several,
        "includeAll": several,
        # not a list of 256 names in each query
        **({"allValue": ".*", "current": {"text": ["All"], "value": ["$__all"]}} if several else {}),
    }


def _panels(rows):
    found, y = [], 0
    for row in rows:
        found.append(
            {
                "type": "row",
                "title": row["row"],
                "id": len(found) + 1,
                "collapsed": False,
                "gridPos": _grid(0, y, WIDTH, 1),
                "panels": [],
            }
        )
        y += 1
        x = line = 0
        for panel in row["panels"]:
            width, height = panel["size"]
            if x + width > WIDTH:
                x, y, line = 0, y + line, 0
            found.append({"id": len(found) + 1, **_panel(panel), "gridPos": _grid(x, y, width, height)})
            x, line = x + width, max(line, height)
        y += line
    return found


def _grid(x, y, width, height):
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel):
    kind = panel["type"]
    instant = kind in ("stat", "table")
    return {
        "type": kind,
        "title": panel["title"],
        "description": panel["means"],
        "datasource": SOURCE,
        "targets": [
            _target(query, number, instant=query.get("instant", instant), table=kind == "table")
            for number, query in enumerate(panel["queries"])
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": _overrides(panel)},
        "options": _OPTIONS[kind],
        **({"transformations": transformations} if (transformations := _transformations(panel)) else {}),
    }


def _target(query, number, *, instant, table):
    return {
        "refId": chr(ord("A") + number),
        "datasource": SOURCE,
        "editorMode": "code",
        "expr": query["expr"],
        "format": "table" if table else "time_series",
        "instant": instant,
        "range": not instant,
        **({"legendFormat": query["legend"]} if "legend" in query else {}),
    }


def _defaults(panel):
    steps = [{"color": GOOD, "value": None}]
    if "bad_from" in panel:
        steps.append({"color": BAD, "value": panel["bad_from"]})
    if "bad_below" in panel:
        steps = [{"color": BAD, "value": None}, {"color": GOOD, "value": panel["bad_below"]}]
    coloured = "bad_from" in panel or "bad_below" in panel
    return {
        **({"unit": panel["unit"]} if "unit" in panel else {}),
        "thresholds": {"mode": "absolute", "steps": steps},
        "color": {"mode": "thresholds" if coloured or panel["type"] != "timeseries" else "palette-classic"},
        **({"custom": {"lineWidth": 1, "fillOpacity": 0, "showPoints": "never"}} if panel["type"] == "timeseries" else {}),
    }


def _overrides(panel):
    """Names of the columns that queries of a joined table have, and their units."""
    found = []
    for number, query in enumerate(panel["queries"] if "join" in panel else []):
        properties = [{"id": "displayName", "value": query["name"]}]
        if "unit" in query:
            properties.append({"id": "unit", "value": query["unit"]})
        found.append({"matcher": {"id": "byName", "options": f"Value #{chr(ord('A') + number)}"}, "properties": properties})
    return found


def _transformations(panel):
    if "join" in panel:
        return [
            {"id": "joinByField", "options": {"byField": panel["join"], "mode": "outer"}},
            {"id": "filterFieldsByName", "options": {"include": {"pattern": "^(?!Time).*$"}}},
        ]
    if "columns" in panel:
        names = panel["columns"]
        return [
            {"id": "filterFieldsByName", "options": {"include": {"names": names}}},
            {"id": "organize", "options": {"indexByName": {name: place for place, name in enumerate(names)}}},
        ]
    return []


_REDUCED = {"values": False, "calcs": ["lastNotNull"], "fields": ""}
_OPTIONS = {
    "stat": {"reduceOptions": _REDUCED, "colorMode": "value", "graphMode": "none", "justifyMode": "auto", "orientation": "auto", "textMode": "auto"},
    "bargauge": {"reduceOptions": _REDUCED, "displayMode": "basic", "orientation": "horizontal", "showUnfilled": True},
    "table": {"showHeader": True, "cellHeight": "sm"},
    "timeseries": {
        "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
}  # fmt: skip
