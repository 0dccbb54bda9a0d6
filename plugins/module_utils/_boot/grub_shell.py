# SPDX-License-Identifier: GPL-3.0-or-later
"""What the administrator's GRUB files come to, by sh itself: they are a script, so no pattern can read them.

Pure: the script that grub-mkconfig's own way of reading them makes, and what its output says. grub-mkconfig reads
/etc/default/grub, then the drop-ins in the order of their bytes, and 10_linux puts GRUB_CMDLINE_LINUX before
GRUB_CMDLINE_LINUX_DEFAULT.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .grub_files import grub_words

#: Stands for our tokens and our default entry; a later file may drop either.
_OURS = "realtime_kvm_tokens"
_SHOW = r"""set -e
realtime_kvm_show() {
  printf '%s\001%s\001%s\001%s\002' "$1" "${GRUB_CMDLINE_LINUX:-}" "${GRUB_CMDLINE_LINUX_DEFAULT:-}" "${GRUB_DEFAULT:-}"
}
"""


def reading_script(files: Mapping[str, str], drop_in: str) -> str:
    """Return a script that reads the files, given as name and full path, with a mark in place of the drop-in."""
    lines = [_SHOW]
    for name in sorted({*files, drop_in}, key=lambda name: ("/grub.d/" in name, name.encode())):
        if name == drop_in:
            lines.append(f'GRUB_CMDLINE_LINUX_DEFAULT="${{GRUB_CMDLINE_LINUX_DEFAULT:-}} {_OURS}"\nGRUB_DEFAULT={_OURS}\n')
        else:
            lines.append(f". {shlex.quote(files[name])} >&2\n")
        lines.append(f"realtime_kvm_show {shlex.quote(name)}\n")
    return "".join(lines)


@dataclass(frozen=True)
class GrubSettings:
    """The tokens of other users, by the file that sets them first, and which files drop ours."""

    foreign: Mapping[str, list[str]]
    tokens_dropped_by: str = ""
    default_dropped_by: str = ""
    behind_dashes: bool = False  # our tokens would stand behind --
    variables: tuple[str, ...] = ()  # of GRUB's own, which stand for tokens

    @property
    def tokens(self) -> list[str]:
        return [token for tokens in self.foreign.values() for token in tokens]


def parse_reading(output: str, drop_in: str) -> GrubSettings:
    """Return what the script has shown."""
    states: list[tuple[str, Sequence[str], str]] = []
    for block in output.split("\002")[:-1]:
        name, linux, default, entry = block.split("\001")
        states.append((name, grub_words(f"{linux} {default}"), entry))
    if not states:
        return GrubSettings({})
    last = states[-1][1]
    foreign: dict[str, list[str]] = {}
    for token in last:
        if token != _OURS and not token.startswith("$"):
            foreign.setdefault(next(name for name, words, _entry in states if token in words), []).append(token)
    names = [name for name, _words, _entry in states]
    later = states[names.index(drop_in) :] if drop_in in names else []
    return GrubSettings(
        foreign,
        next((name for name, words, _entry in later if _OURS not in words), ""),
        next((name for name, _words, entry in later if entry != _OURS), ""),
        "--" in last and _OURS in last and last.index("--") < last.index(_OURS),
        tuple(token for token in last if token.startswith("$")),
    )
