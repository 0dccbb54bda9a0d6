# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and values of variables."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.known import ROLES, Known, read_known
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.variables import Names, Values, in_few_words

KNOWN = read_known(ROLES)


def unknown(*names, silenced=(), known=KNOWN):
    return list(Names(known).unknown(names, lambda: silenced))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("bios_profil", "bios_profile"),
        ("cpu_partition_housekeeping_cores", "cpu_partition_housekeeping_cores_per_node"),
        ("irq_affinity_irq_balance", "irq_affinity_irqbalance"),
        ("kvm_host_hugepage_reserve", "kvm_host_hugepages_reserve"),
        ("ovs_dpdk_socket_memory", "ovs_dpdk_socket_memory_mib"),
        ("packages_name", "packages_names"),
        ("power_cstate", "power_cstates"),
        ("rt_guest_restrt", "rt_guest_restart"),
        ("rt_kernel_argument", "rt_kernel_arguments"),
        ("rt_latency_profiles", "rt_latency_profile"),
        ("rt_report_foldr", "rt_report_folder"),
        ("rt_verify_failon", "rt_verify_fail_on"),
        ("realtime_guest", "realtime_guests"),
        ("realtime_max_disruptions", "realtime_max_disruption"),
        ("realtime_unreacheable", "realtime_unreachable"),
        ("realtime_known_variable", "realtime_known_variables"),
        # another role's
        ("rt_kernel_governor", "power_governor"),
        ("kvm_host_restart", "rt_guest_restart"),
        # a prefix that is misspelt itself
        ("cpu_partiton_isolation", "cpu_partition_isolation"),
        ("realtimeguests", "realtime_guests"),
        ("ovs_dpkd_restart_with_guests", "ovs_dpdk_restart_with_guests"),
    ],
)
def test_a_misspelt_name_is_refused_with_what_was_meant(name, meant):
    assert unknown(name) == [f"unknown variable {name}, did you mean {meant}?"]


def test_a_name_like_nothing_is_refused_with_all_that_begin_so():
    assert unknown("irq_affinity_colour") == [
        "unknown variable irq_affinity_colour; those that begin with irq_affinity_ are irq_affinity_irqbalance, irq_affinity_watcher"
    ]
    assert unknown("power_") == [
        "unknown variable power_; those that begin with power_ are power_boot_cstates, power_cstates, power_governor, power_turbo"
    ]


@pytest.mark.parametrize(
    "name",
    [
        *sorted(KNOWN.names),
        *(
            "__cpu_partition_recover",
            "ansible_user",
            "inventory_hostname",
            "group_names",
            "looked",
            "plan",
            "powerful",
            "biosphere",
            "x",
        ),
        # made of one of our names, or of other programs
        *(
            "my_cpu_partition_smt",
            "site_realtime_max_disruption",
            "vault_bios_password",
            "package_names",
            "package_state",
            "realtim",
            "y" * 5000,
        ),
    ],
)
def test_other_names_are_nobodys_business(name):
    assert unknown(name) == []


@pytest.mark.parametrize("silenced", [["packages_base"], ["packages_*"], ["x", "*_base"]])
def test_a_name_of_another_program_is_silenced(silenced):
    assert unknown("packages_base", silenced=silenced) == []
    assert unknown("packages_base", "power_x", silenced=silenced) == unknown("power_x")


