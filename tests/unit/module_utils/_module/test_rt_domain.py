# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_domain from the list to the calls of libvirt, on a tree that takes itself for a node.

The edge itself, ``_libvirt.Connection``, is replaced: what a daemon does with the calls is seen in
tests/conformance/test_libvirt_define.py (definitions) and on the lab (running guests).
"""

from __future__ import annotations

import json
import re

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._guests import libvirt as _libvirt
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import is_ours, parse, to_text
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._module import _door
from ansible_collections.realtime.kvm.plugins.module_utils._module._switch_edges import SwitchEdges
from ansible_collections.realtime.kvm.plugins.modules import rt_domain as module
from unit.guests import BIGGER, NETWORKS, OTHER, PARTITION, PLC, Node, gone
from unit.libvirts import Killed
from unit.trees import snapshot

# -- a run that is killed --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([], [PLC, OTHER]),
        ([PLC, OTHER], [BIGGER, {**OTHER, "state": "stopped"}]),
        ([PLC, OTHER], [gone(remove_disks=True), {**OTHER, "owner": "me"}]),
        (["adopt"], [{**PLC, "adopt": True}, OTHER]),
    ],
    ids=["new", "changed", "removed", "adopted"],
)
def test_a_run_killed_anywhere_is_completed_by_the_next(tmp_path, first, second):
    def prepared(folder):
        node = Node(tmp_path / folder)
        if first == ["adopt"]:
            node.foreign("plc1")
        else:
            node.run(*first)
        return node

    def outcome(node):
        definitions = {name: re.sub(r"\s+", "", text) for name, text in node.libvirt.definitions.items()}
        return definitions, set(node.libvirt.live), node.libvirt.started_with_node, sorted(node.root.glob("images/*"))

    whole = prepared("whole")
    whole.run(*second, restart=True)
    steps = len(whole.libvirt.calls)
    assert steps >= 3
    expected = outcome(whole)
    for step in range(steps):
        node = prepared(f"step{step}")
        node.libvirt.kill_at = step
        with pytest.raises(Killed):
            node.run(*second, restart=True)
        node.libvirt.kill_at = -1
        node.converge(*second, restart=True)
        found = outcome(node)
        assert found[:3] == expected[:3], step
        assert [path.name for path in found[3]] == [path.name for path in expected[3]], step
        if first == ["adopt"]:
            node.run(state="absent", stop_running=True)
            assert node.tree().findtext("title") == "theirs"
            assert not is_ours(node.tree())


# -- through Ansible -------------------------------------------------------------------------------


@pytest.fixture(name="call")
def _call(capsys, node):
    def call(**arguments):
        given = {"fsroot": str(node.root), "partition": PARTITION, "networks": NETWORKS, **arguments}
        with patch_module_args(given), pytest.raises(SystemExit) as stopped:
            module.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        result = json.loads(out)
        assert bool(result.get("failed")) == (stopped.value.code != 0)
        return result

    return call


@pytest.fixture(name="call_node")
def _call_node(call, node, monkeypatch):
    """The module as it runs on the node itself, not on a snapshot."""
    monkeypatch.setattr(_door, "Host", lambda _root, **options: Host(str(node.root), **options))
    monkeypatch.setattr(_libvirt.Libvirt, "connect", lambda _self, _host: node.libvirt)
    monkeypatch.setattr(module, "SwitchEdges", lambda host, runner: SwitchEdges(host, runner, ovsdb=node.ports))
    return lambda **arguments: call(fsroot="", **arguments)


def test_a_snapshot_is_planned_for_and_never_written(call, node, monkeypatch):
    before = snapshot(node.root)
    result = call(guests=[PLC, {**OTHER, "state": "stopped"}])
    assert [change["resource"] for change in result["changes"]] == [
        "domain plc1", "domain plc1: autostart", "domain historian", "domain plc1: state",
    ]  # fmt: skip
    assert "<vcpupin" in result["diff"][0]["after"]
    assert snapshot(node.root) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"guests": [{**PLC, "vcpus": 1}]}, "^realtime_guests: plc1: realtime_vcpus '1' names vCPU 1"),
        ({"guests": [PLC, PLC]}, "^realtime_guests: plc1 is listed twice"),
        ({"networks": [{"name": "a b"}]}, r"^realtime_networks\[0\]: name 'a b' must be"),
        ({"guests": [{**PLC, "vcpus": 20}]}, "^realtime_guests: plc1 asks for 20 realtime CPUs"),
        ({"guests": [{"memory_mib": 5}]}, r"^realtime_guests\[0\]: name None must be"),
        ({"guests": [{**PLC, "sockets": 1}]}, "realtime_guests: plc1: unknown key sockets; known are name"),
        ({"guests": [{**PLC, "memory_mib": "much"}]}, "^realtime_guests: plc1: memory_mib 'much' must be of type int"),
        (
            {"guests": [{**PLC, "state": "on"}]},
            "^realtime_guests: plc1: state 'on' is not one of running, present, stopped, absent",
        ),
        ({"priority_limit": 0}, "^realtime_priority_limit: 0 is not in"),
        ({"partition": {"schema": 7}}, "^rt_domain: the partition file was written by a newer release .schema 7"),
    ],
)
def test_refusals_reach_the_user_in_words(call, arguments, said):
    result = call(**arguments)
    assert result["failed"]
    assert not result.get("changed")
    assert re.search(said, result["msg"]), result["msg"]


def test_a_domain_that_contradicts_the_inventory_reaches_the_user_in_words(call, node, monkeypatch):
    monkeypatch.setattr(_libvirt.Libvirt, "connect", lambda _self, _host: node.libvirt)
    monkeypatch.setattr(module, "SwitchEdges", lambda host, runner: SwitchEdges(host, runner, ovsdb=node.ports))
    node.foreign("plc1", more="<cpu><numa><cell id='0' cpus='0' memory='64' unit='MiB'/></numa></cpu>")
    result = call(guests=[{**PLC, "adopt": True}])
    assert re.match("realtime_guests: plc1: memory_mib 256 differs from the sum of the NUMA cells", result["msg"])


# -- what is read back -----------------------------------------------------------------------------


def drop(node, path):
    """Let libvirt drop an element of plc1's definitions."""
    define = node.libvirt.define

    def dropping(name, xml, shape=""):
        tree = parse(xml)
        for element in tree.findall(path) if name == "plc1" else ():
            tree.remove(element)
        define(name, to_text(tree), shape)

    node.libvirt.define = dropping


