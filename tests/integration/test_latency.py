# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Latency on the lab: a real unit of systemd with the real tools and load, on the node and in a nested guest.

The figures mean nothing there, and the verdict says so. What is seen here is that runs end in stored results, and that whatever
is killed, no load stays behind.
"""

from __future__ import annotations

import base64
import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from integration.conftest import NODES
from integration.lab import INVENTORY, ROOT, Run, fingerprint, lab, playbook, recording, ssh, wait_for
from integration.machine import look

NODE = NODES[0]
UNIT = "realtime-kvm-latency.service"

#: Neither tool nor load nor the script that started them, nor what they have left.
NOTHING_LEFT = (
    "! pgrep -x 'stress-ng.*' >/dev/null && ! pgrep -x cyclictest >/dev/null && ! pgrep -x oslat >/dev/null "
    f"&& ! systemctl is-active --quiet {UNIT}"
)

#: A guest with qemu-guest-agent, cyclictest and stress-ng in it, beside those of the inventory.
METER = {
    "name": "meter",
    "memory_mib": 256,
    "vcpus": 2,
    "realtime_vcpus": "1",
    "siblings": "any",
    "agent": True,
    "disks": [{"path": "/var/lib/libvirt/images/meter.qcow2"}],
}


@pytest.fixture(scope="module", autouse=True)
def _isolated() -> None:
    """A node with a partition, and the tools on it."""
    lab("guests", NODE)
    playbook("site.yml", nodes=NODE, timeout=1500)
    ssh(NODE, "command -v cyclictest stress-ng >/dev/null || apt-get install -y -q rt-tests stress-ng", timeout=600)


@pytest.fixture(name="free")
def _free() -> str:
    """A real-time CPU that no guest is on, for the runs that name one."""
    with_guests = ssh(
        NODE, "for p in /run/libvirt/qemu/*.pid; do taskset -acp $(cat $p) 2>/dev/null; done | sed 's/.*: //'; true"
    ).split()
    document = json.loads(ssh(NODE, "cat /etc/ansible/facts.d/realtime_partition.fact"))
    cpus = expand(document["sets"]["realtime"]["cpus"])
    taken = set().union(*(expand(text) for text in with_guests if expand(text) <= cpus)) if with_guests else set()
    free = cpus - taken
    if not free:
        pytest.skip("every real-time CPU of the node has a guest on it")
    return str(max(free))


def expand(text: str) -> set[int]:
    """The numbers of a CPU list."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _dash, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def measure(folder: Path, *arguments: str, ok: bool | None = True, **options: object) -> Run:
    """Run the latency playbook; its results go below a folder."""
    extra = {"rt_latency_results": str(folder), "rt_latency_seconds": 20, **options}
    return playbook("latency.yml", *arguments, nodes=NODE, ok=ok, extra=extra)


def results(folder: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted((folder / NODE).glob("*.json"))]


def test_check_mode_starts_nothing(tmp_path: Path) -> None:
    done = measure(tmp_path, "--check", rt_latency_profile="certify", rt_latency_seconds=0)
    assert "would run for 43200 s" in " ".join(done.output.split())
    assert ssh(NODE, f"{NOTHING_LEFT} && echo clean").strip() == "clean"
    assert not (tmp_path / NODE).exists()


def test_a_smoke_run_on_the_node_ends_in_a_stored_result(tmp_path: Path) -> None:
    before = fingerprint(NODE)
    measure(tmp_path, rt_latency_seconds=0)
    (run,) = results(tmp_path)
    assert (run["format"], run["host"], run["guest"], run["profile"], run["seconds"]) == (1, NODE, None, "smoke", 60)
    assert run["verdict"]["virtual"] is True
    assert run["verdict"]["reasons"][0] == "virtual, not a measurement of the platform"
    assert run["histogram"]["counts"]
    assert {row["cpu"] for row in run["per_cpu"]} == set(run["cpus"])
    assert all(row["samples"] > 0 for row in run["per_cpu"])
    assert run["environment"]["kernel"] == ssh(NODE, "uname -r").strip()
    assert run["environment"]["arguments"] == ssh(NODE, "cat /proc/cmdline").strip()
    assert ssh(NODE, f"{NOTHING_LEFT} && ! test -e /run/realtime-kvm/latency && echo clean").strip() == "clean"
    assert fingerprint(NODE) == before


