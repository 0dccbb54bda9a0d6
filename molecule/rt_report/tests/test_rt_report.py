# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report shows every CPU of the node once and accounts for all of them."""

import json
import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FOLDER = Path(os.environ.get("LAB_DIR") or ROOT / ".lab") / "report"
NODE = os.environ.get("LAB_NODES", "node1")


def test_the_page_draws_every_cpu_once(host):
    page = (FOLDER / "report.html").read_text()
    assert NODE in page
    drawn = sorted(map(int, re.findall(r"<title>CPU (\d+):", page)))
    assert drawn == list(range(int(host.check_output("nproc --all"))))


def test_the_accounting_is_about_the_node():
    accounting = json.loads((FOLDER / "accounting.json").read_text())
    assert NODE in json.dumps(accounting)
