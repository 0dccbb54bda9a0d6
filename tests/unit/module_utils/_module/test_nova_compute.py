# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nova_compute: sets, pages, networks and traits from the partition; check mode, undo, kills; and what is refused before any write."""

from __future__ import annotations

import json
import os
import posixpath
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError, RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.nova_options import read_nova
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.nova import NovaError
from unit.clouds import NETWORK, SECRET, UNITS, Killed, Node, instance, unit
from unit.clouds import OPERATOR as OPERATORS
from unit.trees import fill, killed_at, snapshot

UNIT = "nova-compute.service"
FILE, TRAITS, EXTRA = "/etc/nova/realtime-kvm.conf", "/etc/nova/provider_config/realtime-kvm.yaml", "/etc/default/nova-compute"
ARGUMENTS = ("--config-file=/etc/nova/nova.conf", "--config-file=/etc/nova/nova-compute.conf")
OURS = (
    "<domain type='kvm'><name>plc1</name><memory unit='MiB'>128</memory><vcpu>2</vcpu><memoryBacking><hugepages><page size='2048' unit='KiB'/>"
    "</hugepages></memoryBacking><cputune><vcpupin vcpu='0' cpuset='{0}'/><vcpupin vcpu='1' cpuset='{1}'/><emulatorpin cpuset='0'/></cputune>"
    "<numatune><memory mode='strict' nodeset='{2}'/></numatune><os><type>hvm</type></os></domain>"
)


@pytest.fixture(name="node")
def _node(tmp_path, monkeypatch):
    node = Node(tmp_path, monkeypatch)
    node.systemd.start(UNIT, *ARGUMENTS)
    return node


def kept(root):
    """The operator's part of a tree: no processes, no journal, nothing that is only a folder's time."""
    return {path: entry for path, entry in snapshot(root).items() if not path.startswith(("/proc/", "/var/lib/realtime-kvm"))}


def test_check_mode_is_the_run_and_a_second_one_changes_nothing(node):
    before = kept(node.root)
    predicted = node.nova(check_mode=True)
    assert kept(node.root) == before
    made = node.nova()
    assert (made["changes"], made["diff"], made["restarted"]) == (predicted["changes"], predicted["diff"], True)
    assert [change["resource"] for change in made["changes"]] == [FILE, TRAITS, EXTRA, f"service:{UNIT}"]
    assert {change["disruption"] for change in made["changes"]} == {"none"}
    assert node.systemd.calls == [f"try-restart -- {UNIT}"] or node.systemd.calls == [f"try-restart {UNIT}"]
    process = node.systemd.pids[UNIT]
    again = node.nova()
    assert (again["changed"], again["restarted"], again["active"]) == (False, False, True)
    assert node.systemd.pids[UNIT] == process


def test_what_is_written(node):
    result = node.nova()
    assert result["sets"] == {"dedicated": "2-3,5-7", "shared": "0,4"}
    assert result["physnets"] == {"rt0": {"bridge": "br-rt0", "node": 0, "kbps": 1000000}}
    assert result["traits"] == ["CUSTOM_REALTIME_KVM", "CUSTOM_REALTIME_PHYSNET_RT0"]
    text = node.text(FILE)
    for line in (
        "cpu_dedicated_set = 2-3,5-7",
        "cpu_shared_set = 0,4",
        "physnets = rt0",
        "[neutron_physnet_rt0]\nnuma_nodes = 0",
    ):
        assert f"{line}\n" in text
    assert "- CUSTOM_REALTIME_PHYSNET_RT0\n" in node.text(TRAITS)


def test_undo_leaves_every_file_as_it_was(node):
    before = kept(node.root)
    node.nova()
    undone = node.nova(state="absent")
    assert [change["resource"] for change in undone["changes"]] == [EXTRA, TRAITS, FILE, f"service:{UNIT}"]
    assert kept(node.root) == before
    assert node.nova(state="absent")["changed"] is False


