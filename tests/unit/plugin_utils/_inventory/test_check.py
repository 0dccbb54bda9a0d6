# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at the variables of all hosts."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.check import END, PLAY, SILENCE, Check, Inventory
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.known import ROLES, read_known
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.templates import Worked

KNOWN = read_known(ROLES)
MAC = "52:54:00:00:00:01"


def plc(name="plc1", **keys):
    return {"name": name, "memory_mib": 64, **keys}


def with_mac(name, mac=MAC):
    return plc(name, networks=[{"network": "control", "mac": mac}])


def worked(variables):
    return Worked(lambda: Templar(loader=DataLoader(), variables=dict(variables)), variables)


def look(hosts, *, asked=None, nodes=None, play=None, guests=True):
    check = Check(
        Inventory(hosts.__getitem__, worked, asked or list(hosts), list(hosts), list(hosts) if nodes is None else nodes, play),
        KNOWN,
    )
    check.variables()
    if guests:
        check.guests()
    return check


def lines(*arguments, **options):
    return look(*arguments, **options).refusals.lines()


def test_a_sound_inventory_has_no_refusal():
    check = look({"kvm1": {"cpu_partition_smt": "together", "realtime_guests": [plc()]}, "kvm2": {"ansible_user": "admin"}})
    assert not check.refusals
    assert check.guests_read == 1
    assert check.warnings() == []


def test_everything_is_told_at_once_in_the_order_of_the_hosts():
    hosts = {
        "kvm10": {"cpu_partition_smt": "both", "realtime_guests": [plc("b", vcpu=1)]},
        "kvm2": {"cpu_partition_smt": "both", "rt_guest_restrt": True, "realtime_networks": {}},
        "kvm1": {"realtime_guests": [plc("a"), plc("b", memory=1)]},
    }
    check = look(hosts)
    assert check.message().splitlines() == [
        "kvm1: realtime_guests: b: unknown key memory, did you mean memory_mib?",
        "kvm2: unknown variable rt_guest_restrt, did you mean rt_guest_restart?",
        "kvm2, kvm10: cpu_partition_smt must be one of: together, single, got: both",
        "kvm2: realtime_networks is no list; give a list, [] for none, or leave it out",
        "kvm10: realtime_guests: b: unknown key vcpu, did you mean vcpus?",
        END,
        SILENCE,
    ]


def test_nobody_is_told_how_to_silence_what_is_no_name():
    assert look({"kvm1": {"cpu_partition_smt": "both"}}).message().splitlines()[1:] == [END]


@pytest.mark.parametrize("silenced", [["packages_*"], "packages_base,packages_more", trust_as_template("{{ mine }}")])
def test_variables_of_others_are_silenced_for_the_host_that_says_so(silenced):
    hosts = {
        "kvm1": {"packages_base": 1, "mine": ["packages_base"], "realtime_known_variables": silenced},
        "kvm2": {"packages_base": 1, "realtime_known_variables": []},
    }
    (line,) = lines(hosts)
    assert line.startswith("kvm2: unknown variable packages_base; ")


def test_templates_and_facts_are_left_to_the_roles():
    hosts = {
        "kvm1": {
            "cpu_partition_smt": trust_as_template("{{ 'both' }}"),
            "rt_kernel_shutdown_order": [trust_as_template("{{ ansible_facts.order }}")],
            "realtime_guests": [plc(memory_mib=trust_as_template("{{ ansible_facts.memory }}"))],
            "realtime_networks": [],
        }
    }
    assert lines(hosts) == []
    hosts["kvm1"]["realtime_guests"][0]["vcpu"] = 1
    assert lines(hosts) == ["kvm1: realtime_guests: plc1: unknown key vcpu, did you mean vcpus?"]


def test_templates_of_the_inventory_are_worked_out_with_the_hosts_variables():
    guests = [with_mac(trust_as_template("{{ inventory_hostname }}-plc"), trust_as_template("{{ mac }}"))]
    common = {
        "realtime_guests": guests,
        "realtime_networks": trust_as_template("{{ nets }}"),
        "nets": [{"name": "control"}],
        "mac": MAC,
    }
    hosts = {name: {**common, "inventory_hostname": name} for name in ("kvm1", "kvm2")}
    assert lines(hosts) == [f"kvm2: realtime_guests: kvm2-plc: MAC {MAC} is also that of kvm1-plc on kvm1"]
    hosts["kvm2"]["mac"] = "52:54:00:00:00:02"
    assert lines(hosts) == []


