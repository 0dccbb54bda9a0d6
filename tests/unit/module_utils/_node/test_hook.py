# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt's hook does when a guest starts and ends, on a tree; what the kernel makes of the writes is the lab's to test."""

from __future__ import annotations

import json
import subprocess
import syslog
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import DOCUMENT, config_path
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.cgroups import RESERVED, read_holders
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.holders import HOLDERS, ROOT
from ansible_collections.realtime.kvm.plugins.module_utils._node import hook as _hook
from ansible_collections.realtime.kvm.plugins.module_utils._node.hook import (
    HOOK,
    hook_text,
    is_realtime,
    run_hook,
    run_switch,
    run_worker,
)
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.gate import ALLOW, BOOT_STATE, OVERRIDE
from unit.devices import domain_of
from unit.functions import NIC, Functions, vf
from unit.trees import fill, killed_at, machine_files, plan, snapshot, writable

SCOPE = f"{ROOT}/machine.slice/machine-qemu\\x2d1\\x2d{{}}.scope/libvirt"


def document(isolation="runtime"):
    return {DOCUMENT: json.dumps(to_document(plan(Intent(smt="together", isolation=isolation))))}  # housekeeping 0, realtime 1-3


def cgroup(path, cpus="", state="member", threads=""):
    return {
        f"{path}/cpuset.cpus": f"{cpus}\n",
        f"{path}/cpuset.cpus.partition": f"{state}\n",
        f"{path}/cpuset.cpus.exclusive": "\n",
        f"{path}/cgroup.subtree_control": "cpuset\n",
        f"{path}/cgroup.threads": threads,
    }


def xml(*pins, policy=""):
    text = "".join(f"<vcpupin vcpu='{vcpu}' cpuset='{cpus}'/>" for vcpu, cpus in enumerate(pins))
    text += f"<vcpusched vcpus='0' scheduler='{policy}' priority='1'/>" if policy else ""
    return f"<domain><cputune>{text}</cputune></domain>"


def runs(root, guest, vcpu, cpus):
    """A vCPU of a guest that runs, in a partition of its own."""
    fill(root, cgroup(f"{SCOPE.format(guest)}/vcpu{vcpu}", cpus, "isolated", "77\n"))


def reserved(root):
    path = Path(f"{root}{RESERVED}")
    return json.loads(path.read_text()) if path.exists() else {}


def held(root):
    return {name: sorted(item.cpus) for name, item in read_holders(writable(root)).items() if item.cpus}


@pytest.fixture(name="node")
def _node(tmp_path, monkeypatch):
    """A node that is isolated at run time: all real-time CPUs are in their holder."""
    files = {
        **machine_files(),
        **document(),
        f"{ROOT}/cgroup.controllers": "cpuset cpu io memory\n",
        f"{ROOT}/cgroup.subtree_control": "cpuset cpu memory\n",
        f"{ROOT}/cpuset.cpus.isolated": "1-3\n",
        **cgroup(HOLDERS["realtime"], "1-3", "isolated"),
        "/var/lib/": None,
        "/run/": None,
    }
    monkeypatch.setattr(_hook, "Host", lambda **options: Host(str(tmp_path), **options))
    return fill(tmp_path, files)


def test_a_guest_that_starts_gets_its_cpus_from_the_holder(node):
    assert run_hook(["plc1", "prepare"], xml("2", "3")) == ""
    assert reserved(node) == {"guest plc1": "2-3"}
    assert held(node) == {"realtime": [1]}


def test_the_reservation_ends_once_its_threads_run(node):
    run_hook(["plc1", "prepare"], xml("2"))
    runs(node, "plc1", 0, "2")
    assert run_hook(["plc1", "started"], xml("2")) == ""
    assert (reserved(node), held(node)) == ({}, {"realtime": [1, 3]})


def test_the_cpus_of_a_guest_that_ended_return(node):
    run_hook(["plc1", "prepare"], xml("2"))
    assert held(node) == {"realtime": [1, 3]}
    assert run_hook(["plc1", "release"], xml("2")) == ""
    assert (reserved(node), held(node)) == ({}, {"realtime": [1, 2, 3]})


