# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for all suites."""

from __future__ import annotations

import hypothesis
from captures import ABSENT, VARIABLE

# How long one example takes says something about the machine, not about the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_terminal_summary(terminalreporter):
    """Say how much of the documentation was run, and what was left out because captures are absent, and how to get them."""
    if any("test_shown.py" in report.nodeid for report in terminalreporter.stats.get("passed", ())):
        from unit.shown import counted

        terminalreporter.section("documentation")
        terminalreporter.write_line(f"{counted()} were run or checked.")
    skipped = [report for report in terminalreporter.stats.get("skipped", ()) if ABSENT in str(report.longrepr)]
    if skipped:
        terminalreporter.section("captures of real machines")
        terminalreporter.write_line(f"{len(skipped)} cases were left out: their captures are not in this repository.")
        terminalreporter.write_line(
            f"tests/fixtures/README.md says where to get them; {VARIABLE} names the folder in which they are."
        )
