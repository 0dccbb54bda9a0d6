# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounting and report of two hundred nodes with fifty guests each, in at most 5 s of an idle CPU."""

from __future__ import annotations

import time

from ansible_collections.realtime.kvm.plugins.plugin_utils._report.page import render_page
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.view import Input, account_fleet, report_view
from unit.fleets import large


def test_report_of_two_hundred_nodes():
    nodes = large(200, 50)
    begun = time.process_time()
    render_page(report_view(Input(nodes, "2026-11-23T10:15:00Z"), account_fleet(nodes)))
    seconds = time.process_time() - begun
    print(f"\n200 nodes, 50 guests each: {seconds:.1f} s of CPU")
    assert seconds < 5