def test_undo_needs_no_cloud(tmp_path, monkeypatch):
    node = Node(tmp_path, monkeypatch, {})
    assert node.nova(state="absent")["changed"] is False


def test_a_service_that_does_not_run_stays_as_it_is(tmp_path, monkeypatch):
    node = Node(tmp_path, monkeypatch)
    result = node.nova()
    assert (result["changed"], result["restarted"], result["active"]) == (True, False, False)
    assert node.systemd.calls == []


def test_a_restart_that_was_left_undone_is_made_by_the_next_run(node):
    node.systemd.kill = True
    with pytest.raises(Killed):
        node.nova()
    node.systemd.kill = False
    done = node.nova()
    assert [change["resource"] for change in done["changes"]] == [f"service:{UNIT}"]
    assert node.nova()["changed"] is False


def test_a_service_that_was_stopped_meanwhile_is_not_restarted_for_an_earlier_run(node):
    node.systemd.kill = True
    with pytest.raises(Killed):
        node.nova()
    node.systemd.pids.clear()
    assert node.nova()["changed"] is False
    node.systemd.kill = False
    node.systemd.start(UNIT, *ARGUMENTS)
    assert node.nova()["changed"] is False


@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_run_that_is_killed_anywhere_is_finished_by_the_next(tmp_path, monkeypatch, state):
    step, wanted = 0, None
    while True:
        node = Node(tmp_path / str(step), monkeypatch)
        if state == "absent":
            node.nova()
        died = killed_at(step, lambda node=node: node.nova(state=state), node.root)
        node.nova(state=state)
        found = kept(node.root)
        wanted = wanted or kept(_whole(tmp_path / "whole", monkeypatch, state).root)
        assert found == wanted, step
        assert node.nova(state=state)["changed"] is False
        if not died:
            break
        step += 1
    assert step > 10


def _whole(root, monkeypatch, state):
    node = Node(root, monkeypatch)
    node.nova()
    if state == "absent":
        node.nova(state="absent")
    return node


def test_the_limit_binds_before_any_write(node):
    node.nova(max_disruption="none")
    assert node.nova(max_disruption="none")["changed"] is False


# -- other guests ----------------------------------------------------------------------------------


def test_cores_of_our_guests_are_not_offered_and_their_pages_are_reserved(node):
    node.define(OURS.format(6, 7, 1), "plc1")
    result = node.nova()
    assert result["sets"]["dedicated"] == "2-3,5"
    assert result["left_out"] == {"plc1": "6-7"}
    assert result["reserved_pages"] == [{"node": 0, "size": "2M", "pages": 32}, {"node": 1, "size": "2M", "pages": 96}]
    assert "reserved_huge_pages = node:1,size:2048,count:96\n" in node.text(FILE)
    assert node.nova()["changed"] is False


def test_audit_and_partition_read_what_is_written(node):
    sets = node.nova()["sets"]
    told = read_nova(Host(str(node.root)))
    assert (told.dedicated, told.shared, told.priority, told.offlines) == (sets["dedicated"], sets["shared"], "1", False)


def test_listed_guests_count_before_they_are_made(node):
    guest = {"name": "plc9", "memory_mib": 64, "vcpus": 2, "realtime_vcpus": "1", "siblings": "any"}
    result = node.nova(guests=[guest], networks=[])
    assert list(result["left_out"]) == ["plc9"]
    assert sum(row["pages"] for row in result["reserved_pages"]) == 32, "the guest's; without networks there is no switch"


def test_pages_of_novas_instances_are_not_reserved(node):
    pages = "<memoryBacking><hugepages><page size='2048' unit='KiB'/></hugepages></memoryBacking><numatune><memory mode='strict' nodeset='0'/></numatune>"
    node.define(instance(pins={0: 2}).replace("<cputune>", f"{pages}<cputune>"))
    assert node.nova()["reserved_pages"] == [{"node": 0, "size": "2M", "pages": 32}, {"node": 1, "size": "2M", "pages": 32}]


