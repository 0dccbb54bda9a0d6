# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module rt_latency as Ansible runs it on this machine, without systemd and with stand-ins for tools and load (unit.measuring).

That the transient unit ends with all that is in it is systemd's part; the integration tests see to it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import datetime

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import SETS, Partition
from ansible_collections.realtime.kvm.plugins.module_utils._guests.libvirt import Libvirt
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.sysfs import read_topology
from ansible_collections.realtime.kvm.plugins.module_utils._latency import choice as _latency_choice
from ansible_collections.realtime.kvm.plugins.module_utils._latency import job as _latency_job
from ansible_collections.realtime.kvm.plugins.module_utils._latency import machine as _latency_machine
from ansible_collections.realtime.kvm.plugins.module_utils._latency.machine import Agent
from ansible_collections.realtime.kvm.plugins.module_utils._latency.verdict import LatencyError
from ansible_collections.realtime.kvm.plugins.module_utils._module import rt_latency as body
from ansible_collections.realtime.kvm.plugins.modules import rt_latency
from unit.hostile import VALUES, variants
from unit.libvirt_names import libvirt_names
from unit.measuring import CYCLICTEST, STRESS, FakeAgent, install, processes, use_folder
from unit.trees import fill, task
from waiting import wait_until

ONLINE = sorted(os.sched_getaffinity(0))
pytestmark = pytest.mark.skipif(
    len(ONLINE) < 2 or ONLINE[0] != 0 or not shutil.which("taskset"), reason="needs CPU 0, a second one, and taskset"
)

DOMAIN = """<domain type='kvm'><name>plc1</name><vcpu>2</vcpu>
<cputune><vcpupin vcpu='0' cpuset='1'/><vcpupin vcpu='1' cpuset='0'/><emulatorpin cpuset='1'/>{scheduler}</cputune></domain>"""
REALTIME = "<vcpusched vcpus='0' scheduler='fifo' priority='1'/>"


def partition(**sets):
    """A partition file of this machine."""
    known = {name: frozenset(sets.get(name, ())) for name in SETS}
    known["housekeeping"] = frozenset(sets.get("housekeeping", ONLINE)) - frozenset().union(
        *(known[n] for n in SETS if n != "housekeeping")
    )
    return to_document(
        Partition(
            "boot",
            "together",
            read_topology(Host()).digest(),
            known,
            frozenset(),
            {0: frozenset().union(*known.values())},
            min(known["housekeeping"], default=0),
        )
    )


@pytest.fixture(name="folder")
def _folder(tmp_path, monkeypatch):
    """Where the measurement keeps its files; everything that it started is gone in the end."""
    folder = tmp_path / "kvm" / "latency"
    use_folder(monkeypatch, folder)
    monkeypatch.setattr(_latency_job, "SETTLE_S", 0.2)
    programs = tmp_path / "programs"
    install(programs, cyclictest=CYCLICTEST, stress_ng=STRESS)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    seen = body.ask
    monkeypatch.setattr(body, "ask", lambda machine: {key: value for key, value in seen(machine).items() if key != "systemd"})
    # what else runs on this machine is none of the tests' business; test_cpus_that_a_program_is_on_are_not_measured has its own
    monkeypatch.setattr(_latency_choice, "occupants", lambda _host, _isolated: {})
    yield folder
    assert wait_until(lambda: processes(folder) == [], 20), processes(folder)


@pytest.fixture(name="call")
def _call(capsys, folder):
    del folder

    def call(*, check=False, **arguments):
        with (
            patch_module_args({"cpus": "0", "seconds": 1, **arguments, "_ansible_check_mode": check}),
            pytest.raises(SystemExit) as stopped,
        ):
            rt_latency.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        result = json.loads(out)
        assert bool(result.get("failed")) == (stopped.value.code != 0)
        assert result["changed"] is False
        return result

    return call


@pytest.fixture(name="refuse")
def _refuse(call, folder):
    def refuse(**arguments):
        result = call(**arguments)
        assert result.get("failed"), result
        assert not folder.exists()
        return result["msg"]

    return refuse


