# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page as HTML: no name becomes markup, no data ends its block, nothing is loaded."""

from __future__ import annotations

import json
import re

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.page import data_block
from unit.fleets import foreign, guest_spec, latency, node_info
from unit.pages import NOW, SPECS, Page, page_of

EVIL = """<script>alert(1)</script><img src=x onerror="alert('2')">&amp;'"</td></noscript></svg></style>--><!--"""


@pytest.mark.parametrize("many", [False, True], ids=["open", "folded"])
def test_no_name_becomes_markup(many):
    info = node_info("n1", [guest_spec(0)])
    info.update(hostname=EVIL, booted=EVIL, kernel={**info["kernel"], "release": EVIL})
    info["guests"][0].update(name=EVIL, owner=EVIL, project=EVIL, manager=EVIL, running_since=EVIL, differs_live=[EVIL])
    info["guests"][0]["class"] = EVIL
    info["guests"][0]["threads"][0]["scheduler"] = EVIL
    info["guests"].append(foreign(f"{EVIL}2", [5], ports=[{"type": EVIL, "mac": EVIL, "source": EVIL}], devices=[EVIL]))
    info["switch"]["pmds"]["1"] = EVIL
    info["switch"]["ports"][0].update(name=EVIL, bridge=EVIL)
    info["switch"]["ports"][0]["interfaces"][0].update(name=EVIL, type=EVIL, device=EVIL)
    info["interrupts"]["irqs"][0].update(actions=[EVIL], cpus=EVIL, allowed=EVIL)
    info["missing"] = [{"part": EVIL, "state": "absent", "reason": EVIL}]
    drift = [dict.fromkeys(("rule", "severity", "resource", "expected", "actual", "repair", "source"), EVIL)]
    results = [latency(host, EVIL, started=EVIL, tool=EVIL, profile=EVIL, result="fail") for host in (EVIL, "stranger")]
    for result in results:
        result["verdict"]["reasons"] = [EVIL]
    nodes = {EVIL: {"info": info, "verify": {"findings": drift}}, f"{EVIL}3": {"unreachable": True, "error": EVIL}}
    if many:
        nodes.update({f"n{number}": {"unreachable": True} for number in range(5)})
    text = page_of(nodes, [*results, *results], [{"file": EVIL, "reason": EVIL}], EVIL)
    for markup in (text, *re.findall(r"<noscript>(.*?)</noscript>", text, re.DOTALL)):
        page = Page(markup)
        assert page.open == []
        assert "img" not in page.tags
        assert [name for _tag, name, _value in page.attributes if name.startswith("on")] == []
    assert text.count("<script") == text.count("</script>") == 2
    assert text.count("<noscript>") == text.count("</noscript>") == (7 if many else 0)
    assert "alert(1)&lt;/script&gt;" in text


def test_data_cannot_end_its_block():
    text = str(data_block([EVIL, "\u2028", {"a": "]]>"}]))
    assert "<" not in text
    assert json.loads(text) == [EVIL, "\u2028", {"a": "]]>"}]


def test_the_page_loads_nothing_and_forbids_it():
    text = page_of({"n1": {"info": node_info("n1", SPECS), "verify": {"findings": []}}}, [latency("n1", started=NOW)])
    page = Page(text)
    links = [
        (tag, name, value)
        for tag, name, value in page.attributes
        if name in ("src", "href", "srcset", "action", "data", "xlink:href")
    ]
    assert [link for link in links if not link[2].startswith("#")] == [("link", "href", "data:,")]
    assert [value for _tag, name, value in page.attributes if name == "style"] == []
    assert re.findall(r"https?://|@import|url\((?!#)", text) == []
    [policy] = [value for tag, name, value in page.attributes if tag == "meta" and name == "content" and "default-src" in value]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
