# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests by libvirt's files: many, damaged ones, and ones with any name."""

from __future__ import annotations

import time

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.threads import SWITCH_PID
from ansible_collections.realtime.kvm.plugins.module_utils._metrics import guests as _guests
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.families import MOST_GUESTS, MOST_VCPUS
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.guests import AUTOSTART, guest_samples, thread_samples
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.node import partition_samples
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.samples import Samples
from unit.watched import DEFINITIONS, STATUS, domain, found, guest, node, samples_of, task


def test_guests_and_their_states(tmp_path):
    paused = {f"{STATUS}/rest.xml": "<domstatus state='paused' reason='user'>"}
    look = node(
        tmp_path,
        guest("plc1", 70, ["1", "2"], project="line 4", size="gold"),
        guest("rest", 80, ["3"]),
        paused,
        {f"{DEFINITIONS}/off.xml": domain("off"), f"{AUTOSTART}/off.xml": ("link", f"{DEFINITIONS}/off.xml")},
        {f"{DEFINITIONS}/networks/default.xml": "<network/>", f"{STATUS}/gone.pid": "4000\n"},
    )
    out = samples_of(guest_samples, look)
    assert out["guest_info"] == {("off", "", "", ""): 1, ("plc1", "ann", "line 4", "gold"): 1, ("rest", "ann", "", ""): 1}
    assert out["guest_running"] == {("off",): 0, ("plc1",): 1, ("rest",): 0}
    assert out["guest_autostart"] == {("off",): 1, ("plc1",): 0, ("rest",): 0}
    assert out["guest_realtime_vcpus"] == {("off",): 0, ("plc1",): 2, ("rest",): 1}
    assert out["guests_omitted"] == {(): 0}
    assert look.taken == frozenset({1, 2, 3})
    assert look.running == {"plc1": 70, "rest": 80}


def test_a_node_without_libvirt_has_no_guest(tmp_path):
    assert samples_of(guest_samples, node(tmp_path)) == {"guests_omitted": {(): 0}}


@pytest.mark.parametrize("name", ['a "b"', "two\nlines", "Größe-机器", "-", ".hidden", "a,b=c", "x" * 240, "a\x1b[2Jb"])
def test_any_name_is_a_label(tmp_path, name):
    look = node(tmp_path, guest(name, 70, ["1"]))
    (labels,) = samples_of(guest_samples, look)["guest_running"]
    assert labels[0].startswith(name[:10].partition("\x1b")[0])
    assert list(samples_of(thread_samples, look)["vcpu_run_seconds"]) == [(labels[0], "0", "other")]


def test_a_transient_guest_has_no_definition(tmp_path):
    look = node(tmp_path, guest("plc1", 70, ["1"]))
    (tmp_path / f"{DEFINITIONS}/plc1.xml"[1:]).unlink()
    out = samples_of(guest_samples, look)
    assert out["guest_info"] == {("plc1", "ann", "", ""): 1}
    assert out["guest_running"] == {("plc1",): 1}


def test_a_damaged_definition_is_named_and_the_others_stay(tmp_path):
    look = node(
        tmp_path, guest("plc1", 70, ["1"]), {f"{DEFINITIONS}/bad\x1b.xml": "<domain", f"{DEFINITIONS}/huge.xml": "x" * (2 << 20)}
    )
    out = Samples()
    with pytest.raises(HostError, match=r"/etc/libvirt/qemu/bad\?\.xml: it is no XML|describes no domain"):
        guest_samples(look, out)
    assert found(out)["guest_running"] == {("bad\\x1b",): 0, ("huge",): 0, ("plc1",): 1}
    assert look.running == {"plc1": 70}


def test_a_folder_that_only_root_reads_is_named(tmp_path, monkeypatch):
    look = node(tmp_path, guest("plc1", 70, ["1"]))

    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(_guests.os, "listdir", refuse)
    with pytest.raises(HostError, match="/etc/libvirt/qemu cannot be read: Permission denied; run as root"):
        guest_samples(look, Samples())


def test_of_1000_guests_those_that_start_with_the_node_or_run_are_shown(tmp_path):
    files = {f"{DEFINITIONS}/g{number:04}.xml": domain(f"g{number:04}", owner="ann") for number in range(1000)}
    files[f"{DEFINITIONS}/g0999.xml"] = domain("g0999", pins=[(0, "2")])
    files[f"{AUTOSTART}/g0998.xml"] = ("link", "x")
    look = node(tmp_path, files, guest("plc1", 70, ["1"]))
    started = time.process_time()
    out = samples_of(guest_samples, look)
    passed = time.process_time() - started
    names = [name for (name,) in out["guest_running"]]
    assert len(names) == MOST_GUESTS
    assert names[:3] == ["g0998", "plc1", "g0000"]
    assert out["guests_omitted"] == {(): 1001 - MOST_GUESTS}
    assert look.taken == frozenset({1, 2}), "what others are pinned to is not free"
    assert passed < 1, "the bound of a test: on an idle machine it is a twentieth"


# -- threads ---------------------------------------------------------------------------------------


def threads(look):
    for source in (partition_samples, guest_samples):
        samples_of(source, look)
    return samples_of(thread_samples, look)


def test_what_the_kernel_counts_of_vcpus_and_poll_mode_threads(tmp_path):
    look = node(
        tmp_path,
        guest("plc1", 70, ["1", "2", "0"]),
        {SWITCH_PID: "90\n"},
        task(90, 90, "ovs-vswitchd", "0"),
        task(90, 91, "pmd-c03/id:9", "3", switches=11),
    )
    out = threads(look)
    vcpus = [("plc1", "0", "other"), ("plc1", "1", "fifo"), ("plc1", "2", "fifo")]
    assert out["vcpu_run_seconds"] == dict.fromkeys(vcpus, 2.5)
    assert out["vcpu_run_delay_seconds"] == dict.fromkeys(vcpus, 0.001)
    assert out["vcpu_involuntary_switches"] == {vcpus[0]: 3, vcpus[1]: 4}, "the third shares CPU 0 with others anyway"
    assert out["pmd_involuntary_switches"] == {("3",): 11}


def test_a_kernel_without_schedstat_counts_switches_alone(tmp_path):
    look = node(tmp_path, guest("plc1", 70, ["1"]))
    (tmp_path / "proc/70/task/71/schedstat").unlink()
    assert threads(look) == {"vcpu_involuntary_switches": {("plc1", "0", "other"): 3}}


def test_vcpus_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(_guests, "MOST_VCPUS", 3)
    assert MOST_VCPUS == 1024
    out = threads(node(tmp_path, guest("a", 70, ["1", "2"]), guest("b", 80, ["3", "1"])))
    assert len(out["vcpu_run_seconds"]) == 3


@pytest.mark.parametrize("pid", ["", "x", "-1", "99999"])
def test_a_switch_that_does_not_run_has_no_threads(tmp_path, pid):
    assert threads(node(tmp_path, {SWITCH_PID: pid})) == {}
