# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of oslo.config: what they say, in the order in which a service reads them. Pure.

Rules: oslo_config/iniparser.py (lines), oslo_config/cfg.py (``_Namespace``: the last file wins, options of many values are collected, names of
sections are compared in small letters).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .._cpus.answers import plain
from .._cpus.errors import RefusalError

DEFAULT = "DEFAULT"

#: Section and option.
Option = tuple[str, str]


class IniError(RefusalError):
    """A file is none of oslo.config; the message has file and line number, and nothing of its text, which may hold passwords."""


@dataclass(frozen=True)
class File:
    """A file's options: section to option to its values, in their order."""

    path: str
    sections: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)

    def values(self, option: Option) -> Sequence[str]:
        """Return the values of an option, none where the file does not have it."""
        return self.sections.get(_section(option[0]), {}).get(option[1], ())


def _section(name: str) -> str:
    return name if name == DEFAULT else name.lower()


def parse_ini(text: str, path: str) -> File:
    """Return what a file says."""
    sections: dict[str, dict[str, list[str]]] = {}
    section = ""
    values: list[str] | None = None  # of the option that the next line may continue
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")  # as Python reads a text file, and no other ends of lines
    for number, raw in enumerate(lines, 1):
        line = raw.rstrip()
        wrong = ""
        if line.startswith((" ", "\t")):
            if values is None:
                wrong = "continues nothing"
            else:
                values[-1] += "\n" + line.lstrip()
        elif line.startswith("["):
            section, values = _section(line[1:-1]), None
            wrong = "" if line.endswith("]") and section else "is no section"
        elif not line or not line.startswith(("#", ";")):
            key, value = _split(line)
            values = sections.setdefault(section, {}).setdefault(key, []) if key else None
            if values is not None:
                values.append(value)
            wrong = "is no option of a section" if line and not (key and section) else ""
        else:
            values = None
        if wrong:
            raise IniError(f"{path}: line {number} {wrong}, so its service cannot read it; repair it")
    return File(path, sections)


def _split(line: str) -> tuple[str, str]:
    signs = [place for place in (line.find("="), line.find(":")) if place >= 0]
    if not signs:
        return "", ""
    key, value = line[: min(signs)].strip(), line[min(signs) + 1 :].strip()
    if value and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    return key, value


def render(options: Mapping[Option, Sequence[str]], title: str) -> str:
    """Return the text of a file with these options; a value that would be read as another one is refused."""
    for (group, name), values in options.items():
        if any("$" in value or re.search(r"[\n\r]", value) or _split(f"x={value}")[1] != value for value in values):
            raise IniError(
                f"[{group}] {name}: its value cannot be written into a file of oslo.config: it has several lines, blanks around it, quotes or $"
            )
    lines = [f"# Written by realtime.kvm: {title}", "# Changes here are lost with the next run; undo removes the file."]
    section = ""
    for (group, name), values in options.items():
        if group != section:
            lines += ["", f"[{group}]"]
            section = group
        lines += [f"{name} = {value}" for value in values]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Settings:
    """What a service's files say together; they are in the order in which it reads them."""

    files: Sequence[File] = ()

    def without(self, path: str) -> Settings:
        """Return what the other files say."""
        return Settings([file for file in self.files if file.path != path])

    def where(self, option: Option) -> list[tuple[str, str]]:
        """Return the files that have an option, and the value of each that counts."""
        return [(file.path, values[-1]) for file in self.files for values in [file.values(option)] if values]

    def value(self, option: Option) -> str | None:
        """Return the value that the service takes, None where no file has one; one with an interpolation is refused."""
        found = self.where(option)
        if found and "$" in found[-1][1]:
            raise IniError(
                f"{plain(found[-1][0])}: [{option[0]}] {option[1]} has a $, by which oslo.config puts in the value of another option; write the value "
                "itself"
            )
        return found[-1][1] if found else None

    def file_of(self, option: Option) -> str:
        """Return the file whose value the service takes."""
        found = self.where(option)
        return found[-1][0] if found else ""

    def after(self, path: str) -> Settings:
        """Return what the files say that are read after another."""
        places = [number for number, file in enumerate(self.files) if file.path == path]
        return Settings(self.files[places[-1] + 1 :]) if places else Settings()


def check_last(settings: Settings, path: str, options: Iterable[Option], collected: Iterable[Option] = ()) -> None:
    """Refuse files that are read after ours and say something else; ``collected`` options have many values, which are added up."""
    later = settings.after(path)
    wrong = [
        f"{plain(file)} ([{group}] {name})"
        for group, name in options
        if (group, name) not in collected
        for file, _value in later.where((group, name))
    ]
    if wrong:
        raise IniError(
            f"{', '.join(dict.fromkeys(wrong))} is read after {path} and would win over it; take these options out of there, or give the file "
            "a name that comes before"
        )


def split_list(value: str | None) -> list[str]:
    """Return the items of a list option."""
    return [item.strip() for item in (value or "").split(",") if item.strip()]


def is_true(value: str | None) -> bool:
    """Whether a boolean option is on (oslo_config/types.py, ``Boolean``)."""
    return (value or "").strip().lower() in ("true", "1", "on", "yes")
