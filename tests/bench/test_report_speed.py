# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounting and report of two hundred nodes with fifty guests each, in at most 5 s of an idle CPU; a plan of a thousand hosts in as much."""

from __future__ import annotations

import time

from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.document import plan_document
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.placing import place_guests
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.plan_file import from_yaml, to_yaml
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.page import render_page
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.view import Input, account_fleet, report_view
from unit.fleets import large
from unit.pages import page_of
from unit.placing import host, wish


def test_report_of_two_hundred_nodes():
    nodes = large(200, 50)
    begun = time.process_time()
    render_page(report_view(Input(nodes, "2026-11-23T10:15:00Z"), account_fleet(nodes)))
    seconds = time.process_time() - begun
    print(f"\n200 nodes, 50 guests each: {seconds:.1f} s of CPU")
    assert seconds < 5


def test_plan_of_a_thousand_hosts_in_the_page():
    hosts = [host(f"kvm{number:04d}.example.com", 2, 9, memory=65536) for number in range(1000)]
    placed = place_guests(hosts, [wish(f"guest{number:05d}") for number in range(8000)])
    text = to_yaml(plan_document(placed, "inputs"))
    begun = time.process_time()
    plan = from_yaml(text, "placement.yml")
    size = len(page_of({}, placement={"file": "placement.yml", "plan": plan, "refusal": ""}))
    seconds = time.process_time() - begun
    print(f"\nplan of 1000 hosts and 8000 guests: {seconds:.1f} s of CPU, {size / 1e6:.1f} MB")
    assert seconds < 5
    assert size < 2_000_000
