# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action rt_inventory with stand-ins for Ansible's variables."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible_collections.realtime.kvm.plugins.action import rt_inventory
from ansible_collections.realtime.kvm.plugins.modules import rt_inventory as documented
from yaml import safe_load


class HostVars(dict):
    """What a host's variables are, before templates are worked out."""

    raw_get = dict.__getitem__


def act(monkeypatch, everyone, /, *, play=None, extra=None, own=None, **arguments):
    """Run the action on the first host, which has the play's variables too."""
    monkeypatch.setattr(rt_inventory, "load_extra_vars", lambda _loader: extra or {})
    first = next(iter(everyone))
    task = SimpleNamespace(
        args=arguments,
        check_mode=False,
        async_val=0,
        action="realtime.kvm.rt_inventory",
        get_play=lambda: SimpleNamespace(get_vars=lambda: dict(play or {})),
    )
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nonexistent"))
    action = rt_inventory.ActionModule(task, connection, None, DataLoader(), None, None)
    variables = {
        **everyone[first],
        **(play or {}),
        **(own or {}),
        "inventory_hostname": first,
        "hostvars": HostVars(everyone),
        "groups": {"all": list(everyone), "realtime_nodes": list(everyone)},
        "ansible_play_hosts_all": [first],
    }
    return action.run(task_vars=variables)


PLC = {"realtime_guests": [{"name": "plc1", "memory_mib": 64}]}


def test_a_sound_inventory(monkeypatch):
    assert act(monkeypatch, {"n1": PLC}) == {"changed": False, "guests": 1}


def test_a_refusal_fails_the_task(monkeypatch):
    result = act(monkeypatch, {"n1": {**PLC, "rt_guest_restrt": True}})
    assert result["failed"]
    assert result["msg"].startswith("n1: unknown variable rt_guest_restrt, did you mean rt_guest_restart?\nNothing was changed")


def test_hosts_can_be_named(monkeypatch):
    hosts = {"n1": {"rt_guest_restrt": 1}, "n2": PLC, "n3": {"power_cstate": "C1"}}
    assert "failed" not in act(monkeypatch, hosts, hosts=["n2"])
    assert act(monkeypatch, hosts, hosts=["n2", "n3"])["msg"].startswith("n3: unknown variable power_cstate")
    assert "failed" not in act(monkeypatch, hosts, hosts=[])
    with pytest.raises(AnsibleActionFail, match="hosts: n9 is not in the inventory"):
        act(monkeypatch, hosts, hosts=["n9"])


def test_variables_of_the_play_that_another_beats_do_not_count(monkeypatch):
    hosts, play = {"n1": PLC}, {"realtime_guests": [{"name": "plc1", "vcpu": 1}]}
    assert "unknown key vcpu" in act(monkeypatch, hosts, play=play)["msg"]
    assert "failed" not in act(monkeypatch, hosts, play=play, own=PLC), "an extra variable, which the host's variables hold"


def test_a_list_of_the_command_line_is_not_that_of_hosts_beyond_the_run(monkeypatch):
    hosts = {"n1": PLC, "n2": PLC}
    assert "has a guest of this name too" in act(monkeypatch, hosts)["msg"]
    assert "failed" not in act(monkeypatch, hosts, extra=PLC)


def test_without_netaddr_it_says_what_to_install_unless_no_guest_is_read(monkeypatch):
    monkeypatch.setattr(rt_inventory, "HAS_NETADDR", False)
    with pytest.raises(AnsibleActionFail, match="pip install netaddr, or the package python3-netaddr"):
        act(monkeypatch, {"n1": {}})
    assert "failed" not in act(monkeypatch, {"n1": PLC}, guests=False)


def test_the_library_may_be_missing_at_import(monkeypatch):
    name = "ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.identities"
    monkeypatch.setitem(sys.modules, "netaddr", None)
    monkeypatch.delitem(sys.modules, name)
    assert __import__(name, fromlist=["x"]).HAS_NETADDR is False


def test_options_are_the_documented_ones():
    options = safe_load(documented.DOCUMENTATION)["options"]
    assert options.keys() == rt_inventory.SPEC.keys()
    for name, spec in rt_inventory.SPEC.items():
        assert {key: options[name].get(key) for key in ("type", "default", "elements")} == {
            key: spec.get(key) for key in ("type", "default", "elements")
        }
