# SPDX-License-Identifier: GPL-3.0-or-later
"""How systemd starts a service: its unit, the init script of Debian's packages, and how either gets one more argument. Pure.

Debian and Ubuntu build ``/etc/init.d/<program>`` with openstack-pkg-tools; the unit runs it with ``systemd-start``. It collects ``DAEMON_ARGS``, puts
``--config-file=$CONFIG_FILE`` in front, and then reads ``/etc/default/openstack`` and ``/etc/default/<program>``, which may add arguments.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .._cpus.errors import RefusalError

#: The first words of all our files.
MARK = "# Written by realtime.kvm"
LOST = (
    "# Changes here are lost with the next run; put your own lines into another file: /etc/default/openstack, or another drop-in."
)

_SCRIPTS = "/etc/init.d/"
_COMMON = "comes from openstack-pkg-tools"
_ARGUMENTS = ("DAEMON_ARGS", "CONFIG_FILE")
_ASSIGNMENT = re.compile(r"(?:export\s+)?(\w+)=(.*)")
_CONDITION = re.compile(r"if \[ -[efr] '?\"?([^\s'\"]+)'?\"? \]\s*;?\s*(?:then)?")
#: Shell lines that run other text: ``. file``, ``source file``, ``eval``.
_SOURCES = re.compile(r"(^|[;&|]|\bthen\b)\s*(\.|source|eval)\s")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class LaunchError(RefusalError):
    """How a service is started cannot be understood; the message names the file and what would work."""


@dataclass(frozen=True)
class Unit:
    """What of a unit and its drop-ins counts."""

    name: str
    commands: Sequence[str] = ()  # ExecStart, as written
    user: str = "root"
    groups: Sequence[str] = ()
    environment: frozenset[str] = field(default_factory=frozenset)  # names of its variables
    environment_files: Sequence[str] = ()  # as written
    starts: bool = False  # whether ExecStart is there, be it empty

    @property
    def script(self) -> str:
        """The init script that the unit runs; empty for none."""
        words = command_words(self.commands[-1]) if self.commands else []
        return words[0] if words[1:] == ["systemd-start"] and words[0].startswith(_SCRIPTS) else ""


def parse_unit(name: str, texts: Iterable[str]) -> Unit:
    """Return a unit from its file and its drop-ins, in the order in which systemd reads them."""
    commands: list[str] = []
    files: list[str] = []
    user, groups, environment, starts = "root", [], set(), False
    for text in texts:
        section = ""
        for line in _unit_lines(text):
            if line.startswith("["):
                section = line
            key, sign, value = (part.strip() for part in line.partition("="))
            if section != "[Service]" or not sign:
                continue
            if key == "ExecStart":
                commands, starts = [*commands, value] if value else [], True
            elif key == "User":
                user = value or "root"
            elif key in ("Group", "SupplementaryGroups"):
                groups += value.split()
            elif key in ("Environment", "PassEnvironment"):
                environment |= {word.partition("=")[0] for word in _split(value)}
            elif key == "EnvironmentFile":
                files = [*files, value] if value else []
    return Unit(name, commands, user, groups, frozenset(environment), files, starts)


def _unit_lines(text: str) -> Iterable[str]:
    """Yield the lines of a unit as systemd reads them (shared/conf-parser.c): comments are left out, also between the parts of a line."""
    held = ""
    for part in re.split(r"\r\n|[\n\r\0]", text):
        if part.lstrip().startswith(("#", ";")):
            continue
        line = held + part
        if (len(line) - len(line.rstrip("\\"))) % 2:  # an odd number of them: the last escapes the line's end
            held = line[:-1] + " "
            continue
        held = ""
        yield line.strip()
    yield held.strip()


def command_words(command: str) -> list[str]:
    """Return program and arguments of an ``ExecStart`` (systemd.service(5): characters before the program change how it runs)."""
    return _split(command.lstrip("@-:+!|"))


def plain_words(command: str) -> list[str]:
    """Return the same where it needs no interpretation; none with variables, specifiers, escapes, several commands or a quote left open."""
    words = command_words(command)
    return [] if any(sign in command for sign in "$%\\") or ";" in words or not _closed(command) else words


def _closed(text: str) -> bool:
    try:
        shlex.split(text)
    except ValueError:
        return False
    return True


def assigned(text: str) -> frozenset[str]:
    """Return the names of oslo.config's variables to which a file of variables, or of a shell, gives values."""
    lines = [line for line in text.split("\n") if not line.lstrip().startswith("#")]
    return frozenset(name for line in lines for name in re.findall(r"\b(OS_\w+)=", line))


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


