# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Severities of rules."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.module_utils._audit.rule import SEVERITIES, rank


def test_severities_stand_worst_first():
    assert sorted(SEVERITIES, key=rank) == ["error", "warning", "info"]
