# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command lines that mean the same, and those that do not."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot.compared import MARK, TRIAL_TOKENS, compare
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cmdline import split_tokens


@pytest.mark.parametrize(
    ("running", "following", "missing", "unexpected"),
    [
        ("BOOT_IMAGE=/vmlinuz-1 ro a=1", "a=1 ro", [], []),
        ("initrd=/x ro", "ro BOOT_IMAGE=/y", [], []),
        ("ro ro tsc=reliable tsc=reliable", "tsc=reliable ro", [], []),
        ("rcu-nocbs=1-2 kvm-intel.ple-gap=0", "rcu_nocbs=1-2 kvm_intel.ple_gap=0", [], []),
        ("ro a=1", "ro a=2", ["a=2"], ["a=1"]),
        ("ro", "ro b c", ["b", "c"], []),
        ("ro old", "ro", [], ["old"]),
        ('ro "dyndbg=file x +p"', 'ro dyndbg="file x +p"', [], []),
        ("ro quiet splash vt.handoff=7", "ro quiet splash $vt_handoff", [], []),
        ("ro quiet splash", "ro quiet splash $vt_handoff", [], []),
        ("ro", "ro $tuned_params", [], []),
        ("console=tty0 ro console=ttyS0", "ro console=tty0 console=ttyS0", [], []),
    ],
)
def test_compare(running, following, missing, unexpected):
    comparison = compare(split_tokens(running), split_tokens(following))
    assert (list(comparison.missing), list(comparison.unexpected)) == (missing, unexpected)
    assert comparison.equal is (not missing and not unexpected)


def test_arguments_of_a_trial_alone_are_no_difference():
    assert compare(["ro", *TRIAL_TOKENS], ["ro"]).equal
    assert compare(["ro", *TRIAL_TOKENS[1:]], ["ro"]).unexpected == TRIAL_TOKENS[1:], "without the mark they are anybody's"
    assert compare(["ro", MARK, "panic=10"], ["ro", "panic=10"]).equal
