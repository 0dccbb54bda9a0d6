# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding out what a module would change, without a trace of it. Edge."""

from __future__ import annotations

import copy

from .host import Host


def trial_of(host: Host, owner: str) -> Host:
    """Return a host in check mode on the same machine, with plans and notes of its own, for what ``owner`` would change."""
    trial = copy.copy(host)
    trial.owner, trial.dry, trial.committed = owner, True, False
    trial.changes, trial.notes, trial._steps = [], [], []
    return trial
