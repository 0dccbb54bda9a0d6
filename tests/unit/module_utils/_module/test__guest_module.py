# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module names the guest with an unknown key, and the key that was meant, as a role used alone shows it."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.realtime.kvm.plugins.module_utils._module._guest_module import misspelt
from ansible_collections.realtime.kvm.plugins.modules import kvm_host, ovs_dpdk, rt_audit, rt_domain

GUEST = {"name": "plc1", "memory_mib": 64}
MODULES = [kvm_host, ovs_dpdk, rt_audit, rt_domain]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (
            {"guests": [GUEST, {**GUEST, "realtime_vcpu": "1"}]},
            ["realtime_guests: plc1: unknown key realtime_vcpu, did you mean realtime_vcpus?"],
        ),
        ({"guests": [{"nme": "plc1"}]}, ["realtime_guests[0]: unknown key nme, did you mean name?"]),
        (
            {"guests": [{**GUEST, "disks": [{"path": "/a"}, {"pth": "/b"}], "networks": [{"network": "n", "macs": 1}]}]},
            [
                "realtime_guests: plc1: disks[1]: unknown key pth, did you mean path?",
                "realtime_guests: plc1: networks[0]: unknown key macs, did you mean mac?",
            ],
        ),
        (
            {"networks": [{"name": "control", "devise": "ens1"}]},
            ["realtime_networks: control: unknown key devise, did you mean device?"],
        ),
        ({"guests": [GUEST], "networks": None}, []),
        ({"guests": ["plc1", None], "networks": "control"}, []),
        ({}, []),
    ],
)
def test_misspelt(parameters, said):
    assert list(misspelt(parameters)) == said


def refusal(module, capsys, **arguments):
    with patch_module_args(arguments), pytest.raises(SystemExit):
        module.main()
    return json.loads(capsys.readouterr().out)["msg"]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_every_module_with_guests_names_the_guest(module, capsys):
    said = refusal(module, capsys, guests=[{**GUEST, "realtime_vcpu": "1"}])
    assert said == "realtime_guests: plc1: unknown key realtime_vcpu, did you mean realtime_vcpus?"


def test_other_refusals_stay_those_of_ansible(capsys):
    assert "Unsupported parameters for" in refusal(rt_domain, capsys, guest=[GUEST])
    assert "in the sub parameter field 'guests' must be a list" in refusal(rt_domain, capsys, guests=5)
    assert "unable to convert to dict" in refusal(rt_domain, capsys, guests=[GUEST], partition="many")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"guests": [{**GUEST, "vcpus": "many"}]}, "realtime_guests: plc1: vcpus 'many' must be of type int"),
        ({"guests": [{**GUEST, "vcpus": float("inf")}]}, "realtime_guests: plc1: vcpus 'inf (no number)' must be of type int"),
        (
            {"guests": [{**GUEST, "vcpus": "-Infinity"}]},
            "realtime_guests: plc1: vcpus '-Infinity (no number)' must be of type int",
        ),
        ({"guests": [{**GUEST, "disks": ["/x"]}]}, "realtime_guests: plc1: disks[0]: '/x' is not a mapping with a path"),
        (
            {"guests": [{**GUEST, "disks": "/x"}]},
            "realtime_guests: plc1: disks '/x' must be of type list; give a list, also of one item: [...], or each on a line that begins with -",
        ),
        (
            {"guests": [{**GUEST, "networks": ["control"]}], "networks": [{"name": "control", "vlan": "5"}]},
            "realtime_guests: plc1: networks[0]: 'control' is not a mapping with the name of a network",
        ),
        (
            {"guests": [{**GUEST, "cloud_init": {"userdata": {}}}]},
            "realtime_guests: plc1: cloud_init: unknown key userdata, did you mean user_data?",
        ),
        ({"networks": [{"name": "control", "vlan": "x"}]}, "realtime_networks: control: vlan 'x' has the wrong type (str)"),
    ],
)
@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_a_value_of_a_wrong_type_is_refused_by_guest_and_key(module, capsys, arguments, said):
    assert refusal(module, capsys, **arguments) == said


def test_it_is_the_module_that_ansible_knows():
    assert isinstance(rt_domain.GuestAnsibleModule, type)
    assert issubclass(rt_domain.GuestAnsibleModule, basic.AnsibleModule)
