# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of features on the node: read back, and refused where they are damaged."""

from __future__ import annotations

import json

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import config_path
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.features import FEATURES, configured_features
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.interrupts import INTERRUPTS
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.options import read_options
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.power import POWER
from unit.features import OPTIONS, apply
from unit.trees import fill


def test_configured_features(root):
    assert configured_features(Host(str(root))) == {}
    for feature in FEATURES:
        apply(root, feature)
    assert configured_features(Host(str(root))) == OPTIONS


@pytest.mark.parametrize(
    ("feature", "damaged", "role"),
    [
        ("cpu_partition", "", "cpu_partition"),
        ("cpu_partition", "{", "cpu_partition"),
        ("cpu_partition", "[]", "cpu_partition"),
        ("cpu_partition", "null", "cpu_partition"),
        ("cpu_partition", "{}", "cpu_partition"),
        ("cpu_partition", '{"rt_throttling": "what", "priority_limit": 1, "cycle_cpus": false}', "cpu_partition"),
        ("cpu_partition", '{"rt_throttling": [], "priority_limit": 1, "cycle_cpus": false}', "cpu_partition"),
        ("cpu_partition", '{"rt_throttling": "kernel", "priority_limit": 99}', "cpu_partition"),
        ("cpu_power", '{"governor": "keep", "turbo": "keep"}', "power"),
        ("cpu_power", '{"governor": "keep", "turbo": "keep", "cstates": "C7"}', "power"),
        ("irq_affinity", "7", "irq_affinity"),
        ("kvm_host", "{}", "kvm_host"),
        ("kvm_host", '{"pages": {"0": {"2M": 1}}}', "kvm_host"),
        ("kvm_host", '{"pages": {"a": {"2M": 1}}, "nx_huge_pages": "keep", "halt_poll_ns": -1}', "kvm_host"),
        ("kvm_host", '{"pages": {"0": {"2M": "1"}}, "nx_huge_pages": "keep", "halt_poll_ns": -1}', "kvm_host"),
        ("kvm_host", '{"pages": {"0": {"16G": 1}}, "nx_huge_pages": "keep", "halt_poll_ns": -1}', "kvm_host"),
        ("kvm_host", '{"pages": [], "nx_huge_pages": "keep", "halt_poll_ns": -1}', "kvm_host"),
        ("kvm_host", '{"pages": {}, "nx_huge_pages": "on", "halt_poll_ns": -1}', "kvm_host"),
        ("kvm_host", '{"pages": {}, "nx_huge_pages": "keep", "halt_poll_ns": -2}', "kvm_host"),
        ("kvm_host", '{"pages": {}, "nx_huge_pages": "keep", "halt_poll_ns": "0"}', "kvm_host"),
    ],
)
def test_damaged_options_are_named_with_the_role_that_repairs_them(root, feature, damaged, role):
    fill(root, {config_path(feature): damaged})
    with pytest.raises(HostError, match=rf"^{config_path(feature)} is damaged \(.+\); run the {role} role to write it again$"):
        configured_features(Host(str(root)))


def test_a_feature_that_is_not_configured_has_no_options(root):
    assert read_options(Host(str(root)), POWER) is None


def test_options_are_those_of_the_file(root):
    given = {"governor": "keep", "turbo": "off", "cstates": "C0"}
    fill(root, {config_path("cpu_power"): json.dumps(given)})
    assert read_options(Host(str(root)), POWER) == given


def test_what_is_wrong_with_an_option_is_said(root):
    fill(root, {config_path("cpu_power"): '{"governor": "keep", "turbo": "on", "cstates": "C0"}'})
    with pytest.raises(HostError, match=r"is damaged \(turbo is 'on', not one of keep, off\)"):
        read_options(Host(str(root)), POWER)
    fill(root, {config_path("irq_affinity"): '{"more": 1}'})
    with pytest.raises(HostError, match=r"is damaged \(it should hold no option\)"):
        read_options(Host(str(root)), INTERRUPTS)
