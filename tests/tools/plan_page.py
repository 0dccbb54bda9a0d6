# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes and prints the plan of captured machines, without a node: to look at the page, and for the pictures of docs/report.md.

    PYTHONPATH=collections:tests python tests/tools/plan_page.py FOLDER [CAPTURE...]

``CAPTURE`` is a line of tests/fixtures/machines.txt, by default a server of 80 CPUs and a small machine.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from ansible_collections.realtime.kvm.plugins.plugin_utils._files import write_files
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.answer import summary
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.document import Fleet, plan_document
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.page import plan_page
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.picture import planned_map
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.text import plan_lines
from conformance.snapshots import SNAPSHOTS
from unit.planned import GUESTS, planned_node

MACHINES = ("openshift/worker1.internal", "openshift/sno")
#: The same page every time.
WHEN = "2026-11-23T10:15:00Z"


def main(folder: str, *captures: str) -> None:
    """Plan the machines as nodes kvm1, kvm2 and so on; the first has all guests, the others one."""
    nodes = {}
    with tempfile.TemporaryDirectory() as scratch:
        for number, name in enumerate(captures or MACHINES, 1):
            below = Path(scratch) / str(number)
            below.mkdir()
            nodes[f"kvm{number}"] = planned_node(SNAPSHOTS[name].root(), below, GUESTS if number == 1 else GUESTS[:1])
    document = plan_document(Fleet(nodes, WHEN, "Plan of the real-time nodes"))
    maps = {host: planned_map(host, node.results, document["nodes"][host]) for host, node in nodes.items()}
    texts = {"plan.html": plan_page(document, maps), "plan.json": json.dumps(document, indent=1) + "\n"}
    write_files(folder, texts)
    print("\n".join([*plan_lines(document), "", *summary(document, [f"{folder}/{name}" for name in texts])]))


if __name__ == "__main__":
    main(*sys.argv[1:])