# -- runs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [False, True])
def test_a_run_ends_in_a_result_and_leaves_nothing(call, folder, monkeypatch, text):
    if text:
        monkeypatch.setenv("FAKE_TEXT", "1")  # a cyclictest that writes no JSON
    monkeypatch.setattr(_latency_choice, "_virtual", lambda _place: False)
    result = call(host="n1")
    assert result["finished"]
    run = result["result"]
    assert (run["host"], run["guest"], run["tool"], run["profile"], run["seconds"], run["cpus"]) == (
        "n1",
        None,
        "cyclictest",
        "custom",
        1,
        [0],
    )
    assert run["verdict"] == {"result": "pass", "virtual": False, "reasons": []}
    assert (run["max_us"], run["limit_us"]) == (9, 40)
    assert run["per_cpu"] == [{"cpu": 0, "min_us": 3, "avg_us": 3 if text else 3.5, "max_us": 9, "samples": 4990, "overflows": 0}]
    assert run["histogram"] == {"bucket_us": 1, "counts": {"3": {"0": 4990}}}
    assert run["environment"]["kernel"] == os.uname().release
    assert run["environment"]["tool_version"] == "2.40"
    assert run["environment"]["arguments"]
    assert (
        f"--taskset {format_cpulist(set(ONLINE) - {0})}" in run["environment"]["load"]
        or "--taskset" in run["environment"]["load"]
    )
    assert not folder.exists()
    assert processes(folder) == []


def test_the_verdict_is_kept_for_the_node_s_metrics(call, monkeypatch):
    kept = []
    monkeypatch.setattr(body, "keep_latency", lambda host, result, ended: kept.append((host.root, result["max_us"], ended)))
    result = call()["result"]
    ((root, top, ended),) = kept
    assert (root, top) == ("", result["max_us"])
    assert ended == datetime.fromisoformat(result["started"].replace("Z", "+00:00")).timestamp() + 1


def test_a_verdict_that_cannot_be_kept_is_no_failure(call, monkeypatch):
    def full(*_rest):
        raise HostError("/var/lib/realtime-kvm/latency.json cannot be written: No space left on device")

    monkeypatch.setattr(body, "keep_latency", full)
    assert call()["finished"]


def test_a_latency_above_the_limit_fails(call, monkeypatch):
    monkeypatch.setenv("FAKE_MAX", "41")
    assert call()["result"]["verdict"]["result"] == "fail"
    assert call(limit_us=41)["result"]["verdict"]["result"] != "fail"


def test_check_mode_says_what_would_run_and_runs_nothing(call, folder):
    result = call(check=True, profile="certify", seconds=None, partition=partition(realtime=[0]))
    assert not result["finished"]
    assert "-D 43200 " in " ".join(result["command"])
    assert result["load_command"][0] == "stress-ng"
    assert result["seconds"] == 12 * 3600
    assert not folder.exists()


def test_started_polled_and_removed(call, folder, monkeypatch, tmp_path):
    monkeypatch.setenv("FAKE_END", str(tmp_path / "end"))
    begun = call(state="started", seconds=3000)
    assert begun["running"]
    assert not begun["finished"]
    assert wait_until(lambda: any("sleep 300" in line for line in processes(folder)))  # the stand-in for load
    again = call(state="started", seconds=3000)  # the same: joined
    assert again["running"]
    assert call(check=True, state="started", seconds=3000)["running"]
    for check in (False, True):
        assert "already runs (cyclictest on CPUs 0, 3000 s)" in call(check=check, state="started", seconds=5)["msg"]
    early = call(state="polled")
    assert (early["running"], early["finished"], early["minutes_left"]) == (True, False, 50)
    (tmp_path / "end").touch()
    assert wait_until(lambda: call(state="polled")["finished"])
    first, second = call(state="polled")["result"], call(state="polled")["result"]
    assert first == second
    assert first["per_cpu"]
    call(state="absent")
    assert not folder.exists()
    assert "no measurement runs or has run here" in call(state="polled")["msg"]


def test_absent_in_check_mode_leaves_it_running(call, folder):
    call(state="started", seconds=30)
    assert call(state="absent", check=True)["running"]
    assert wait_until(lambda: processes(folder))
    call(state="absent")
    assert processes(folder) == []


# -- interrupted -----------------------------------------------------------------------------------


def main_process(folder):
    return int((folder / "pid").read_text())


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_a_measurement_whose_processes_are_killed_is_inconclusive(call, folder, sent):
    call(state="started", seconds=60)
    assert wait_until(lambda: any("cyclictest" in line for line in processes(folder)))
    os.kill(main_process(folder), sent)
    assert wait_until(lambda: processes(folder) == [], 20), "the load or the tool outlives its script"
    verdict = call(state="polled")["result"]["verdict"]
    assert verdict["result"] == "inconclusive"
    assert "interrupted: " in " ".join(verdict["reasons"])


