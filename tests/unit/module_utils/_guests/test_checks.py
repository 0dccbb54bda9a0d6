# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold before guests are changed: names and addresses are free, disks and bridges exist, pages suffice."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.checks import (
    check_domains,
    check_node,
    check_pages,
    check_saved,
)
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_new import new_domain
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import Difference, parse, to_text
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import GuestError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import derive_uuid, parse_guests
from ansible_collections.realtime.kvm.plugins.module_utils._guests.libvirt import Domain
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Placement
from ansible_collections.realtime.kvm.plugins.module_utils._guests.plan import GuestPlan
from unit.domains import NETWORKS, made
from unit.trees import fill, memory_files, writable

LIST = {"name": "plc1", "memory_mib": 256}
MAC = "52:54:00:00:00:0a"
THEIRS = f"<domain type='kvm'><name>plc1</name><devices><interface type='network'><mac address='{MAC.upper()}'/></interface></devices></domain>"


def guest_of(**more):
    return parse_guests([{**LIST, **more}], NETWORKS, site="n", priority_limit=1)[0]


def domain(tree, name="plc1", *, persistent=True):
    return {name: Domain(None, name, tree, running=False, autostart=False, persistent=persistent)}


# -- saved states ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("saved", "running", "changes", "refused"), [
    (True, False, True, True), (True, True, True, False), (True, False, False, False), (False, False, True, False),
])  # fmt: skip
def test_what_a_saved_state_would_bring_back_is_not_changed(saved, running, changes, refused):
    known = Domain(None, "plc1", made(), running=running, autostart=False, saved=saved)
    plans = [GuestPlan(guest_of(), None, known, None, [Difference("memory", "1", "2")] if changes else [])]
    words = r"^realtime_guests: plc1: it has a saved state .*changes \(memory\); start it first \(virsh start plc1\), or give up"
    with pytest.raises(GuestError, match=words) if refused else nullcontext():
        check_saved(plans)


# -- domains ---------------------------------------------------------------------------------------


def test_a_domain_of_ours_and_a_name_that_is_free_pass():
    check_domains([guest_of()], {})
    check_domains([guest_of()], domain(made()))
    check_domains([guest_of(state="absent")], domain(made()))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "so it is not changed; adopt: true"),
        ({"state": "absent", "adopt": False}, "so it is not removed; delete its entry from the list"),
    ],
)
def test_a_domain_of_others_is_refused(more, words):
    with pytest.raises(GuestError, match=rf"^realtime_guests: plc1: a domain of this name exists .*{words}"):
        check_domains([guest_of(**more)], domain(parse(THEIRS)))


def test_a_domain_of_others_may_be_adopted_unless_it_is_transient():
    check_domains([guest_of(adopt=True)], domain(parse(THEIRS)))
    with pytest.raises(GuestError, match=r"^realtime_guests: plc1: a transient domain"):
        check_domains([guest_of(adopt=True)], domain(parse(THEIRS), persistent=False))


def test_an_address_in_xml_that_an_unlisted_domain_has_is_refused():
    xml = f"<domain><devices><interface type='network'><mac address='{MAC.upper()}'/><alias name='ua-n'/></interface></devices></domain>"
    with pytest.raises(GuestError, match=rf"^realtime_guests: plc2: MAC {MAC} is used by domain plc1$"):
        check_domains([guest_of(name="plc2", networks=[], xml=xml)], domain(parse(THEIRS)))


def test_an_address_that_an_unlisted_domain_has_is_refused_unless_the_guest_goes():
    wish = {"name": "plc2", "networks": [{"network": "control", "mac": MAC}]}
    others = domain(parse(THEIRS))
    with pytest.raises(GuestError, match=rf"^realtime_guests: plc2: MAC {MAC} is used by domain plc1$"):
        check_domains([guest_of(**wish)], others)
    check_domains([guest_of(name="plc2", state="absent")], others)


@pytest.mark.parametrize("given", [{"uuid": derive_uuid("n", "plc2")}, {}])
def test_a_uuid_that_another_domain_has_is_refused_unless_that_goes(given):
    uuid = derive_uuid("n", "plc2")
    others = domain(parse(f"<domain type='kvm'><name>old</name><uuid> {uuid.upper()} </uuid></domain>"), "old")
    wish = guest_of(name="plc2", **given)
    with pytest.raises(
        GuestError, match=rf"^realtime_guests: plc2: uuid {uuid} is that of domain old, which is on this node; give"
    ):
        check_domains([wish], others, "n")
    gone = made()
    gone.find("uuid").text = uuid
    check_domains([wish, guest_of(state="absent")], domain(gone), "n")
    check_domains([wish], domain(parse("<domain type='kvm'><name>old</name></domain>"), "old"), "n")
    if not given:
        check_domains([wish], others, "south")
        check_domains([wish], domain(parse(f"<domain type='kvm'><name>plc2</name><uuid>{uuid}</uuid></domain>"), "plc3"), "south")


