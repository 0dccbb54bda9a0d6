# SPDX-License-Identifier: GPL-3.0-or-later
"""GRUB's files as text: the drop-in, the admin's variables, the generated menu, grubby's report.

Pure. Sources: GRUB manual, "Simple configuration handling" and "Shell-like scripting"; grub-mkconfig
and /etc/grub.d/10_linux of Debian; grubby(8).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from .._cpus.cmdline import split_tokens

_HEADER = """\
# Written by realtime.kvm (module kernel_arguments), which replaces this file as a whole.
# It adds to what /etc/default/grub and the files before it say; those are left alone.
"""

# GRUB_DEVICE_UUID and the menu identifiers are grub-mkconfig's; evaluated whenever the menu is generated,
# so that a kernel update makes the newest matching kernel the default by itself. A kernel without its initrd is half
# installed (after a power cut) and would not boot.
_DEFAULT_KERNEL = """\
realtime_kvm_kernel=
for realtime_kvm_file in $(find /boot -maxdepth 1 -name 'vmlinuz-{pattern}' | sort -V); do
  if [ -e "/boot/initrd.img-${{realtime_kvm_file#/boot/vmlinuz-}}" ]; then
    realtime_kvm_kernel=$realtime_kvm_file
  fi
done
if [ -n "$realtime_kvm_kernel" ]; then
  realtime_kvm_entry="gnulinux-${{realtime_kvm_kernel#/boot/vmlinuz-}}-advanced-${{GRUB_DEVICE_UUID}}"
  case "${{GRUB_DISABLE_SUBMENU:-}}" in
    y | yes | true) GRUB_DEFAULT="$realtime_kvm_entry" ;;
    *) GRUB_DEFAULT="gnulinux-advanced-${{GRUB_DEVICE_UUID}}>$realtime_kvm_entry" ;;
  esac
fi
"""


@dataclass(frozen=True)
class BootEntry:
    """One kernel that the boot loader offers."""

    identity: str
    title: str
    kernel: str  # path of the image
    tokens: tuple[str, ...]
    root: str = ""  # root=, which grubby reports apart from the other arguments
    others: tuple[tuple[str, ...], ...] = ()  # further command lines: GRUB tries one of them first, or falls back to it

    @property
    def release(self) -> str:
        """The kernel release, as ``uname -r`` prints it."""
        return self.kernel.rsplit("/", 1)[-1].partition("-")[2]

    @property
    def lines(self) -> list[list[str]]:
        """Every command line with which this entry may boot."""
        root = [f"root={self.root}"] if self.root else []
        return [[*root, *tokens] for tokens in (self.tokens, *self.others)]


@dataclass
class _Menu:
    """A menuentry or submenu while the generated file is being read."""

    identity: str
    title: str
    children: list[_Menu]
    entry: BootEntry | None = None

    def add(self, kernel: str, tokens: tuple[str, ...]) -> None:
        """Take a ``linux`` line; an entry may have several (GRUB_FORCE_PARTUUID: with and without initrd)."""
        first = self.entry
        self.entry = (
            replace(first, others=(*first.others, tokens)) if first else BootEntry(self.identity, self.title, kernel, tokens)
        )


def grub_words(line: str) -> list[str]:
    """Split a line of GRUB's script into words, each as GRUB hands it to the kernel.

    GRUB takes quotes and escapes away, then puts a word with blanks into double quotes and escapes quotes in it (GRUB
    manual, "Quoting"; grub-core/lib/cmdline.c). Variables stay as they are written.
    """
    return [_as_passed("".join(map(_unquoted, _PIECE.finditer(match[0])))) for match in _WORD.finditer(line)]


_WORD = re.compile(r"""(?:'[^']*'?|"(?:\\.|[^"\\])*"?|\\.?|[^\s'"\\]+)+""", re.DOTALL)
_PIECE = re.compile(r"""'([^']*)'?|"((?:\\.|[^"\\])*)"?|\\(.?)|([^\s'"\\]+)""", re.DOTALL)


def _unquoted(piece: re.Match[str]) -> str:
    single, double, escaped, plain = piece.groups("")
    return single + re.sub(r'\\(["\\$])', r"\1", double) + escaped + plain


