# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The changes of guests: what is planned in which order, and which call of libvirt makes it."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._guests import changes as _changes
from ansible_collections.realtime.kvm.plugins.module_utils._guests import images as _images
from ansible_collections.realtime.kvm.plugins.module_utils._guests.changes import Changes
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import parse, to_text
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import GuestError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.plan import plan_guest
from unit.domains import guest_of, made, placement_of
from unit.libvirts import FakeLibvirt
from unit.trees import fill, plan, writable

FOREIGN = "<domain type='kvm'><name>plc1</name><title>theirs</title><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type>hvm</type></os><devices/></domain>"
SHAPE = {"nodes": 1, "cores": 16, "threads": 1}


class Bench:
    """A host, a libvirt and the planner of its guests' changes."""

    def __init__(self, root):
        self.root = fill(
            root, {"/proc/sys/kernel/random/boot_id": "b\n", "/var/lib/": None, "/images/plc1.qcow2": "", "/images/data.raw": ""}
        )
        self.libvirt = FakeLibvirt(root)
        self.ready = []
        self.renew()

    def renew(self):
        self.libvirt.calls.clear()
        self.host = writable(self.root, "rt_domain")
        self.changes = Changes(
            self.host, self.libvirt, self.libvirt.domains(), timeout_s=9, force_off=False, ready=self.ready.append
        )
        return self

    def have(self, name="plc1", *, text=None, running=False, **more):
        self.libvirt.definitions[name] = text or to_text(made(name=name, **more))
        if running:
            self.libvirt.run(name)
        return self.renew()

    def plan(self, **more):
        guest = guest_of(**more)
        return plan_guest(self.host, guest, placement_of(guest), self.libvirt.domains(), "n")

    def made(self):
        """The resources that were planned, and the calls that committing them makes."""
        planned = [(change.resource, change.disruption) for change in self.host.changes]
        assert self.libvirt.calls == [], "planning calls nothing that changes anything"
        with self.host.locked():
            self.host.commit()
        return planned, self.libvirt.calls


@pytest.fixture(name="bench")
def _bench(tmp_path):
    return Bench(tmp_path)


# -- states ----------------------------------------------------------------------------------------


def test_all_that_stop_are_asked_with_the_first(bench):
    bench.have("plc1", running=True).have("plc2", running=True)
    bench.changes.stop(["plc1", "plc2"])
    bench.changes.stop([])
    assert bench.changes.stopping == ["plc1", "plc2"]
    planned, calls = bench.made()
    assert planned == [("domain plc1: state", "guest"), ("domain plc2: state", "guest")]
    assert calls == ["stop plc1", "stop plc2"]


def test_how_long_and_whether_by_force(bench, monkeypatch):
    asked = []
    monkeypatch.setattr(bench.libvirt, "stop", lambda names, timeout_s, *, force: asked.append((names, timeout_s, force)))
    changes = Changes(bench.host, bench.libvirt, {}, timeout_s=7, force_off=True, ready=bench.ready.append)
    changes.stop(["plc1"])
    bench.host.commit()
    assert asked == [(["plc1"], 7, True)]


def test_a_start_disturbs_none_and_a_restart_a_guest(bench):
    bench.have("plc1", running=True).have("plc2")
    bench.changes.restart(bench.plan(memory_mib=512))
    bench.changes.start(bench.plan(name="plc2"))
    assert "memory" in bench.host.changes[0].after
    planned, calls = bench.made()
    assert planned == [("domain plc1: restart", "guest"), ("domain plc2: state", "none")]
    assert calls == ["stop plc1", "start plc1", "start plc2"]
    assert [plan.guest.name for plan in bench.ready] == ["plc1", "plc2"]


def test_a_guest_that_could_not_start_is_neither_started_nor_stopped_for_a_restart(bench):
    def wait(_plan):
        raise HostError("no switch")

    bench.have("plc1", running=True).have("plc2")
    bench.changes.ready = wait
    bench.changes.restart(bench.plan(memory_mib=512))
    with pytest.raises(HostError, match="no switch"):
        bench.host.commit()
    bench.changes.start(bench.plan(name="plc2"))
    with pytest.raises(HostError, match="no switch"):
        bench.host.commit()
    assert bench.libvirt.calls == []


# -- definitions -----------------------------------------------------------------------------------


def test_a_definition_is_taken_as_a_whole_with_its_first_difference(bench):
    bench.have()
    bench.changes.define(bench.plan(memory_mib=512, owner="me", autostart=True))
    planned, calls = bench.made()
    resources = [resource for resource, _class in planned]
    assert {"domain plc1: memory", "domain plc1: metadata", "domain plc1: autostart"} <= set(resources)
    assert resources[-1] == "domain plc1: autostart"
    assert calls == ["define plc1", "autostart plc1 True"]
    assert parse(bench.libvirt.definitions["plc1"]).findtext("memory") == "524288"