def test_a_measurement_that_nobody_asks_after_ends(call, folder):
    call(state="started", seconds=60, lease=6)
    assert wait_until(lambda: any("cyclictest" in line for line in processes(folder)))
    assert wait_until(lambda: processes(folder) == [], 25)
    result = call(state="polled")
    assert result["finished"]
    assert "no run waited for it any more" in result["summary"]


def test_a_module_that_is_killed_takes_its_measurement_along(folder):
    """The real process, killed as nobody can prevent."""
    command = f"""
import sys
sys.path[:0] = {sys.path!r}
from ansible.module_utils.testing import patch_module_args
from ansible_collections.realtime.kvm.plugins.module_utils._latency import job, machine
from ansible_collections.realtime.kvm.plugins.module_utils._module import rt_latency as body
from ansible_collections.realtime.kvm.plugins.modules import rt_latency
job.DIRECTORY = machine.DIRECTORY = {str(folder)!r}
seen = body.ask
body.ask = lambda machine: {{key: value for key, value in seen(machine).items() if key != "systemd"}}
with patch_module_args({{"cpus": "0", "seconds": 120, "lease": 4}}):
    rt_latency.main()
"""
    process = subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.DEVNULL)
    assert wait_until(lambda: any("cyclictest" in line for line in processes(folder)))
    first = int((folder / "lease").read_text())
    assert wait_until(lambda: int((folder / "lease").read_text()) > first + 1), "who waits for a measurement prolongs its lease"
    assert any("cyclictest" in line for line in processes(folder))
    process.kill()
    process.wait(10)
    assert wait_until(lambda: processes(folder) == [], 25)


def test_load_that_ends_early_is_told(call, monkeypatch):
    monkeypatch.setenv("FAKE_LOAD_ENDS", "1")
    verdict = call()["result"]["verdict"]
    assert verdict["result"] == "inconclusive"
    assert "the load ended before the measurement did" in " ".join(verdict["reasons"])


def test_a_tool_that_fails_is_an_error_in_its_words(call, folder, monkeypatch):
    monkeypatch.setenv("FAKE_ERROR", "WARN: could not set priority: Operation not permitted")
    assert "cyclictest ended with exit code 1: WARN: could not set priority: Operation not permitted" in call()["msg"]
    shutil.rmtree(folder, ignore_errors=True)


def test_damaged_notes_are_named(call, folder):
    folder.mkdir(parents=True)
    (folder / "job.json").write_text("{")
    assert "job.json is damaged" in call(state="polled")["msg"]
    call(state="absent")
    assert not folder.exists()


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["cyclictest", "stress-ng", "oslat"])
def test_a_missing_program_is_named_with_its_package(refuse, monkeypatch, missing):
    monkeypatch.setattr(
        _latency_choice, "locate", lambda _machine, programs: {name: name for name in programs if name != missing}
    )
    message = refuse(host="n1", tool="oslat" if missing == "oslat" else "cyclictest")
    package = "stress-ng" if missing == "stress-ng" else "rt-tests (Debian, Ubuntu) or realtime-tests (RHEL)"
    assert f"n1: {missing} is not installed; install the package {package}" in message
    assert ("load: none" in message) == (missing == "stress-ng")


def test_all_that_is_missing_is_returned_with_what_would_run(call, monkeypatch):
    monkeypatch.setattr(_latency_choice, "locate", lambda _machine, _programs: {})
    for check in (False, True):
        refused = call(_ansible_check_mode=check)
        assert refused["failed"]
        assert refused["lacks"] == ["cyclictest", "taskset", "stress-ng"]
        assert "cyclictest" in refused["command"]
        assert refused["load_command"][0] == "stress-ng"
        assert refused["msg"].count("rt-tests (Debian, Ubuntu)") == 1


def test_a_measurement_above_the_limit_is_refused_as_such_although_programs_are_missing(call, monkeypatch):
    monkeypatch.setattr(_latency_choice, "locate", lambda _machine, _programs: {})
    refused = call(max_disruption="none")
    assert refused["msg"].startswith("max_disruption: the limit is none, but the plan needs more: measurement with cyclictest")
    assert "lacks" not in refused