#: Prints of each program of tool and load: name, CPUs of its threads, control group. One look, since the node is under load.
PROGRAMS = """
for pid in $(pgrep -x cyclictest; pgrep stress-ng); do
  cpus=$(grep -h Cpus_allowed_list /proc/$pid/task/*/status | cut -f2 | sort -u | paste -sd+)
  echo "$(cat /proc/$pid/comm) $cpus $(cut -d: -f3 /proc/$pid/cgroup)"
done 2>/dev/null
"""


def test_tool_and_load_run_where_they_should(tmp_path: Path, free: str) -> None:
    process = begin(tmp_path, rt_latency_cpus=free, rt_latency_seconds=60)
    try:
        assert wait_for(NODE, "pgrep stress-ng >/dev/null && pgrep -x cyclictest >/dev/null", 120)
        programs = [line.split(" ") for line in ssh(NODE, PROGRAMS).splitlines()]
        whole = [row for row in programs if len(row) == 3 and row[1] and row[2]]  # the others have ended meanwhile
        assert {group for _name, _cpus, group in whole} == {f"/system.slice/{UNIT}"}
        tool = [cpus.split("+") for name, cpus, _group in whole if name == "cyclictest"]
        load = [expand(cpu) for name, cpus, _group in whole if name.startswith("stress-ng") for cpu in cpus.split("+")]
        assert len(tool) == 1
        assert free in tool[0]
        document = json.loads(ssh(NODE, "cat /etc/ansible/facts.d/realtime_partition.fact"))
        assert load
        assert all(cpus <= expand(document["sets"]["housekeeping"]["cpus"]) for cpus in load)
    finally:
        process.wait(300)
    assert process.returncode == 0
    assert results(tmp_path)


def begin(folder: Path, **options: object) -> subprocess.Popen:
    """Start the playbook and return at once."""
    command = ["ansible-playbook", "-i", str(INVENTORY), str(ROOT / "playbooks" / "latency.yml"), "--limit", NODE]
    extra = {"rt_latency_results": str(folder), "rt_latency_seconds": 600, **options}
    return subprocess.Popen(
        [*command, "-e", json.dumps(extra)],
        cwd=ROOT,
        env=recording(os.devnull),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def test_a_killed_playbook_leaves_no_load_behind(tmp_path: Path, free: str) -> None:
    # the interval of a run of 600 s is 50 s, and a lease is three of them at least
    process = begin(tmp_path, rt_latency_cpus=free, rt_latency_lease=60, rt_latency_seconds=120)
    assert wait_for(NODE, "pgrep stress-ng >/dev/null && pgrep -x cyclictest >/dev/null", 120)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)
    started = time.monotonic()
    assert wait_for(NODE, NOTHING_LEFT, 150)
    print(f"gone {time.monotonic() - started:.0f} s after the playbook")


@pytest.mark.parametrize("sent", ["KILL", "TERM"])
def test_a_killed_unit_leaves_no_load_behind_and_is_inconclusive(tmp_path: Path, free: str, sent: str) -> None:
    process = begin(tmp_path, rt_latency_cpus=free, rt_latency_gate="always")
    assert wait_for(NODE, "pgrep stress-ng >/dev/null && pgrep -x cyclictest >/dev/null", 120)
    ssh(NODE, f"systemctl kill --kill-who=main -s {sent} {UNIT}")
    assert wait_for(NODE, NOTHING_LEFT, 30)
    assert process.wait(300) != 0, "the gate has let it pass"
    (run,) = results(tmp_path)
    assert run["verdict"]["result"] in ("inconclusive", "fail")  # under emulation, what was measured until then is too slow
    assert "interrupted: " in " ".join(run["verdict"]["reasons"])


def test_a_run_is_joined_by_the_next(tmp_path: Path, free: str) -> None:
    first = begin(tmp_path / "first", rt_latency_cpus=free, rt_latency_seconds=60)
    assert wait_for(NODE, "pgrep -x cyclictest >/dev/null", 120)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait(60)
    refused = measure(tmp_path / "other", ok=False, rt_latency_cpus=free, rt_latency_seconds=61)
    assert "a measurement already runs" in " ".join(refused.output.split())
    measure(tmp_path / "second", rt_latency_cpus=free, rt_latency_seconds=60)
    assert len(results(tmp_path / "second")) == 1
    assert not (tmp_path / "other" / NODE).exists()


def test_a_guest_without_agent_is_refused(tmp_path: Path) -> None:
    running = ssh(NODE, "virsh list --name").split()
    if "plc1" not in running:
        pytest.skip("no guest runs on the node")
    done = measure(tmp_path, ok=False, rt_latency_node=False, rt_latency_guests=[{"name": "plc1"}])
    text = " ".join(done.output.split())
    assert "plc1 has no agent that answers" in text
    assert "Traceback" not in text


