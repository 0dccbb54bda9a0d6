# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong in the inventory is refused by every playbook that changes nodes, before any of them is asked."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from playbooks.conftest import ROOT, Nodes, environment, guests_of

DOWN = {"ansible_connection": "realtime.kvm.down"}
MAC = "52:54:00:00:00:0a"
NONE_ASKED = "Nothing was changed on any node, and none was asked."

#: A misspelt variable of each role and of the playbooks, and what was meant.
MISSPELT = {
    "bios_profil": "bios_profile",
    "cpu_partition_housekeeping_cores": "cpu_partition_housekeeping_cores_per_node",
    "irq_affinity_irq_balance": "irq_affinity_irqbalance",
    "kvm_host_hugepage_reserve": "kvm_host_hugepages_reserve",
    "ovs_dpdk_socket_memory": "ovs_dpdk_socket_memory_mib",
    "packages_name": "packages_names",
    "power_cstate": "power_cstates",
    "rt_guest_restrt": "rt_guest_restart",
    "rt_kernel_argument": "rt_kernel_arguments",
    "rt_latency_profiles": "rt_latency_profile",
    "rt_report_foldr": "rt_report_folder",
    "rt_verify_failon": "rt_verify_fail_on",
    "realtime_max_disruptions": "realtime_max_disruption",
    "cpu_partiton_isolation": "cpu_partition_isolation",
}


def inventory(nodes, hosts, groups=None, **variables):
    """The path of an inventory whose nodes count who tries to reach them."""
    path = nodes.folder / "own.json"
    path.write_text(json.dumps({"realtime_nodes": {"hosts": hosts, "vars": {**DOWN, **variables}}, **(groups or {})}))
    return path


def refused(nodes, playbook, hosts, *arguments, groups=None, **variables):
    """What a playbook says that ends before a node is asked."""
    code, said, calls = nodes.run(playbook, {}, *arguments, inventory=inventory(nodes, hosts, groups, **variables))
    assert code == 2, said
    assert calls == []
    assert nodes.attempts.read_text() == ""
    assert NONE_ASKED in said
    return said


def asked(nodes, playbook, hosts, *arguments, groups=None, **variables):
    """What a playbook says that accepts an inventory and goes on to its nodes, which do not answer."""
    _code, said, _calls = nodes.run(playbook, {}, *arguments, inventory=inventory(nodes, hosts, groups, **variables))
    assert NONE_ASKED not in said, said
    assert nodes.attempts.read_text() != ""
    return said


# -- names and values ------------------------------------------------------------------------------


@pytest.fixture(scope="module", name="misspelt")
def _misspelt(tmp_path_factory, collections):
    nodes = Nodes(tmp_path_factory.mktemp("misspelt"), collections)
    hosts = {"kvm2": {"cpu_partition_smt": "both"}, "kvm10": guests_of("plc1", realtime_vcpu="1-3"), "kvm1": {}}
    return refused(nodes, "realtime.kvm.site", hosts, **dict.fromkeys(MISSPELT, "x"))


@pytest.mark.parametrize("name", MISSPELT)
def test_a_misspelt_variable_of_each_role_is_refused_with_what_was_meant(misspelt, name):
    assert f"kvm1, kvm2, kvm10: unknown variable {name}, did you mean {MISSPELT[name]}?" in misspelt


def test_values_and_keys_are_refused_at_once_with_them(misspelt):
    assert "kvm2: cpu_partition_smt must be one of: together, single, got: both" in misspelt
    assert "kvm10: realtime_guests: plc1: unknown key realtime_vcpu, did you mean realtime_vcpus?" in misspelt
    assert "list them in realtime_known_variables" in misspelt


@pytest.mark.parametrize("playbook", ["plan", "site", "partition", "guests", "openstack", "update"])
def test_every_playbook_that_changes_nodes_refuses_a_guest(nodes, playbook):
    said = refused(nodes, f"realtime.kvm.{playbook}", {"kvm1": guests_of("plc1", vcpu=1)}, cpu_partition_isolation="runtime")
    assert "kvm1: realtime_guests: plc1: unknown key vcpu, did you mean vcpus?" in said


