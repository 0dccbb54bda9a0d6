# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds out what a module would change, without leaving a trace. Edge."""

from __future__ import annotations

import copy

from .host import Host


def trial_of(host: Host, owner: str) -> Host:
    """Return a host in check mode on the same machine that plans for ``owner``, with its own changes and notes."""
    trial = copy.copy(host)
    trial.owner, trial.dry, trial.committed = owner, True, False
    trial.changes, trial.notes, trial._steps = [], [], []
    return trial
