# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets of first boots and in XML, planted in every form: no result, log or message of a module that takes guests shows them or suffers from them."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.realtime.kvm.plugins.modules import kvm_host, ovs_dpdk, rt_audit, rt_domain

MODULES = {"rt_domain": rt_domain, "kvm_host": kvm_host, "ovs_dpdk": ovs_dpdk, "rt_audit": rt_audit}
FORMS = {
    "text": {"user_data": "#cloud-config\npassword: PLANTED'\"\\x\nssh_authorized_keys: [ssh-rsa AAAA me:PLANTED@host]\n"},
    "texts": {"meta_data": "instance-id: PLANTED\nb: c\n", "network_config": "version: 1\n# PLANTED\n"},
    "mapping": {"user_data": {"password": "PLANTED", "users": [{"passwd": "PLANTED"}]}, "meta_data": {"a": "PLANTED"}},
    "short values": {"user_data": {"password": "a", "1": 1, "b": ["1", "e", "l", True, None]}},
    "list": {"user_data": ["PLANTED", "a"]},
    "short text": {"user_data": "a"},
    "number": {"user_data": 1},
    "misspelt": {"user_dat": "PLANTED", "user-data": {"a": "PLANTED"}},
    "no mapping": "PLANTED",
    "no mapping, but a list": ["PLANTED"],
    "JSON": '{"user_data": "#cloud-config\\nPLANTED"}',
    "pairs": "user_data=PLANTED",
}


@pytest.fixture(name="logged")
def _logged(monkeypatch):
    found = []
    monkeypatch.setattr(basic.AnsibleModule, "log", lambda _self, msg, log_args=None: found.append(f"{msg} {log_args}"))
    return found


def say(capsys, tmp_path, name, guest):
    arguments = {
        "guests": [guest],
        "fsroot": str(tmp_path),
        "_ansible_verbosity": 5,
        "_ansible_diff": True,
        "_ansible_check_mode": True,
    }
    with patch_module_args(arguments), pytest.raises(SystemExit):
        MODULES[name].main()
    return "".join(capsys.readouterr())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MODULES)
def test_nothing_shows_them(capsys, tmp_path, logged, name, form):
    said = say(capsys, tmp_path, name, {"name": "plc1", "memory_mib": 1, "cloud_init": FORMS[form]})
    assert "PLANTED" not in said + "".join(logged)
    assert json.loads(said)["failed"] if name != "rt_audit" else json.loads(said)  # its findings name what is wrong with the list


@pytest.mark.parametrize("name", MODULES)
def test_a_misspelt_key_of_a_guest_is_named_and_not_shown(capsys, tmp_path, logged, name):
    said = say(capsys, tmp_path, name, {"name": "plc1", "memory_mib": 1, "cloud_int": {"user_data": "PLANTED"}})
    assert "cloud_int" in json.loads(said)["msg"]
    assert "PLANTED" not in said + "".join(logged)


@pytest.mark.parametrize("form", ["short values", "short text", "number", "text"])
def test_results_do_not_suffer_from_them(capsys, tmp_path, logged, form):
    said = say(capsys, tmp_path, "rt_domain", {"name": "plc1", "memory_mib": 1, "cloud_init": FORMS[form]})
    assert json.loads(said)["msg"] == "realtime_guests: plc1: memory_mib 1 is not in 16-67108864"
    assert logged[0].startswith("Invoked with guests=[{'name': 'plc1', 'memory_mib': 1, ")


def test_what_is_no_list_of_guests_is_refused_by_ansible(capsys, tmp_path, logged):
    assert logged == []
    for guests in ([["PLANTED"]], [None], {"name": "a"}):
        with patch_module_args({"guests": guests, "fsroot": str(tmp_path)}), pytest.raises(SystemExit):
            MODULES["rt_domain"].main()
        assert json.loads(capsys.readouterr().out)["failed"]


@pytest.mark.parametrize(
    "wrong", [{"disks": ["/x"]}, {"networks": "control"}, {"vcpus": float("inf")}, {"realtime_vcpu": 1}, {"agent": "x"}]
)
@pytest.mark.parametrize("name", MODULES)
def test_nothing_shows_them_beside_a_value_of_a_wrong_type(capsys, tmp_path, logged, name, wrong):
    secrets = {"xml": "<domain><graphics passwd='PLANTED'/></domain>", "cloud_init": {"user_data": {"password": "PLANTED"}}}
    said = say(capsys, tmp_path, name, {"name": "plc1", "memory_mib": 64, **wrong, **secrets})
    assert "PLANTED" not in said + "".join(logged)
    assert "plc1" in json.loads(said)["msg"]


XML = {
    "in a domain": "<domain><devices><graphics type='vnc' passwd='PLANTED'><alias name='ua-v'/></graphics></devices></domain>",
    "on several lines": "<domain>\n  <devices>\n <graphics type='vnc' passwd='PLANTED'/>\n</devices>\n</domain>\n",
    "broken": "<domain><graphics passwd='PLANTED'",
    "mapping": {"domain": {"passwd": "PLANTED", "a": "e"}},
    "list": ["PLANTED", "1"],
    "short": "e",
    "number": 1,
}


@pytest.mark.parametrize("memory", [64, 1])
@pytest.mark.parametrize("form", XML)
@pytest.mark.parametrize("name", MODULES)
def test_nothing_shows_xml_with_a_password(capsys, tmp_path, logged, name, form, memory):
    said = say(capsys, tmp_path, name, {"name": "plc1", "memory_mib": memory, "xml": XML[form]})
    assert "PLANTED" not in said + "".join(logged)
    assert logged
    assert json.loads(said)["invocation"]["module_args"]["guests"][0]["name"] == "plc1", "no letter is cut out of other values"


def test_xml_that_is_none_is_refused(capsys, tmp_path):
    for given in ("e", 1, ["a"]):
        said = json.loads(say(capsys, tmp_path, "rt_domain", {"name": "plc1", "memory_mib": 64, "xml": given}))
        assert said["msg"].startswith("realtime_guests: plc1: xml cannot be read")