def test_pages_for_other_programs(node):
    result = node.nova(hugepages_reserve={"2M": 64})
    assert [row["pages"] for row in result["reserved_pages"]] == [64, 64]
    with pytest.raises(RefusalError, match="nova_compute_hugepages_reserve: 2M: 3 is no multiple of 2 MiB"):
        node.nova(hugepages_reserve={"2M": 3})


@pytest.mark.parametrize("running", [True, False])
def test_instances_that_would_lose_cpus_are_refused_before_any_write(node, running):
    node.define(instance(pins={0: 1}), running=running)
    before = kept(node.root)
    for check_mode in (True, False):
        with pytest.raises(
            RefusalError,
            match=r"instance-00000001 \(x, 6a1e7f4e-.*\) .* vcpu0 on CPU 1, which cpu_dedicated_set \(2-3,5-7\) would not have",
        ):
            node.nova(check_mode=check_mode)
    assert kept(node.root) == before


def test_a_new_guest_of_ours_does_not_take_an_instances_cpu(node):
    node.nova()
    node.define(instance(pins={0: 2}))
    node.define(OURS.format(3, 3, 0), "plc1")
    assert node.nova()["left_out"] == {"plc1": "3"}
    node.define(instance(pins={0: 5}, name="instance-00000002"), "instance-00000002")
    node.define(OURS.format(5, 5, 1), "plc2")
    with pytest.raises(RefusalError, match=r"instance-00000002.*CPU 5|CPU.* 5"):
        node.nova()


def test_undo_is_refused_while_an_instance_has_dedicated_cpus(node):
    node.nova()
    node.define(instance(pins={0: 2}))
    with pytest.raises(
        RefusalError, match=r"CPU 2, which cpu_dedicated_set \(empty\) would not have.*undo takes Nova's sets back"
    ):
        node.nova(state="absent")
    node.libvirt.definitions.clear()
    node.define(instance(shared="0,4"))
    assert node.nova(state="absent")["changed"] is True


def test_unpinned_instances_are_noted(node):
    node.define(instance())
    node.nova()
    assert any("instance-00000001 (x, 6a1e7f4e-0000-4000-8000-000000000001) are not pinned" in note for note in node.notes)


def test_a_host_for_both_kinds_is_told(node):
    assert node.nova(plain_pinned=True)["plain_pinned"] is True
    assert any("real-time and plainly pinned instances share the realtime CPUs" in note for note in node.notes)


# -- refusals --------------------------------------------------------------------------------------


def refuse(node, said, kind=RefusalError, **more):
    before = kept(node.root)
    for check_mode in (True, False):
        with pytest.raises(kind, match=said):
            node.nova(check_mode=check_mode, **more)
    assert kept(node.root) == before
    assert node.systemd.calls == []


@pytest.mark.parametrize("priority", [0, 100, 2])
def test_priorities_are_checked(node, priority):
    refuse(node, "nova_compute_priority", NovaError, priority=priority)


def test_priorities_below_the_kernels_threads(node):
    node.nova(priority=3, priority_limit=4)
    assert "realtime_scheduler_priority = 3\n" in node.text(FILE)
    refuse_limit = pytest.raises(RefusalError, match="realtime_priority_limit: 41")
    with refuse_limit:
        node.nova(priority_limit=41)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("vcpu_pin_set = 4-7", "vcpu_pin_set is set"),
        ("reserved_host_cpus = 1", "reserved_host_cpus is set"),
        ("vcpu_pin_set = 0", "vcpu_pin_set is set"),
        ("host = $my_ip", r"nova-compute.conf: \[DEFAULT\] host has a \$"),
        ("[compute]\nprovider_config_location = $state_path/p", r"\[compute\] provider_config_location has a \$"),
        ("[compute]\nprovider_config_location = p", "provider_config_location is p, which is no whole path"),
        ("[libvirt]\ncpu_power_management = $x", "cpu_power_management has a"),
        ("[libvirt]\ncpu_power_management = true", "cpu_power_management is on with strategy cpu_state"),
        ("host = elsewhere", "host is elsewhere, but the host name of the node is node1"),
    ],
)
def test_contradictions_in_the_operators_files(node, text, said):
    with Path(f"{node.root}/etc/nova/nova-compute.conf").open("a") as stream:
        stream.write(f"[DEFAULT]\n{text}\n")
    refuse(node, said)


