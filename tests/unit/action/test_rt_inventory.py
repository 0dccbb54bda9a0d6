# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action rt_inventory with stand-ins for Ansible's variables."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible_collections.realtime.kvm.plugins.action import rt_inventory
from ansible_collections.realtime.kvm.plugins.modules import rt_inventory as documented
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.known import GROUPS
from yaml import safe_load


class HostVars(dict):
    """What a host's variables are, before templates are worked out."""

    raw_get = dict.__getitem__


def act(monkeypatch, everyone, /, *, play=None, extra=None, own=None, groups=None, grouped=(), **arguments):
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
    hostvars = HostVars(everyone)
    hostvars._inventory = SimpleNamespace(_cached_dynamic_grouping=grouped)
    variables = {
        **everyone[first],
        **(play or {}),
        **(own or {}),
        "inventory_hostname": first,
        "hostvars": hostvars,
        "groups": {"all": list(everyone), "realtime_nodes": list(everyone), **(groups or {})},
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


def grouped(host, name, parent="all"):
    """What Ansible keeps of a task group_by."""
    return SimpleNamespace(name=host), {"add_group": name, "parent_groups": [parent]}


MADE = [
    grouped("n1", "realtime_found", "realtime_unverified"),
    grouped("n2", "realtime_due"),
    grouped("n2", "realtime_unverified"),
]


@pytest.mark.parametrize(
    ("groups", "made", "told"),
    [
        ({"realtime_due": ["n2"]}, [], "n2: the group realtime_due"),
        ({"realtime_failed": []}, [], "inventory: the group realtime_failed"),
        ({"realtime_due": ["n2"], "realtime_found": ["n1"], "realtime_unverified": ["n1", "n2"]}, MADE, None),
        ({"realtime_due": ["n1", "n2"], "realtime_found": ["n1"], "realtime_unverified": ["n1", "n2"]}, MADE, "n1: the group realtime_due"),
        ({"realtime_due": ["n2"], "realtime_unverified": ["n1", "n2", "n3"]}, MADE, "n3: the group realtime_unverified"),
        ({"realtime_others": ["n1"]}, [], None),
    ],
)  # fmt: skip
def test_a_group_of_the_inventory_has_no_name_of_one_that_the_playbooks_make(monkeypatch, groups, made, told):
    result = act(monkeypatch, {"n1": {}, "n2": {}, "n3": {}}, groups=groups, grouped=made)
    assert result.get("failed", False) == (told is not None)
    if told:
        assert result["msg"].startswith(f"{told} has a name that the playbooks keep for a group of their own")
        assert "rename it in the inventory" in result["msg"]


def test_the_names_are_those_of_the_groups_that_the_playbooks_make():
    root = Path(__file__).resolve().parents[3]
    texts = [path.read_text() for folder in ("playbooks", "roles") for path in (root / folder).rglob("*.yml")]
    tasks = [found for text in texts for found in re.findall(r"group_by:\n((?: +(?:key|parents): .*\n)+)", text)]
    assert {name for task in tasks for name in re.findall(r"\brealtime_(?!plan_result)\w+", task)} == set(GROUPS)


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
