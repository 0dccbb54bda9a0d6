# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""neutron_agent: the switch's bridges beside the operator's; check mode, undo, kills; and what is refused before any write."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from unit.clouds import NETWORK, Node, rows
from unit.trees import fill, killed_at, snapshot

UNIT = "neutron-openvswitch-agent.service"
FILE, EXTRA = "/etc/neutron/realtime-kvm.conf", "/etc/default/neutron-openvswitch-agent"
OPERATOR = "/etc/neutron/plugins/ml2/openvswitch_agent.ini"


@pytest.fixture(name="node")
def _node(tmp_path, monkeypatch):
    node = Node(tmp_path, monkeypatch)
    node.systemd.start(UNIT)
    return node


def kept(root):
    return {path: entry for path, entry in snapshot(root).items() if not path.startswith(("/proc/", "/var/lib/realtime-kvm"))}


def refuse(node, said, **more):
    before = kept(node.root)
    for check_mode in (True, False):
        with pytest.raises(RefusalError, match=said):
            node.agent(check_mode=check_mode, **more)
    assert kept(node.root) == before
    assert node.systemd.calls == []


def test_check_mode_is_the_run_and_a_second_one_changes_nothing(node):
    predicted = node.agent(check_mode=True)
    made = node.agent()
    assert (made["changes"], made["diff"]) == (predicted["changes"], predicted["diff"])
    assert [(change["resource"], change["disruption"]) for change in made["changes"]] == [
        (FILE, "none"), (EXTRA, "none"), (f"service:{UNIT}", "stall"),
    ]  # fmt: skip
    assert made["bridge_mappings"] == {"rt0": "br-rt0"}
    assert made["firewall"] == "openvswitch"
    process = node.systemd.pids[UNIT]
    assert node.agent()["changed"] is False
    assert node.systemd.pids[UNIT] == process


def test_a_mapped_bridge_that_does_not_exist_is_left_out_and_noted(node):
    node.agent()
    assert "bridge_mappings = rt0:br-rt0\n" in node.text(FILE)
    assert any("physical network external is left out, since the switch has no bridge br-ex" in note for note in node.notes)


def told(node, text):
    with Path(f"{node.root}{OPERATOR}").open("a") as stream:
        stream.write(text)


def test_nothing_of_a_bridge_that_is_left_out_stays(node):
    told(node, "[ovs]\nresource_provider_bandwidths = br-ex:1:1\nresource_provider_hypervisors = br-ex:n1\n")
    node.agent()
    assert "br-ex" not in node.text(FILE)
    assert "resource_provider_bandwidths = br-rt0:1000000:1000000\n" in node.text(FILE)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bridge_mappings = ext:$ext_bridge", r"openvswitch_agent\.ini: \[ovs\] bridge_mappings has a \$"),
        ("bridge_mappings = ext", r"\[ovs\] bridge_mappings: ext is no name:value"),
        ("bridge_mappings = ext:br-ex:x", "ext:br-ex:x is no name:value"),
        ("resource_provider_bandwidths = br-x:1", "br-x:1 is no bridge:egress:ingress"),
        ("resource_provider_bandwidths = br-x:1:1", "has br-x:1:1, but bridge_mappings has no such bridge"),
        (
            "bridge_mappings = ext:br-int",
            r"bridge_mappings: physical network ext is on bridge br-int, .*\(\[ovs\] integration_bridge\)",
        ),
        (
            "integration_bridge = br-rt0",
            r"realtime_networks: control: physical network rt0 is on bridge br-rt0, .*integration_bridge",
        ),
        ("tunnel_bridge = br-rt0", r"realtime_networks: control: .*tunnel_bridge"),
    ],
)
def test_what_the_agent_would_end_with_or_nobody_can_read(node, text, said):
    told(node, f"[ovs]\n{text}\n")
    refuse(node, said)


def test_the_text_for_containers_keeps_what_their_files_say(tmp_path, monkeypatch):
    text = "[ovs]\nbridge_mappings = physnet1:br-ex\n[securitygroup]\nfirewall_driver = openvswitch\n"
    node = Node(tmp_path, monkeypatch, {"/etc/kolla/neutron-openvswitch-agent/openvswitch_agent.ini": text})
    node.switch.rows = rows("br-rt0", "br-ex")
    with pytest.raises(RefusalError, match=r"kolla-ansible reconfigure$") as caught:
        node.agent()
    assert "bridge_mappings = physnet1:br-ex,rt0:br-rt0\n" in caught.value.results["text"]
    assert "firewall_driver" not in caught.value.results["text"]


def test_containers_whose_files_are_not_here(tmp_path, monkeypatch):
    node = Node(tmp_path, monkeypatch, {"/etc/systemd/system/edpm_neutron_ovs_agent.service": ""})
    with pytest.raises(RefusalError, match="What its own files say cannot be read here, so the lists in `text`"):
        node.agent()


