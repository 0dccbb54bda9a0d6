# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look plans what the modules plan one by one, and touches nothing."""

from __future__ import annotations

import json
import platform

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._guests import libvirt
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import carry_out
from ansible_collections.realtime.kvm.plugins.module_utils._module._layers import LAYERS
from ansible_collections.realtime.kvm.plugins.module_utils._module.rt_plan import PlanEdges, run
from unit import plants
from unit.trees import snapshot

DEBIAN = {"distribution": "Debian", "os_family": "Debian", "architecture": "x86_64"}
PARTITION = {"__planned": ["cpu_partition", "partition"]}
_CPUS = {key: value for key, value in plants._PARTITION.items() if key != "state"}
_KERNEL = {
    "partition": PARTITION,
    "host_arguments": {"__planned": ["kvm_host", "kernel_arguments"]},
    "default_kernel": {"__distribution": {"Debian": "*-rt-*", "RedHat": "*+rt"}},
}
#: What the roles would hand their modules for this node.
ASKED = {
    "cpu_partition": _CPUS,
    "cpu_power": {"partition": PARTITION},
    "irq_affinity": {"partition": PARTITION},
    "kvm_host": {"partition": PARTITION, "tool": False, **plants._HOST},
    "ovs_dpdk": {"partition": PARTITION, **plants._SWITCH},
    "kernel_arguments": _KERNEL,
    "rt_domain": {
        "partition": PARTITION,
        "hugepages": {"__planned": ["kvm_host", "pages"]},
        "site": "n",
        "switch_timeout_s": 0,
        "remove_ports": False,
    },
}
AUDIT = {"host": plants._HOST, "switch": plants._SWITCH, "interval": 0.0}


@pytest.fixture(name="plant")
def _plant(tmp_path, monkeypatch):
    plant = plants.Plant(tmp_path, monkeypatch)
    plant.write(f"/usr/bin/qemu-system-{platform.machine()}", "")
    return plant


def look(plant, layers=None, *, facts=None, audit=None, guests=plants.GUESTS, networks=plants.NETWORKS):
    """What the module returns; the node stays as it is."""
    before = snapshot(plant.root), dict(plant.libvirt.definitions)
    host = Host(str(plant.root), owner="rt_plan", check_mode=True)
    base = plant.edges(host)
    edges = PlanEdges(host, base.runner, base.libvirt, base.ovsdb, facts=lambda: DEBIAN if facts is None else facts)
    given = {"layers": ASKED if layers is None else layers, "networks": networks, "guests": guests, "audit": audit}
    results = run(edges, given).results
    assert (snapshot(plant.root), plant.libvirt.definitions) == before
    assert host.changes == []
    assert json.loads(json.dumps(results)) == results, "plain data, as it crosses the wire"
    return results


def changed(results):
    return {
        name: [change["resource"] for change in found["changes"]]
        for name, found in results["planned"].items()
        if found.get("changes")
    }


def test_a_node_as_planned_has_nothing_to_do_and_is_audited_in_the_same_look(plant):
    results = look(plant, audit=AUDIT)
    assert results["refused"] == results["open"] == []
    assert changed(results) == {}
    assert list(results["planned"]) == [*ASKED, "rt_audit"]
    assert results["planned"]["rt_audit"]["findings"] == plant.audit()["findings"]
    assert results["ansible_facts"] == {f"ansible_{name}": fact for name, fact in DEBIAN.items()}