def test_a_host_that_is_expected(node):
    with Path(f"{node.root}/etc/nova/nova.conf").open("a") as stream:
        stream.write("[DEFAULT]\nhost = c-7\n")
    assert node.nova(host="c-7")["changed"] is True


def test_a_nic_on_a_node_without_realtime_cpus(node):
    node.define(OURS.format(2, 3, 0), "plc1")
    refuse(node, "NUMA node 0, which has no realtime CPUs for Nova")


def test_names_with_one_trait(node):
    other = {**NETWORK, "name": "other", "bridge": "br-rt1", "device": None}
    refuse(node, "have the same trait", networks=[{**NETWORK, "physical_network": "rt-0"}, {**other, "physical_network": "rt_0"}])


def test_another_file_of_the_same_provider(node):
    fill(node.root, {"/etc/nova/provider_config/site.yaml": node_text("uuid: $COMPUTE_NODE")})
    refuse(node, "site.yaml describes .COMPUTE_NODE")


def test_a_file_of_the_operators_with_all_traits_is_enough(node):
    node.nova()
    text = node.text(TRAITS).replace("realtime.kvm", "somebody")
    fill(node.root, {"/etc/nova/provider_config/site.yaml": text})
    assert [change["resource"] for change in node.nova()["changes"]] == [TRAITS, f"service:{UNIT}"]
    assert not Path(f"{node.root}{TRAITS}").exists()


def test_another_folder_of_providers(node):
    with Path(f"{node.root}/etc/nova/nova.conf").open("a") as stream:
        stream.write("[compute]\nprovider_config_location = /etc/nova/p/\n")
    node.nova()
    assert Path(f"{node.root}/etc/nova/p/realtime-kvm.yaml").exists()


def test_an_offline_cpu(node):
    fill(node.root, {"/sys/devices/system/cpu/online": "0-6\n"})
    refuse(node, "another topology|offline")


@pytest.mark.parametrize("text", ["tcp:1.2.3.4:6640\n[compute]\ncpu_dedicated_set=0", "$x", "unix:/x y", "tcp:h", "/run/x"])
def test_what_is_no_connection_to_the_switch(node, text):
    refuse(node, "nova_compute_ovsdb_connection: ", ovsdb_connection=text)


@pytest.mark.parametrize("text", ["unix:/run/openvswitch/db.sock", "tcp:127.0.0.1:6640", "ssl:[::1]:6640", "tcp:c-7.example:1"])
def test_a_connection_to_the_switch(node, text):
    node.nova(ovsdb_connection=text)
    assert f"ovsdb_connection = {text}\n" in node.text(FILE)


def test_more_pages_than_a_node_has_memory(node):
    refuse(
        node,
        r"NUMA node 0 has \d+ MiB of memory, of which Nova must leave .* lower nova_compute_hugepages_reserve",
        hugepages_reserve={"2M": 10**9},
    )


@pytest.mark.parametrize(
    "name", ["DEFAULT__VCPU_PIN_SET", "DEFAULT__HOST", "COMPUTE__PROVIDER_CONFIG_LOCATION", "COMPUTE__CPU_SHARED_SET"]
)
def test_variables_that_win_over_files(node, name):
    fill(node.root, {"/etc/default/openstack": f"export A=1 OS_{name}=x\n"})
    refuse(node, f"OS_{name} in the environment of {UNIT} wins over all files")