def test_a_node_of_ovn(tmp_path, monkeypatch):
    node = Node(tmp_path, monkeypatch, {"/usr/lib/systemd/system/ovn-controller.service": "[Service]\n"})
    with pytest.raises(RefusalError, match=r"it is a node of ML2/OVN, .*do not install an agent of Open vSwitch beside it"):
        node.agent()


def test_another_host_than_novas(node):
    fill(node.root, {"/etc/nova/nova.conf": "[DEFAULT]\nhost = c-8\n"})
    refuse(node, r"/etc/nova/nova\.conf: the host of nova-compute is c-8, that of Neutron's agent node1; .*neutron_agent_host")


def test_bandwidths_of_tunnels_stay(node):
    told(node, "[ml2]\ntunnelled_network_rp_name = rp_tun\n[ovs]\nresource_provider_bandwidths = rp_tun:1:1,br-ex\n")
    node.switch.rows = rows("br-rt0", "br-ex")
    node.agent()
    assert "resource_provider_bandwidths = rp_tun:1:1,br-ex,br-rt0:1000000:1000000\n" in node.text(FILE)


@pytest.mark.parametrize(
    "driver",
    ["iptables", "iptables_hybrid", "neutron.agent.linux.iptables_firewall.OVSHybridIptablesFirewallDriver"],
)
def test_firewalls_of_the_kernel_are_replaced_by_whatever_name(node, driver):
    told(node, f"[securitygroup]\nfirewall_driver = {driver}\n")
    assert node.agent()["firewall"] == "noop"


def test_variables_that_win_over_files(node):
    fill(node.root, {f"/proc/{node.systemd.pids[UNIT]}/environ": "OS_OVS__INTEGRATION_BRIDGE=x\0"})
    refuse(node, "OS_OVS__INTEGRATION_BRIDGE in the environment of")


def test_what_is_no_connection_to_the_switch(node):
    refuse(node, "neutron_agent_ovsdb_connection: ", ovsdb_connection="tcp:1:2\n[x]")


def test_a_restart_that_failed_is_not_forgotten(node):
    node.systemd.deaf = True
    with pytest.raises(RefusalError, match="was restarted, but it still is the process of before"):
        node.agent()
    refuse_limit = pytest.raises(RefusalError, match="max_disruption: the limit is none")
    with refuse_limit:
        node.agent(max_disruption="none")
    node.systemd.deaf = False
    assert node.agent()["restarted"] is True
    assert node.agent()["changed"] is False


@pytest.mark.parametrize(
    "title", [lambda program, words: f"{program} ({' '.join(words)})", lambda program, _words: program], ids=["on", "brief"]
)
def test_a_process_with_a_title_is_known(node, title):
    """Neutron's agent gives itself one some seconds after its start."""
    node.systemd.title = title
    node.systemd.start(UNIT, "--config-file=/etc/neutron/neutron.conf")
    assert node.agent()["restarted"] is True
    assert node.agent()["changed"] is False


def test_a_title_that_lacks_our_file_is_a_process_that_does_not_read_it(node):
    node.systemd.start(UNIT, "--config-file=/etc/neutron/neutron.conf")
    node.agent()
    node.systemd.title = lambda program, words: f"{program} ({' '.join(words[:-1])})"
    node.systemd(["systemctl", "restart", UNIT])
    node.systemd.title = None
    assert node.agent()["restarted"] is True


def test_undo_needs_not_read_the_operators_files(node):
    node.agent()
    fill(node.root, {OPERATOR: "no option\n"})
    assert node.agent(state="absent")["changed"] is True


def test_a_mapped_bridge_that_exists_stays(node):
    node.switch.rows = rows("br-rt0", "br-ex")
    node.agent()
    assert "bridge_mappings = external:br-ex,rt0:br-rt0\n" in node.text(FILE)


def test_the_hypervisors_name_where_it_is_not_the_host(node):
    node.agent()
    assert "resource_provider_hypervisors" not in node.text(FILE)
    node.libvirt.node = "node1.example.com"
    assert node.agent()["hypervisor"] == "node1.example.com"
    assert "resource_provider_hypervisors = br-rt0:node1.example.com\n" in node.text(FILE)


def test_another_host_is_refused_and_one_that_is_expected_is_not(node):
    with Path(f"{node.root}/etc/neutron/neutron.conf").open("a") as stream:
        stream.write("host = c-7\n")
    refuse(node, "host is c-7, but the host name of the node is node1")
    fill(node.root, {"/etc/nova/nova.conf": "[DEFAULT]\nhost = c-7\n"})
    node.agent(host="c-7")
    assert "resource_provider_hypervisors = br-rt0:node1\n" in node.text(FILE)


