# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate of real-time guests: what closes it, and that it opens by itself; test_hook.py asks it as libvirt does."""

from __future__ import annotations

import errno
import json

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import BOOT_ID, Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import DOCUMENT, config_path
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.gate import (
    BOOT_STATE,
    OVERRIDE,
    explain,
    overridden,
    read_boot_state,
    unfinished,
    why_closed,
    write_boot_state,
)
from unit.features import CPU, KNOBS, OPTIONS, PARTITION, apply
from unit.trees import fill, plan, refuse_writes


@pytest.fixture(name="node")
def _node(root):
    apply(root, "cpu_partition")
    return fill(root, {DOCUMENT: json.dumps(to_document(PARTITION))})


def closed(root, cpus=None):
    return why_closed(Host(str(root)), cpus)


def test_it_is_open_on_a_node_that_is_as_documented_and_on_one_without_a_document(node, tmp_path_factory):
    assert closed(node) == ""
    assert closed(tmp_path_factory.mktemp("other")) == ""


def test_only_the_cpus_of_the_guest_must_be_isolated(node):
    fill(node, {f"{CPU}/isolated": "2\n"})
    assert closed(node, frozenset({2})) == ""
    assert closed(node, frozenset({0, 2})) == "", "CPU 0 is no fault of the node"
    assert "does not isolate CPUs 1,3 (isolated: 2)" in closed(node, frozenset({1, 2}))
    assert "does not isolate CPUs 1,3 (isolated: 2)" in closed(node)


def test_values_that_the_boot_service_did_not_make_close_it_until_they_are_made(node):
    fill(node, {BOOT_STATE: '{"cpu_partition": "no room"}', "/proc/sys/vm/swappiness": "60\n"})
    assert closed(node) == "the boot service did not make the values of cpu_partition: no room"
    fill(node, {config_path("cpu_partition"): "{"})
    assert closed(node).startswith(f"{config_path('cpu_partition')} is damaged")
    fill(node, {config_path("cpu_partition"): json.dumps(OPTIONS["cpu_partition"])})
    apply(node, "cpu_partition")
    assert closed(node) == "", "a role has made them since"


def test_without_a_failed_boot_a_value_that_someone_changed_closes_nothing(node):
    fill(node, {"/proc/sys/vm/swappiness": "60\n"})
    assert closed(node) == ""


NOT_RUN = (
    "the values of cpu_partition were not made in this boot: "
    "the boot service did not run (systemctl status realtime-kvm), nor has its role made them since"
)


@pytest.fixture(name="rebooted")
def _rebooted(node):
    """The node after a reboot: the kernel has its own values, and the boot service was masked or lost in a cycle of units."""
    return fill(node, {BOOT_ID: "bbbb\n", **KNOBS})


@pytest.mark.parametrize(
    "state", [{}, {BOOT_STATE: '{"irq_affinity": ""}'}], ids=["no unit ran", "only the interrupts' unit ran"]
)
def test_a_boot_service_that_did_not_run_closes_it_until_the_role_has_made_the_values(rebooted, state):
    fill(rebooted, state)
    assert closed(rebooted) == NOT_RUN
    apply(rebooted, "cpu_partition")
    assert closed(rebooted) == "", "made by the role, without a reboot and without a word of the boot service"
    fill(rebooted, {"/proc/sys/vm/swappiness": "60\n"})
    assert closed(rebooted) == "", "what somebody changes later closes nothing"


def test_a_role_that_failed_on_its_way_leaves_it_closed(rebooted, monkeypatch):
    """The originals of all values are in the journal before the first is made."""
    with monkeypatch.context() as patched:
        refuse_writes(patched, [f"{rebooted}/sys/devices/virtual/workqueue/cpumask"], errno.EINVAL)
        with pytest.raises(HostError):
            apply(rebooted, "cpu_partition")
    assert (rebooted / "proc/sys/vm/swappiness").read_text() == "10", "begun"
    assert closed(rebooted) == NOT_RUN
    apply(rebooted, "cpu_partition")
    assert closed(rebooted) == ""
    fill(rebooted, {"/proc/sys/vm/swappiness": "60\n"})
    assert closed(rebooted) == ""


def test_a_release_that_kept_no_state_of_the_boot_leaves_it_open(rebooted):
    """Its boot service has journalled in this boot; this release knows a value that it did not."""
    apply(rebooted, "cpu_partition")
    fill(rebooted, {"/proc/sys/kernel/timer_migration": "1\n"})
    assert not (rebooted / BOOT_STATE[1:]).exists()
    assert closed(rebooted) == ""


def test_without_a_word_of_anyone_the_values_decide(rebooted):
    """The journal is damaged, or was moved away, or sysctl.d says all of it already."""
    apply(rebooted, "cpu_partition")
    fill(rebooted, {JOURNAL: "{"})
    assert closed(rebooted) == ""
    fill(rebooted, {"/proc/sys/vm/swappiness": "60\n"})
    assert closed(rebooted) == NOT_RUN
    (rebooted / JOURNAL[1:]).unlink()
    assert closed(rebooted) == NOT_RUN
    fill(rebooted, {"/proc/sys/vm/swappiness": "10\n"})
    assert closed(rebooted) == ""


def test_a_capture_lacks_what_a_boot_has_made(rebooted):
    assert why_closed(Host(str(rebooted), captured=True)) == ""


def test_values_that_must_wait_for_another_boot_stay_missing(node):
    """Isolated at run time by its partition file, but the kernel still isolates by its arguments, and this boot made no values."""
    fill(node, {DOCUMENT: json.dumps(to_document(plan(Intent(isolation="runtime"))))})
    assert closed(node) == "", "a node that waits for its reboot keeps the values of the boot before"
    fill(node, {BOOT_STATE: '{"cpu_partition": "the running kernel isolates CPUs 1-3"}'})
    assert closed(node).endswith("cpu_partition: the running kernel isolates CPUs 1-3")


def test_the_state_of_a_boot_is_kept_and_read_back(node):
    host = Host(str(node))
    assert read_boot_state(host) == {}
    state = unfinished(["cpu_partition", "cpu_power"])
    write_boot_state(host, state)
    assert read_boot_state(host) == state
    assert set(state.values()) == {"the boot service has not finished"}


@pytest.mark.parametrize("content", ["", "{", "[]", "7", "[" * 5000])
def test_a_damaged_state_counts_as_a_failed_boot(node, content):
    fill(node, {BOOT_STATE: content})
    assert read_boot_state(Host(str(node))) == {"cpu_partition": f"{BOOT_STATE} is damaged"}


def test_an_operator_may_open_it_for_this_boot(node):
    assert not overridden(Host(str(node)))
    assert explain("why").startswith("why. A real-time guest would")
    assert explain("why").endswith(f"touch {OVERRIDE}")
    fill(node, {OVERRIDE: ""})
    assert overridden(Host(str(node)))
