# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a plan: it holds what the text holds, no name becomes markup, nothing is loaded."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.document import Fleet, Node, plan_document
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.page import plan_page
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.picture import planned_map
from unit.pages import Page

EVIL = """<script>alert(1)</script><img src=x onerror="alert('2')">&amp;'"</td></noscript></details></style>--><!--"""


def page_of(nodes):
    document = plan_document(Fleet(nodes, "2026-11-23T10:15:00Z", "Plan"))
    return plan_page(document, {host: planned_map(host, node.results, document["nodes"][host]) for host, node in nodes.items()})


def test_the_page_holds_what_the_text_holds(node):
    text = page_of({"kvm1": node, "kvm2": replace(node, refused=["no room"]), "kvm3": Node({}), "kvm4": Node({}, lost="gone")})
    page = Page(text)
    assert page.open == []
    for words in (
        "no room", "gone", "nothing to change", "1-&gt;6*", "1024 x 2M on node 0", "control (PMD on 2)", "kvm1, kvm2: 10 to install",
        "less than one of 16", "/etc/ansible/facts.d/realtime_partition.fact", "skew_tick=1", "Refused: no node is changed",
    ):  # fmt: skip
        assert words in text, words
    assert text.count('<svg class="core"') == 80


def test_the_page_never_shows_a_plain_class_where_something_is_not_counted(node):
    blind = Node({"kernel": {"changes": [], "not_counted": ["the boot: no boot loader"]}})
    text = page_of({"kvm1": blind})
    words = " ".join(re.sub(r"<[^>]*>", " ", text.split("<main>")[1]).split())
    for part in (
        "Disturbs at least ○ none",
        "at least none",
        "not everything is counted on 1 node",
        "Not counted: the boot: no boot loader",
    ):
        assert part in words, part
    assert not re.search(r"(?<!at least) none 0 change", words)
    assert "Disturbs at most" in page_of({"kvm1": Node({})})
    whole = " ".join(re.sub(r"<[^>]*>", " ", page_of({"kvm1": node})).split())
    for part in ("2M on node 1 416 0 the switch 416", "Made after the reboot by the boot service", "but for what is not counted"):
        assert part in whole, part


@pytest.mark.parametrize("many", [False, True], ids=["open", "folded"])
def test_no_name_becomes_markup(node, many):
    change = {"resource": EVIL, "before": EVIL, "after": f"{EVIL}\n{EVIL}", "disruption": "none", "reason": EVIL}
    results = {
        **node.results,
        "host": {"changes": [change], "policies": [dict.fromkeys(("variable", "value", "before", "protects", "costs"), EVIL)]},
        "kernel": {"arguments": [{"token": EVIL, "reason": EVIL}], "changes": [], "protection": {"notes": [EVIL]}},
        "guests": {**node.results["guests"], "unlisted": [EVIL], "restart_required": {EVIL: [EVIL]}},
    }
    results["guests"]["domains"] = [
        {**item, "name": EVIL, "state": EVIL, "macs": {EVIL: EVIL}} for item in results["guests"]["domains"]
    ]
    odd = Node(results, [dict.fromkeys(("name", "before", "after"), EVIL)], [EVIL], EVIL, "none")
    nodes = {EVIL: odd, **({f"n{number}": Node({}) for number in range(5)} if many else {})}
    text = page_of(nodes)
    for markup in (text, *re.findall(r"<noscript>(.*?)</noscript>", text, re.DOTALL)):
        page = Page(markup)
        assert page.open == []
        assert "img" not in page.tags
        assert [name for _tag, name, _value in page.attributes if name.startswith("on")] == []
    assert text.count("<script") == text.count("</script>") == 1
    assert text.count("<noscript>") == text.count("</noscript>") == (6 if many else 0)


def test_the_page_loads_nothing(node):
    page = Page(page_of({"kvm1": node}))
    links = [value for _tag, name, value in page.attributes if name in ("src", "href", "srcset", "action", "data")]
    assert [link for link in links if not link.startswith("#")] == ["data:,"]
    assert [value for _tag, name, value in page.attributes if name == "style"] == []


def test_tables_have_heads_with_a_scope(node):
    page = Page(page_of({"kvm1": node}))
    scopes = [value for tag, name, value in page.attributes if tag == "th" and name == "scope"]
    assert len(scopes) == page.tags.count("th")