def test_hosts_are_silenced_one_by_one():
    names = Names(KNOWN)
    assert list(names.unknown(["packages_base"], lambda: ["packages_base"])) == []
    assert len(list(names.unknown(["packages_base"]))) == 1


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("cpu_partition_smt", "both", "cpu_partition_smt must be one of: together, single, got: both"),
        ("cpu_partition_smt", "", "cpu_partition_smt must be one of: together, single, got: "),
        (
            "cpu_partition_shared_cores_per_node",
            "two",
            "cpu_partition_shared_cores_per_node: 'two' is neither a number of cores nor a number by NUMA node",
        ),
        (
            "cpu_partition_shared_cores_per_node",
            None,
            "cpu_partition_shared_cores_per_node: None is neither a number of cores nor a number by NUMA node",
        ),
        (
            "cpu_partition_housekeeping_cores_per_node",
            {"0": 2, "first": 1},
            "cpu_partition_housekeeping_cores_per_node: 'first' is not a NUMA node",
        ),
        ("rt_kernel_trial_timeout", "long", "rt_kernel_trial_timeout is of type str, which cannot be converted to int: "),
        ("rt_guest_restart", "", "rt_guest_restart is of type str, which cannot be converted to bool: "),
        (
            "cpu_partition_dataplane_devices",
            {},
            "cpu_partition_dataplane_devices is of type dict, which cannot be converted to list: ",
        ),
        ("rt_latency_tools", ["cyclictest", "x"], "rt_latency_tools must be one or more of: cyclictest, "),
        ("rt_latency_guests", [{"cpus": "1"}], "rt_latency_guests is refused: missing required arguments: name"),
        ("realtime_max_disruption", "all", "realtime_max_disruption must be one of: none, stall, guest, reboot, got: all"),
        ("realtime_unreachable", "ignore", "realtime_unreachable must be one of: refuse, skip, got: ignore"),
        ("realtime_reboot_allowed", "perhaps", "realtime_reboot_allowed is of type str, which cannot be converted to bool: "),
        ("realtime_priority_limit", float("inf"), "realtime_priority_limit holds a number that is infinite or none (.inf, .nan)"),
        ("realtime_priority_limit", "-Infinity", "realtime_priority_limit holds a number that is infinite or none (.inf, .nan)"),
        ("rt_report_interval", float("nan"), "rt_report_interval holds a number that is infinite or none (.inf, .nan)"),
        ("rt_latency_guests", [{"name": "a", "cpus": float("inf")}], "rt_latency_guests holds a number that is infinite or none"),
        ("cpu_partition_shared_cores_per_node", float("inf"), "cpu_partition_shared_cores_per_node: inf is neither a number"),
        *(
            (
                "rt_kernel_reboot_serial",
                value,
                f"rt_kernel_reboot_serial: {said} is neither a number of nodes from 1 to 999999 nor a share from 1% on",
            )
            for value, said in (
                (0, "'0'"),
                ("999999999999", "'999999999999'"),  # Ansible counts up to it
                (-1, "'-1'"),
                ("0", "'0'"),
                ("0%", "'0%'"),
                ("x", "'x'"),
                (" ", "''"),
                (1.5, "'1.5'"),
                (False, "'False'"),
                ([1, 0, "x"], "'0', 'x'"),
                ("1,,2", "''"),
                ({}, "'{}'"),
            )
        ),
        ("realtime_known_variables", {}, "realtime_known_variables is of type dict, which cannot be converted to list: "),
    ],
)
def test_a_wrong_value_is_refused(name, value, said):
    (text,) = Values(KNOWN.options).wrong({name: value})
    assert text.startswith(said)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cpu_partition_shared_cores_per_node", "2"),
        ("cpu_partition_housekeeping_cores_per_node", {0: 2, 1: 1}),
        ("cpu_partition_dataplane_cores_per_node", {"0": "1"}),
        ("cpu_partition_realtime", "rest"),
        ("cpu_partition_realtime", 4),
        ("cpu_partition_dataplane_devices", "ens1f0,ens1f1"),
        ("power_turbo", False),  # off, without quotes
        ("rt_guest_restart", "yes"),
        ("rt_kernel_pattern", ""),
        ("rt_report_interval", 1),
        ("realtime_unreachable", ""),
        ("realtime_unreachable", None),
        ("realtime_max_disruption", ""),
        ("realtime_max_disruption", None),
        ("realtime_update_serial", ""),
        ("rt_kernel_reboot_serial", "25%"),
        ("rt_kernel_reboot_serial", "1,25%"),
        ("rt_kernel_reboot_serial", [1, "25%"]),
        ("rt_kernel_reboot_serial", ""),
        ("realtime_update_serial", " 2"),
        ("realtime_update_serial", 1),
        ("realtime_update_serial", []),
        ("bios_password", 12345),
        ("cpu_partition_result", {"partition": {}}),
    ],
)
def test_a_value_that_its_role_takes_is_accepted(name, value):
    assert list(Values(KNOWN.options).wrong({name: value})) == []


def test_a_value_is_looked_at_once_and_another_again():
    values = Values(KNOWN.options)
    assert [len(list(values.wrong({"power_turbo": value}))) for value in ("on", "on", "off", True, 1, "1")] == [1, 1, 0, 1, 1, 1]
    lists = [[{"name": "a"}], [{"name": "b"}], [{}], {"x": 1}]
    assert [len(list(values.wrong({"rt_latency_guests": value}))) for value in [*lists, *lists]] == [0, 0, 1, 1] * 2


def test_a_secret_value_is_not_quoted():
    known = Known({"bios_password": {"type": "int", "no_log": True}}, frozenset(), ("bios_",))
    assert list(Values(known.options).wrong({"bios_password": "hunter2"})) == ["bios_password is not of type int"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("value of x must be one of: a, got: b", "must be one of: a, got: b"),
        ("argument 'x' is of type str and we were unable to convert to int: no", "is of type str, which cannot be converted to int: no"),
        ("Elements value for option 'x' is of type str and we were unable to convert to dict: no",
         "is refused: Elements value for option 'x' is of type str, which cannot be converted to dict: no"),
        ("argument 'x' is of type dict and we were unable to convert to list: <class 'a.b._AnsibleTaggedDict'> cannot be converted to a list",
         "is of type dict, which cannot be converted to list: dict cannot be converted to a list"),
        ("something else", "is refused: something else"),
    ],
)  # fmt: skip
def test_in_few_words(error, words):
    assert in_few_words("x", error) == words