def test_a_missing_tracer_is_named(refuse, monkeypatch):
    seen = body.ask
    monkeypatch.setattr(
        body, "ask", lambda machine: {**seen(machine), "/sys/kernel/tracing/available_tracers": "blk function nop"}
    )
    monkeypatch.setattr(_latency_choice, "locate", lambda _machine, programs: {name: name for name in programs})
    assert "has no timerlat tracer, which timerlat needs (its tracers: blk function nop)" in refuse(tool="timerlat")
    assert "has no osnoise tracer, which hwnoise needs" in refuse(tool="hwnoise")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cpus": "0-"}, "cpus: "),
        ({"cpus": "4095"}, "cpus: CPUs 4095 are not online"),
        ({"cpus": format_cpulist(ONLINE)}, "so none is left for the load; measure fewer, or set load: none"),
        ({"cpus": None}, "there is no partition on this node"),
        ({"cpus": None, "partition": partition()}, "cpu_set: the set realtime of "),
        ({"seconds": -1}, "seconds: -1 is not a duration"),
        ({"limit_us": -3}, "limit_us: -3"),
        ({"profile": "certify", "seconds": None, "load": "none"}, "load: certify measures under load"),
        ({"cpus": None, "platform": {"virtual": False}, "guest": "plc1"}, "cpus: guest plc1 isolates no CPU"),
    ],
)
def test_refusals(refuse, arguments, message):
    assert message in refuse(**arguments)


def test_cpus_that_a_program_is_on_are_not_measured(call, refuse, folder, monkeypatch, tmp_path):
    last = ONLINE[-1]
    machine = fill(tmp_path / "machine", task("/proc/50/task/50", "controller", allowed=str(last)))
    monkeypatch.setattr(
        _latency_choice, "occupants", lambda _host, isolated: _latency_machine.occupants(Host(str(machine)), isolated)
    )
    document = partition(realtime=[last])
    message = refuse(cpus=str(last), partition=document)
    assert f"CPUs {last} are in use ({last}: controller (pid 50))" in message
    assert "are in use" in refuse(cpus=None, partition=document)  # none is left of the set
    assert call(check=True, cpus=str(last), partition=document, occupied=True)["cpus"] == str(last)
    shutil.rmtree(machine / "proc")
    assert call(check=True, cpus=None, partition=document)["cpus"] == str(last)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "it makes load"),
        ({"tool": "hwnoise", "load": "none"}, "hwnoise stops the CPUs that it measures"),
        ({"tool": "hwlatdetect", "load": "none"}, "hwlatdetect stops the CPUs that it measures"),
        ({"cpus": "2", "load": "none", "occupied": True}, "CPUs 2 are in use"),
    ],
)
def test_a_measurement_that_stalls_is_refused_where_no_stall_is_allowed(call, folder, monkeypatch, arguments, reason):
    seen = body.ask
    monkeypatch.setattr(body, "ask", lambda machine: {**seen(machine), "/sys/devices/system/cpu/online": "0-3"})
    monkeypatch.setattr(_latency_choice, "occupants", lambda _host, isolated: dict.fromkeys(isolated & {2}, "CPU 0/KVM (pid 7)"))
    monkeypatch.setattr(_latency_choice, "_check_programs", lambda _place, _job: ("1", False))
    for state in ("started", "measured"):
        for check in (True, False):
            result = call(
                check=check,
                state=state,
                partition=partition(realtime=[2, 3], housekeeping=[0, 1]),
                max_disruption="none",
                **arguments,
            )
            assert "max_disruption: the limit is none, but the plan needs more: measurement with" in result["msg"]
            assert (result["disruption"], result["changes"][0]["reason"]) == ("stall", reason)
    assert not folder.exists()
    assert not call(
        check=True, partition=partition(realtime=[2, 3], housekeeping=[0, 1]), max_disruption="stall", **arguments
    ).get("failed")


@pytest.mark.parametrize("occupied", [False, True])
def test_a_measurement_of_free_cpus_without_load_disturbs_nothing(call, occupied):
    result = call(check=True, partition=partition(realtime=[ONLINE[-1]]), load="none", occupied=occupied, max_disruption="none")
    assert not result.get("failed"), result


