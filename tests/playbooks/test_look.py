# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one look hands every module what its role hands it, in whatever way the variables are given, and refuses what the role refuses."""

from __future__ import annotations

import pytest
import yaml

ROLES = [
    "cpu_partition",
    "power",
    "irq_affinity",
    "kvm_host",
    "ovs_dpdk",
    "rt_kernel",
    "rt_guest",
    "rt_metrics",
    "packages",
    "nova_compute",
    "neutron_agent",
]
NETWORKS = [{"name": "control", "mtu": 9000}]
#: Values for whatever the roles hand their modules, none of them a default; some in the terms of other variables.
GIVEN = {
    "cpu_partition_housekeeping_cores_per_node": {"0": 2},
    "cpu_partition_dataplane_devices": ["ens1"],
    "cpu_partition_dataplane_cores_per_node": "{{ 1 + 1 }}",
    "cpu_partition_cpus": {"shared": "3"},
    "cpu_partition_smt": "together",
    "cpu_partition_isolation": "runtime",
    "cpu_partition_realtime": 2,
    "cpu_partition_cycle_cpus": True,
    "cpu_partition_rt_throttling": "kernel",
    "cpu_partition_hardware_watchdog_s": 30,
    "cpu_partition_cache": {"realtime": "0f"},
    "cpu_partition_cache_l2": True,
    "cpu_partition_cache_code_data": True,
    "cpu_partition_memory_bandwidth": 50,
    "cpu_partition_uncore_frequency": "max",
    "cpu_partition_tuned": "take_over",
    "realtime_priority_limit": 7,
    "power_governor": "keep",
    "power_turbo": "off",
    "power_cstates": "C0",
    "power_boot_cstates": True,
    "irq_affinity_watcher": False,
    "irq_affinity_irqbalance": False,
    "ovs_dpdk_socket_memory_mib": 512,
    "ovs_dpdk_pmd_sleep_max_us": 3,
    "ovs_dpdk_extra": "--log-level=x",
    "ovs_dpdk_socket_group": "kvm",
    "ovs_dpdk_restart_with_guests": True,
    "kvm_host_hugepages_reserve": {"0": {"2M": 64}},
    "kvm_host_switch_pages": "1G",
    "kvm_host_nx_huge_pages": "off",
    "kvm_host_halt_poll_ns": 5,
    "kvm_host_virtual_functions": {"ens2": 2},
    "rt_kernel_arguments": ["mitigations=off"],
    "rt_kernel_nohz_full": "none",
    "rt_kernel_tsc": "keep",
    "rt_kernel_trial": False,
    "rt_kernel_trial_timeout": 77,
    "rt_guest_restart": True,
    "rt_guest_shutdown_timeout": 11,
    "rt_guest_switch_timeout": 12,
    "rt_guest_force_off": True,
    "rt_guest_image_folder": "/srv/images",
    "rt_metrics_enabled": True,
    "rt_metrics_directory": "/srv/metrics",
    "rt_metrics_interval_s": 7,
    "rt_metrics_audit": False,
    "rt_metrics_audit_interval_s": 77,
    "realtime_site": "{{ 'plant' ~ 1 }}",
    "realtime_hold_packages": True,
    "nova_compute_priority": 3,
    "nova_compute_host": "n1",
    "nova_compute_plain_pinned": True,
    "neutron_agent_host": "n1",
    "neutron_agent_timeout": 33,
}
#: A plan has what a later layer takes from an earlier one.
RESULTS = {
    "cpu_partition": {"partition": {"schema": 1}},
    "kvm_host": {"pages": {"0": {"2M": 64}}, "kernel_arguments": ["hugepagesz=1G"]},
    "ovs_dpdk": {"switch": {"pmd_cpus": "1"}},
}


def book(nodes, tasks):
    path = nodes.folder / "book.yml"
    path.write_text(yaml.safe_dump([{"hosts": "node1", "gather_facts": False, "tasks": tasks}]))
    return str(path)


def by_roles(role):
    entry = {"packages": "hold"}.get(role, "preflight")
    flags = {"packages_preflight": True} if role == "packages" else {}
    return {"ansible.builtin.include_role": {"name": f"realtime.kvm.{role}", "tasks_from": entry, "public": True}, "vars": flags}


def handed(calls):
    """Each module's options; those that are not given and those that are none are the same."""
    return {call["module"]: {key: value for key, value in call.items() if value is not None} for call in calls}


@pytest.mark.parametrize("given", [{}, GIVEN], ids=["defaults", "given"])
@pytest.mark.parametrize("roles", [ROLES, ["kvm_host", "ovs_dpdk", "rt_guest"]], ids=["all", "guests"])
def test_every_module_is_handed_what_its_role_hands_it(nodes, given, roles):
    answers = {"results": RESULTS}
    code, said, alone = nodes.run(book(nodes, [by_roles(role) for role in roles]), answers, realtime_networks=NETWORKS, **given)
    assert code == 0, said
    look = {"realtime.kvm.rt_plan": {"roles": roles}}
    code, said, together = nodes.run(book(nodes, [look]), answers, realtime_networks=NETWORKS, **given)
    assert code == 0, said
    assert {call["module"] for call in alone} == {call["module"] for call in together}
    assert len(alone) == len(together) == len(roles), "each once"
    assert handed(together) == handed(alone)