def test_pages_of_a_file_after_ours(tmp_path, monkeypatch):
    text = unit("/usr/bin/nova-compute --config-dir /etc/nova/conf.d")
    later = {"/etc/nova/conf.d/zzz.conf": "[DEFAULT]\nreserved_huge_pages = node:0,size:2MB,count:0\n"}
    node = Node(tmp_path, monkeypatch, {**OPERATORS, f"{UNITS}/{UNIT}": text, **later})
    refuse(node, r"zzz\.conf: node:0,size:2MB,count:0 \(\[DEFAULT\] reserved_huge_pages\) is read after this collection's file")


def test_lines_that_somebody_added_to_our_file(node):
    node.nova()
    path = Path(f"{node.root}{EXTRA}")
    assert "# Changes here are lost with the next run" in path.read_text()
    path.write_text(path.read_text() + "export OS_X=s3cret\n")
    with pytest.raises(RefusalError, match="/etc/default/nova-compute is this collection's, and somebody has added 1 line to it"):
        node.nova()
    node.nova(state="absent")
    assert any("/etc/default/nova-compute: 1 line that somebody has added goes with the file" in note for note in node.notes)


def test_the_text_for_containers_keeps_what_their_files_say(tmp_path, monkeypatch):
    conf = "[neutron]\nphysnets = ext\n[compute]\ncpu_dedicated_set = 1-3\n"
    node = Node(tmp_path, monkeypatch, {"/etc/kolla/nova-compute/nova.conf": conf})
    with pytest.raises(RefusalError, match="put `provider` into a file") as caught:
        node.nova()
    assert "physnets = ext,rt0\n" in caught.value.results["text"]
    assert "- CUSTOM_REALTIME_PHYSNET_RT0\n" in caught.value.results["provider"]
    node.define(instance(pins={0: 1}))
    with pytest.raises(RefusalError, match="vcpu0 on CPU 1, which cpu_dedicated_set"):
        node.nova()


def test_a_unit_that_is_left_over_beside_containers(node):
    fill(node.root, {"/etc/kolla/nova-compute/": None})
    assert node.nova(check_mode=True)["active"] is True, "it serves the node"
    node.systemd.pids.clear()
    with pytest.raises(
        RefusalError, match=r"nova-compute\.service of this node does not run \(start it if .*kolla-ansible"
    ) as caught:
        node.nova()
    assert "cpu_dedicated_set = 2-3,5-7\n" in caught.value.results["text"]


@pytest.mark.parametrize("name", ["node1", "node1.example.com"])
def test_a_provider_that_is_this_node_by_its_name(node, name):
    node.libvirt.node = "node1.example.com"
    text = node_text("name: " + name)
    fill(node.root, {"/etc/nova/provider_config/site.yaml": text})
    refuse(node, "site.yaml describes this node by its name, and nova-compute ignores what others say of .COMPUTE_NODE")


def test_a_provider_that_is_this_node_by_its_uuid(node):
    uuid = "6A1E7F4E-0000-4000-8000-000000000001"
    fill(node.root, {"/etc/nova/provider_config/site.yaml": node_text(f"uuid: {uuid}")})
    refuse(node, "describes a provider by its uuid, and that of this node is not known yet")
    fill(node.root, {"/var/lib/nova/compute_id": uuid.lower() + "\n"})
    refuse(node, "site.yaml describes this node by its uuid")
    fill(node.root, {"/var/lib/nova/compute_id": "6a1e7f4e-0000-4000-8000-000000000002"})
    assert node.nova()["changed"] is True


def node_text(known):
    return f"meta: {{schema_version: '1.0'}}\nproviders:\n  - identification: {{{known}}}\n    traits: {{additional: [CUSTOM_SITE]}}\n"


def test_no_time_to_come_up(node):
    refuse(node, "timeout_s: 3 is not a number of seconds", timeout_s=3)


