# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Report and plan in a real browser: no error, no request, tables that sort and filter, folded nodes that open, usable without JavaScript."""

from __future__ import annotations

import time

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.document import Fleet, plan_document
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.page import plan_page
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.picture import planned_map
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.page import render_page
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.view import Input, account_fleet, report_view
from conformance.snapshots import snapshot_of
from unit.browser import click, column, requests, start, type_into
from unit.fleets import guest_spec, large, latency, node_info
from unit.planned import planned_node
from waiting import wait_until


@pytest.fixture(name="browse", scope="module")
def _browse(tmp_path_factory):
    """Open a page; ``script=False`` with JavaScript switched off."""
    drivers = {}

    def browse(text, *, script=True, width=None):
        if script not in drivers:
            drivers[script] = start(tmp_path_factory.mktemp("profile"), script=script)
        driver = drivers[script]
        driver.get_log("browser")
        driver.get_log("performance")
        size = {"width": width or 1300, "height": 900, "deviceScaleFactor": 1, "mobile": width is not None}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        path = tmp_path_factory.mktemp("page") / "report.html"
        path.write_text(text, encoding="utf-8")
        driver.get(path.as_uri())
        return driver

    yield browse
    for driver in drivers.values():
        driver.quit()


def page_of(nodes, results=()):
    return render_page(report_view(Input(nodes, "2026-11-23T10:15:00Z", results), account_fleet(nodes)))


def small(count=3):
    specs = [guest_spec(number, realtime=number % 4 != 2, owner=f"owner{number}") for number in range(8)]
    finding = {
        "rule": "interrupt",
        "severity": "error",
        "resource": "IRQ 24",
        "expected": "CPUs 0",
        "actual": "CPUs 5",
        "repair": "x",
    }
    nodes = {
        f"kvm{number:02d}": {
            "info": node_info(f"kvm{number:02d}", specs[: number % 8 + 1], seed=number),
            "verify": {"findings": []},
        }
        for number in range(count)
    }
    nodes["kvm01"]["verify"] = {"findings": [finding]}
    nodes["lost"] = {"unreachable": True, "error": "no route to host"}
    return nodes


RESULTS = [latency("kvm00", started=f"2026-11-{day:02d}T00:00:00Z", peak=10 + day) for day in range(1, 12)]


def test_no_error_and_no_request(browse):
    driver = browse(page_of(small(12), RESULTS))
    click(driver, "details.node summary")
    drawn = "return document.querySelectorAll('details.node[open] svg.core').length"
    assert wait_until(lambda: driver.execute_script(drawn) == 16)
    assert driver.get_log("browser") == []
    assert requests(driver) == []


def test_the_policy_really_holds(browse):
    text = page_of(small()).replace("</body>", '<script>window.evil = 1</script><img src="http://127.0.0.1:9/x.png"></body>')
    driver = browse(text)
    assert wait_until(lambda: any("Content Security Policy" in entry["message"] for entry in driver.get_log("browser")))
    assert driver.execute_script("return window.evil") is None


def test_a_table_sorts_by_number_both_ways(browse):
    driver = browse(page_of(small(12)))
    for ascending in (True, False):
        click(driver, "#t-nodes th:nth-child(7) button")
        guests = [int(text) if text.isdecimal() else -1 for text in column(driver, "t-nodes", 7)]
        assert guests == sorted(guests, reverse=not ascending)
        state = driver.execute_script("return document.querySelector('#t-nodes th:nth-child(7)').getAttribute('aria-sort')")
        assert state == ("ascending" if ascending else "descending")


def test_a_table_filters_and_says_how_many_are_left(browse):
    driver = browse(page_of(small(12)))
    type_into(driver, "Filter nodes", "unreach")
    assert column(driver, "t-nodes", 1) == ["lost"]
    assert driver.execute_script("return document.querySelector('#fleet output').textContent") == "1 of 13"
    type_into(driver, "Filter nodes", "")
    assert len(column(driver, "t-nodes", 1)) == 13


def test_all_guests_sort_filter_and_turn_pages(browse):
    driver = browse(page_of(large(5, 50)))
    assert len(column(driver, "t-guests", 1)) == 100
    click(driver, "#all-guests .tools:last-child button:nth-child(2)")
    click(driver, "#all-guests .tools:last-child button:nth-child(2)")
    assert len(column(driver, "t-guests", 1)) == 50
    type_into(driver, "Filter guests", "node003 automation")
    found = column(driver, "t-guests", 2)
    assert found
    assert set(found) == {"node003"}
    type_into(driver, "Filter guests", "")
    click(driver, "#t-guests th:nth-child(1) button")
    names = column(driver, "t-guests", 1)
    assert names[:6] == ["historian5"] * 5 + ["historian10"]  # as people count


def test_a_link_opens_its_folded_node(browse):
    driver = browse(page_of(small(12)))
    assert driver.execute_script("return document.querySelectorAll('svg.core').length") == 0
    click(driver, "#t-nodes tbody a[href='#node-3']")
    assert wait_until(lambda: driver.execute_script("return document.getElementById('node-3').open"))
    assert wait_until(lambda: driver.execute_script("return document.querySelectorAll('#node-3 svg.core').length") == 16)
    click(driver, "#node-3 table.sortable th button")
    assert driver.get_log("browser") == []