@pytest.mark.parametrize("name", list(ASKED))
def test_each_layer_is_planned_as_by_its_module_in_check_mode(plant, name):
    """Also where everything has to be changed: another partition, other guests."""
    guests = [{**plants.PLC1, "memory_mib": 256, "hugepages": "2M"}, plants.PLC2, {**plants.HISTORIAN, "state": "absent"}]
    layers = {**ASKED, "cpu_partition": {**_CPUS, "rt_throttling": "kernel", "hardware_watchdog_s": 0}}
    planned = look(plant, layers, guests=guests)["planned"]
    host = Host(str(plant.root), owner=name, check_mode=True)
    options = {key: spec.get("default") for key, spec in LAYERS[name].options.items()}
    options.update(layers[name], **({"networks": plants.NETWORKS, "guests": guests} if "guests" in options else {}))
    if "partition" in options:
        options["partition"] = planned["cpu_partition"]["partition"]
    if name == "kernel_arguments":
        options.update(host_arguments=planned["kvm_host"]["kernel_arguments"], default_kernel="*-rt-*")
    if name == "rt_domain":
        options["hugepages"] = planned["kvm_host"]["pages"]
    alone = carry_out(plant.edges(host), LAYERS[name].body, options)
    assert {key: value for key, value in planned[name].items() if key not in ("changed", "failed")} == {
        key: value for key, value in alone.items() if key not in ("changed", "diff")
    }


def test_later_layers_are_planned_for_what_earlier_ones_plan(plant):
    """Not for the node's document, which is the old one."""
    layers = {**ASKED, "cpu_partition": {**_CPUS, "cpus": {"dataplane": "1"}, "smt": "single"}}
    results = look(plant, layers)
    assert "realtime_partition.fact" in str(changed(results)["cpu_partition"])
    assert changed(results).get("ovs_dpdk") or results["refused"], "the mask of the poll-mode threads follows"


def test_a_refusal_of_the_cpu_sets_leaves_out_what_needs_them_and_nothing_else(plant):
    layers = {**ASKED, "cpu_partition": {**_CPUS, "cpus": {"realtime": "99"}}, "package_holds": {"state": "absent"}}
    results = look(plant, layers, audit=AUDIT)
    assert len(results["refused"]) == 1
    assert "99" in results["refused"][0]
    assert list(results["planned"]) == ["cpu_partition", "package_holds"]
    assert results["planned"]["cpu_partition"]["failed"]


def test_all_refusals_are_returned_and_the_other_layers_planned(plant):
    layers = {
        **ASKED,
        "cpu_power": {"partition": PARTITION, "governor": "fast"},
        "kernel_arguments": {**_KERNEL, "arguments": ["isolcpus=3"]},
    }
    guests = [*plants.GUESTS, {**plants.PLC1, "name": "big", "memory_mib": 999_000, "state": "running"}]
    results = look(plant, layers, guests=guests, audit=AUDIT)
    assert sorted(name for name, found in results["planned"].items() if found["failed"]) == [
        "cpu_power", "kernel_arguments", "kvm_host", "ovs_dpdk", "rt_domain",
    ]  # fmt: skip
    assert "value of governor must be one of: performance, keep, got: fast" in results["refused"][0]
    assert len(results["refused"]) == 5
    assert "rt_audit" not in results["planned"]
    assert results["planned"]["irq_affinity"]["failed"] is False


def test_what_a_refused_layer_would_have_planned_counts_as_not_given(plant):
    layers = {**ASKED, "kvm_host": {**ASKED["kvm_host"], "switch_pages": "4M"}}
    results = look(plant, layers)
    assert [text.partition(":")[0] for text in results["refused"]] == ["kvm_host"]
    assert results["planned"]["kernel_arguments"]["failed"] is False
    assert results["planned"]["kernel_arguments"]["changes"] == []


def test_a_distribution_without_a_value_leaves_the_layer_open(plant):
    for facts in ({}, {"distribution": "Alpine", "os_family": "Alpine"}):
        results = look(plant, facts=facts, audit=AUDIT)
        assert results["open"] == ["kernel_arguments"]
        assert "kernel_arguments" not in results["planned"]
        assert results["refused"] == []
        assert "rt_audit" not in results["planned"]


def test_the_name_of_a_distribution_wins_over_its_family(plant):
    layers = {"kernel_arguments": {"default_kernel": {"__distribution": {"Debian": "*-rt-*", "Ubuntu": "*-none"}}}}
    results = look(plant, layers, facts={"distribution": "Ubuntu", "os_family": "Debian"})
    assert results["planned"]["kernel_arguments"]["matching_kernels"] == []


