# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A trial of what another owner would change: it plans on the same machine and touches nothing, not even the host's own plan."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.module_utils._host.trial import trial_of
from unit.hosts import KEPT, SYSCTL, WATCHDOG, apply, plan_all
from unit.trees import snapshot, writable


def test_a_trial_plans_for_its_owner_and_writes_nothing(root):
    apply(root, lambda host: host.set_value(SYSCTL, "10"), "one")
    before = snapshot(root)
    trial = trial_of(writable(root, "two"), "one")
    assert trial.entries("value") == {SYSCTL: "1"}
    with trial.locked():
        trial.restore_values()
        trial.commit()
    assert [(change.resource, change.after) for change in trial.changes] == [(SYSCTL, "1")]
    assert (trial.dry, trial.committed) == (True, False)
    assert snapshot(root) == before


def test_a_hosts_own_plan_and_notes_are_not_those_of_its_trial(root):
    host = writable(root, "audit")
    host.set_value(WATCHDOG, "0")
    host.notes.append("mine")
    trial = trial_of(host, "test")
    plan_all(trial)
    trial.notes.append("its")
    trial.commit()
    assert ([change.resource for change in host.changes], host.notes) == ([WATCHDOG], ["mine"])
    assert (host.owner, host.dry) == ("audit", False)
    host.commit()
    assert host.value(WATCHDOG) == "0"
    assert host.value(SYSCTL) == "1"
    assert KEPT in [change.resource for change in trial.changes]


def test_a_trial_of_a_host_that_has_changed_something_has_changed_nothing(root):
    host = apply(root)
    trial = trial_of(host, "test")
    assert (trial.changes, trial.committed) == ([], False)
