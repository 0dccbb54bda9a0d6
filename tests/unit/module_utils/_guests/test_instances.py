# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instances of a node, from libvirt or from its files, and the refusal of a change that takes their CPUs."""

from __future__ import annotations

from functools import partial

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.instances import (
    DEFINITIONS,
    InstanceError,
    check_taken,
    read_instances,
)
from ansible_collections.realtime.kvm.plugins.module_utils._host.threads import PID_DIR
from unit.instances import UUID, instance_xml, partition_of
from unit.libvirts import FakeDomain, FakeLibvirt
from unit.trees import fill, writable

OLD = partition_of(housekeeping="0-1", realtime="4-7", shared="2-3")
NEW = partition_of(housekeeping="0-1,4", realtime="5-7", shared="2-3")


def none():
    return None


def status(text):
    """The file of a running guest, as libvirt writes it."""
    return f"<!-- WARNING: generated -->\n<domstatus state='running' reason='booted' pid='77'><taint flag='x'/>\n{text}</domstatus>\n"


def seen(items):
    return [(item.instance.domain, item.state, dict(item.cpus.pins)) for item in items]


def test_libvirt_shows_the_live_xml_of_those_that_run(tmp_path):
    libvirt = FakeLibvirt(tmp_path)
    libvirt.definitions = {
        "instance-00000001": instance_xml(1, ["4"]),
        "instance-00000002": instance_xml(2, ["5"]),
        "theirs": "<domain><name>theirs</name><vcpu>1</vcpu><cputune><vcpupin vcpu='0' cpuset='6'/></cputune></domain>",
    }
    libvirt.live["instance-00000001"] = instance_xml(1, ["6"])
    found = read_instances(writable(tmp_path), lambda: libvirt)
    assert seen(found) == [
        ("instance-00000001", "running", {"vcpu0": {6}, "emulator": {0}}),
        ("instance-00000002", "shut off", {"vcpu0": {5}, "emulator": {0}}),
    ]


def test_one_that_ends_meanwhile_keeps_the_cpus_of_its_definition(tmp_path, monkeypatch):
    libvirt = FakeLibvirt(tmp_path)
    libvirt.definitions["instance-00000001"] = libvirt.live["instance-00000001"] = instance_xml(1, ["4"])

    def ended(_domain):
        raise HostError("instance-00000001: libvirt could not return its live XML: no domain")

    monkeypatch.setattr(FakeDomain, "live_tree", ended)
    assert seen(read_instances(writable(tmp_path), lambda: libvirt))[0][2]["vcpu0"] == {4}


def test_without_libvirt_its_files_are_read(tmp_path):
    fill(
        tmp_path,
        {
            f"{PID_DIR}/instance-00000001.xml": status(instance_xml(1, ["6"])),
            f"{DEFINITIONS}/instance-00000001.xml": instance_xml(1, ["4"]),
            f"{DEFINITIONS}/instance-00000002.xml": f"<!--\nWARNING\n-->\n{instance_xml(2, ['5'])}",
            f"{DEFINITIONS}/plc1.xml": "<domain><name>plc1</name></domain>",
            f"{DEFINITIONS}/networks/default.xml": "<network/>",
            f"{PID_DIR}/instance-00000001.pid": "77\n",
        },
    )
    assert [item[:2] for item in seen(read_instances(writable(tmp_path), none))] == [
        ("instance-00000001", "running"),
        ("instance-00000002", "shut off"),
    ]
    assert read_instances(writable(tmp_path), none)[0].cpus.pins["vcpu0"] == {6}


def test_a_libvirt_that_does_not_answer_is_replaced_by_its_files_if_there_are_any(tmp_path):
    def refuse():
        raise HostError("libvirt (qemu:///system) does not answer")

    with pytest.raises(HostError, match="does not answer"):
        read_instances(writable(tmp_path), refuse)
    fill(tmp_path, {f"{DEFINITIONS}/instance-00000002.xml": instance_xml(2, ["5"])})
    assert [item[0] for item in seen(read_instances(writable(tmp_path), refuse))] == ["instance-00000002"]


@pytest.mark.parametrize("text", ["<domain", "", "<!DOCTYPE x><domain/>"])
def test_a_file_that_cannot_be_read_is_refused_by_its_path(tmp_path, text):
    fill(tmp_path, {f"{DEFINITIONS}/instance-00000002.xml": text})
    with pytest.raises(InstanceError, match=f"^{DEFINITIONS}/instance-00000002.xml: "):
        read_instances(writable(tmp_path), none)


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize(
    ("new", "what"), [(NEW, "the planned sets would take CPUs 4 "), (None, "undo would end the isolation of CPUs 4 ")]
)
def test_a_change_that_takes_a_cpu_is_refused(tmp_path, running, new, what):
    xml = instance_xml(1, ["4"], sched="0")
    path = f"{PID_DIR}/instance-00000001.xml" if running else f"{DEFINITIONS}/instance-00000001.xml"
    host = writable(fill(tmp_path, {path: status(xml) if running else xml}), check_mode=True)
    with pytest.raises(InstanceError) as caught:
        check_taken(host, none, OLD, new)
    text = str(caught.value)
    assert text.startswith(f"cpu_partition: {what}")
    assert f"instance-00000001 (web, {UUID.format(1)}), {'running' if running else 'shut off'}: CPU 4 of its vcpu0" in text


def test_a_change_that_leaves_them_theirs_is_let_pass(tmp_path):
    host = writable(fill(tmp_path, {f"{DEFINITIONS}/instance-00000001.xml": instance_xml(1, ["5"])}), check_mode=True)
    check_taken(host, none, OLD, NEW)
    check_taken(host, partial(pytest.fail, "nobody asks"), None, None)
    assert host.notes == []


def test_fewer_cpus_for_one_that_floats_are_noted(tmp_path):
    host = writable(
        fill(tmp_path, {f"{DEFINITIONS}/instance-00000001.xml": instance_xml(1, [], "", floating="2-3")}), check_mode=True
    )
    check_taken(host, none, OLD, partition_of(housekeeping="0-1", realtime="3-7", shared="2"))
    (note,) = host.notes
    assert note.startswith(
        f"instance-00000001 (web, {UUID.format(1)}), shut off, may also use CPUs 3, which leave the ordinary CPUs"
    )


def test_novas_own_shared_cpus_are_no_instances_own(tmp_path):
    xml = instance_xml(1, ["2"], "2")
    fill(tmp_path, {f"{DEFINITIONS}/instance-00000001.xml": xml})
    first = partition_of(housekeeping="0-3", realtime="4-7")
    with pytest.raises(InstanceError):
        check_taken(writable(tmp_path, check_mode=True), none, None, first)
    fill(tmp_path, {"/etc/nova/nova.conf": "[compute]\ncpu_shared_set = 2-3\n"})
    check_taken(writable(tmp_path, check_mode=True), none, None, first)