def test_a_definition_that_holds_is_left_alone(bench):
    bench.have()
    bench.libvirt.started_with_node.add("plc1")
    bench.renew().changes.define(bench.plan(autostart=True))
    assert bench.made() == ([], [])


def test_an_adopted_definition_is_kept_and_given_back(bench):
    bench.have(text=FOREIGN)
    bench.changes.define(bench.plan(adopt=True, autostart=True))
    bench.made()
    ((resource, original),) = bench.host.entries("domain").items()
    assert original == {"xml": to_text(parse(FOREIGN)), "autostart": False}
    bench.renew().changes.restore("plc1", resource)
    planned, calls = bench.made()
    assert [resource for resource, _class in planned] == ["domain plc1"]
    assert calls == ["define plc1", "autostart plc1 False"]
    assert parse(bench.libvirt.definitions["plc1"]).findtext("title") == "theirs"
    assert bench.host.entries("domain") == {}


# -- removal ---------------------------------------------------------------------------------------


def test_disks_go_before_the_definition_that_names_them(bench):
    bench.have()
    bench.changes.remove(guest_of(state="absent", remove_disks=True), [])
    planned, calls = bench.made()
    assert [resource for resource, _class in planned] == ["/images/plc1.qcow2", "/images/data.raw", "domain plc1"]
    assert calls == ["remove plc1 and its state"]
    assert not list((bench.root / "images").iterdir())


def test_disks_stay_unless_asked_for(bench):
    bench.have()
    bench.changes.remove(guest_of(state="absent"), [])
    assert bench.made() == ([("domain plc1", "none")], ["remove plc1"])
    assert len(list((bench.root / "images").iterdir())) == 2


def test_a_disk_that_another_guest_has_or_gets_is_refused(bench):
    bench.have().have("other", networks=[])
    with pytest.raises(
        GuestError, match=r"^realtime_guests: plc1: disk /images/plc1.qcow2 is not removed, since domain other has it too$"
    ):
        bench.changes.remove(guest_of(state="absent", remove_disks=True), [])
    del bench.libvirt.definitions["other"]
    heir = bench.renew().plan(name="heir", networks=[])
    with pytest.raises(GuestError, match="since domain heir has it too"):
        bench.changes.remove(guest_of(state="absent", remove_disks=True), [heir])


def test_a_disk_that_cannot_be_removed_is_named(bench, monkeypatch):
    bench.have()
    bench.changes.remove(guest_of(state="absent", remove_disks=True), [])

    def refuse(_path, dir_fd):
        del dir_fd
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(_images.os, "unlink", refuse)
    with pytest.raises(HostError, match=r"images/plc1.qcow2 cannot be removed: Operation not permitted$"):
        bench.host.commit()
    assert "plc1" in bench.libvirt.definitions, "the definition names it, so that the next run finds it"


# -- threads ---------------------------------------------------------------------------------------


def moved(bench, partition):
    bench.have(running=True)
    bench.libvirt.edit_thread("plc1", "vcpu0", cpus="9")
    bench.libvirt.edit_thread("plc1", "vcpu1", scheduler="rr 7")
    bench.libvirt.edit_thread("plc1", "emulator", cpus="3")
    bench.changes.move([bench.plan()], partition, 16)
    return bench.made()


def test_threads_move_while_their_guest_runs(bench):
    planned, calls = moved(bench, plan(**SHAPE))
    assert sorted(planned) == [
        ("domain plc1: emulator cpus", "none"),
        ("domain plc1: vcpu0 cpus", "none"),
        ("domain plc1: vcpu1 scheduler", "none"),
    ]
    assert sorted(calls) == ["pin plc1 emulator 0-1", "pin plc1 vcpu0 4", "schedule plc1 vcpu1 fifo 1"]
    assert bench.plan().threads == []


def test_in_mode_runtime_vcpus_move_through_their_partitions(bench, monkeypatch):
    """And they alone: the emulator and the schedulers have nothing to do with partitions."""
    moves = []

    class Recorder:
        def __init__(self, _host, _partition, moving):
            moves.append(moving)

        def pin(self, pin):
            moves.append("opened")
            pin()

    monkeypatch.setattr(_changes, "Moves", Recorder)
    _planned, calls = moved(bench, plan(Intent(smt="together", isolation="runtime"), **SHAPE))
    assert moves == [{("plc1", "vcpu0"): frozenset({4})}, "opened"]
    assert len(calls) == 3
