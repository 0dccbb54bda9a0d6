# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML that cloud-init would ignore is found on the controller, and never quoted."""

from __future__ import annotations

import pytest
from ansible.template import trust_as_template
from ansible_collections.realtime.kvm.plugins.filter.seeds import FilterModule

seed_faults = FilterModule().filters()["seed_faults"]


def faults(**given):
    return seed_faults([{"name": "plc1", "cloud_init": given}])


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"user_data": "#cloud-config\nhostname: a\n"},
        {"user_data": "#cloud-config\n"},
        {"user_data": {"password": "PLANTED"}},
        {"user_data": "#!/bin/sh\n: [\n"},
        {"user_data": "## template: jinja\n#cloud-config\n{{ : [\n"},
        {"user_data": "#cloud-config-archive\n- type: text/cloud-config\n"},
        {"meta_data": "instance-id: 1", "network_config": "version: 2\n"},
        {"network_config": "network: {version: 1, config: []}  # match: {network: a}"},
        {"meta_data": None},
        {"user_data": trust_as_template("#cloud-config\nhostname: a\n")},  # as Ansible has texts of an inventory
    ],
)
def test_what_cloud_init_can_read(given):
    assert faults(**given) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"user_data": "#cloud-config\npassword: [PLANTED\n"},
            "user_data is no valid YAML at line 3, column 1; cloud-init would ignore all",
        ),
        ({"user_data": "#cloud-config\n\tpassword: PLANTED\n"}, "user_data is no valid YAML at line 2, column 1"),
        ({"user_data": "#cloud-config\n*PLANTED\n"}, "user_data is no valid YAML at line 2, column 1"),
        ({"user_data": "#cloud-config\n!PLANTED a\n"}, "user_data is no valid YAML at line 2, column 1"),
        ({"user_data": "#cloud-config\na: \x01PLANTED\n"}, "user_data is no valid YAML; cloud-init"),
        ({"user_data": "#cloud-config\na: 2026-99-99\n"}, "user_data is no valid YAML; cloud-init"),
        ({"user_data": "#cloud-config\n- PLANTED\n"}, "user_data is a list in YAML, not a mapping"),
        ({"user_data": "#cloud-config-archive\nPLANTED: 1\n"}, "user_data is a mapping in YAML, not a list"),
        ({"user_data": "#cloud-config PLANTED\nPLANTED\n"}, "user_data is a text in YAML, not a mapping"),
        ({"user_data": "#Cloud-Config\na: [PLANTED\n"}, "user_data is no valid YAML at line 3, column 1"),
        ({"user_data": "#CLOUD-CONFIG-ARCHIVE\n5\n"}, "user_data is a single value in YAML, not a list"),
        ({"meta_data": "instance-id: {PLANTED"}, "meta_data is no valid YAML at line "),
        ({"network_config": "version: 2: PLANTED"}, "network_config is no valid YAML at line 1"),
        (
            {"network_config": "{ethernets: {a: {version: 2}}}"},
            "network_config has no version at its top or below network; give version: 2",
        ),
        ({"network_config": "network:\n  version: true\n"}, "network_config has no version"),
        *(
            (
                {"network_config": f"version: 2\nethernets:\n  a:\n    match:{match}"},
                "network_config is a text with a network in match, of which",
            )
            for match in (
                "\n\n      network: control\n",
                "\r\n      network: control\r\n",
                " &m {network: control}\n",
                " {driver: [a, {x: y}], network: control}\n",
            )
        ),
    ],
)
def test_what_it_would_ignore(given, words):
    (fault,) = faults(**given)
    assert fault.startswith(f"realtime_guests: plc1: cloud_init: {words}")
    assert "PLANTED" not in fault


@pytest.mark.parametrize("guests", [None, "text", [], ["text"], [{"name": "a"}], [{"cloud_init": "text"}], {"name": "a"}])
def test_what_is_no_list_of_guests_is_the_modules_business(guests):
    assert seed_faults(guests) == []


def test_a_guest_that_goes_has_none():
    assert seed_faults([{"name": "a", "state": "absent", "cloud_init": {"meta_data": "{"}}]) == []
