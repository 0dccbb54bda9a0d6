# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ovs_dpdk as Ansible runs it, on captured machines: what it plans without a switch, and what it refuses."""

from __future__ import annotations

import json
import re

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from ansible_collections.realtime.kvm.plugins.module_utils._guests.libvirt import Libvirt
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Existing
from ansible_collections.realtime.kvm.plugins.modules import ovs_dpdk
from property.machines import regular
from unit.trees import fill, snapshot

MACHINE = regular(nodes=2, cores=4, threads=1).files()
TOPOLOGY = build_topology(MACHINE)
PARTITION = to_document(plan_partition(TOPOLOGY, Intent(smt="together", cpus={"dataplane": "1", "realtime": "2-3,6-7"})))
NO_DATAPLANE = to_document(plan_partition(TOPOLOGY, Intent(smt="together", cpus={"realtime": "2-3"})))
CONTROL = {"name": "control"}
PLC = {"name": "plc1", "memory_mib": 64, "vcpus": 2, "realtime_vcpus": "1", "networks": [{"network": "control"}]}


@pytest.fixture(name="snap")
def _snap(tmp_path):
    device = "/sys/devices/pci0000:00/0000:41:00.0"
    files = {
        f"{device}/class": "0x020000\n",
        f"{device}/numa_node": "1\n",
        f"{device}/net/ens1/": None,
        "/sys/bus/pci/devices/0000:41:00.0": ("link", "../../../devices/pci0000:00/0000:41:00.0"),
        "/sys/class/net/ens1": ("link", "../../devices/pci0000:00/0000:41:00.0/net/ens1"),
        "/etc/debian_version": "13.0\n",
        "/proc/cpuinfo": "vendor_id\t: GenuineIntel\nflags\t: vmx\n",
    }
    return fill(tmp_path / "snap", {**MACHINE, **files})


@pytest.fixture(name="call")
def _call(capsys, snap):
    def call(**arguments):
        before = snapshot(snap)
        given = {"partition": PARTITION, "networks": [CONTROL], "guests": [PLC], "fsroot": str(snap), **arguments}
        with patch_module_args(given), pytest.raises(SystemExit):
            ovs_dpdk.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert snapshot(snap) == before
        return json.loads(out)

    return call


def test_a_stock_node_is_planned_for(call):
    result = call()
    assert [change["resource"] for change in result["changes"]] == [
        "/etc/systemd/system/ovs-vswitchd.service.d/realtime-kvm.conf",
        "/etc/tmpfiles.d/realtime-kvm.conf",
        "/run/realtime-kvm/vhost",
        "alternatives:ovs-vswitchd",
        "ovs:Open_vSwitch other_config:dpdk-init",
        "ovs:Open_vSwitch other_config:dpdk-socket-mem",
        "ovs:Open_vSwitch other_config:dpdk-socket-limit",
        "ovs:Open_vSwitch other_config:pmd-cpu-mask",
        "ovs:Open_vSwitch other_config:pmd-rxq-assign",
        "ovs:Open_vSwitch other_config:pmd-rxq-isolate",
        "ovs:Port/plc1.control",
        "ovs:Bridge/br-control",
        "service:ovs-vswitchd",
    ]
    assert result["switch"] == {"pmd_cpus": "1", "socket_memory_mib": {"0": 832, "1": 832}}
    assert result["ports"] == [
        {
            "name": "plc1.control",
            "bridge": "br-control",
            "network": "control",
            "guest": "plc1",
            "socket": "/run/realtime-kvm/vhost/plc1.control",
            "address": "",
            "affinity": {"0": 1},
        }
    ]
    assert (result["disruption"], result["installed"], result["kernel_arguments"]) == ("stall", False, [])


@pytest.mark.parametrize(
    "networks",
    [
        [{"name": "cell", "datapath": "bridge"}, {"name": "field", "datapath": "macvtap", "device": "ens1"}],
        [],
        [{"name": "control", "realtime": False}],
        [{"name": "control", "state": "absent"}],
    ],
)
def test_without_real_time_networks_there_is_nothing_to_do(call, networks):
    result = call(networks=networks, guests=[], partition=NO_DATAPLANE)
    assert (result["changed"], result["ports"], result["installed"]) == (False, [], False)


def test_a_restart_of_the_switch_is_refused_where_no_stall_is_allowed(call):
    result = call(max_disruption="none")
    assert (result["failed"], result["changed"], result["disruption"]) == (True, False, "stall")
    assert "service:ovs-vswitchd (stall)" in result["msg"]


def test_undo_of_nothing(call):
    assert call(state="absent")["changes"] == []


