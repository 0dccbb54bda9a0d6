# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a report with the plan of the example of docs/placement.md, and with a browser the picture of it.

PYTHONPATH=collections:tests python tests/tools/placement_page.py FOLDER [PICTURE]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from ansible_collections.realtime.kvm.plugins.plugin_utils._files import write_files
from unit.browser import start
from unit.fleets import guest_spec, node_info
from unit.pages import page_of
from unit.placing import EXAMPLE_GUESTS, example


def nodes_of_example() -> dict[str, dict[str, object]]:
    """Return what the nodes of the example tell before the moves."""
    nodes = {}
    for host, names in EXAMPLE_GUESTS.items():
        specs = [guest_spec(number, name=name) for number, name in enumerate(names)]
        nodes[host] = {"info": node_info(host, specs, nodes=2 if host == "kvm03" else 1), "verify": {"findings": []}}
    return nodes


def main(folder: str, picture: str = "") -> None:
    """Write report.html to the folder, and how its section looks to the picture."""
    found = {"file": "results/place/placement.yml", "plan": example(), "refusal": ""}
    write_files(folder, {"report.html": page_of(nodes_of_example(), placement=found)})
    if not picture:
        return
    with tempfile.TemporaryDirectory() as profile:
        driver = start(profile)
        try:
            driver.set_window_size(1300, 1200)
            driver.get((Path(folder) / "report.html").resolve().as_uri())
            driver.find_element("id", "placement").screenshot(picture)
        finally:
            driver.quit()


if __name__ == "__main__":
    main(*sys.argv[1:])