def test_the_limit_binds_before_any_write(node):
    refuse(node, "max_disruption: the limit is none", max_disruption="none")


def test_undo_leaves_every_file_as_it_was(node):
    before = kept(node.root)
    node.agent()
    undone = node.agent(state="absent")
    assert [change["resource"] for change in undone["changes"]] == [EXTRA, FILE, f"service:{UNIT}"]
    assert kept(node.root) == before
    assert node.agent(state="absent")["changed"] is False


@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_run_that_is_killed_anywhere_is_finished_by_the_next(tmp_path, monkeypatch, state):
    whole = Node(tmp_path / "whole", monkeypatch)
    whole.agent()
    whole.agent(state=state)
    step, died = 0, True
    while died:
        node = Node(tmp_path / str(step), monkeypatch)
        if state == "absent":
            node.agent()
        died = killed_at(step, lambda node=node: node.agent(state=state), node.root)
        node.agent(state=state)
        assert kept(node.root) == kept(whole.root), step
        step += 1
    assert step > 8


def test_a_bridge_that_is_missing(node):
    node.switch.rows = rows("br-other")
    refuse(node, "bridge br-rt0 of physical network rt0 is not on the switch of this node; run the ovs_dpdk role")


def test_a_bridge_of_the_kernel(node):
    node.switch.rows = rows("br-rt0", datapath="system")
    refuse(node, r"has the datapath of the kernel \(system\)")


def test_a_folder_of_sockets_other_than_the_switchs(node):
    with Path(f"{node.root}{OPERATOR}").open("a") as stream:
        stream.write("[ovs]\nvhostuser_socket_dir = /var/run/openvswitch\n")
    refuse(node, "vhostuser_socket_dir is /var/run/openvswitch")


def test_a_switch_without_its_folder(node):
    os.rmdir(f"{node.root}/run/realtime-kvm/vhost")
    refuse(node, "/run/realtime-kvm/vhost does not exist.*run the ovs_dpdk role")


def test_names_with_one_trait(node):
    other = {**NETWORK, "name": "other", "bridge": "br-rt1", "device": None}
    refuse(node, "have the same trait", networks=[{**NETWORK, "physical_network": "rt-0"}, {**other, "physical_network": "rt_0"}])


def test_instances_on_an_integration_bridge_of_the_kernel(node):
    database = rows("br-rt0").bridge("br-int", datapath="system").port("br-int", "tap0", type="")
    node.switch.rows = database
    refuse(node, "integration bridge br-int has the datapath of the kernel")


@pytest.mark.parametrize("broken", [False, True], ids=["", "the operator's file cannot be read"])
def test_undo_while_instances_are_on_the_userspace_switch(node, broken):
    """The agent would move their bridge to the kernel's datapath."""
    node.agent()
    node.switch.rows = rows("br-rt0").bridge("br-int", datapath="netdev").port("br-int", "vhu1", type="dpdkvhostuserclient")
    if broken:
        fill(node.root, {OPERATOR: "no option\n"})
    before = kept(node.root)
    node.systemd.calls.clear()
    refuse(node, "the integration bridge br-int has 1 port of instances .vhu1., .*datapath_type = netdev", state="absent")
    assert kept(node.root) == before


@pytest.mark.parametrize(
    ("bridges", "operator"),
    [
        (rows("br-rt0").bridge("br-int", datapath="netdev"), ""),
        (rows("br-rt0").bridge("br-int", datapath="netdev").port("br-int", "int-br-rt0", type="patch"), ""),
        (
            rows("br-rt0").bridge("br-int", datapath="netdev").port("br-int", "vhu1", type="dpdkvhostuserclient"),
            "[ovs]\ndatapath_type = netdev\n",
        ),
    ],
    ids=["no port", "no instance", "netdev by the operator"],
)
def test_undo_of_an_agent_whose_bridge_stays(node, bridges, operator):
    node.agent()
    node.switch.rows = bridges
    with Path(f"{node.root}{OPERATOR}").open("a") as stream:
        stream.write(operator)
    assert node.agent(state="absent")["changed"] is True


def test_a_node_without_the_unit_gets_the_text(tmp_path, monkeypatch):
    node = Node(tmp_path, monkeypatch, {"/etc/kolla/neutron-openvswitch-agent/": None})
    with pytest.raises(RefusalError, match="kolla-ansible") as caught:
        node.agent()
    assert "bridge_mappings = rt0:br-rt0\n" in caught.value.results["text"]


def test_secrets_of_the_operators_files_are_nowhere(node):
    assert "s3cret" not in json.dumps([node.agent(check_mode=True), node.agent(), node.notes])


def test_undo_needs_no_cloud(tmp_path, monkeypatch):
    node = Node(tmp_path, monkeypatch, {})
    assert node.agent(state="absent")["changed"] is False
