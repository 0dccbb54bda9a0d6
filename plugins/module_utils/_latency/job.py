# SPDX-License-Identifier: GPL-3.0-or-later
"""A measurement as a job on a machine: its commands, the script that supervises them, and the files to read. Pure.

The script runs tool and load as its children, under systemd in one transient unit, so that the end of the unit ends them
all. It holds a lease, a point of the machine's uptime in a file. The run that waits for the measurement extends it; once
the lease has run out, the script ends the measurement.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .._cpus.answers import answering, decode
from .._cpus.cpulist import format_cpulist
from .parse import parse_cyclictest, parse_cyclictest_json, parse_hwlatdetect, parse_oslat, parse_oslat_json
from .rtla import parse_noise_top, parse_rtla_hist
from .verdict import INTERVAL_US, LatencyError, Reading

DIRECTORY = "/run/realtime-kvm/latency"
UNIT = "realtime-kvm-latency.service"

#: Program to the packages that contain it.
PACKAGES = {
    "cyclictest": "rt-tests (Debian, Ubuntu) or realtime-tests (RHEL)",
    "oslat": "rt-tests (Debian, Ubuntu) or realtime-tests (RHEL)",
    "hwlatdetect": "rt-tests (Debian, Ubuntu) or realtime-tests (RHEL)",
    "rtla": "rtla",
    "stress-ng": "stress-ng",
    "taskset": "util-linux",
}

#: Tool to the program that measures, and to the kernel's tracer that it needs.
PROGRAMS = dict.fromkeys(("timerlat", "osnoise", "hwnoise"), "rtla")
TRACERS = {"timerlat": "timerlat", "osnoise": "osnoise", "hwnoise": "osnoise", "hwlatdetect": "hwlat"}

#: Bins of a histogram, of 1 µs each: as in RHEL 10's procedure; and for a virtual machine, where all samples would lie beyond.
_BINS = {"cyclictest": 60, "oslat": 32, "timerlat": 256, "osnoise": 256}
_BINS_VIRTUAL = {"cyclictest": 20000, "oslat": 1024, "timerlat": 20000, "osnoise": 20000}
_BINS_MOST = {"oslat": 1024}

#: Seconds between the start of the load and the start of the measurement.
SETTLE_S: float = 2

#: Seconds that the unit may take beyond the measurement; then systemd ends it in any case.
MARGIN_S = 120

#: Bounds of the time between two questions after a measurement, in seconds.
_INTERVAL_S = (10, 300)


@dataclass(frozen=True)
class Job:
    """The parameters of a measurement. ``bins`` is the histogram's length in µs, 0 where the tool has none."""

    tool: str
    profile: str
    seconds: int
    cpus: tuple[int, ...]
    housekeeping: tuple[int, ...]
    load: str
    limit_us: float
    bins: int
    json: bool = False

    def key(self) -> dict[str, Any]:
        """Return the parameters, which are equal for equal measurements."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]

    def programs(self) -> list[str]:
        """Return the programs that it needs."""
        needed = [PROGRAMS.get(self.tool, self.tool)]
        return [*needed, *(["taskset"] if self.housekeeping else []), *(["stress-ng"] if self.load == "stress-ng" else [])]

    def command(self) -> list[str]:
        """Return the tool's command line; with the options of RHEL 10's procedure, if there is one."""
        cpus, main = format_cpulist(self.cpus), format_cpulist(self.housekeeping)
        main_cpu = str(min(self.housekeeping)) if self.housekeeping else ""
        record = [f"--json={DIRECTORY}/result.json"] if self.json else []
        if self.tool == "cyclictest":
            # RHEL 10: -m -q -p95 --policy=fifo -D 12h -h60 -t <n> -a <cpus> --mainaffinity <housekeeping> -i 200
            command = ["cyclictest", "-m", "-q", "-p95", "--policy=fifo", "-D", str(self.seconds), "-h", str(self.bins)]
            command += ["-t", str(len(self.cpus)), "-a", cpus, "-i", str(INTERVAL_US["cyclictest"])]
            command += [*(["--mainaffinity", main] if main else []), *record]
            return self._on([*self.cpus, *self.housekeeping], command)
        if self.tool == "oslat":
            # RHEL 10: --cpu-list <cpus> --rtprio 1 -D 12h -w memmove -m 4K
            command = ["oslat", "--cpu-list", cpus, "--rtprio", "1", "-D", str(self.seconds), "-w", "memmove", "-m", "4K"]
            command += ["-b", str(self.bins), *(["-C", main_cpu] if main_cpu else []), *record]
            return self._on([*self.cpus, *self.housekeeping], command)
        if self.tool == "hwlatdetect":
            # the measurement looks for gaps near or above the limit; the kernel's own threshold is 10 µs
            threshold = str(max(1, min(10, int(self.limit_us))))
            return self._on(
                self.housekeeping,
                ["hwlatdetect", f"--duration={self.seconds}s", f"--threshold={threshold}", f"--cpu-list={cpus}"],
            )
        command = ["rtla", self.tool, *([] if self.tool == "hwnoise" else ["hist"]), "-c", cpus, "-d", f"{self.seconds}s"]
        if self.tool == "hwnoise":  # RHEL 10 and the kernel's documentation: gaps from 1 µs on, the result alone
            command += ["-T", "1", "-q"]
        else:
            command += ["-b", "1", "-E", str(self.bins), "-P", "f:95"]
            command += ["-p", str(INTERVAL_US["timerlat"])] if self.tool == "timerlat" else []
        return self._on(self.housekeeping, command)

    def _on(self, cpus: Iterable[int], command: list[str]) -> list[str]:
        # also where init, and thus every service, is kept off isolated CPUs
        return ["taskset", "-c", format_cpulist(cpus), *command] if self.housekeeping else command

    def load_command(self) -> list[str]:
        """Return the load generator's command line; it loads processors, caches, system calls, processes and page faults.

        It runs on housekeeping CPUs, takes little memory and writes no disk, so that it starves no other program there.
        """
        if self.load != "stress-ng":
            return []
        workers = str(len(self.housekeeping))
        command = ["stress-ng", "--quiet", "--taskset", format_cpulist(self.housekeeping), "--timeout", f"{self.seconds + 30}s"]
        return [
            *command,
            "--cpu",
            workers,
            "--switch",
            workers,
            "--fault",
            workers,
            "--cache",
            "1",
            "--fork",
            "1",
            "--timer",
            "1",
        ]

    def script(self) -> str:
        """Return the shell script that runs the job, for any POSIX shell (busybox's included)."""
        load = self.load_command()
        start = f"{shlex.join(load)} >load.out 2>&1 </dev/null & load=$!" if load else ":"
        return _SCRIPT.format(
            directory=shlex.quote(DIRECTORY), load=start, settle=SETTLE_S if load else 0, tool=shlex.join(self.command())
        )


#: Tool and load are asked to end before they are killed, so that rtla removes its tracers. ``rc`` is written last, atomically.
_SCRIPT = """#!/bin/sh
cd {directory} || exit 71
early= load= tool= watch=
running() {{ [ -n "$1" ] && kill -0 "$1" 2>/dev/null; }}
stop() {{
  running "$1" || return 0
  kill -INT "$1" 2>/dev/null
  for signal in TERM TERM TERM KILL; do
    sleep 1
    running "$1" || return 0
    kill -"$signal" "$1" 2>/dev/null
  done
}}
finish() {{
  trap '' HUP INT TERM
  [ -n "$load" ] && kill -TERM "$load" 2>/dev/null
  stop "$tool"
  stop "$load"
  [ -n "$watch" ] && kill -KILL "$watch" 2>/dev/null
  printf '%s\n' "$1" >rc.new && mv rc.new rc
  exit 0
}}
# a signal between a start and its pid waits, so that nothing is left behind
trap 'early=1' HUP INT TERM
{load}
trap 'finish ended' HUP INT TERM
[ -n "$early" ] && finish ended
sleep {settle}
trap 'early=1' HUP INT TERM
LC_ALL=C {tool} >out 2>err </dev/null & tool=$!
trap 'finish ended' HUP INT TERM
[ -n "$early" ] && finish ended
main=$$
(
  trap - HUP INT TERM
  while sleep 1; do
    if ! kill -0 "$main" 2>/dev/null; then # killed: take the others along
      stop "$tool"
      stop "$load"
      exit
    fi
    read -r up rest </proc/uptime
    read -r until <lease || continue
    if [ "${{up%%.*}}" -ge "$until" ]; then
      : >abandoned
      kill -TERM "$main"
      exit
    fi
  done
) >/dev/null 2>&1 &
watch=$!
wait "$tool"
code=$?
[ -z "$load" ] || running "$load" || : >unloaded
tool=
finish "$code"
"""


def unit_command(job: Job, script: str) -> list[str]:
    """Return how systemd runs the script: in one control group, removed at its end, and ended when its time is over."""
    properties = {
        "RuntimeMaxSec": job.seconds + MARGIN_S,
        "KillMode": "mixed",  # signals the script first, so that it ends the tool in good order, then all other processes
        "TimeoutStopSec": 15,
        "LimitMEMLOCK": "infinity",
        "OOMPolicy": "stop",
        **({"CPUAffinity": format_cpulist(job.housekeeping)} if job.housekeeping else {}),
    }
    options = [f"--property={name}={value}" for name, value in properties.items()]
    return [
        "systemd-run",
        "--quiet",
        "--collect",
        f"--unit={UNIT}",
        "--description=latency measurement",
        *options,
        "/bin/sh",
        script,
    ]


def interval_for(seconds: int) -> int:
    """Return how many seconds to wait between two questions after a measurement that takes so long."""
    least, most = _INTERVAL_S
    return min(max(seconds // 12, least), most)


def bins_for(tool: str, limit_us: float, *, virtual: bool) -> int:
    """Return the length of a tool's histogram: beyond the limit, so that an overflow is a failure."""
    if tool not in _BINS:
        return 0
    wanted = max((_BINS_VIRTUAL if virtual else _BINS)[tool], int(limit_us * 1.5))
    return min(wanted, _BINS_MOST.get(tool, wanted))


def read_output(job: Job, files: Mapping[str, str]) -> Reading:
    """Return the tool's reading from its files; ``LatencyError`` where they hold none."""
    with answering(lambda reason: LatencyError(f"{job.tool} printed what cannot be read: {reason}")):
        return _read_output(job, files)


def _read_output(job: Job, files: Mapping[str, str]) -> Reading:
    text, record = files.get("out", ""), files.get("result.json", "")
    if job.tool == "cyclictest":
        return parse_cyclictest_json(record, job.bins) if record else parse_cyclictest(text, job.cpus)
    if job.tool == "oslat":
        return parse_oslat_json(record, job.bins) if record else parse_oslat(text)
    if job.tool == "hwlatdetect":
        return parse_hwlatdetect(text + files.get("err", ""), job.cpus)
    return parse_noise_top(text) if job.tool == "hwnoise" else parse_rtla_hist(text, 1)


def interruption(files: Mapping[str, str], *, running: bool) -> str:
    """Return why a measurement ended early; an empty text where it did not."""
    if "abandoned" in files:
        return "interrupted: no run waited for it any more (the run that had started it ended)"
    if "rc" not in files:
        return "" if running else "interrupted: its processes were killed"
    return "interrupted: it was stopped" if files["rc"].strip() == "ended" else ""


def tool_failure(job: Job, files: Mapping[str, str]) -> str:
    """Return the tool's error message when it failed; an empty text where it did not."""
    code = files.get("rc", "0").strip()
    if code in ("0", "ended"):
        return ""
    words = (files.get("err", "").strip() or files.get("out", "").strip()).splitlines()
    return f"{PROGRAMS.get(job.tool, job.tool)} ended with exit code {code}: {' '.join(words[-3:])[-300:] or 'without a message'}"


_STORED = {
    "job": {
        **dict.fromkeys(("tool", "profile", "load"), str),
        **dict.fromkeys(("seconds", "bins"), int),
        "cpus": [int],
        "housekeeping": [int],
        "limit_us": (int, float),
        "json": bool,
    },
    "before": {"node": dict, "guest": dict},
    "environment": {"virtual": bool},
    "started": str,
    "uptime": (int, float),
}


def stored(job: Job, **rest: Any) -> str:
    """Return the text of the file that keeps a job beside its output."""
    return json.dumps({"job": job.key(), **rest}, sort_keys=True) + "\n"


def load_stored(text: str) -> tuple[Job, dict[str, Any]]:
    """Return the job in such a file, and the rest of the file."""
    with answering(
        lambda reason: LatencyError(
            f"{DIRECTORY}/job.json is damaged ({reason}), so its measurement cannot be read; remove it with state: absent"
        )
    ):
        rest: dict[str, Any] = decode(text, _STORED)
        values = rest.pop("job")
        job = Job(**{**values, "cpus": tuple(values["cpus"]), "housekeeping": tuple(values["housekeeping"])})
        return job, rest


def parse_probe(text: str) -> dict[str, str]:
    """Return path to content from the output of ``PROBE``."""
    files: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("\x01"):
            name = line[1:]
            files[name] = []
        elif name:
            files[name].append(line)
    return {path: "\n".join(lines) for path, lines in files.items()}


def probe(paths: Sequence[str]) -> list[str]:
    """Return a command that prints the readable files, for ``parse_probe``; the shell expands patterns."""
    return [
        "/bin/sh",
        "-c",
        f"for f in {' '.join(paths)}; do [ -r $f ] || continue; printf '\\001%s\\n' $f; cat $f; echo; done 2>/dev/null; true",
    ]