@pytest.mark.parametrize(
    ("limit", "accepted"),
    [(None, False), (1, False), (2, True), ("2", True), (trust_as_template("{{ ansible_facts.x }}"), True), ("x", True)],
)
def test_priorities_are_compared_with_the_hosts_limit(limit, accepted):
    variables = {"realtime_guests": [plc(vcpus=2, realtime_vcpus="1", priority=2)], "realtime_priority_limit": limit}
    check = Check(
        Inventory({"kvm1": {name: value for name, value in variables.items() if value}}.__getitem__, worked, ["kvm1"]), KNOWN
    )
    check.guests()
    assert (not check.refusals) is accepted


# -- what is unique --------------------------------------------------------------------------------


def test_hosts_beyond_the_run_count_and_are_not_refused_themselves():
    hosts = {
        "kvm1": {"realtime_guests": [with_mac("a")], "realtime_networks": [{"name": "control"}]},
        "kvm2": {
            "realtime_guests": [with_mac("b"), plc("c", vcpu=1)],
            "realtime_networks": [{"name": "control"}],
            "rt_guest_restrt": 1,
        },
        "kvm3": {"realtime_guests": [plc("d")]},
        "kvm4": {"realtime_guests": [plc("d")]},
    }
    assert lines(hosts, asked=["kvm1"]) == [f"kvm1: realtime_guests: a: MAC {MAC} is also that of b on kvm2"]
    assert lines(hosts, asked=["kvm3"])[0].startswith("kvm3: realtime_guests: d: kvm4 has a guest of this name too")
    # also on a host that is no node
    assert lines(hosts, asked=["kvm1"], nodes=["kvm1"]) == [f"kvm1: realtime_guests: a: MAC {MAC} is also that of b on kvm2"]


def test_a_host_that_is_no_node_and_inherits_a_nodes_guests_has_none():
    """A list in the variables of all hosts, in an inventory with one node and its guests."""
    everyone = {"realtime_guests": [plc("a"), plc("b")]}
    hosts = {"a": everyone, "b": everyone, "kvm1": everyone}
    assert lines(hosts, asked=["kvm1"], nodes=["kvm1"]) == []
    # neither where the node is not asked
    assert lines({**hosts, "kvm2": {"realtime_guests": [plc("c")]}}, asked=["kvm2"], nodes=["kvm1", "kvm2"]) == []


def test_hosts_beyond_the_run_that_cannot_be_read_are_named():
    """In a vault of another site, say, of which this run has no password."""

    def raw(host):
        if host == "kvm1":
            return {"realtime_guests": [plc()]}
        raise AnsibleError("no vault secrets found")

    check = Check(Inventory(raw, worked, ["kvm1"], [f"kvm{number}" for number in range(1, 12)], ["kvm1"]), KNOWN)
    check.guests()
    assert not check.refusals
    assert check.warnings() == [
        "the guests of kvm2, kvm3, kvm4 and 7 more were not compared, since the variables of these hosts cannot be read"
    ]


def test_hosts_of_the_run_that_cannot_be_read_are_refused_beside_the_others():
    def raw(host):
        if host == "kvm1":
            return {"cpu_partition_smt": "both"}
        raise AnsibleError("no vault secrets found\nat line 1")

    check = Check(Inventory(raw, worked, ["kvm3", "kvm1", "kvm2"]), KNOWN)
    check.variables()
    assert check.refusals.lines() == [
        "kvm1: cpu_partition_smt must be one of: together, single, got: both",
        "kvm2, kvm3: the variables cannot be read: no vault secrets found",
    ]


def test_a_list_that_two_nodes_share_is_refused():
    common = {"realtime_guests": [plc("a")]}
    for asked in (["kvm1"], ["kvm1", "kvm2"]):
        (line,) = lines({"kvm1": common, "kvm2": common}, asked=asked)
        assert "a guest of this name too" in line


