# SPDX-License-Identifier: GPL-3.0-or-later
"""The place of a measurement: this machine, or one of its guests through the guest's agent. Edge.

Both can run a command and write a file. Everything else (installed programs, the kernel's files, the job's files) is read
by commands, so that a guest needs only a shell.
"""

from __future__ import annotations

import base64
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from .._cpus.answers import answering, decode
from .._cpus.cpulist import format_cpulist
from .._guests.hiding import clean
from .._host.deadline import within
from .._host.host import Host, Runner
from .._host.kernel import read_machine
from .._host.threads import read_threads
from .job import DIRECTORY, UNIT, Job, parse_probe, probe, unit_command
from .smi import read_counter
from .verdict import LatencyError

try:
    import libvirt
    import libvirt_qemu
except ImportError:
    libvirt = libvirt_qemu = None

#: Timeouts in seconds: for one answer of the agent, and for a command in the guest.
_AGENT_S = 10
_LIBVIRT_S = 30
_COMMAND_S = 60


class Machine(Protocol):
    """A place that runs commands."""

    name: str

    def run(self, command: Sequence[str]) -> tuple[int, str, str]:
        """Return exit code, output and error output of a command."""

    def write(self, path: str, text: str) -> None:
        """Write a file that only root may read."""


class Node:
    """This machine."""

    def __init__(self, host: Host, runner: Runner, name: str) -> None:
        self.host = host
        self.runner = runner
        self.name = name

    def run(self, command: Sequence[str]) -> tuple[int, str, str]:
        return self.runner(command)

    def write(self, path: str, text: str) -> None:
        self.host.write_file(path, text.encode(), 0o600)


class Agent:
    """A running guest, reached through the QEMU guest agent. ``call`` takes and returns the agent's JSON."""

    def __init__(self, guest: str, call: Callable[[str], str]) -> None:
        self.name = guest
        self._call = call
        self._ask("guest-ping")
        with answering(self._unreadable):
            enabled = {item["name"]: item.get("enabled", True) for item in self._ask("guest-info")["supported_commands"]}
        if missing := [name for name in ("guest-exec", "guest-exec-status") if not enabled.get(name)]:
            raise LatencyError(
                f"guest: the agent of {guest} does not run commands ({', '.join(missing)} is off); allow it in the guest "
                "(/etc/sysconfig/qemu-ga, or /etc/qemu/qemu-ga.conf), or name the guest in the inventory to reach it over SSH"
            )

    def _ask(self, command: str, **arguments: Any) -> Any:
        question = {"execute": command, **({"arguments": arguments} if arguments else {})}
        with answering(self._unreadable):
            return decode(self._call(json.dumps(question)))["return"]

    def _unreadable(self, reason: str) -> LatencyError:
        return LatencyError(f"guest: the agent of {self.name} gave an answer that no agent gives: {reason}")

    def run(self, command: Sequence[str], stdin: str = "") -> tuple[int, str, str]:
        arguments: dict[str, Any] = {"path": command[0], "arg": list(command[1:]), "capture-output": True}
        if stdin:
            arguments["input-data"] = base64.b64encode(stdin.encode()).decode()
        with answering(self._unreadable):
            pid = int(self._ask("guest-exec", **arguments)["pid"])
            end = time.monotonic() + _COMMAND_S
            while True:
                status = self._ask("guest-exec-status", pid=pid)
                if status["exited"]:
                    break
                if time.monotonic() > end:
                    raise LatencyError(f"guest: {command[0]} in {self.name} did not end within {_COMMAND_S} s")
                time.sleep(0.2)
            out, err = (base64.b64decode(status.get(key, "")).decode(errors="replace") for key in ("out-data", "err-data"))
            return int(status.get("exitcode", 128 + int(status.get("signal", 0)))), out, err

    def write(self, path: str, text: str) -> None:
        shell = 'umask 077; mkdir -p "$(dirname "$1")" && cat >"$1.new" && mv "$1.new" "$1"'
        code, out, err = self.run(["/bin/sh", "-c", shell, "sh", path], stdin=text)
        if code:
            raise LatencyError(f"guest: {path} cannot be written in {self.name}: {(err or out).strip()[-200:]}")


def connect_agent(guest: str, domain: Any) -> Agent:
    """Return the agent of a running guest; without one, ``LatencyError`` names how to get it."""
    if libvirt_qemu is None:
        raise LatencyError(
            f"guest: python3-libvirt is not installed on this node, so {guest}'s agent cannot be asked; run the kvm_host role"
        )

    def call(question: str) -> str:
        try:
            return str(within(_AGENT_S + _LIBVIRT_S, lambda: libvirt_qemu.qemuAgentCommand(domain, question, _AGENT_S, 0)))
        except libvirt.libvirtError as error:
            reason = clean(str(error.get_error_message() or error).strip())
            raise LatencyError(
                f"guest: {guest} has no agent that answers ({reason}). Install and start qemu-guest-agent in the guest and "
                "give it the channel "
                "org.qemu.guest_agent.0 (agent: true in realtime_guests), "
                "or name the guest in the inventory to measure in it over SSH"
            ) from None

    return Agent(guest, call)