def test_a_start_on_cpus_in_use_is_refused_by_owner(node):
    runs(node, "plc2", 0, "2")
    assert run_hook(["plc1", "prepare"], xml("2", "3")) == (
        "realtime.kvm: plc1 cannot start on CPUs 2-3: in use: CPU 2 by plc2 vcpu0; stop or move it first"
    )
    assert reserved(node) == {}


def test_a_refused_start_keeps_no_reservation(node):
    """The refusal comes after CPUs were reserved: another cgroup has them."""
    fill(node, cgroup(f"{ROOT}/other.slice", "1-3", "member"))
    assert run_hook(["plc1", "prepare"], xml("2")).startswith("realtime.kvm: ")
    assert reserved(node) == {}


@pytest.mark.parametrize(
    ("closed", "event", "text"),
    [
        ("its boot is not as planned", "guest-refused", "plc1: its boot is not as planned"),
        ("", "guest-admitted", "plc1 starts on CPUs 2"),
    ],
)
def test_a_start_is_told_once_with_guest_and_cpus(node, monkeypatch, closed, event, text):
    told = []
    monkeypatch.setattr(_hook, "log", told.append)
    monkeypatch.setattr(_hook, "why_closed", lambda _host, _cpus: closed)
    assert run_hook(["plc1", "prepare"], xml("2", policy="fifo")).startswith("realtime.kvm: plc1: " if closed else "")
    assert [(line.event.name, line.fields["GUEST"], line.fields["CPUS"]) for line in told] == [(event, ("plc1",), ("2",))]
    assert told[0].startswith(text)


def test_a_guest_that_runs_already_goes_on_and_the_log_says_what_is_missing(node, monkeypatch):
    said = []
    monkeypatch.setattr(syslog, "syslog", lambda _level, text: said.append(text))
    fill(node, cgroup(f"{ROOT}/other.slice", "1-3", "member"))
    runs(node, "plc1", 0, "2")
    assert run_hook(["plc1", "started"], xml("2")) == ""
    assert len(said) == 1
    assert said[0].startswith("realtime.kvm: plc1 started: ")


def nova_xml(pins, emulator, io=""):
    """Pins as OpenStack's Nova writes them."""
    text = "".join(f"<vcpupin vcpu='{vcpu}' cpuset='{cpus}'/>" for vcpu, cpus in enumerate(pins))
    text += f"<emulatorpin cpuset='{emulator}'/>" + (f"<iothreadpin iothread='1' cpuset='{io}'/>" if io else "")
    return f"<domain><cputune>{text}</cputune></domain>"


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        (nova_xml(["2"], "3", "3"), "2-3"),  # isolate: the emulator has a CPU of its own
        (nova_xml(["2"], "0"), "2"),  # share
        (nova_xml(["0", "2"], "0"), "2"),  # mixed
        (nova_xml(["2", "3"], "2-3"), "2-3"),  # no policy
        (nova_xml(["2"], "0-3"), "2"),  # share, from a set that has shrunk since
    ],
)
def test_an_emulator_with_cpus_of_its_own_gets_them_from_the_holder_too(node, text, cpus):
    assert run_hook(["instance-0000001a", "prepare"], text) == ""
    assert reserved(node) == {"guest instance-0000001a": cpus}


def test_an_emulators_cpu_in_use_refuses_the_start_by_name(node):
    runs(node, "plc2", 0, "3")
    assert "in use: CPU 3 by plc2 vcpu0" in run_hook(["instance-0000001a", "prepare"], nova_xml(["2"], "3"))
    assert reserved(node) == {}