def test_a_measurement_of_ours_keeps_no_other_from_its_cpus(tmp_path):
    # that it may not run beside another, or is joined, is told by name
    fill(tmp_path, task("/proc/50/task/50", "cyclictest", allowed="2"))
    fill(tmp_path, task("/proc/50/task/51", "cyclictest", allowed="3"))
    fill(tmp_path, task("/proc/60/task/60", "controller", allowed="3"))
    fill(tmp_path, {f"/proc/{tid}/cgroup": f"0::/system.slice/{_latency_job.UNIT}\n" for tid in (50, 51)})
    fill(tmp_path, {"/proc/60/cgroup": "0::/system.slice/controller.service\n"})
    found = _latency_machine.occupants(Host(str(tmp_path)), frozenset({2, 3}))
    assert found == {3: "controller (pid 60)"}


def test_a_set_is_measured_without_the_cpus_that_are_in_use(call, monkeypatch):
    seen = body.ask
    monkeypatch.setattr(body, "ask", lambda machine: {**seen(machine), "/sys/devices/system/cpu/online": "0-3"})
    monkeypatch.setattr(_latency_choice, "occupants", lambda _host, isolated: dict.fromkeys(isolated & {2}, "CPU 0/KVM (pid 7)"))
    result = call(check=True, cpus=None, partition=partition(realtime=[2, 3], housekeeping=[0, 1]))
    assert result.get("cpus") == "3", result
    assert result["environment"]["left_out"] == {"2": "CPU 0/KVM (pid 7)"}
    assert result["load_command"][result["load_command"].index("--taskset") + 1] == "0-1"


# -- guests ----------------------------------------------------------------------------------------


@libvirt_names(isActive="is_active", XMLDesc="xml")
class FakeDomain:
    def __init__(self, running=True, scheduler=REALTIME):
        self.running = running
        self.scheduler = scheduler

    def is_active(self):
        return self.running

    def xml(self, _flags):
        return DOMAIN.format(scheduler=self.scheduler)


@pytest.fixture(name="guest")
def _guest(monkeypatch):
    """A node whose libvirt knows plc1, with an agent; returns a function that changes what is there."""

    def guest(domain, connect):
        class Known:
            def lookup(self, name):
                assert name == "plc1"
                return domain

        monkeypatch.setattr(Libvirt, "connect", lambda _self, _host: Known())
        monkeypatch.setattr(body, "connect_agent", connect)

    return guest


def test_a_guest_is_measured_through_its_agent(call, folder, guest):
    agent = FakeAgent()
    guest(FakeDomain(), lambda name, _domain: Agent(name, agent))
    result = call(cpus=None, guest="plc1", host="n1")
    run = result["result"]
    assert (run["host"], run["guest"], run["cpus"]) == ("n1", "plc1", [0])  # its real-time vCPU
    assert run["per_cpu"][0]["samples"] == 4990
    assert any("run.sh" in word for command in agent.commands for word in command)
    assert not folder.exists()


def test_what_a_guest_was_given_to_do_is_not_its_word(call, folder, guest):
    """Root of the guest writes that its run of a second was one of twelve hours, on other CPUs, with a higher limit."""
    agent = FakeAgent()
    guest(FakeDomain(), lambda name, _domain: Agent(name, agent))
    call(cpus=None, guest="plc1", host="n1", state="started")
    record = folder.parent / "latency-plc1.json"
    kept = json.loads(record.read_text())
    assert record.stat().st_mode & 0o777 == 0o600
    assert not (folder / "job.json").exists()
    lie = {**kept["job"], "profile": "certify", "seconds": 43200, "limit_us": 10**6, "cpus": [7]}
    (folder / "job.json").write_text(json.dumps({**kept, "job": lie, "started": "../../x"}))
    assert wait_until(lambda: call(cpus=None, guest="plc1", host="n1", state="polled")["finished"])
    run = call(cpus=None, guest="plc1", host="n1", state="polled")["result"]
    assert (run["profile"], run["seconds"], run["limit_us"], run["cpus"]) == ("custom", 1, 40, [0])
    assert run["started"] == kept["started"]
    call(cpus=None, guest="plc1", state="absent")
    assert not folder.exists()
    assert not record.exists()