@pytest.mark.parametrize("playbook", ["undo", "latency", "bios"])
def test_playbooks_that_configure_no_guest_refuse_variables_only(nodes, playbook):
    hosts = {"kvm1": guests_of("plc1", vcpu=1)}
    said = refused(nodes, f"realtime.kvm.{playbook}", hosts, rt_guest_undo_runing=True)
    assert "kvm1: unknown variable rt_guest_undo_runing, did you mean rt_guest_undo_running?" in said
    assert "vcpu" not in said.replace("vcpus", "")


def test_a_machine_of_other_playbooks_has_variables_of_its_own_also_where_firmware_is_compared(nodes):
    others = {"others": {"hosts": {"db1": {"power_supply": 2}, "bmc1": {"bios_address": "", "bios_profil": "latency"}}}}
    said = refused(nodes, "realtime.kvm.bios", {"kvm1": {"bios_profil": "latency"}}, groups=others)
    assert "kvm1: unknown variable bios_profil" in said
    assert "db1" not in said
    assert "bmc1" not in said, "only the group realtime_nodes is looked at"


def test_variables_of_a_wrapper_and_of_the_command_line_are_checked(nodes):
    book = nodes.folder / "wrapper.yml"
    book.write_text(yaml.safe_dump([{"import_playbook": "realtime.kvm.plan", "vars": {"rt_guest_restrt": True}}]))
    said = refused(nodes, str(book), {"kvm1": {}, "kvm2": {}}, "-e", "power_cstate=C1", "-e", "rt_guest_restart=perhaps")
    assert "playbook: unknown variable rt_guest_restrt" in said
    assert "kvm1, kvm2: unknown variable power_cstate, did you mean power_cstates?" in said
    assert "kvm1, kvm2: rt_guest_restart is of type str, which cannot be converted to bool" in said


def test_what_is_no_misspelling_is_accepted(nodes):
    """Silenced variables of others, empty answers of a survey, templates of facts, results of an earlier play, artefacts of an earlier job."""
    hosts = {
        "kvm1": {
            **guests_of("plc1", memory_mib="{{ ansible_facts['memory'] }}", description="{{ vault_x | default('') }}"),
            "cpu_partition_shared_cores_per_node": "{{ ansible_facts['cores'] }}",
            "realtime_known_variables": ["packages_base", "power_supply_*"],
            "packages_base": ["vim"],
            "power_supply_1": "on",
        },
        "kvm2": {"my_cpu_partition_smt": "x", "package_names": []},
    }
    given = {
        "realtime_unreachable": "",
        "rt_kernel_reboot_serial": "",
        "realtime_drift": {},
        "realtime_bios": {},
        "realtime_latency": {},
    }
    book = nodes.folder / "wrapper.yml"
    before = {
        "hosts": "realtime_nodes",
        "gather_facts": False,
        "tasks": [{"set_fact": {"rt_guest_result": {}, "rt_kernel_reboot_required": False}}],
    }
    book.write_text(yaml.safe_dump([before, {"import_playbook": "realtime.kvm.plan"}]))
    asked(nodes, str(book), hosts, "-e", json.dumps(given))


def test_an_empty_list_of_guests_is_refused_as_its_roles_do(nodes):
    said = refused(nodes, "realtime.kvm.plan", {"kvm1": {"realtime_guests": None}, "kvm2": {"realtime_networks": ""}})
    assert "kvm1: realtime_guests is empty; give a list, [] for none, or leave it out" in said
    assert "kvm2: realtime_networks is empty; give a list, [] for none, or leave it out" in said


# -- vaults ----------------------------------------------------------------------------------------