# -- probing a machine -----------------------------------------------------------------------------


#: Patterns of the files that describe the machine of a measurement. The shell expands them.
_PROBED = (
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/version",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/random/boot_id",
    "/proc/cmdline",
    "/proc/uptime",
    "/sys/devices/system/cpu/online",
    "/sys/devices/system/cpu/isolated",
    "/sys/devices/system/clocksource/clocksource0/current_clocksource",
    "/sys/class/dmi/id/product_name",
    "/sys/kernel/tracing/available_tracers",
    "/sys/kernel/debug/tracing/available_tracers",
)


def ask(machine: Machine) -> dict[str, str]:
    """Return the probed files of a machine, and the interesting lines of cpuinfo and stat under their file's name."""
    files = parse_probe(machine.run(probe(_PROBED))[1])
    lines = (
        "grep -m 4 -E '^(flags|microcode|model name|vendor_id)' /proc/cpuinfo; grep ^btime /proc/stat; "
        "[ -d /run/systemd/system ] && echo systemd; true"
    )
    for line in machine.run(["/bin/sh", "-c", lines])[1].splitlines():
        name, _colon, value = line.partition(":" if ":" in line else " ")
        files.setdefault(name.strip(), value.strip())
    return files


def locate(machine: Machine, programs: Iterable[str]) -> dict[str, str]:
    """Return the paths of the installed programs."""
    shell = 'PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; for p; do w=$(command -v "$p") && echo "$p $w"; done; true'
    lines = machine.run(["/bin/sh", "-c", shell, "sh", *programs])[1].splitlines()
    return {name: path for name, _space, path in (line.partition(" ") for line in lines)}


def tool_version(machine: Machine, program: str) -> tuple[str, bool]:
    """Return a tool's version and whether it writes JSON."""
    if program == "hwlatdetect":  # it is in the same package as cyclictest and does not print its version
        return "", False
    _code, out, err = machine.run([program, "--help" if program != "rtla" else "--version"])
    text = f"{out}\n{err}"
    words = next((line.split() for line in text.splitlines() if "ersion" in line or " V " in line), [])
    number = next((word for word in reversed(words) if any(sign.isdigit() for sign in word)), "")
    return number, "--json" in text