def test_a_device_asks_for_kernel_arguments(call, monkeypatch):
    warnings = []  # where they go otherwise depends on what else of ansible is loaded
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, warning: warnings.append(warning))
    both = to_document(plan_partition(TOPOLOGY, Intent(smt="together", cpus={"dataplane": "1,5", "realtime": "2-3,6-7"})))
    result = call(networks=[{"name": "control", "device": "ens1"}], partition=both)
    assert result["kernel_arguments"] == ["intel_iommu=on", "iommu=pt"]
    assert [port["affinity"] for port in result["ports"]] == [{"0": 5}, {"0": 1}]
    assert "since the node runs without IOMMU" in str(warnings)
    result = call(networks=[{"name": "control", "device": "ens1", "driver": "keep"}], partition=both)
    assert result["kernel_arguments"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            {"partition": NO_DATAPLANE},
            "^realtime_networks: control is real-time, but this node's partition has no dataplane CPUs",
        ),
        (
            {"networks": [{"name": "control", "device": "ens1"}]},
            "control: device ens1 is on NUMA node 1, which has no dataplane CPUs",
        ),
        (
            {"networks": [{"name": "control", "device": "ens9"}]},
            r"device ens9 is not on this node; network devices are: ens1 \(0000:41:00.0\)",
        ),
        ({"networks": [CONTROL, CONTROL]}, "^realtime_networks: control is listed twice"),
        ({"networks": [{"name": "other"}]}, r"network 'control' is not in realtime_networks \(there are: other\)"),
        (
            {"networks": [{"name": "control", "state": "absent"}]},
            "network control has state absent, but the guest is attached to it",
        ),
        ({"networks": [{"name": "control", "vlan": 5000}]}, "vlan 5000 is not in 1-4094"),
        ({"guests": [PLC, PLC]}, "^realtime_guests: plc1 is listed twice"),
        ({"pmd_sleep_max_us": 20000}, "^ovs_dpdk_pmd_sleep_max_us: 20000 is not in 0-10000"),
        ({"socket_memory_mib": -1}, "^ovs_dpdk_socket_memory_mib: -1 is not a number of MiB"),
        ({"dpdk_extra": "--lcores 3"}, "^ovs_dpdk_extra: --lcores gives DPDK its own CPUs"),
        ({"socket_group": "a b"}, "^ovs_dpdk_socket_group: 'a b' is not the name of a group"),
        ({"partition": None}, "there is no partition on this node .* run the cpu_partition role"),
        ({"partition": {"schema": 9}}, "the partition file was written by a newer release .schema 9"),
        ({"state": "running"}, "value of state must be one of: present, absent"),
        ({"socket_memory_mib": "much"}, "unable to convert to int"),
    ],
)
def test_refusals(call, arguments, said):
    result = call(**arguments)
    assert result.get("failed"), result
    assert re.search(said, result["msg"]), result["msg"]
    assert result.get("changed") is not True


def test_a_bridge_of_the_kernel_is_refused(call, snap):
    fill(snap, {"/sys/class/net/br-control/": None})
    assert "an interface br-control of the kernel already exists" in call()["msg"]


def test_a_guest_on_dataplane_cpus_is_refused_by_name(call, monkeypatch):
    domain = Existing("legacy", ours=False, vcpus={0: frozenset({1}), 1: frozenset({3})})
    monkeypatch.setattr(Libvirt, "existing", lambda _self, _host: [domain])
    assert re.search("^ovs_dpdk: dataplane CPUs 1 are used by domain legacy, .* re-pin it", call()["msg"])
    for thread in ("emulator", "io_threads"):
        beside = Existing("legacy", ours=False, vcpus={0: frozenset({3})}, **{thread: frozenset({1})})
        monkeypatch.setattr(Libvirt, "existing", lambda _self, _host, domain=beside: [domain])
        assert "dataplane CPUs 1 are used by domain legacy" in call().get("msg", ""), thread
    floating = Existing("legacy", ours=False, floating=frozenset(range(8)))
    monkeypatch.setattr(Libvirt, "existing", lambda _self, _host: [floating])
    assert "failed" not in call()


def test_a_libvirt_that_does_not_answer_is_no_obstacle(call, monkeypatch):
    warnings = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, warning: warnings.append(warning))

    def silent(_self, _host):
        raise HostError("libvirt does not answer")

    monkeypatch.setattr(Libvirt, "existing", silent)
    result = call()
    assert "failed" not in result
    assert "so it was not checked whether guests are pinned to dataplane CPUs" in str(warnings)