@pytest.mark.parametrize("count", [2, 12], ids=["open", "folded"])
def test_without_javascript_everything_but_the_list_of_all_guests_is_there(browse, count):
    driver = browse(page_of(small(count), RESULTS), script=False)
    driver.execute_cdp_cmd("DOM.enable", {})
    root = driver.execute_cdp_cmd("DOM.getDocument", {"depth": 1})["root"]["nodeId"]
    maps = driver.execute_cdp_cmd("DOM.querySelectorAll", {"nodeId": root, "selector": "details.node svg.core"})["nodeIds"]
    assert len(maps) == 16 * count
    assert driver.execute_cdp_cmd("DOM.querySelectorAll", {"nodeId": root, "selector": "#fleet tbody tr"})["nodeIds"]


def test_the_page_is_no_wider_than_a_phone(browse):
    driver = browse(page_of(small(), RESULTS), width=390)
    wide = driver.execute_script(
        "return [...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') || e.matches('.scroll'))"
        ".filter(e => !e.closest('svg')).filter(e => e.getBoundingClientRect().right > 391).map(e => e.tagName + '.' + e.className)"
    )
    assert wide == []
    assert driver.execute_script("return document.documentElement.scrollWidth") <= 390


def test_a_guest_and_its_cpus_are_on_a_phones_screen(browse):
    """Name, node and own CPUs are read without moving the table aside, in the list of all guests and at each node."""
    driver = browse(page_of(small(), RESULTS), width=390)
    for table, shown in (("#t-guests", 3), ("#node-0 table[class~=filter]", 2)):
        head = f"{table} thead th:nth-child({shown})"
        assert driver.execute_script("return document.querySelector(arguments[0]).textContent", head).startswith("Own CPUs")
        cells = f"{table} tr > :nth-child({shown})"
        right = driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map(e => e.getBoundingClientRect().right)", cells
        )
        assert right
        assert max(right) <= 390


@pytest.mark.parametrize("count", [2, 6], ids=["open", "folded"])
def test_the_page_of_a_plan(browse, tmp_path, count):
    """On a phone: no error, no request, nothing wider than the screen, guests' CPUs on it; nodes open, tables sort."""
    node = planned_node(snapshot_of("openshift/worker1.internal").root(), tmp_path)
    nodes = {f"kvm{number}": node for number in range(1, count + 1)}
    document = plan_document(Fleet(nodes, "2026-11-23T10:15:00Z", "Plan"))
    maps = {host: planned_map(host, node.results, document["nodes"][host]) for host in nodes}
    driver = browse(plan_page(document, maps), width=390)
    if count > 4:
        click(driver, "details.node summary")
    drawn = "return document.querySelectorAll('details.node[open] svg.core').length"
    assert wait_until(lambda: driver.execute_script(drawn) >= 40)
    assert driver.get_log("browser") == []
    assert requests(driver) == []
    assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
    cells = "#t-guests tr > :nth-child(3)"
    right = driver.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map(e => e.getBoundingClientRect().right)", cells
    )
    assert max(right) <= 390
    click(driver, "#t-guests th:nth-child(1) button")
    assert column(driver, "t-guests", 1)[:count] == ["historian"] * count


def test_texts_have_contrast_in_light_and_dark(browse):
    """WCAG 2.2, 1.4.3: at least 4.5 to 1 for text."""
    for scheme in ("light", "dark"):
        driver = browse(page_of(small(), RESULTS))
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        colours = driver.execute_script(
            "const s = getComputedStyle(document.documentElement);"
            "return Object.fromEntries(arguments[0].map(n => [n, s.getPropertyValue('--' + n).trim()]))",
            [
                "page",
                "panel",
                "ink",
                "soft",
                "link",
                "good",
                "bad",
                "warn",
                "badbg",
                "warnbg",
                "t-housekeeping",
                "t-dataplane",
                "t-realtime",
                "t-shared",
            ],
        )
        pairs = [(ink, paper) for ink in ("ink", "soft", "link", "good", "bad", "warn") for paper in ("page", "panel")]
        pairs += [("bad", "badbg"), ("warn", "warnbg"), ("ink", "badbg")]
        pairs += [(ink, f"t-{name}") for name in ("housekeeping", "dataplane", "realtime", "shared") for ink in ("ink", "soft")]
        low = [
            (scheme, *pair, round(contrast(*map(colours.get, pair)), 2))
            for pair in pairs
            if contrast(*map(colours.get, pair)) < 4.5
        ]
        assert low == []


def contrast(one, other):
    def luminance(colour):
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_two_hundred_nodes_stay_usable(browse):
    begun = time.monotonic()
    driver = browse(page_of(large(200, 50)))
    elements = driver.execute_script("return document.querySelectorAll('*').length")
    loaded = driver.execute_script("return performance.timing.loadEventEnd - performance.timing.navigationStart")
    assert elements < 15000
    assert loaded < 10000, "ms, on a machine that may be busy"
    for label, text in (("Filter guests", "node150"), ("Filter nodes", "node150")):
        begun = time.monotonic()
        type_into(driver, label, text)
        assert time.monotonic() - begun < 2
    begun = time.monotonic()
    click(driver, "#t-nodes tbody a[href='#node-150']")
    assert driver.execute_script("return document.querySelectorAll('#node-150 svg.core').length") in (0, 64)
    assert wait_until(lambda: driver.execute_script("return document.querySelectorAll('#node-150 svg.core').length") == 64)
    assert time.monotonic() - begun < 3