def look(host: Host, cpus: Iterable[int]) -> dict[str, Any]:
    """Return what ``find_doubts`` compares, for this machine and the measured CPUs."""
    numbers = sorted(cpus)
    found: dict[str, Any] = {
        "clock_s": _apart(time.CLOCK_REALTIME, time.CLOCK_BOOTTIME),
        "suspended_s": _apart(time.CLOCK_BOOTTIME, time.CLOCK_MONOTONIC),
        "clocksource": host.value("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "smi": {},
        "throttled": {},
        "frequency": {},
    }
    for cpu in numbers:
        base = f"/sys/devices/system/cpu/cpu{cpu}"
        count = _smi_count(host, cpu)
        if count is not None:
            found["smi"][str(cpu)] = count
        throttled = host.value(f"{base}/thermal_throttle/core_throttle_count") or ""
        if throttled.isdecimal():
            found["throttled"][str(cpu)] = int(throttled)
        named = {"governor": "scaling_governor", "minimum": "scaling_min_freq", "maximum": "scaling_max_freq"}
        values = {name: host.value(f"{base}/cpufreq/{file}") for name, file in named.items()}
        values["transitions"] = host.value(f"{base}/cpufreq/stats/total_trans")  # where the driver counts them
        if known := {name: value for name, value in values.items() if value is not None}:
            found["frequency"][str(cpu)] = known
    return found


def _apart(one: int, other: int) -> float:
    """Return the difference of two clocks, from the closest of several readings."""
    readings = []
    for _try in range(5):
        first, middle, last = time.clock_gettime(other), time.clock_gettime(one), time.clock_gettime(other)
        readings.append((last - first, middle - (first + last) / 2))
    return min(readings)[1]


def _smi_count(host: Host, cpu: int) -> int | None:
    """Return how many SMIs a CPU has seen; None where it does not show them (not Intel, no msr module, locked down)."""
    try:
        return read_counter(host, cpu) if read_machine(host).vendor == "GenuineIntel" else None
    except OSError:
        return None


def occupants(host: Host, isolated: frozenset[int]) -> dict[int, str]:
    """Return the isolated CPUs that have a program: CPU to the program's name (a guest's vCPU, a poll-mode thread, a controller).

    Programs of this collection's measurement are not among them; whether that may go on is checked later.
    """
    found: dict[int, str] = {}
    for thread in read_threads(host, user=True):
        if thread.allowed and thread.allowed <= isolated and f"/{UNIT}" not in (host.read(f"/proc/{thread.pid}/cgroup") or ""):
            for cpu in thread.allowed:
                found.setdefault(cpu, f"{thread.name} (pid {thread.pid})")
    return found


# -- the job ---------------------------------------------------------------------------------------


def job_files(machine: Machine) -> dict[str, str]:
    """Return the files of the job by name, without its script; an empty mapping without a job."""
    names = ("job.json", "out", "err", "result.json", "rc", "abandoned", "unloaded", "load.out")
    found = parse_probe(machine.run(probe([f"{DIRECTORY}/{name}" for name in names]))[1])
    return {path.rpartition("/")[2]: text for path, text in found.items()}


def is_running(machine: Machine, *, systemd: bool) -> bool:
    """Whether a measurement runs."""
    if systemd:
        return machine.run(["systemctl", "is-active", "--quiet", UNIT])[0] == 0
    # by the pid of the script; the command line is empty while the program is being replaced
    found = f'read -r pid <{DIRECTORY}/pid && grep -q "{DIRECTORY}/run.sh" /proc/$pid/cmdline'
    return (
        machine.run(["/bin/sh", "-c", f"for turn in 1 2 3; do {{ {found}; }} 2>/dev/null && exit; sleep 0.1; done; exit 1"])[0]
        == 0
    )


def prolong(machine: Machine, lease_s: int) -> None:
    """Extend the lease: the measurement goes on for this long without a run that waits for it."""
    shell = (
        f"read -r up rest </proc/uptime && echo $((${{up%%.*}} + $1)) >{DIRECTORY}/lease.new && mv {DIRECTORY}/lease.new "
        f"{DIRECTORY}/lease"
    )
    _check(machine, ["/bin/sh", "-c", shell, "sh", str(lease_s)])


def start(machine: Machine, job: Job, stored: str | None, lease_s: int, *, systemd: bool) -> None:
    """Start a job that does not run yet; ``stored`` None: the job is kept elsewhere."""
    remove(machine)
    _check(machine, ["/bin/sh", "-c", f"umask 077; mkdir -p {os.path.dirname(DIRECTORY)} && mkdir {DIRECTORY}"])
    if stored is not None:
        machine.write(f"{DIRECTORY}/job.json", stored)
    machine.write(f"{DIRECTORY}/run.sh", job.script())
    prolong(machine, lease_s)
    if systemd:
        _check(machine, unit_command(job, f"{DIRECTORY}/run.sh"))
        return
    pin = ["taskset", "-c", format_cpulist(job.housekeeping)] if job.housekeeping else []
    shell = f'setsid "$@" >/dev/null 2>&1 </dev/null & echo $! >{DIRECTORY}/pid'
    _check(machine, ["/bin/sh", "-c", shell, "sh", *pin, "/bin/sh", f"{DIRECTORY}/run.sh"])


def stop(machine: Machine, *, systemd: bool) -> None:
    """End a measurement and wait until all its processes have ended."""
    if systemd:
        _check(machine, ["systemctl", "stop", UNIT])
        return
    shell = (
        f"read -r pid <{DIRECTORY}/pid && kill -TERM $pid; n=0; while [ $n -lt 20 ] && kill -0 $pid; do sleep 1; n=$((n+1)); done"
    )
    machine.run(["/bin/sh", "-c", f"{{ {shell}; }} 2>/dev/null"])


def remove(machine: Machine) -> None:
    """Remove a measurement's files; the folder above stays while other files are in it."""
    machine.run(["/bin/sh", "-c", f"rm -rf {DIRECTORY}; rmdir {os.path.dirname(DIRECTORY)} 2>/dev/null; true"])


def record_of(guest: str) -> str:
    """Return the node's file with the job of a guest behind its agent."""
    return f"{DIRECTORY}-{guest}.json"


def forget(node: Node, record: str) -> None:
    """Remove the record of a guest's measurement."""
    node.run(["/bin/sh", "-c", 'rm -f "$1"; rmdir "$(dirname "$1")" 2>/dev/null; true', "sh", record])


def _check(machine: Machine, command: Sequence[str]) -> None:
    code, out, err = machine.run(command)
    if code:
        raise LatencyError(f"{machine.name}: {command[0]} failed with exit code {code}: {(err or out).strip()[-300:]}")


def wait(machine: Machine, seconds: float, lease_s: int, *, systemd: bool) -> None:
    """Wait for the end of a measurement and extend its lease until then, so that the end of a killed caller ends it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and is_running(machine, systemd=systemd):
        with suppress(LatencyError):  # the measurement may just have ended
            prolong(machine, lease_s)
        time.sleep(min(2.0, lease_s / 4))


def guest_offset(files: Mapping[str, str]) -> dict[str, Any]:
    """Return what ``find_doubts`` compares for a guest: its clock in whole seconds, and its clock source."""
    source = files.get("/sys/devices/system/clocksource/clocksource0/current_clocksource", "").strip() or None
    boot = files.get("btime", "")
    return {"clocksource": source, **({"clock_s": int(boot), "step_s": 1.5} if re.fullmatch("[0-9]{1,12}", boot) else {})}
