# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a time service: chrony's configuration and drop-in, the units of ptp4l and phc2sys. Pure.

chrony.conf(5): of a directive that is given twice the last one counts, so our file names chrony's own first. ptp4l(8), phc2sys(8): every setting is an
option, so the units need no other file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from .._cpus.cpulist import format_cpulist
from .wanted import DELAYS, NEVER, TRANSPORTS, Wanted

#: The first words of our files.
MARK = "# Written by realtime.kvm (module time_sync), which replaces this file as a whole."
PTP4L, PHC2SYS = "/usr/sbin/ptp4l", "/usr/sbin/phc2sys"
PTP4L_UNIT, PHC2SYS_UNIT = "realtime-kvm-ptp4l.service", "realtime-kvm-phc2sys.service"
#: What starts guests.
_BEFORE = "Before=libvirtd.service virtqemud.service libvirt-guests.service"


def start_commands(texts: Iterable[str]) -> list[str]:
    """Return the ``ExecStart`` lines that count, from a unit's file and its drop-ins in their order (systemd.service(5))."""
    commands: list[str] = []
    for text in texts:
        section = ""
        for raw in text.replace("\\\n", " ").split("\n"):
            line = raw.strip()
            section = line if line.startswith("[") else section
            key, sign, value = (part.strip() for part in line.partition("="))
            if section == "[Service]" and sign and key == "ExecStart":
                commands = [*commands, value] if value else []
    return commands


def environment_files(texts: Iterable[str]) -> list[str]:
    """Return the files with variables that a unit's file and drop-ins name; an empty line of them forgets those before."""
    found: list[str] = []
    for text in texts:
        for value in re.findall(r"^[ \t]*EnvironmentFile[ \t]*=[ \t]*(.*?)[ \t]*$", text, re.MULTILINE):
            found = [*found, value.lstrip("-")] if value else []
    return found


def expanded(command: str, texts: Iterable[str]) -> list[str]:
    """Return a command's words, with the variables of its files of variables; the last of a name counts."""
    values: dict[str, str] = {}
    for text in texts:
        for name, value in re.findall(r"^[ \t]*(\w+)=(.*?)[ \t]*$", text, re.MULTILINE):
            values[name] = value.replace('"', "").replace("'", "")
    return re.sub(r"\$\{?(\w+)\}?", lambda found: values.get(found[1], ""), command).split()


def needs_configuration(wanted: Wanted) -> bool:
    """Whether chrony is to be told more than its own file says."""
    return bool(wanted.servers or wanted.makestep or wanted.interface)


def chrony_text(wanted: Wanted, main: str, interface: str) -> str:
    """Return chrony's configuration: that of its own file, and what is asked for."""
    lines = [MARK, "# Put your own lines into the file that it includes.", f"include {main}"]
    lines += [f"server {name} iburst prefer" for name in wanted.servers]
    if wanted.makestep:
        lines.append("makestep 1 0" if wanted.makestep == NEVER else f"makestep {wanted.makestep}")
    if interface and wanted.stamping != "software":
        lines.append(f"hwtimestamp {interface}")
    return "\n".join(lines) + "\n"


def chrony_drop_in(wanted: Wanted, cpus: Iterable[int], command: str, configuration: str) -> str:
    """Return the drop-in of chrony's unit; with a ``configuration``, its command reads that instead of its own file."""
    lines = [MARK, "[Unit]", _BEFORE, "[Service]", *_placed(wanted.priority, cpus)]
    if configuration:
        lines += ["ExecStart=", f"ExecStart={command} -f {configuration}"]
    return "\n".join(lines) + "\n"


def _placed(priority: int, cpus: Iterable[int]) -> list[str]:
    policy = ["CPUSchedulingPolicy=fifo", f"CPUSchedulingPriority={priority}"] if priority else []
    return ["CPUAffinity=", f"CPUAffinity={format_cpulist(cpus)}", *policy]


def ptp4l_words(wanted: Wanted, interface: str, *, hardware: bool) -> list[str]:
    """Return ptp4l's options: a client of the domain on one interface."""
    words = [PTP4L, "-s", "-i", interface, "-H" if hardware else "-S", TRANSPORTS[wanted.transport], DELAYS[wanted.delay]]
    words.append(f"--domainNumber={wanted.domain}")
    return [*words, *(["--first_step_threshold=0"] if wanted.makestep == NEVER and not hardware else [])]


def phc2sys_words(wanted: Wanted) -> list[str]:
    """Return phc2sys' options: the system's clock follows the NIC's, once ptp4l has it."""
    return [PHC2SYS, "-a", "-r", "-n", str(wanted.domain), *(["-F", "0"] if wanted.makestep == NEVER else [])]


def ptp_units(wanted: Wanted, interface: str, cpus: Iterable[int], *, hardware: bool) -> Mapping[str, str]:
    """Return the units, by name; with software time stamps ptp4l steers the system's clock itself."""
    placed = _placed(wanted.priority, list(cpus))
    title, words = "PTP on the clock of a NIC" if hardware else "PTP", ptp4l_words(wanted, interface, hardware=hardware)
    units = {PTP4L_UNIT: _unit(title, ["After=network.target"], words, placed)}
    if hardware:
        after = [f"After={PTP4L_UNIT}", f"Wants={PTP4L_UNIT}"]
        units[PHC2SYS_UNIT] = _unit("The system's clock follows the clock of a NIC", after, phc2sys_words(wanted), placed)
    return units


def _unit(title: str, order: Sequence[str], words: Sequence[str], placed: Sequence[str]) -> str:
    lines = [
        MARK,
        "[Unit]",
        f"Description={title} (realtime.kvm)",
        *order,
        f"{_BEFORE} time-sync.target",
        "Wants=time-sync.target",
        "StartLimitIntervalSec=0",
        "[Service]",
        "Type=exec",
        f"ExecStart={' '.join(words)}",
        *placed,
        "Restart=always",
        "RestartSec=5",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join(lines) + "\n"