# -- the node --------------------------------------------------------------------------------------


def test_a_tpm_needs_its_program(tmp_path):
    words = "realtime_guests: plc1: tpm needs /usr/bin/swtpm, which this node does not have; the kvm_host role installs it"
    with pytest.raises(GuestError) as error:
        check_node(writable(tmp_path), [guest_of(tpm=True)], {}, [])
    assert str(error.value) == words
    dry = writable(tmp_path, check_mode=True)
    check_node(dry, [guest_of(tpm=True)], {}, [])
    assert dry.notes == [words]
    check_node(writable(fill(tmp_path, {"/usr/bin/swtpm": ""})), [guest_of(tpm=True)], {}, [])


@pytest.mark.parametrize("flags", ["fpu constant_tsc nonstop_tsc", "fpu constant_tsc", "nonstop_tsc", None])
def test_an_invariant_tsc_is_the_nodes_own(tmp_path, flags):
    host = writable(fill(tmp_path, {"/proc/cpuinfo": f"vendor_id : GenuineIntel\nflags : {flags}\n"} if flags else {}))
    check_node(host, [guest_of(invariant_tsc=False), guest_of(name="plc2"), guest_of(name="plc3", state="absent")], {}, [])
    if flags == "fpu constant_tsc nonstop_tsc":
        check_node(host, [guest_of(invariant_tsc=True)], {}, [])
        return
    with pytest.raises(GuestError, match=r"^realtime_guests: plc1: invariant_tsc, but this node's TSC is not invariant"):
        check_node(host, [guest_of(invariant_tsc=True)], {}, [])


def test_a_bridge_is_missed_only_by_guests_that_start(tmp_path):
    host, guest = writable(tmp_path), guest_of(networks=[{"network": "office"}])
    with pytest.raises(GuestError, match=r"^realtime_guests: plc1: network office is the ordinary bridge br0"):
        check_node(host, [guest], {}, ["plc1"])
    check_node(host, [guest], {}, [])
    check_node(writable(fill(tmp_path, {"/sys/class/net/br0/bridge/": None})), [guest], {}, ["plc1"])


# -- pages -----------------------------------------------------------------------------------------


def plan_of(memory_mib, hugepages="2M", nodes=(0,), *, name="plc1", now=None):
    """A plan; ``now``: the memory that its domain has."""
    guest = guest_of(name=name, memory_mib=memory_mib, vcpus=2, realtime_vcpus="1", hugepages=hugepages)
    placement = Placement(name, nodes, {0: frozenset({2}), 1: frozenset({3})}, frozenset({0}))
    current = None
    if now:
        text = to_text(made(name=name, memory_mib=now, hugepages=hugepages))
        current = domain(parse(text), name)[name]
    return GuestPlan(guest, placement, current, new_domain(guest, "n", "x86_64"), [])


def host_with(root, pages, *, check_mode=False):
    return writable(fill(root, memory_files({0: 8192, 1: 8192}, pages=pages)), check_mode=check_mode)


def test_pages_of_all_that_start_are_added_up_by_node_and_size(tmp_path):
    host = host_with(tmp_path, {(0, "2M"): (200, 128), (1, "2M"): (64, 64)})
    check_pages(host, [plan_of(256), plan_of(128, nodes=(1,), name="plc2")], None, [])
    with pytest.raises(
        GuestError,
        match=r"huge pages of 2M on NUMA node 0: 128 of 200 are free, 136 are needed \(plc1 128, plc2 8\); run the kvm_host role",
    ):
        check_pages(host, [plan_of(256), plan_of(16, name="plc2")], None, [])
    with pytest.raises(GuestError, match=r"of 1G on NUMA node 1: 0 of 0 are free, 1 are needed"):
        check_pages(host, [plan_of(1024, "1G", (1,))], None, [])


def test_a_guest_without_huge_pages_needs_none(tmp_path):
    check_pages(writable(tmp_path), [plan_of(256, "none")], None, [])


def test_pages_that_will_be_reserved_count_in_check_mode_alone(tmp_path):
    pages, planned = {(0, "2M"): (10, 0)}, {"0": {"2M": 138}, "1": None}
    check_pages(host_with(tmp_path, pages, check_mode=True), [plan_of(256)], planned, [])
    for check_mode, given in ((False, planned), (True, {"0": {"2M": 137}}), (True, None)):
        with pytest.raises(GuestError, match="not enough huge pages"):
            check_pages(host_with(tmp_path, pages, check_mode=check_mode), [plan_of(256)], given, [])


def test_pages_that_a_restart_gives_back_count(tmp_path):
    host, plan = host_with(tmp_path, {(0, "2M"): (200, 72)}), plan_of(400, now=256)
    check_pages(host, [plan], None, [plan])
    with pytest.raises(GuestError, match=r"72 of 200 are free, 200 are needed"):
        check_pages(host, [plan], None, [])
