# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What README.md and the pages in docs/ show: every command and every block, each as the test of the pages runs it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field

from unit.documents import ROOT

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "roles").glob("*/README.md")),
]
#: The first words of a command that people type: on the controller, and on a node.
CONTROLLER = (
    "ansible-playbook", ".venv/bin/ansible-playbook", "ansible-doc", "ansible-galaxy", "ansible-inventory", "ansible-rulebook", "export", "make",
)  # fmt: skip
NODE = (
    "apt-get", "ausearch", "dnf", "journalctl", "mkdir", "modprobe", "ovs-appctl", "ovs-vsctl", "rtpart", "ssh", "systemctl", "touch", "tuned-adm",
    "update-grub", "virsh",
)  # fmt: skip


@dataclass(frozen=True)
class Block:
    """A fenced or an indented block of a page; ``language`` is the fence's, empty for an indented block."""

    page: str
    line: int
    language: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """One command; ``words`` as a shell takes it apart."""

    where: str
    text: str
    words: list[str] = field(compare=False, hash=False, default_factory=list)

    @property
    def program(self) -> str:
        return self.words[0].rpartition("/")[2]


def blocks(path):
    """Every block of a page in its order."""
    page, lines = str(path.relative_to(ROOT)), path.read_text(encoding="utf-8").splitlines()
    found, number = [], 0
    while number < len(lines):
        line = lines[number]
        fence = re.match(r"^( {0,3})(```+|~~~+)\s*(\w*)", line)
        if fence:
            end = next(at for at in range(number + 1, len(lines)) if lines[at].strip() == fence[2])
            found.append(Block(page, number + 1, fence[3] or "none", "\n".join(lines[number + 1 : end]) + "\n"))
            number = end + 1
        elif line.startswith("    ") and line.strip() and _may_begin(lines, number):
            end = number
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            found += _parts(page, number, [each[4:] for each in lines[number:end]])
            number = end
        else:
            number += 1
    return found


def _parts(page, number, lines):
    """An indented block by kind: commands that follow YAML after a blank line are a block of their own."""
    found, part = [], []
    for offset, line in enumerate([*lines, None]):
        ends = line is None or (
            part and not lines[offset - 1].strip() and line.strip() and is_command(line) != is_command(part[0])
        )
        if ends and any(each.strip() for each in part):
            found.append(Block(page, number + offset - len(part) + 1, "", "\n".join(part).rstrip("\n") + "\n"))
            part = []
        part.append(line)
    return found


def _may_begin(lines, number):
    """An indented block begins after a blank line, and not within a list's item."""
    if number and lines[number - 1].strip():
        return False
    before = next((line for line in reversed(lines[:number]) if line.strip()), "")
    return not re.match(r"\s*([*+-]|\d+\.) ", before) and not before.startswith("  ")


def inline(path):
    """The commands in a page's text, as code between back quotes."""
    page, found = str(path.relative_to(ROOT)), []
    inside = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if re.match(r"^ {0,3}(```|~~~)", line):
            inside = not inside
        if inside or line.startswith("    "):
            continue
        codes = re.findall(r"(?<!`)`([^`]+)`(?!`)", line.replace(r"\|", "|"))
        found += [Command(f"{page}:{number}", code, split(code)) for code in codes if is_command(code) and " " in code]
    return found


def is_command(text):
    return text.split(maxsplit=1)[0] in (*CONTROLLER, *NODE) if text.split() else False


def split(text):
    """The words of a command, without its comment."""
    return shlex.split(text, comments=True)


def commands_of(block):
    """The commands of a block, continued lines joined; of a node's session, those after its prompt. None for a block of something else."""
    if block.text.startswith("[node1]# "):
        typed = re.findall(r"^\[node1\]# (.*)$", block.text, re.MULTILINE)
        return [Command(block.where, text, split(text)) for text in typed]
    lines = [
        line for line in re.sub(r"\\\n\s*", " ", block.text).splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    if not lines or not all(is_command(line) for line in lines):
        return None
    return [Command(block.where, part.strip(), split(part)) for line in lines for part in re.split(r"\s&&\s", line)]


BLOCKS = [block for path in PAGES for block in blocks(path)]
#: The commands of all blocks and of the text between them.
COMMANDS = [
    command
    for path in PAGES
    for command in [*(each for block in blocks(path) for each in commands_of(block) or ()), *inline(path)]
]


def block_at(page, words):
    """The block of a page that holds the words."""
    return next((block for block in BLOCKS if block.page == page and words in block.text), None)


def documented_inventory(folder):
    """The inventory of README.md with the variables of its host, as a reader writes them to files."""
    (folder / "host_vars").mkdir(parents=True, exist_ok=True)
    (folder / "hosts.yml").write_text(block_at("README.md", "realtime_nodes:").text)
    (folder / "host_vars" / "kvm03.example.com.yml").write_text(block_at("README.md", "realtime_guests:").text)
    return folder / "hosts.yml"


def counted():
    """How much the pages show, in one line."""
    pages = {block.page for block in BLOCKS} | {command.where.partition(":")[0] for command in COMMANDS}
    return f"{len(COMMANDS)} commands and {len(BLOCKS)} blocks on {len(pages)} pages"