def test_nothing_from_a_vault_is_shown(nodes):
    secret = "swordfish-4711"
    vault = VaultLib([("default", VaultSecret(b"open sesame"))])
    text = vault.encrypt(secret).decode().replace("\n", "\n      ")
    path = nodes.folder / "vaulted.yml"
    path.write_text(
        f"""realtime_nodes:
  vars:
    ansible_connection: realtime.kvm.down
    bios_password: !vault |
      {text}
    cpu_partition_smt: !vault |
      {text}
    vault_name: !vault |
      {text}
  hosts:
    kvm1:
      rt_guest_restrt: 1
      realtime_networks: [{{name: control}}]
      realtime_guests:
        - {{name: plc1, memory_mib: 64, machine: "{{{{ vault_name + ' ' }}}}"}}
        - {{name: plc2, memory_mib: 64, state: "{{{{ vault_name }}}}"}}
        - {{name: plc3, memory_mib: 64, vcpu: "{{{{ vault_name }}}}"}}
"""
    )
    password = nodes.folder / "password"
    password.write_text("open sesame")
    for arguments, known in ((("--vault-password-file", str(password)), True), ((), False)):
        code, said, _calls = nodes.run("realtime.kvm.plan", {}, *arguments, inventory=path)
        assert code != 0
        assert "kvm1: unknown variable rt_guest_restrt" in said
        assert "kvm1: realtime_guests: plc3: unknown key vcpu" in said
        assert ("kvm1: realtime_guests: plc2: state '********' is not one of running" in said) is known
        assert ("kvm1: realtime_guests: plc1: machine '******** ' is not a machine type" in said) is known
        assert secret not in said
        assert nodes.attempts.read_text() == ""


# -- what may be there once ------------------------------------------------------------------------


def plc(name, mac):
    return {**guests_of(name, networks=[{"network": "control", "mac": mac}]), "realtime_networks": [{"name": "control"}]}


@pytest.mark.parametrize("limit", [(), ("--limit", "kvm1")])
def test_two_guests_with_one_mac_or_one_name_on_different_nodes_are_refused(nodes, limit):
    hosts = {
        "kvm1": {**plc("plc1", MAC.upper()), "realtime_site": "north"},
        "kvm2": {**plc("plc2", "{{ mac }}"), "mac": MAC},
        "kvm3": {**guests_of("plc1"), "realtime_site": "north"},
    }
    said = refused(nodes, "realtime.kvm.guests", hosts, *limit, realtime_known_variables="realtime_site")
    if limit:
        assert f"kvm1: realtime_guests: plc1: MAC {MAC} is also that of plc2 on kvm2" in said
        assert "kvm1: realtime_guests: plc1: kvm3 has a guest of this name too, so both would have the same UUID and MACs" in said
    else:
        assert f"kvm2: realtime_guests: plc2: MAC {MAC} is also that of plc1 on kvm1" in said
        assert "kvm3: realtime_guests: plc1: kvm1 has a guest of this name too, so both would have the same UUID and MACs" in said


def test_a_guest_that_has_moved_and_lists_of_the_command_line_are_accepted(nodes):
    hosts = {"kvm1": guests_of("plc1", state="absent"), "kvm2": guests_of("plc1"), "kvm3": {}}
    asked(nodes, "realtime.kvm.guests", hosts)
    asked(nodes, "realtime.kvm.guests", hosts, "--limit", "kvm3", "-e", json.dumps(guests_of("plc1")))


# -- the library and the size ----------------------------------------------------------------------


def test_without_netaddr_the_run_ends_with_what_to_install(nodes, monkeypatch):
    (nodes.folder / "without").mkdir()
    (nodes.folder / "without" / "netaddr.py").write_text("raise ImportError('no module named netaddr')")
    monkeypatch.setenv("PYTHONPATH", str(nodes.folder / "without"))
    code, said, calls = nodes.run("realtime.kvm.plan", {}, inventory=inventory(nodes, {"kvm1": {}}))
    assert code == 2
    assert calls == []
    assert "compares the MACs of guests with the Python library netaddr, which this machine lacks." in said
    assert "pip install netaddr, or the package python3-netaddr" in said
    assert nodes.attempts.read_text() == ""


CLOCK = """
import resource, time
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = "name: clock\\ntype: aggregate\\nshort_description: times a run\\ndescription: times a run"


class CallbackModule(CallbackBase):
    CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, "aggregate", "clock"

    def now(self):
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return time.monotonic(), sum(one.ru_utime + one.ru_stime for one in used)

    def v2_playbook_on_start(self, playbook):
        self.start = self.now()

    def v2_playbook_on_stats(self, stats):
        wall, cpu = (after - before for before, after in zip(self.start, self.now()))
        self._display.display(f"CLOCK {wall:.2f} {cpu:.2f}")
"""