def _as_passed(word: str) -> str:
    escaped = re.sub(r"""(\\x[0-9a-fA-F]{2})|(['"\\])""", lambda found: found[1] or f"\\{found[2]}", word)
    return f'"{escaped}"' if " " in escaped else escaped


def render_drop_in(tokens: Sequence[str], default_kernel: str | None) -> str:
    """Return the drop-in for /etc/default/grub.d: the planned tokens after the admin's, and the default kernel."""
    text = _HEADER
    if tokens:
        text += f'GRUB_CMDLINE_LINUX_DEFAULT="${{GRUB_CMDLINE_LINUX_DEFAULT:-}} {" ".join(tokens)}"\n'
    if default_kernel:
        text += _DEFAULT_KERNEL.format(pattern=default_kernel)
    return text


def drop_in_tokens(text: str) -> list[str]:
    """Return the tokens that this collection's drop-in adds."""
    match = re.search(r'^GRUB_CMDLINE_LINUX_DEFAULT="\$\{GRUB_CMDLINE_LINUX_DEFAULT:-\} ([^"]*)"$', text, re.MULTILINE)
    return match[1].split() if match else []


def saved_entry(grubenv: str) -> str:
    """Return the entry that GRUB's environment names for ``GRUB_DEFAULT=saved``; '' for none."""
    match = re.search(r"(?m)^saved_entry=(.*)$", grubenv)
    return match[1].strip() if match else ""


def parse_menu(text: str, saved: str = "") -> tuple[list[BootEntry], BootEntry | None]:
    """Return all entries of a generated grub.cfg and the one that boots by default (None: unknown)."""
    root = _Menu("", "", [])
    stack: list[_Menu | None] = [root]
    variables, default = _variables_and_default(text, saved)
    for line in text.splitlines():
        word = line.strip()
        if re.match(r"(menuentry|submenu)\s", word) and word.endswith("{"):
            title = re.match(r"""\w+\s+(?:'([^']*)'|"([^"]*)")""", word)
            identity = re.search(r"""(?:\$menuentry_id_option|--id)\s+'?([^'\s]+)'?""", word)
            menu = _Menu(identity[1] if identity else "", (title[1] or title[2] or "") if title else "", [])
            parent = next((item for item in reversed(stack) if item is not None), root)
            parent.children.append(menu)
            stack.append(menu)
        elif word.endswith("{"):
            stack.append(None)  # a function
        elif word == "}" and len(stack) > 1:
            stack.pop()
        elif re.match(r"linux(16|efi)?\s", word) and stack[-1] is not None:
            _command, kernel, *tokens = grub_words(word)
            stack[-1].add(kernel, tuple(expand_tokens(tokens, variables)))
    return _entries(root), None if default is None else _resolve(root, default or "0")


#: An assignment, wherever a command may begin.
_ASSIGNMENT = re.compile(
    r"""(?:^|;|\b(?:then|else|do)\b)\s*(?:set\s+)?([A-Za-z_]\w*)=((?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s;'"\\])*)"""
)
_EXPANSION = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


_STRUCTURE = re.compile(r"(?:^|;|\b(?:then|else|do)\b)\s*(if|elif|else|fi|while|until|for|done)\b")


def _assignments(text: str) -> Iterator[tuple[str, str, bool]]:
    """Yield what a menu assigns outside of entries and functions, as it is written, and whether it does so in any case.

    What the header does where no one-time entry waits (``else`` of ``next_entry``) counts as any case.
    """
    depth = 0
    chosen: list[list[str]] = []  # the conditions around, each with those before it in its chain
    for line in text.splitlines():
        word = line.strip()
        if word.endswith("{"):
            depth += 1
        elif word == "}":
            depth -= 1
        elif depth <= 0 and not word.startswith("#"):
            places = [(found.start(1), found) for pattern in (_STRUCTURE, _ASSIGNMENT) for found in pattern.finditer(word)]
            for _place, found in sorted(places, key=lambda item: item[0]):
                if found.re is _ASSIGNMENT:
                    yield found[1], found[2], not any(chosen)
                else:
                    _follow(chosen, found[1], word[found.end() :].partition("then")[0])


