# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of features on the node: read back, and refused where they are damaged."""

from __future__ import annotations

import json
import re
from importlib import import_module

import pytest
import yaml
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import config_path
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.features import FEATURES, configured_features
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.interrupts import INTERRUPTS
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.options import read_options
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.power import POWER
from unit.features import OPTIONS, apply
from unit.trees import fill

_MODULES = "ansible_collections.realtime.kvm.plugins.modules"


def test_configured_features(root):
    assert configured_features(Host(str(root))) == ({}, {})
    for feature in FEATURES:
        apply(root, feature)
    assert configured_features(Host(str(root))) == (OPTIONS, {})


@pytest.mark.parametrize(
    ("feature", "damaged", "role"),
    [
        ("cpu_partition", "", "cpu_partition"),
        ("cpu_partition", "{", "cpu_partition"),
        ("cpu_partition", "[]", "cpu_partition"),
        ("cpu_partition", "null", "cpu_partition"),
        ("cpu_partition", '{"rt_throttling": "what", "priority_limit": 1, "cycle_cpus": false}', "cpu_partition"),
        ("cpu_partition", '{"rt_throttling": [], "priority_limit": 1, "cycle_cpus": false}', "cpu_partition"),
        ("cpu_partition", '{"rt_throttling": "kernel", "priority_limit": 99}', "cpu_partition"),
        ("cpu_power", '{"governor": "keep", "turbo": "keep", "cstates": "C7"}', "power"),
        ("irq_affinity", "7", "irq_affinity"),
        ("cpu_partition", "[" * 5000, "cpu_partition"),
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
    said = rf"^{config_path(feature)} is damaged \(.+\); run the {role} role to write it again$"
    with pytest.raises(HostError, match=said):
        read_options(Host(str(root)), FEATURES[feature])
    fill(root, {config_path(name): json.dumps(OPTIONS[name]) for name in OPTIONS if name != feature})
    found, broken = configured_features(Host(str(root)))
    assert found == {name: OPTIONS[name] for name in OPTIONS if name != feature}, "one damaged file fails one feature"
    assert list(broken) == [feature]
    assert re.match(said, broken[feature])


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
    fill(root, {config_path("irq_affinity"): "7"})
    with pytest.raises(HostError, match=r"is damaged \(it should hold no option\)"):
        read_options(Host(str(root)), INTERRUPTS)


@pytest.mark.parametrize("feature", FEATURES)
def test_a_file_of_an_older_release_lacks_options_which_have_the_module_s_defaults(root, feature):
    fill(root, {config_path(feature): "{}"})
    host = Host(str(root))
    assert read_options(host, FEATURES[feature]) == FEATURES[feature].defaults
    assert host.notes == []
    options = options_of(feature)
    assert FEATURES[feature].defaults == {
        name: options[name]["default"] if name in options else {} for name in FEATURES[feature].options
    }


def options_of(feature):
    """The options of the feature's module as Ansible documents them; kvm_host plans its pages itself."""
    module = {"cpu_cache": "cpu_partition"}.get(feature, feature)
    return yaml.safe_load(import_module(f"{_MODULES}.{module}").DOCUMENTATION)["options"]


def test_a_file_of_a_newer_release_has_options_that_are_left_out_and_named(root):
    fill(root, {config_path("irq_affinity"): '{"newer": 1, "also": 2}'})
    host = Host(str(root))
    for _rest in range(2):
        assert read_options(host, INTERRUPTS) == {}
    path = config_path("irq_affinity")
    assert host.notes == [
        f"{path} holds also, newer, which this release does not know; run the irq_affinity role to write it again"
    ]


def test_a_file_that_cannot_be_read_is_not_taken_for_none(root):
    fill(root, {f"{config_path('cpu_power')}/": None})
    with pytest.raises(HostError, match=r"cannot be read; run the power role"):
        read_options(Host(str(root)), POWER)