def test_a_node_without_the_unit_gets_the_text(tmp_path, monkeypatch):
    node = Node(tmp_path, monkeypatch, {"/etc/kolla/nova-compute/": None})
    with pytest.raises(RefusalError, match="kolla-ansible") as caught:
        node.nova()
    assert "cpu_dedicated_set = 2-3,5-7\n" in caught.value.results["text"]


def test_a_restart_that_fails_is_told(node):
    node.systemd.dies = True
    with pytest.raises(HostError, match="was restarted, but it does not run within 6 s"):
        node.nova(timeout_s=6)


@pytest.mark.parametrize("fault", ["deaf", "dies", "forgetful"])
def test_a_restart_that_failed_is_not_forgotten(node, fault):
    setattr(node.systemd, fault, True)
    with pytest.raises(HostError, match=r"was restarted, but .* The next run restarts it again"):
        node.nova(timeout_s=6)
    setattr(node.systemd, fault, False)
    done = node.nova()
    assert (done["restarted"], [change["resource"] for change in done["changes"]]) == (True, [f"service:{UNIT}"])
    assert node.nova()["changed"] is False


def test_undo_starts_a_service_again_that_failed_with_our_files(node):
    node.systemd.dies = True
    with pytest.raises(HostError):
        node.nova(timeout_s=6)
    node.systemd.dies = False
    assert node.nova(state="absent")["restarted"] is True
    assert UNIT in node.systemd.pids


@pytest.mark.parametrize(
    "files",
    [{"/etc/nova/nova.conf": "no option\n"}, {"/etc/init.d/nova-compute": "#!/bin/sh\nexec other\n"}],
    ids=["operator's file", "script"],
)
def test_undo_needs_not_read_the_operators_files(node, files):
    node.nova()
    node.systemd.pids.clear()
    fill(node.root, files)
    node.define(instance(pins={0: 2}))
    with pytest.raises(
        RefusalError, match=r"CPU 2, which cpu_dedicated_set \(empty\) would not have.*Which sets Nova has then cannot be read: "
    ):
        node.nova(state="absent")
    node.libvirt.definitions.clear()
    assert node.nova(state="absent")["changed"] is True
    assert not Path(f"{node.root}{FILE}").exists()
    assert node.nova(state="absent")["changed"] is False


def test_pins_that_no_set_gives_are_noted_and_stop_nothing(node):
    node.nova()
    node.define(instance(pins={0: 2}, emulator="0").replace("</cputune>", "<iothreadpin iothread='1' cpuset='1'/></cputune>"))
    assert node.nova()["changed"] is False
    assert any("instance-00000001 " in note and "neither the sets of before nor the new ones have" in note for note in node.notes)


def test_secrets_of_the_operators_files_are_nowhere(node):
    shown = json.dumps([node.nova(check_mode=True), node.nova(), node.notes])
    assert SECRET not in shown
    assert "s3cret" not in shown


def test_with_fsroot_a_captured_node_is_planned(node):
    folder = f"{UNITS}/{UNIT}"
    assert Path(f"{node.root}{folder}").exists()
    assert node.nova(check_mode=True)["file"] == FILE


def test_traits_that_placement_keeps_are_noted(node):
    node.nova()
    assert not any("placement keeps" in note for note in node.notes)
    node.nova(networks=[])
    assert any("placement keeps the traits CUSTOM_REALTIME_PHYSNET_RT0 of this node" in note for note in node.notes)
    node.nova(state="absent")
    assert any("placement keeps the traits CUSTOM_REALTIME_KVM of this node" in note for note in node.notes)


@pytest.mark.parametrize(("path", "mode"), [(FILE, 0o600), (posixpath.dirname(TRAITS), 0o700)])
def test_files_that_the_service_cannot_read_are_refused(node, path, mode):
    node.nova()
    os.chmod(f"{node.root}{path}", mode)
    with pytest.raises(RefusalError, match=f"{path} cannot be read by the user nova of {UNIT}, .*chmod it"):
        node.nova()
    os.chmod(f"{node.root}{path}", 0o755)
    assert node.nova()["changed"] is False