def _follow(chosen: list[list[str]], step: str, condition: str) -> None:
    """Enter or leave a condition; an empty list stands for one that holds."""
    if step in ("if", "while", "until", "for"):
        chosen.append([condition])
    elif step in ("fi", "done"):
        del chosen[-1:]
    elif step == "elif" and chosen:
        chosen[-1].append(condition)
    elif chosen and all("next_entry" in known for known in chosen[-1]):
        chosen[-1].clear()


def _variables_and_default(text: str, saved: str) -> tuple[dict[str, str], str | None]:
    """Return the variables of a menu that have one known value, and its default (None: an unknown variable or a condition chooses it).

    The header sets the default twice: to grubenv's one-time entry, which is not meant here, then to the configured one.
    """
    variables: dict[str, str] = {"saved_entry": saved}
    several: set[str] = set()  # the value is not certain
    default: str | None = ""
    for name, written, certain in _assignments(text):
        value = None if several.intersection(_names(written)) else _expanded(written, variables)
        if name == "default":
            if "next_entry" not in written:
                default = value if certain or value == default else None
        elif value is None or (not certain and name not in variables) or variables.setdefault(name, value) != value:
            several.add(name)
    return {name: value for name, value in variables.items() if name not in several}, default


def _names(written: str) -> list[str]:
    return [found[1] or found[2] for found in _EXPANSION.finditer(written)]


def _expanded(written: str, variables: Mapping[str, str]) -> str | None:
    """Return a value without its quotes and with its variables; None where one is unknown."""
    parts: list[str] = []
    for piece in _PIECE.finditer(written):
        single, double, escaped, plain = piece.groups("")
        text = double or plain
        if any(name not in variables for name in _names(text)):
            return None
        text = _EXPANSION.sub(lambda found: variables[found[1] or found[2]], text)
        parts.append(single + re.sub(r'\\(["\\$])', r"\1", text) + escaped)
    return "".join(parts)


def menu_variables(text: str) -> dict[str, str]:
    """Return the variables that a menu sets outside of entries and functions, as far as their values are known."""
    return _variables_and_default(text, "")[0]


def expand_tokens(tokens: Iterable[str], variables: Mapping[str, str]) -> list[str]:
    """Return the arguments of a kernel with those that a variable stands for (tuned's ``$tuned_params``); unknown ones stay."""
    found: list[str] = []
    for token in tokens:
        match = _EXPANSION.fullmatch(token)
        value = variables.get(match[1] or match[2]) if match else None
        found += [token] if value is None else grub_words(value)
    return found


def _entries(menu: _Menu) -> list[BootEntry]:
    found = [menu.entry] if menu.entry else []
    for child in menu.children:
        found += _entries(child)
    return found


def _resolve(root: _Menu, default: str) -> BootEntry | None:
    menu = root
    for step in default.split(">"):
        named = [child for child in menu.children if step in (child.identity, child.title)]
        if not named and step.isdigit() and int(step) < len(menu.children):
            named = [menu.children[int(step)]]
        if not named:  # GRUB falls back to the first entry
            return root.children[0].entry if root.children else None
        menu = named[0]
    return menu.entry


def parse_grubby(text: str) -> dict[int, BootEntry]:
    """Return the Linux entries that ``grubby --info=ALL`` reports, by index; one without an id is known by its kernel."""
    entries = {}
    for block in re.split(r"(?m)^(?=index=)", text):
        fields = dict(re.findall(r'(?m)^(\w+)="?(.*?)"?$', block))
        if "kernel" in fields and fields.get("index", "").isdecimal():
            identity, tokens = fields.get("id") or fields["kernel"], tuple(split_tokens(fields.get("args", "")))
            title, root = fields.get("title", ""), fields.get("root", "")
            entries[int(fields["index"])] = BootEntry(identity, title, fields["kernel"], tokens, root)
    return entries


def version_key(release: str) -> list[tuple[int, int, str]]:
    """Order kernel releases as ``sort -V`` does: numbers by value, a prefix before a longer release."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"(\d+)", release) if part]


def newest_matching(releases: Sequence[str], pattern: str) -> str | None:
    """Return the newest kernel release that matches a shell pattern, or None if no release matches."""
    matching = [release for release in releases if fnmatchcase(release, pattern)]
    return max(matching, key=version_key, default=None)