def test_sites_have_names_of_their_own():
    hosts = {
        "kvm1": {"realtime_guests": [plc()], "realtime_site": "north"},
        "kvm2": {"realtime_guests": [plc()], "realtime_site": "south"},
    }
    assert [line for line in lines(hosts) if "name" in line] == []
    hosts["kvm2"]["realtime_site"] = trust_as_template("{{ 'nor' + 'th' }}")
    assert [line[:5] for line in lines(hosts) if "of this name too" in line] == ["kvm2:"]


@pytest.mark.parametrize(
    ("files", "own", "wrong"),
    [
        ({"kvm1": "a"}, "a", ""),
        ({"kvm2": "a"}, None, ""),
        (None, None, ""),
        ({"kvm1": "a"}, None, "host_vars/kvm1.yml is missing"),
        ({"kvm1": "a"}, "b", "host_vars/kvm1.yml is of another plan than its hosts.yml"),
        (None, "b", "host_vars/kvm1.yml is of another plan than its hosts.yml"),
    ],
)
def test_an_inventory_of_place_that_is_not_whole_is_refused(files, own, wrong):
    given = {"realtime_placed_files": files, "realtime_placed_file": own, "realtime_guests": []}
    found = lines({"kvm1": {name: value for name, value in given.items() if value is not None}})
    assert bool(found) == bool(wrong)
    assert all(f"the inventory that place has written is not whole: {wrong}. Take the whole folder" in line for line in found)


# -- the play's variables --------------------------------------------------------------------------


def test_variables_of_the_play_win_and_are_checked_themselves():
    play = {
        "rt_guest_restrt": True,
        "cpu_partition_smt": "both",
        "looked": "x",
        "realtime_guests": trust_as_template("{{ mine }}"),
    }
    hosts = {
        "kvm1": {"realtime_guests": [plc("x", vcpu=1)], "mine": [plc("a", vcpu=1)]},
        "kvm2": {"mine": [plc("b")]},
    }
    assert lines(hosts, play=play) == [
        "kvm1: realtime_guests: a: unknown key vcpu, did you mean vcpus?",
        f"{PLAY}: unknown variable rt_guest_restrt, did you mean rt_guest_restart?",
        f"{PLAY}: cpu_partition_smt must be one of: together, single, got: both",
    ]
    assert [line for line in lines(hosts, play={**play, "realtime_known_variables": ["rt_guest_*"]}) if "restrt" in line] == []


def test_without_guests_only_variables_are_checked():
    hosts = {"kvm1": {"realtime_guests": "x", "realtime_networks": "", "rt_guest_undo_runing": True}}
    assert lines(hosts, guests=False) == ["kvm1: unknown variable rt_guest_undo_runing, did you mean rt_guest_undo_running?"]


def test_the_folder_of_images_is_a_path_that_a_node_can_have():
    named = {"rt_guest_image_folder": trust_as_template("{{ 'images' }}"), "realtime_guests": [plc()]}
    hosts = {
        "kvm1": {"rt_guest_image_folder": "images", "realtime_guests": [plc()]},
        "kvm2": {"rt_guest_image_folder": f"/{'a' * 256}"},
        "kvm3": {"rt_guest_image_folder": "/srv/images", "realtime_guests": [plc("plc3")]},
        "kvm4": {"rt_guest_image_folder": ""},
        "kvm5": {"rt_guest_image_folder": trust_as_template("{{ ansible_facts.x }}")},
        "kvm6": {**named, "realtime_guests": [plc("plc6")]},
    }
    fault = "rt_guest_image_folder: 'images' must be the absolute path of a folder, without . and .. and without / at its end"
    assert lines(hosts) == [
        f"kvm1, kvm6: {fault}",
        f"kvm2: rt_guest_image_folder: holds the name {'a' * 20}..., which has 256 bytes; file systems take at most 255, so give it a shorter one",
    ]