# -- the init script -------------------------------------------------------------------------------


def script_arguments(texts: Sequence[str], project: str, exists: Callable[[str], bool]) -> list[str] | None:
    """Return the arguments that an init script gives its program; None where the script is another than known.

    ``texts``: the script, then the files of ``/etc/default`` that it reads.
    """
    head, found, _rest = texts[0].partition(_COMMON)
    if not found:
        return None
    variables = {"DAEMON_ARGS": "", "CONFIG_FILE": f"/etc/{project}/{project}.conf"}
    if not _assign(variables, head.split("\n"), exists):
        return None
    variables["DAEMON_ARGS"] = f"--config-file={variables['CONFIG_FILE']} {variables['DAEMON_ARGS']}"
    if any(not _assign(variables, text.split("\n"), exists) for text in texts[1:]):
        return None
    return variables["DAEMON_ARGS"].split()


def _assign(variables: dict[str, str], lines: Iterable[str], exists: Callable[[str], bool]) -> bool:
    """Make the assignments of shell lines; return whether all that concern the arguments were understood."""
    taken: list[bool | None] = [True]  # of each condition around a line; None: not understood
    for raw in lines:
        line = raw.strip()
        condition = _CONDITION.fullmatch(line)
        assignment = _ASSIGNMENT.fullmatch(line)
        if line.startswith("#"):
            continue
        if line.startswith(("else", "elif")):
            return False
        if line.startswith("if "):
            taken.append(None if condition is None else exists(condition[1]))
        elif line == "fi" and len(taken) > 1:
            taken.pop()
        elif assignment and assignment[1] in _ARGUMENTS:
            words = _split(assignment[2])
            if len(words) > 1 or "`" in line or "$(" in line or None in taken:
                return False
            if all(taken):
                variables[assignment[1]] = _expand(words[0] if words else "", variables)
        elif assignment and all(taken):
            variables[assignment[1]] = _expand("".join(_split(assignment[2])), variables)
        elif any(name in line for name in _ARGUMENTS) or _SOURCES.search(line):
            return False  # an assignment of another form, or a file that may have one
    return True


def _expand(text: str, variables: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda match: variables.get(match[1] or match[2], ""), text)


def foreign_lines(text: str) -> int:
    """Return how many lines of a file of ours are somebody else's."""
    known = re.compile(r"\[Service\]|ExecStart=|.*[ =]--config-file=\S*realtime-kvm\.conf\"?")
    lines = [line.strip() for line in text.split("\n")]
    return sum(1 for line in lines if line and not line.startswith("#") and not known.fullmatch(line))


# -- one more argument -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Added:
    """The file by which a service gets one more argument."""

    path: str
    text: str


def added(unit: Unit, program: str, argument: str) -> Added:
    """Return the file that adds an argument: the defaults of Debian's init script, or else a drop-in of the unit."""
    title = f"{MARK}: {program} reads one more file, which undo removes with this one.\n{LOST}"
    if unit.script:
        return Added(f"/etc/default/{posixpath.basename(unit.script)}", f'{title}\nDAEMON_ARGS="$DAEMON_ARGS {argument}"\n')
    if len(unit.commands) != 1:
        raise LaunchError(
            f"{unit.name} has {len(unit.commands)} lines ExecStart, so none of them can get one more argument; give it one"
        )
    lines = [title, "[Service]", "ExecStart=", f"ExecStart={unit.commands[0]} {argument}"]
    return Added(f"/etc/systemd/system/{unit.name}.d/realtime-kvm.conf", "\n".join(lines) + "\n")
