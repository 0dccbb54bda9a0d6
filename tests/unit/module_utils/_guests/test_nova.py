# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of an instance of Nova; the forms are in tests/fixtures/nova."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import NAMESPACE, parse
from ansible_collections.realtime.kvm.plugins.module_utils._guests.nova import Instance, instance_cpus, read_instance
from unit.instances import FILES, fixture, instance_tree


def told(number):
    found = read_instance(parse(fixture(number)))
    return found and (found.domain, found.name, found.flavor, found.user, found.project)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1, ("instance-00000001", "rt1", "rt.1.huge", "admin", "admin")),
        (2, ("instance-00000002", "rt2", "rt.2.isolate", "ops", "grid")),
        (4, ("instance-0000fa38", "GT-Ubuntu22-04-CMD", "ecs.sl-gpu.10c54g", "business_user1", "business")),
        (5, ("instance-000008d6", "VM_AT_01", "vpc1-cf1-atos", "vpcdi1-01", "vpcdi1")),
        (6, ("instance-00000002", "z", "m1.micro", "", "")),
        (7, ("instance-00000885", "侯超chaohou3", "1G/1核/1GB", "admin", "hl")),
        (9, ("instance-0000001a", "", "", "", "")),
        (10, ("instance-0000001b", "", "", "", "")),
        (11, None),
        (12, ("vm-0b7c5f52", "provider-instance", "cirros-os-dpu-test-1", "admin", "admin")),
    ],
)
def test_each_form_tells_whose_it_is(number, expected):
    assert told(number) == expected


def test_every_fixture_is_read():
    assert len(FILES) == 12
    for path in FILES:
        tree = parse(path.read_text(encoding="utf-8"))
        assert (read_instance(tree) is None) == path.name.startswith("11-")
        assert instance_cpus(tree).pins is not None


def test_ids_and_times_are_read():
    found = read_instance(parse(fixture(1)))
    assert (found.user_id, found.project_id) == ("5d5e7a1f0f1c4f0f8a4b0c9d8e7f6a50", "7c6b5a49382716059483726150493827")
    assert (found.uuid, found.created) == ("0b7c5f52-3f3c-4b7e-9d0a-6f4c5f1f0a01", "2026-11-28T09:10:11Z")


def test_extra_specs_are_those_of_the_flavor_and_not_the_images_properties():
    specs = read_instance(parse(fixture(2))).specs
    assert specs["hw:emulator_threads_policy"] == "isolate"
    assert "hw_machine_type" not in specs
    assert read_instance(parse(fixture(1))).specs == {}


def test_a_message_shows_names_that_attack_as_data():
    found = read_instance(parse(fixture(8)))
    assert found.name.startswith("{{ lookup(")  # as it is, for programs
    assert found.user == "eve\t\nok: [node1]"
    assert "\n" not in str(found)
    assert "<script>" not in str(found) or len(str(found)) < 200
    assert str(found).endswith(f", {found.uuid})")
    assert str(Instance("a\x1b[31m", name="b\nok: [n]")) == "a\\x1b[31m (b\\nok: [n])"
    assert len(str(Instance("instance-00000001", name="x" * 255))) < 100


def test_a_deeper_element_is_no_owner():
    text = fixture(2).replace(
        '<nova:property name="hw_machine_type">q35</nova:property>',
        "<nova:owner><nova:user>eve</nova:user><nova:project>bank</nova:project></nova:owner><nova:name>evil</nova:name>",
    )
    found = read_instance(parse(text))
    assert (found.name, found.user, found.project) == ("rt2", "ops", "grid")


@pytest.mark.parametrize(
    "uuid", ["", "; reboot", "0B7C5F52-3F3C-4B7E-9D0A-6F4C5F1F0A01", "\u0660b7c5f52-3f3c-4b7e-9d0a-6f4c5f1f0a01"]
)
def test_only_a_uuid_becomes_an_argument_of_a_command(uuid):
    text = fixture(1).replace("0b7c5f52-3f3c-4b7e-9d0a-6f4c5f1f0a01", uuid)
    assert read_instance(parse(text)).server in ("instance-00000001", "0b7c5f52-3f3c-4b7e-9d0a-6f4c5f1f0a01")


def test_a_domain_of_this_collection_is_not_novas_whatever_its_name():
    ours = f'<domain><name>instance-0000001a</name><metadata><r:guest xmlns:r="{NAMESPACE}"/></metadata></domain>'
    assert read_instance(parse(ours)) is None
    assert read_instance(parse("<domain><name>instance-0000001a2</name></domain>")) is None
    assert read_instance(parse("<domain/>")) is None


@pytest.mark.parametrize(
    ("number", "pins", "schedulers", "own"),
    [
        (1, {"vcpu0": {1}, "emulator": {0}}, {0: "fifo 1"}, {1}),
        (
            2,
            {"vcpu0": {14}, "vcpu1": {15}, "emulator": {12}, "iothread1": {12}},
            {0: "fifo 1", 1: "fifo 1"},
            {12, 14, 15},
        ),
        (3, {"vcpu0": {0, 1}, "vcpu1": {4}, "vcpu2": {5}, "emulator": {0, 1}}, {1: "fifo 1", 2: "fifo 1"}, {4, 5}),
        (4, {"vcpu0": {4}, "vcpu1": {5}, "emulator": {4, 5}}, {}, {4, 5}),
        (5, {**{f"vcpu{number}": {0, 1, 2, 3} for number in range(4)}, "emulator": {0, 1, 2, 3}}, {}, set()),
        (6, {}, {}, set()),
        (9, {"vcpu0": set(range(4, 13)) - {5}, "emulator": set(range(4, 13)) - {5}}, {}, set()),
    ],
)
def test_the_cpus_of_each_thread_are_read(number, pins, schedulers, own):
    cpus = instance_cpus(parse(fixture(number)))
    assert (cpus.pins, cpus.schedulers) == (pins, schedulers)
    assert cpus.realtime is bool(schedulers)
    assert cpus.own(frozenset({1, 4, 5, 12, 14, 15})) == own


def test_memory_is_read():
    for number, expected in ((1, (True, True)), (4, (False, False))):
        cpus = instance_cpus(parse(fixture(number)))
        assert (cpus.hugepages, cpus.locked) == expected


def test_numbers_that_libvirt_would_not_write_bring_nothing():
    tree = instance_tree(1, ["4"])
    tree.find("vcpu").text = "99999"
    for pin in tree.findall("cputune/*"):
        pin.set("vcpu", "-1")
        pin.set("cpuset", "x")
    cpus = instance_cpus(tree)
    assert cpus.pins == {}