def test_infinity_hides_no_other_refusal():
    hosts = {
        "kvm1": {"realtime_priority_limit": float("inf"), "realtime_guests": [plc(vcpus=float("inf")), plc("plc2", vcpu=1)]},
        "kvm2": {
            "realtime_priority_limit": trust_as_template("{{ x }}"),
            "x": float("inf"),
            "realtime_guests": [plc("plc3", vcpu=1)],
        },
    }
    assert [line.partition(" ")[2].rpartition(",")[0][:60] or line for line in lines(hosts)] == [
        "realtime_priority_limit holds a number that is infinite or n",
        "kvm1: realtime_guests: plc1: vcpus inf must be of type int",
        "realtime_guests: plc2: unknown key vcpu",
        "realtime_guests: plc3: unknown key vcpu",
    ]


def test_nova_and_neutron_are_checked_over_all_hosts():
    networks = {name: [{"name": "a", "physical_network": name}] for name in ("rt-0", "rt_0")}
    said = lines(
        {
            "kvm1": {"realtime_networks": networks["rt-0"], "nova_compute_priority": 2},
            "kvm2": {"realtime_networks": networks["rt_0"], "nova_compute_priority": 2, "realtime_priority_limit": 2},
        }
    )
    assert len(said) == 2
    assert said[0].startswith("kvm1: nova_compute_priority: 2 is not below the kernel's own threads")
    assert said[1].startswith("kvm2: realtime_networks: the physical networks rt-0 and rt_0 have the same trait")
    assert said[1].endswith("(rt-0 is of kvm1)")


@pytest.mark.parametrize("name", ["rt_kernel_reboot_serial", "realtime_update_serial"])
def test_batches_are_those_of_all_hosts(name):
    assert lines({"kvm1": {name: "1,2"}, "kvm2": {name: "1,2"}}) == []
    assert lines({"kvm1": {}, "kvm2": {name: ""}}) == []
    said = [f"kvm2: {name} is 3 here, and 1 on kvm1; a run has one: set it for the whole group realtime_nodes, or with -e"]
    assert lines({"kvm1": {name: 1}, "kvm2": {name: 3}}) == said
    assert "not given here, and 1 on kvm1" in lines({"kvm1": {name: 1}, "kvm2": {}})[0]
    assert lines({"kvm1": {name: 1}, "kvm2": {name: 3}}, play={name: 2}) == []


INSIDE = {"guest_os_node": "kvm1"}
RT = plc(vcpus=4, realtime_vcpus="1-3")


@pytest.mark.parametrize(
    ("asked", "guests", "inside", "told"),
    [
        (["plc1"], [RT], INSIDE, []),
        (["plc1"], [plc()], INSIDE, ["plc1: realtime_guests of kvm1: plc1 has no real-time vCPU"]),
        (["plc1", "kvm1"], [RT], {}, ["plc1: guest_os_node is not given"]),
        (["kvm1"], [RT], {}, []),  # a run that does not ask it does not refuse it
        (["plc1"], trust_as_template("{{ later }}"), INSIDE, []),
        (["plc1"], [RT], {"guest_os_node": trust_as_template("{{ later }}")}, []),
        (
            ["plc1"],
            [RT],
            {**INSIDE, "guest_os_idel": "poll"},
            ["plc1: unknown variable guest_os_idel, did you mean guest_os_idle?"],
        ),
        (
            ["plc1"],
            [RT],
            {**INSIDE, "cpu_partition_cpus": {"realtime": "1"}},
            ["plc1: cpu_partition_cpus: the definition of guest plc1"],
        ),
        (["plc1"], [RT], {**INSIDE, "realtime_guests": []}, []),
    ],
)
def test_the_inside_of_a_guest_is_held_against_the_list_of_its_node(asked, guests, inside, told):
    hosts = {"kvm1": {"realtime_guests": guests}, "plc1": inside}
    check = Check(
        Inventory(
            hosts.__getitem__,
            worked,
            asked,
            list(hosts),
            ["kvm1"],
            groups={"realtime_nodes": ["kvm1"], "realtime_guest_os": ["plc1"]},
        ),
        KNOWN,
    )
    check.variables()
    check.guests()
    found = check.refusals.lines()
    assert len(found) == len(told)
    assert all(line.startswith(text) for line, text in zip(found, told))