@pytest.mark.parametrize(
    ("vcpus", "emulator", "after", "free"),
    [
        (["2"], "3", "3", [1]),  # isolate: it keeps its own CPU, which no holder has
        (["2"], "0", "0", [1, 3]),
        (["2", "3"], "2-3", "0", [1]),  # no policy: off its own vCPUs' CPUs
        (["2", "3"], "3", "0", [1]),  # no policy, real-time with a mask
    ],
)
def test_the_emulator_of_an_instance_runs_where_the_partition_says(node, vcpus, emulator, after, free):
    run_hook(["instance-0000001a", "prepare"], nova_xml(vcpus, emulator))
    for number, cpus in enumerate(vcpus):
        runs(node, "instance-0000001a", number, cpus)
    scope = SCOPE.format("instance-0000001a")
    fill(
        node, {**cgroup(f"{scope}/emulator", emulator, threads="70\n"), **cgroup(f"{scope}/iothread1", emulator, threads="71\n")}
    )
    assert run_hook(["instance-0000001a", "started"], nova_xml(vcpus, emulator)) == ""
    for name in ("emulator", "iothread1"):
        assert Path(f"{node}{scope}/{name}/cpuset.cpus").read_text().strip() == after
        assert Path(f"{node}{scope}/{name}/cpuset.cpus.partition").read_text().strip() == "member"
    assert held(node) == {"realtime": free}
    before = snapshot(node)
    assert run_hook(["instance-0000001a", "started"], nova_xml(vcpus, emulator)) == ""
    assert snapshot(node) == before, "the second time changes nothing"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["plc1", "prepare"], xml("0")),  # no isolated CPU
        (["plc1", "prepare"], "<domain/>"),
        (["plc1", "stopped"], xml("2")),
    ],
)
def test_there_is_nothing_to_do(node, arguments, text):
    before = snapshot(node)
    assert run_hook(arguments, text) == ""
    assert snapshot(node) == before


@pytest.mark.parametrize("files", [{}, document("boot")], ids=["no document", "isolated by the boot"])
@pytest.mark.parametrize("operation", ["prepare", "started", "release"])
def test_an_ordinary_guest_on_a_node_that_is_not_isolated_at_run_time_is_left_alone(tmp_path, monkeypatch, files, operation):
    fill(tmp_path, {**machine_files(), **files})
    monkeypatch.setattr(_hook, "Host", lambda **options: Host(str(tmp_path), **options))
    before = snapshot(tmp_path)
    assert run_hook(["plc1", operation], xml("2")) == ""
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("isolation", ["runtime", "boot"])
@pytest.mark.parametrize(("operation", "moved"), [("started", [50]), ("prepare", []), ("release", [])])
def test_kvms_worker_is_placed_once_the_guest_has_started(node, monkeypatch, isolation, operation, moved):
    """In both modes: libvirt starts guests by itself too, at boot for example."""
    fill(
        node,
        {**document(isolation), "/run/libvirt/qemu/plc1.pid": "50\n", "/proc/50/task/": None, "/run/libvirt/qemu/plc2.pid": "\n"},
    )
    calls = []
    monkeypatch.setattr(_hook, "settle_workers", lambda _host, pid: not calls.append(pid))
    for guest in ("plc1", "plc2", "plc3"):
        assert run_hook([guest, operation, "begin", "-"], xml()) == ""
    assert calls == moved


def test_kvms_worker_of_a_guest_that_starts_paused_is_waited_for_by_a_unit(node, monkeypatch):
    """Nova starts its instances paused, and lets them go on when Neutron has their ports."""
    fill(node, {**document("boot"), "/run/libvirt/qemu/plc1.pid": "50\n", "/proc/50/task/": None})
    ran, waited = [], []
    monkeypatch.setattr(_hook, "settle_workers", lambda _host, _pid: False)
    monkeypatch.setattr(_hook.subprocess, "run", lambda command, **_options: ran.append(command))
    assert run_hook(["plc1", "started", "begin", "-"], xml()) == ""
    assert (ran[0][0], ran[0][-2:]) == ("systemd-run", ["worker", "50"])
    assert {"--no-block", "--collect"} <= set(ran[0])
    monkeypatch.setattr(_hook, "await_worker", lambda _host, pid: waited.append(pid))
    run_worker(50)
    assert waited == [50]