def test_an_error_that_nobody_foresaw_is_a_refusal_of_its_layer(plant, monkeypatch):
    def broken(_edges, _parameters):
        raise TypeError("what is this")

    monkeypatch.setitem(LAYERS, "cpu_power", type(LAYERS["cpu_power"])(broken, LAYERS["cpu_power"].options))
    results = look(plant)
    assert results["refused"] == ["cpu_power: unexpected TypeError: what is this"]
    assert results["planned"]["irq_affinity"]["failed"] is False


@pytest.mark.parametrize("value", [float("inf"), "many", [1]])
def test_a_value_of_a_wrong_type_is_a_refusal_in_ansibles_words(plant, value):
    results = look(plant, {**ASKED, "kvm_host": {**ASKED["kvm_host"], "halt_poll_ns": value}})
    assert [text for text in results["refused"] if "halt_poll_ns" in text]


def test_a_layer_of_another_name_is_refused(plant):
    with pytest.raises(HostError, match="layers: rt_latency: no module of this name"):
        look(plant, {"rt_latency": {}})


def test_a_snapshot_is_planned_without_facts_of_this_machine(plant):
    host = Host(str(plant.root), owner="rt_plan", check_mode=True, captured=True)

    def never():
        raise AssertionError

    edges = PlanEdges(host, plant.edges(host).runner, facts=never)
    given = {"layers": {"cpu_partition": _CPUS}, "networks": [], "guests": [], "audit": None}
    results = run(edges, given).results
    assert results["refused"] == []
    assert "ansible_facts" not in results


# -- nodes in other states ------------------------------------------------------------------------------


def test_a_node_without_libvirts_library_is_planned_as_one_that_lacks_packages(plant, monkeypatch):
    monkeypatch.setattr(libvirt, "libvirt", None)
    before = snapshot(plant.root)
    host = Host(str(plant.root), owner="rt_plan", check_mode=True)
    base = plant.edges(host)
    edges = PlanEdges(host, base.runner, libvirt.Libvirt(), base.ovsdb, facts=lambda: DEBIAN)
    given = {"layers": ASKED, "networks": plants.NETWORKS, "guests": plants.GUESTS, "audit": AUDIT}
    results = run(edges, given).results
    assert snapshot(plant.root) == before
    assert results["planned"]["kvm_host"]["installed"] is False
    assert "rt_audit" not in results["planned"], "a node that lacks packages is not at rest"
    (reason,) = results["refused"]  # guests hold these pages that nothing can be asked for
    assert "0 of 96 are free, 64 are needed (plc1 64)" in reason


@pytest.mark.parametrize("text", ['{"schema": 99}', "[]", "not JSON", ""])
def test_a_document_of_another_release_is_a_change_or_a_refusal_and_no_traceback(plant, text):
    plant.write("/etc/ansible/facts.d/realtime_partition.fact", text)
    results = look(plant, audit=AUDIT)
    assert results["refused"] or "realtime_partition.fact" in str(changed(results)["cpu_partition"])
    assert "unexpected" not in str(results["refused"])
    assert "rt_audit" not in results["planned"]


@pytest.mark.parametrize(
    ("layers", "audit", "ended"),
    [
        (ASKED, AUDIT, True),
        (ASKED, None, True),
        ({**ASKED, "cpu_power": {"partition": PARTITION, "governor": "keep"}}, AUDIT, False),
        ({**ASKED, "rt_domain": {**ASKED["rt_domain"], "priority_limit": 99}}, AUDIT, False),
        (ASKED, {"interval": -1}, False),
    ],
    ids=["at rest", "without audit", "a change", "a refusal", "an audit that fails"],
)
def test_a_playbook_ends_with_the_look_at_a_node_on_which_nothing_is_to_be_done(plant, layers, audit, ended):
    host = Host(str(plant.root), owner="rt_plan", check_mode=True)
    base = plant.edges(host)
    edges = PlanEdges(host, base.runner, base.libvirt, base.ovsdb, facts=lambda: DEBIAN)
    given = {"layers": layers, "networks": plants.NETWORKS, "guests": plants.GUESTS, "audit": audit}
    assert run(edges, given).ended is ended