def test_the_audit_is_handed_what_its_role_hands_it(nodes):
    given = {key: value for key, value in GIVEN.items() if key.startswith(("kvm_host", "ovs_dpdk", "nova", "realtime"))}
    role = {"ansible.builtin.include_role": {"name": "realtime.kvm.rt_verify", "tasks_from": "audit"}}
    results = {"results": RESULTS}
    code, said, alone = nodes.run(book(nodes, [role]), results, realtime_networks=NETWORKS, rt_verify_interval=0.5, **given)
    assert code == 0, said
    look = {"realtime.kvm.rt_plan": {"roles": ["power"], "audit": True}}
    code, said, together = nodes.run(book(nodes, [look]), results, realtime_networks=NETWORKS, rt_verify_interval=0.5, **given)
    assert code == 0, said
    assert {**handed(together)["rt_audit"], "check": False} == handed(alone)["rt_audit"]


@pytest.mark.parametrize(
    ("role", "variables"),
    [
        ("cpu_partition", {"cpu_partition_smt": "sideways"}),
        ("power", {"power_governor": "fast"}),
        ("rt_kernel", {"rt_kernel_reboot_timeout": 0}),
        ("rt_kernel", {"rt_kernel_trial_timeout": "soon"}),
        (
            "rt_guest",
            {"realtime_guests": [{"name": "plc1", "memory_mib": 64, "cloud_init": {"user_data": "#cloud-config\nusers: ["}}]},
        ),
        ("kvm_host", {"kvm_host_halt_poll_ns": "many"}),
        ("nova_compute", {"nova_compute_priority": "{{ nowhere }}"}),
    ],
)
def test_what_a_preflight_refuses_the_look_refuses_in_the_same_words_and_asks_nothing(nodes, role, variables):
    tasks = [by_roles(role)]
    keep = {"ansible.builtin.import_tasks": str(nodes.base / "playbooks" / "tasks" / "refused.yml")}
    block = {
        "block": tasks,
        "rescue": [keep, {"ansible.builtin.debug": {"msg": "REFUSED {{ __realtime_refused | join('; ') }} END"}}],
    }
    code, said, _calls = nodes.run(book(nodes, [block]), {}, **variables)
    assert code == 0, said
    reason = said.partition("REFUSED ")[2].partition(" END")[0]
    assert reason
    look = [
        {"realtime.kvm.rt_plan": {"roles": [role]}, "register": "look"},
        {"ansible.builtin.debug": {"msg": "REFUSED {{ look.refused | join('; ') }} END"}},
    ]
    code, said, calls = nodes.run(book(nodes, look), {}, **variables)
    assert code == 0, said
    assert said.partition("REFUSED ")[2].partition(" END")[0] == reason
    assert calls == []


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize(("file", "kept"), [("refused", "__realtime_refused"), ("failed", "__realtime_failed")])
def test_why_a_module_failed_is_kept_also_where_it_has_results_of_its_own(nodes, file, kept, loop):
    keep = {"ansible.builtin.import_tasks": str(nodes.base / "playbooks" / "tasks" / f"{file}.yml")}
    failing = {"name": "Compare", "realtime.kvm.rt_audit": {}, **({"loop": ["a"]} if loop else {})}
    shown = {"ansible.builtin.debug": {"msg": f"KEPT {{{{ [{kept}] | flatten | join('; ') }}}} END"}}
    answers = {"fail": {"rt_audit present": "the disk is full"}}
    code, said, _calls = nodes.run(book(nodes, [{"block": [failing], "rescue": [keep, shown]}]), answers)
    assert code == 0, said
    reason = said.partition("KEPT ")[2].partition(" END")[0]
    assert reason == ("the disk is full" if file == "refused" else "Compare: the disk is full")


def test_what_one_look_cannot_know_is_asked_by_the_roles(nodes):
    answers = {
        "results": {
            "kvm_host": {"installed": False},
            "kernel_arguments": {"matching_kernels": []},
            "ovs_dpdk": {"installed": False},
        }
    }
    look = [
        {"realtime.kvm.rt_plan": {"roles": ROLES}, "register": "look"},
        {"ansible.builtin.debug": {"msg": "<{{ look.further | join(' ') }}>"}},
    ]
    for networks, further in (([], "kvm_host rt_kernel"), (NETWORKS, "kvm_host ovs_dpdk rt_kernel")):
        code, said, _calls = nodes.run(book(nodes, look), answers, realtime_networks=networks)
        assert code == 0, said
        assert f"<{further}>" in said
