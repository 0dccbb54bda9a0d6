# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Report pages: made of what nodes report, and taken apart."""

from __future__ import annotations

from html.parser import HTMLParser

from ansible_collections.realtime.kvm.plugins.plugin_utils._report.page import render_page
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.view import Input, account_fleet, report_view
from unit.fleets import guest_spec

NOW = "2026-11-23T10:15:00Z"
SPECS = [guest_spec(0), guest_spec(1, vcpus=3), guest_spec(2, realtime=False)]
FINDING = {"rule": "interrupt", "resource": "IRQ 24", "expected": "CPUs 0", "actual": "CPUs 5", "remedy": "irq_affinity role"}
VOID = {"meta", "link", "img", "input", "br", "rect", "path", "circle", "polyline", "line"}


class Page(HTMLParser):
    """What a page is made of: tags that open and close in pairs, attributes, texts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts, self.open = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def page_of(nodes, results=(), rejected=(), title="Nodes", placement=None):
    given = Input(nodes, NOW, results, rejected, title, placement)
    return render_page(report_view(given, account_fleet(nodes)))