@pytest.mark.parametrize("error", [FileNotFoundError("systemd-run"), subprocess.TimeoutExpired("systemd-run", 10)])
def test_a_unit_that_cannot_start_stops_no_guest(node, monkeypatch, error):
    fill(node, {**document("boot"), "/run/libvirt/qemu/plc1.pid": "50\n", "/proc/50/task/": None})
    logged = []

    def fail(_command, **_options):
        raise error

    monkeypatch.setattr(_hook, "settle_workers", lambda _host, _pid: False)
    monkeypatch.setattr(_hook.subprocess, "run", fail)
    monkeypatch.setattr(syslog, "syslog", lambda _level, text: logged.append(text))
    assert run_hook(["plc1", "started", "begin", "-"], xml()) == ""
    assert "systemd-run" in logged[0]


@pytest.mark.parametrize("name", ["..", ".", "ovs-vswitchd", "switch", "plc1.moves", "a b", "g" * 250, "\u00e9" * 120])
def test_a_guest_may_have_any_name(node, name):
    """Reservations are no files of the guest's name, and a guest is not taken for the switch."""
    before = snapshot(node)
    assert run_hook([name, "prepare"], xml("2")) == ""
    assert held(node) == {"realtime": [1, 3]}
    run_switch("stopped")
    assert held(node) == {"realtime": [1, 3]}, "the switch gives up its own reservation alone"
    assert run_hook([name, "release"], xml("2")) == ""
    assert held(node) == {"realtime": [1, 2, 3]}
    assert set(snapshot(node)) - set(before) <= {"/run/realtime-kvm"}


def test_a_start_waits_for_a_module_that_moves_cpus_and_names_it(node, monkeypatch):
    monkeypatch.setattr("ansible_collections.realtime.kvm.plugins.module_utils._host.locks.WAIT_S", 0.1)
    with writable(node, "cpu_partition").locked():
        refusal = run_hook(["plc1", "prepare"], xml("2"))
    assert "is locked by process " in refusal
    assert "(cpu_partition) since " in refusal
    assert (reserved(node), held(node)) == ({}, {"realtime": [1, 2, 3]})
    assert run_hook(["plc1", "prepare"], xml("2")) == ""


def test_a_hook_that_is_killed_anywhere_is_completed_by_the_end_of_the_guest(node):
    step = 0
    while killed_at(step, lambda: run_hook(["plc1", "prepare"], xml("2")), node):
        assert run_hook(["plc1", "release"], xml("2")) == ""
        assert (reserved(node), held(node)) == ({}, {"realtime": [1, 2, 3]}), f"killed before step {step}"
        step += 1
    assert step > 3


def test_a_damaged_journal_keeps_no_guest_from_starting(node):
    fill(node, {JOURNAL: "{"})
    assert run_hook(["plc1", "prepare"], xml("2")) == ""
    assert held(node) == {"realtime": [1, 3]}


def test_the_script_is_python_without_the_environment_and_does_nothing_without_its_archive():
    assert 'exec /usr/bin/python3 -I /a hook "$@"' in hook_text("/a")
    assert "if test -e /a; then" in hook_text("/a")
    assert HOOK.startswith("/etc/libvirt/hooks/qemu.d/")


# -- the gate of real-time guests ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "real"),
    [
        (xml("2"), False),
        (xml("2", policy="fifo"), True),
        (xml("2", policy="rr"), True),
        (xml("2", policy="batch"), False),
        ("<domain><cputune><emulatorsched scheduler='fifo' priority='1'/></cputune></domain>", True),
        ("<domain/>", False),
        ("<domain><vcpusched scheduler='fifo'/></domain>", False),
    ],
)
def test_real_time_guests_are_known_by_their_policies(text, real):
    assert is_realtime(text) is real


@pytest.fixture(name="booted")
def _booted(tmp_path, monkeypatch):
    """A node that is isolated by its boot: 1-3 are realtime."""
    monkeypatch.setattr(_hook, "Host", lambda **options: Host(str(tmp_path), **options))
    made = {BOOT_STATE: '{"cpu_partition": ""}'}
    return fill(tmp_path, {**machine_files(isolated="1-3"), **document("boot"), **made, "/var/lib/": None, "/run/": None})


REAL = xml("2", policy="fifo")


def test_a_real_time_guest_starts_on_a_node_that_is_as_documented(booted):
    before = snapshot(booted)
    assert run_hook(["plc1", "prepare"], REAL) == ""
    assert snapshot(booted) == before


