# SPDX-License-Identifier: GPL-3.0-or-later
"""Scheduling policies, by number and name. Pure."""

from __future__ import annotations

SCHED_OTHER, SCHED_FIFO, SCHED_RR = 0, 1, 2


POLICY_NAMES = {0: "SCHED_OTHER", 1: "SCHED_FIFO", 2: "SCHED_RR", 3: "SCHED_BATCH", 5: "SCHED_IDLE", 6: "SCHED_DEADLINE"}
