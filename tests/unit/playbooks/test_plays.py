# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every play of the playbooks says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

BOOKS = sorted((Path(__file__).resolve().parents[3] / "playbooks").glob("*.yml"))


@pytest.mark.parametrize("book", BOOKS, ids=lambda path: path.stem)
def test_no_configuration_chooses_a_strategy_that_ignores_errors_of_other_nodes(book):
    """free and host_pinned know no any_errors_fatal, max_fail_percentage and run_once, so a play that is refused on one node goes on on others."""
    plays = [play for play in yaml.safe_load(book.read_text()) if "hosts" in play]
    assert [play["name"] for play in plays if play.get("strategy") != "linear"] == []