def guests(wanted: dict, **options: object) -> Run:
    """Bring the node to the guests of its inventory and one more."""
    variables = ROOT / "inventories" / "lab" / "host_vars" / f"{NODE}.yml"
    listed = yaml.safe_load(variables.read_text()).get("realtime_guests", []) if variables.is_file() else []
    return playbook("guests.yml", nodes=NODE, extra={"realtime_guests": [*listed, wanted], **options})


def in_the_guest(command: str, *, ok: bool = True) -> str:
    """Return what a shell command prints in the guest; asked through libvirt itself, not through this collection."""
    question = {"execute": "guest-exec", "arguments": {"path": "/bin/sh", "arg": ["-c", command], "capture-output": True}}

    def ask(question: dict) -> dict:
        words = shlex.join(["virsh", "qemu-agent-command", METER["name"], json.dumps(question)])
        return json.loads(ssh(NODE, words))["return"]

    pid = ask(question)["pid"]
    status = ask({"execute": "guest-exec-status", "arguments": {"pid": pid}})
    while not status["exited"]:
        time.sleep(0.5)
        status = ask({"execute": "guest-exec-status", "arguments": {"pid": pid}})
    assert status["exitcode"] == 0 or not ok, status
    return base64.b64decode(status.get("out-data", "")).decode()


@pytest.fixture(name="meter", scope="module")
def _meter() -> Iterator[str]:
    """A running guest whose agent answers; it and its disk are gone in the end."""
    name = METER["name"]
    lab("guests", NODE, lab_tools_guests=[name])
    try:
        guests(METER)
        ping = shlex.join(["virsh", "qemu-agent-command", name, '{"execute": "guest-ping"}'])
        assert wait_for(NODE, f"{ping} >/dev/null 2>&1", 300), "no agent answers"
        yield name
    finally:
        gone = {"name": name, "state": "absent", "remove_disks": True}
        guests(gone, rt_guest_force_off=True, rt_guest_shutdown_timeout=30)
    left = f"virsh dominfo {name} >/dev/null 2>&1 || test -e {METER['disks'][0]['path']}"
    assert ssh(NODE, f"{left} || echo gone").strip() == "gone"


def test_a_guest_with_an_agent_stays_as_it_is_defined(meter: str) -> None:
    assert "org.qemu.guest_agent.0" in ssh(NODE, f"virsh dumpxml --inactive {meter}")
    assert guests(METER).changes(NODE) == []


def test_a_smoke_run_in_a_guest_ends_in_a_stored_result(tmp_path: Path, meter: str) -> None:
    before = look(NODE)[0][meter].vcpus
    measure(tmp_path, rt_latency_node=False, rt_latency_guests=[{"name": meter}], rt_latency_seconds=0)
    (run,) = results(tmp_path)
    assert (run["host"], run["guest"], run["profile"], run["cpus"]) == (NODE, meter, "smoke", [1])
    assert run["verdict"]["virtual"] is True
    assert [row["cpu"] for row in run["per_cpu"]] == [1]
    assert run["histogram"]["counts"]
    assert run["environment"]["kernel"] == in_the_guest("uname -r").strip() != ssh(NODE, "uname -r").strip()
    assert " --taskset 0 " in run["environment"]["load"]
    assert look(NODE)[0][meter].vcpus == before
    assert ssh(NODE, f"{NOTHING_LEFT} && echo clean").strip() == "clean"
    assert in_the_guest("ps | grep -E 'cyclictes[t]|stress-n[g]'; ls /run/realtime-kvm 2>/dev/null", ok=False) == ""


def test_a_killed_playbook_leaves_no_load_behind_in_a_guest(tmp_path: Path, meter: str) -> None:
    process = begin(
        tmp_path, rt_latency_node=False, rt_latency_guests=[{"name": meter}], rt_latency_lease=60, rt_latency_seconds=120
    )
    end = time.monotonic() + 180
    while "cyclictest" not in in_the_guest("ps | grep '[c]yclictest -m'", ok=False):
        assert time.monotonic() < end, "nothing was started"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)
    end = time.monotonic() + 180
    while in_the_guest("ps | grep -E 'cyclictes[t]|stress-n[g]'", ok=False):
        assert time.monotonic() < end, "tool or load still runs"
        time.sleep(2)
    assert in_the_guest("cd /run/realtime-kvm/latency && ls abandoned").strip() == "abandoned", "it has ended in its own time"