STALE = {DOCUMENT: json.dumps(to_document(plan(cores=2)))}


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"/sys/devices/system/cpu/isolated": "\n"}, "the running kernel does not isolate CPUs 1-3 (isolated: none)"),
        ({"/sys/devices/system/cpu/isolated": "1,3\n"}, "the running kernel does not isolate CPUs 2 (isolated: 1,3)"),
        ({config_path("kernel_arguments"): '{"default_kernel": "*-rt-*", "tokens": []}',
          "/proc/sys/kernel/osrelease": "6.1.0-50-amd64\n"}, "the running kernel is 6.1.0-50-amd64, not one of *-rt-*"),
        ({config_path("kernel_arguments"): "{"}, "/etc/realtime-kvm/kernel_arguments.json is damaged"),
        (STALE, "the partition file describes another topology"),
        ({DOCUMENT: "{"}, f"{DOCUMENT}: "),
        ({BOOT_STATE: '{"cpu_partition": "no room"}'}, "the boot service did not make the values of cpu_partition: no room"),
        ({BOOT_STATE: "{"}, "the boot service did not make the values of cpu_partition: /run/realtime-kvm/boot.json is damaged"),
    ],
)  # fmt: skip
def test_no_real_time_guest_starts_on_a_node_that_is_not_as_documented(booted, monkeypatch, files, why):
    fill(booted, files)
    refusal = run_hook(["plc1", "prepare"], REAL)
    assert refusal.startswith(f"realtime.kvm: plc1: {why}")
    assert f"To start real-time guests in this boot even so: {ALLOW}" in refusal
    assert run_hook(["hmi", "prepare"], xml("0")) == "", "ordinary guests start"
    assert run_hook(["hmi", "prepare"], xml("2")) == ""
    assert run_hook(["plc1", "release"], REAL) == "", "a guest that runs goes on, and ends"
    said = []
    monkeypatch.setattr(syslog, "syslog", lambda _level, text: said.append(text))
    fill(booted, {OVERRIDE: ""})
    assert run_hook(["plc1", "prepare"], REAL) == ""
    assert said[0].startswith(f"realtime.kvm: plc1 starts, since {OVERRIDE} allows it, although {why}")


@pytest.mark.parametrize(
    "files",
    [
        {"/sys/devices/system/cpu/isolated": "2\n"},  # a partition that grows with the next boot; this guest has its CPU
        {config_path("kernel_arguments"): '{"default_kernel": null, "tokens": []}'},
        {BOOT_STATE: '{"cpu_partition": "", "irq_affinity": "no room", "journal": "no room"}'},
        {BOOT_STATE: '{"cpu_partition": "no room"}', config_path("cpu_partition"): '{"rt_throttling": "kernel"}'},  # made since
    ],
)
def test_what_harms_no_other_work_keeps_no_guest_off(booted, files):
    fill(booted, files)
    assert run_hook(["plc1", "prepare"], REAL) == ""


def test_a_real_time_guest_without_pins_needs_every_isolated_cpu(booted):
    fill(booted, {"/sys/devices/system/cpu/isolated": "2\n"})
    assert "does not isolate CPUs 1,3" in run_hook(["plc1", "prepare"], xml(policy="fifo"))


FIFO = "scheduler='fifo' priority='1'/>"