def end_at_once(node):
    """Let guests end right after their start."""
    start = node.libvirt.start

    def starting(name):
        start(name)
        node.libvirt.stop([name], 0, force=True)

    node.libvirt.start = starting


def keep_threads(node):
    node.run(PLC)
    node.libvirt.edit_thread("plc1", "vcpu0", cpus="0-9")
    node.libvirt.pin = lambda *_arguments: None


def keep_schedulers(node):
    node.run(PLC)
    node.libvirt.edit_thread("plc1", "vcpu1", scheduler="rr 7")
    node.libvirt.set_scheduler = lambda *_arguments: None


def keep_running(node):
    node.run(PLC)
    node.libvirt.stop = lambda *_arguments, **_options: None


def keep_known(node):
    node.run({**PLC, "state": "present"})
    node.libvirt.remove = lambda _name, **_how: None


FAILS = {
    "an element that libvirt drops": (lambda node: drop(node, "cputune"), PLC, "cputune"),
    "a guest that ends right after its start": (end_at_once, PLC, "does not run"),
    "a thread that does not move": (keep_threads, PLC, "vcpu0 has cpus 0-9 instead of 2"),
    "a scheduler that stays": (keep_schedulers, PLC, "vcpu1 has scheduler rr 7 instead of fifo 1"),
    "a guest that does not stop": (keep_running, {**PLC, "state": "stopped"}, "still runs"),
    "a definition that stays": (keep_known, gone(), "libvirt still knows it"),
}


@pytest.mark.parametrize(("prepare", "guest", "words"), FAILS.values(), ids=FAILS)
def test_what_is_not_as_it_was_made_is_an_error_that_names_the_guest(node, prepare, guest, words):
    prepare(node)
    assert node.run(guest, OTHER, check=True)["changed"], "check mode cannot know"
    with pytest.raises(HostError) as error:
        node.run(guest, OTHER)
    assert re.search(rf"\bplc1: [^;)]*{words}", str(error.value)), str(error.value)
    assert ("historian" in str(error.value)) is (prepare is end_at_once)


def test_such_an_error_says_that_something_was_changed(call_node, node):
    end_at_once(node)
    result = call_node(guests=[PLC])
    assert (result["failed"], result["changed"]) == (True, True)
    assert "plc1: it does not run" in result["msg"]
    assert [change["resource"] for change in result["changes"]] == ["domain plc1", "domain plc1: autostart", "domain plc1: state"]


def test_a_run_without_changes_reads_nothing_back(node):
    node.run(PLC)
    domains, asked = node.libvirt.domains, []
    node.libvirt.domains = lambda: asked.append(True) or domains()
    assert not node.run(PLC)["changed"]
    assert len(asked) == 1