def test_a_misspelt_key_in_one_guest_of_10000_is_refused_before_a_node_is_asked(nodes, monkeypatch, capsys):
    """From the start of the playbook, as an AWX or a dynamic inventory hands it over: reading its files is Ansible's.

    On an idle machine it takes less than two seconds of a CPU; beside other tests each CPU does less in a second. tests/bench measures the check.
    """
    guest = {"memory_mib": 2048, "vcpus": 4, "realtime_vcpus": "1-3", "owner": "line 4"}
    hosts = {}
    for number in range(10_000):
        name = f"plc{number}"
        item = {**guest, "name": name, "disks": [{"path": f"/var/lib/libvirt/images/{name}.qcow2"}]}
        hosts.setdefault(f"kvm{number // 20}", {"realtime_guests": []})["realtime_guests"].append(item)
    hosts["kvm321"]["realtime_guests"][7]["realtime_vcpu"] = "1-3"
    data = nodes.folder / "data.json"
    data.write_text(json.dumps({"realtime_nodes": {"hosts": list(hosts), "vars": DOWN}, "_meta": {"hostvars": hosts}}))
    script = nodes.folder / "inventory.sh"
    script.write_text(f"#!/bin/sh\ncat '{data}'\n")
    script.chmod(0o755)
    (nodes.folder / "callbacks").mkdir()
    (nodes.folder / "callbacks" / "clock.py").write_text(CLOCK)
    monkeypatch.setenv("ANSIBLE_CALLBACK_PLUGINS", str(nodes.folder / "callbacks"))
    monkeypatch.setenv("ANSIBLE_CALLBACKS_ENABLED", "clock")
    code, said, calls = nodes.run("realtime.kvm.site", {}, inventory=script)
    assert code == 2
    assert "kvm321: realtime_guests: plc6427: unknown key realtime_vcpu, did you mean realtime_vcpus?" in said
    assert calls == []
    assert nodes.attempts.read_text() == ""
    wall, cpu = map(float, re.search(r"CLOCK (\S+) (\S+)", said).groups())
    with capsys.disabled():
        print(f"\n10,000 guests on {len(hosts)} hosts: refused after {wall} s, {cpu} s of a CPU")
    assert cpu < 6


# -- roles alone -----------------------------------------------------------------------------------


def test_a_role_alone_names_the_guest_too(tmp_path):
    """By its module, which other tests replace by a stand-in: so with the collection of this tree, in check mode."""
    book = tmp_path / "book.yml"
    given = {**guests_of("plc1", realtime_vcpu=1), "ansible_python_interpreter": sys.executable}
    play = {"hosts": "localhost", "gather_facts": False, "roles": ["realtime.kvm.rt_guest"], "vars": given}
    book.write_text(yaml.safe_dump([play]))
    command = [sys.executable, "-m", "ansible.cli.playbook", "-i", "localhost,", "-c", "local", "--check", str(book)]
    done = subprocess.run(
        command, env=environment(tmp_path, ROOT / "collections"), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "realtime_guests: plc1: unknown key realtime_vcpu, did you mean realtime_vcpus?" in done.stdout + done.stderr


def test_groups_that_an_earlier_playbook_of_the_run_has_made_are_no_groups_of_the_inventory(nodes):
    book = nodes.folder / "both.yml"
    book.write_text(yaml.safe_dump([{"import_playbook": f"realtime.kvm.{name}"} for name in ("plan", "guests", "guests")]))
    code, said, _calls = nodes.run(str(book), {"rt_domain": "guest"})
    assert code == 0, said
    hosts = {"node1": {}, "node2": {}}
    variables = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    groups = {"realtime_nodes": {"hosts": hosts, "vars": variables}, "realtime_due": {"hosts": {"node2": None}}}
    inventory = nodes.folder / "named.yml"
    inventory.write_text(yaml.safe_dump(groups))
    code, said, calls = nodes.run(str(book), {}, inventory=inventory)
    assert code != 0
    assert "node2: the group realtime_due has a name that the playbooks keep for a group of their own" in said
    assert calls == []