@pytest.mark.parametrize("node_is", ["isolated by its boot", "isolated at run time"])
@pytest.mark.parametrize(
    ("text", "outside"),
    [
        (xml("0", policy="fifo"), "0"),
        (xml("0-2", policy="fifo"), "0"),
        (xml(policy="rr"), "0"),  # no pin: any CPU
        (f"<domain><vcpu cpuset='0'>2</vcpu><cputune><vcpusched vcpus='0' {FIFO}</cputune></domain>", "0"),
        (f"<domain><cputune><vcpupin vcpu='1' cpuset='2'/><vcpusched vcpus='0-1' {FIFO}</cputune></domain>", "0"),
        (f"<domain><cputune><vcpupin vcpu='0' cpuset='2'/><emulatorpin cpuset='0'/><emulatorsched {FIFO}</cputune></domain>", "0"),
        (f"<domain><cputune><vcpupin vcpu='0' cpuset='2'/><emulatorsched {FIFO}</cputune></domain>", "0"),
        (f"<domain><cputune><iothreadpin iothread='2' cpuset='2'/><iothreadsched iothreads='1-2' {FIFO}</cputune></domain>", "0"),
        # CPU 0 serves ordinary threads only
        (f"<domain><cputune><vcpupin vcpu='0' cpuset='0'/><vcpupin vcpu='1' cpuset='2'/><vcpusched vcpus='1' {FIFO}</cputune></domain>", ""),
        (f"<domain><vcpu cpuset='2-3'>1</vcpu><cputune><vcpusched vcpus='0' {FIFO}<emulatorpin cpuset='0'/></cputune></domain>", ""),
        (f"<domain><cputune><emulatorpin cpuset='3'/><emulatorsched {FIFO}</cputune></domain>", ""),
        (f"<domain><cputune><iothreadpin iothread='1' cpuset='3'/><iothreadsched iothreads='1' {FIFO}</cputune></domain>", ""),
    ],
)  # fmt: skip
def test_a_real_time_thread_on_a_cpu_of_the_nodes_own_work_keeps_its_guest_off(request, node_is, text, outside):
    root = request.getfixturevalue("booted" if node_is == "isolated by its boot" else "node")
    fill(root, {BOOT_STATE: '{"cpu_partition": ""}'})
    refusal = run_hook(["plc1", "prepare"], text)
    if outside:
        assert refusal.startswith(
            f"realtime.kvm: plc1: its real-time threads may run on CPUs {outside}, which serve the node's own work. Pin each"
        )
        assert refusal.endswith(f"touch {OVERRIDE}")
        assert reserved(root) == {}
        fill(root, {OVERRIDE: ""})
        assert run_hook(["plc1", "prepare"], text) == ""
    else:
        assert refusal == ""


def test_a_node_that_isolates_nothing_has_the_kernels_own_limits_and_keeps_no_guest_off(booted):
    fill(booted, {DOCUMENT: json.dumps(to_document(plan(Intent(realtime="0"))))})
    assert run_hook(["plc1", "prepare"], xml("0", policy="fifo")) == ""


def test_on_a_node_isolated_at_run_time_the_gate_comes_before_any_move(node):
    fill(
        node, {BOOT_STATE: '{"cpu_partition": "no room"}', config_path("cpu_partition"): "{}", "/proc/sys/vm/stat_interval": "1"}
    )
    assert "did not make the values of cpu_partition: no room" in run_hook(["plc1", "prepare"], REAL)
    assert (reserved(node), held(node)) == ({}, {"realtime": [1, 2, 3]})
    fill(node, {OVERRIDE: ""})
    assert run_hook(["plc1", "prepare"], REAL) == ""
    assert held(node) == {"realtime": [1, 3]}


def test_no_cpu_is_moved_by_a_document_of_another_topology(node):
    fill(node, {DOCUMENT: json.dumps(to_document(plan(Intent(isolation="runtime"), cores=3)))})
    before = held(node)
    assert run_hook(["hmi", "prepare"], xml("2")).startswith("realtime.kvm: the partition file describes another topology")
    run_hook(["plc1", "release"], xml("2"))
    run_switch("starting")
    assert (reserved(node), held(node)) == ({}, before)


def test_xml_that_cannot_be_read_is_refused(booted):
    assert run_hook(["plc1", "prepare"], "<domain").startswith("realtime.kvm: ")


VHOST = "<metadata><r:guest xmlns:r='https://github.com/realtime-kvm/realtime.kvm/guest' vhost='{}' vhost_scheduler='fifo 1'/></metadata></domain>"