def test_a_guest_that_ends_a_run_early_does_not_pass(call, folder, guest, monkeypatch, tmp_path):
    """The tool's own output claims the whole duration."""
    monkeypatch.setenv("FAKE_END", str(tmp_path / "end"))
    monkeypatch.setattr(_latency_choice, "_virtual", lambda _place: False)
    guest(FakeDomain(), lambda name, _domain: Agent(name, FakeAgent()))
    call(cpus=None, guest="plc1", host="n1", state="started", seconds=600)
    (tmp_path / "end").touch()
    assert wait_until(lambda: call(cpus=None, guest="plc1", host="n1", state="polled")["finished"])
    verdict = call(cpus=None, guest="plc1", host="n1", state="polled")["result"]["verdict"]
    assert (verdict["result"], verdict["reasons"]) == (
        "inconclusive",
        ["it ended before its 600 s were over, by the node's clock"],
    )
    call(cpus=None, guest="plc1", state="absent")
    assert not folder.exists()


def test_a_guest_without_agent_is_refused_with_what_helps(refuse, guest, monkeypatch):
    class LibvirtError(Exception):
        def get_error_message(self):
            return "argument unsupported: QEMU guest agent is not configured"

    @libvirt_names(qemuAgentCommand="command")
    class Qemu:
        @staticmethod
        def command(*_arguments):
            raise LibvirtError

    monkeypatch.setattr(_latency_machine, "libvirt_qemu", Qemu)
    monkeypatch.setattr(_latency_machine, "libvirt", type("Libvirt", (), {"libvirtError": LibvirtError}))
    guest(FakeDomain(), _latency_machine.connect_agent)
    message = refuse(cpus=None, guest="plc1")
    assert message.startswith("guest: plc1 has no agent that answers (argument unsupported: QEMU guest agent is not configured)")
    assert "org.qemu.guest_agent.0" in message
    assert "SSH" in message


def test_a_guest_whose_agent_may_not_run_commands_is_refused(refuse, guest):
    guest(FakeDomain(), lambda name, _domain: Agent(name, FakeAgent(disabled=("guest-exec",))))
    assert "the agent of plc1 does not run commands (guest-exec is off)" in refuse(cpus=None, guest="plc1")


def test_a_guest_that_is_off_or_not_realtime_is_refused(refuse, guest):
    guest(FakeDomain(running=False), None)
    assert refuse(cpus=None, guest="plc1") == "guest: plc1 is not running; start it first"
    guest(FakeDomain(scheduler=""), lambda name, _domain: Agent(name, FakeAgent()))
    assert "guest: plc1 has no real-time vCPU" in refuse(cpus=None, guest="plc1")


def test_a_guest_over_ssh_takes_over_what_its_node_is(call):
    run = call(guest="plc1", platform={"virtual": False, "host": "n1", "partition_digest": "abc"})["result"]
    assert (run["host"], run["guest"]) == ("n1", "plc1")
    assert run["verdict"]["virtual"] is False
    assert run["environment"]["partition_digest"] == "abc"


ANSWERS = {
    "guest-ping": {},
    "guest-info": {"version": "8", "supported_commands": [{"name": name} for name in ("guest-exec", "guest-exec-status")]},
    "guest-exec": {"pid": 3},
    "guest-exec-status": {"exited": True, "exitcode": 0, "signal": 0, "out-data": "b3V0", "err-data": "ZXJy"},
}


@pytest.mark.parametrize("command", ANSWERS)
def test_no_answer_of_an_agent_ends_in_a_traceback(monkeypatch, command):
    monkeypatch.setattr(_latency_machine, "_COMMAND_S", 0)
    refused = 0
    for answer in [*variants(ANSWERS[command]), *VALUES, *EXTREMES]:

        def call(question, answer=answer):
            name = json.loads(question)["execute"]
            if name != command:
                return json.dumps({"return": ANSWERS[name]})
            return answer if isinstance(answer, str) and answer in EXTREMES else json.dumps({"return": answer})

        try:
            code, out, err = Agent("plc1", call).run(["true"])
        except LatencyError as error:
            refused += str(error).isprintable()
            continue
        assert isinstance(code, int)
        assert isinstance(out + err, str)
    assert refused >= len(EXTREMES)


EXTREMES = ("", "{", "[]", '{"error": {}}', "[" * 100_000, '{"return": ' * 100_000, '{"return": "' + "x" * (33 << 20) + '"}')


def test_an_agent_that_answers_nonsense_is_said_to(guest):
    del guest
    agent = FakeAgent()
    agent.guest_exec = lambda _arguments: {}
    with pytest.raises(LatencyError, match="the agent of plc1 gave an answer"):
        Agent("plc1", agent).run(["true"])
