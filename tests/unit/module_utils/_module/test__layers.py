# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that stand for what only the node knows, and options as Ansible hands them to a module."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._module._layers import (
    LAYERS,
    UnknownDistributionError,
    checked,
    resolved,
    waits_for,
)
from ansible_collections.realtime.kvm.plugins.module_utils._module.cpu_power import OPTIONS

PARTITION = {"__planned": ["cpu_partition", "partition"]}
PAGES = {"__planned": ["kvm_host", "pages"]}
KERNEL = {"__distribution": {"Debian": "*-rt-*", "Ubuntu": "*-realtime"}}


def test_what_an_earlier_layer_plans_is_filled_in_and_what_it_does_not_is_not_given():
    given = {"partition": PARTITION, "hugepages": PAGES, "site": "n", "reserve": {"0": {}}}
    assert resolved(given, {"cpu_partition": {"partition": {"schema": 1}}}, ()) == {
        "partition": {"schema": 1},
        "site": "n",
        "reserve": {"0": {}},
    }


@pytest.mark.parametrize(
    ("names", "expected"), [(["Ubuntu", "Debian"], "*-realtime"), (["Debian"], "*-rt-*"), (["Mint", "Debian"], "*-rt-*")]
)
def test_the_first_name_that_is_known_decides(names, expected):
    assert resolved({"default_kernel": KERNEL}, {}, names) == {"default_kernel": expected}


@pytest.mark.parametrize("names", [[], ["Alpine"]])
def test_another_distribution_is_said(names):
    with pytest.raises(UnknownDistributionError):
        resolved({"default_kernel": KERNEL}, {}, names)


def test_only_the_partition_is_waited_for():
    assert waits_for({"partition": PARTITION, "hugepages": PAGES, "x": 1}) == {"cpu_partition"}
    assert waits_for({"hugepages": PAGES}) == set()


def test_options_are_converted_and_have_their_defaults():
    found = checked({"governor": "keep"}, OPTIONS)
    assert (found["governor"], found["cstates"], found["state"], found["partition"]) == ("keep", "C1", "present", None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"governor": "fast"}, "value of governor must be one of: performance, keep, got: fast"),
        ({"partition": "x"}, "partition"),
        ({"governer": "keep"}, "governer"),
    ],
)
def test_what_no_option_can_be_is_refused(given, message):
    with pytest.raises(HostError, match=message):
        checked(given, OPTIONS)


def test_every_layer_takes_its_state_for_present():
    assert {layer.options["state"]["default"] for layer in LAYERS.values()} == {"present"}