@pytest.mark.parametrize(
    ("place", "operation", "moved"),
    [
        ("vcpu0", "started", [(50, "vcpu0", "fifo 1")]),
        ("emulator", "started", [(50, "emulator", "fifo 1")]),
        ("../x", "started", []),
        ("vcpu0", "prepare", []),
    ],
)
def test_vhost_threads_are_placed_once_the_guest_has_started(node, monkeypatch, place, operation, moved):
    fill(node, {**document("boot"), "/run/libvirt/qemu/plc1.pid": "50\n", "/proc/50/task/": None})
    calls = []
    monkeypatch.setattr(_hook, "settle_workers", lambda _host, _pid: True)
    monkeypatch.setattr(_hook, "settle_vhost", lambda _host, *arguments: calls.append(arguments))
    for guest in ("plc1", "plc2"):
        assert run_hook([guest, operation, "begin", "-"], xml().replace("</domain>", VHOST.format(place))) == ""
    assert run_hook(["plc1", operation, "begin", "-"], xml()) == "", "nor a guest that does not tell"
    assert calls == moved


def test_a_vhost_thread_that_the_kernel_does_not_move_stops_no_guest_and_leaves_the_rest_its_place(node, monkeypatch):
    fill(node, {**document("boot"), "/run/libvirt/qemu/plc1.pid": "50\n", "/proc/50/task/": None})
    logged, calls = [], []

    def fail(_host, *_arguments):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(_hook, "settle_vhost", fail)
    monkeypatch.setattr(_hook, "settle_workers", lambda _host, pid: not calls.append(pid))
    monkeypatch.setattr(syslog, "syslog", lambda _level, text: logged.append(text))
    assert run_hook(["plc1", "started", "begin", "-"], xml().replace("</domain>", VHOST.format("vcpu0"))) == ""
    assert (calls, len(logged)) == ([50], 1)
    assert "plc1: vhost threads stay where the kernel made them: [Errno 22]" in logged[0]


# -- virtual functions -----------------------------------------------------------------------------


@pytest.fixture(name="functions")
def _functions(tmp_path, monkeypatch):
    functions = Functions(tmp_path)
    functions.make(2)
    monkeypatch.setattr(_hook, "Host", lambda **options: Host(str(tmp_path), **options))

    def run(command, **_options):
        code, out, err = functions.runner(command)
        return subprocess.CompletedProcess(command, code, out, err)

    monkeypatch.setattr(_hook.subprocess, "run", run)
    return functions


def test_a_guest_s_virtual_function_has_its_settings_before_it_starts(functions):
    text = domain_of("plc1", vf(1), trust="on", rate="500", spoof_check="off")
    assert run_hook(["plc1", "prepare", "begin", "-"], text) == ""
    assert functions.commands == [f"ip link set ens1f0 vf 1 {words}" for words in ("trust on", "max_tx_rate 500", "spoofchk off")]
    assert run_hook(["plc1", "prepare", "begin", "-"], domain_of("plc1", vf(1), NIC)) == ""
    assert len(functions.commands) == 3


def test_a_driver_that_refuses_a_setting_keeps_the_guest_off(functions):
    functions.refuse = {"trust": "RTNETLINK answers: Operation not supported\n"}
    said = run_hook(["plc1", "prepare", "begin", "-"], domain_of("plc1", vf(0), trust="on"))
    assert (
        said
        == f"realtime.kvm: plc1: ens1f0 refuses trust on for its virtual function {vf(0)}: RTNETLINK answers: Operation not supported"
    )
    functions.make(0)
    said = run_hook(["plc1", "prepare", "begin", "-"], domain_of("plc1", vf(0), trust="on"))
    assert said == f"realtime.kvm: plc1: its virtual function {vf(0)} is not there, or its physical function has no interface"


def test_a_rate_waits_for_the_link_and_the_guest_does_not(functions, monkeypatch):
    logged = []
    monkeypatch.setattr(syslog, "syslog", lambda _level, text: logged.append(text))
    functions.refuse = {"max_tx_rate": "RTNETLINK answers: Invalid argument\n"}
    text = domain_of("plc1", vf(0), rate="500", trust="on")
    assert "refuses rate 500" in run_hook(["plc1", "prepare", "begin", "-"], text)
    fill(functions.root, {f"{functions.folder(NIC)}/net/ens1f0/carrier": "0\n"})
    assert run_hook(["plc1", "prepare", "begin", "-"], text) == ""
    assert logged[0].startswith("realtime.kvm: plc1: ens1f0 refuses rate 500"), "of the start that was refused"
    assert "it has no link now, so the guest starts without a limit" in logged[1]
