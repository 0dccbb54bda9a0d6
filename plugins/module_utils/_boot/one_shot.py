# SPDX-License-Identifier: GPL-3.0-or-later
"""Booting an entry once with GRUB: its environment block, and the frame that keeps the old entry the default.

Pure. The menu that grub-mkconfig generates reads ``custom.cfg`` of its folder last (/etc/grub.d/41_custom), on Debian, Ubuntu
and the RHEL family alike. The frame is the first part of that file: two entries and a decision, which asks a variable of its own
in the environment block. So what the menu has chosen before does not count, and a menu that GRUB reads without the frame, since it
replays no journal, does not know the variable. Removing the frame makes the menu's own default count again, whatever regenerates
the menu meanwhile. Sources: GRUB manual, "Environment block", ``load_env``, ``save_env`` and ``fallback``; the Boot
Loader Specification; blscfg of the RHEL family's GRUB.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from .._cpus.cmdline import canonical, key_of
from .._cpus.errors import RefusalError
from .compared import MARK, TRIAL_TOKENS
from .grub_files import expand_tokens, grub_words, menu_variables

#: Identifiers of the frame's entries.
PREVIOUS, TRIAL = "realtime-kvm-previous", "realtime-kvm-trial"
#: The variable of the environment block that makes the next boot the trial, and its value; GRUB empties it.
ONCE, ARMED_ONCE = "realtime_kvm_trial", "1"
#: The variable of grub-reboot; a release before this one wrote the trial's entry into it.
NEXT = "next_entry"
#: The kernel keeps so many bytes of its command line on x86 (COMMAND_LINE_SIZE less the end); some are for what GRUB adds.
_LONGEST = 2047 - 120
#: File systems that GRUB writes the environment block to. Debian's 00_header lists some that it cannot write.
WRITABLE = ("ext2", "xfs", "fat")

_BEGIN = "### BEGIN realtime.kvm: one boot on trial; this part is replaced as a whole ###\n"
_EMPTY = "# the file was empty before\n"
_END = "### END realtime.kvm ###\n"
_BLOCK_HEAD = b"# GRUB Environment Block\n"
_BLOCK_SIZE = 1024
#: Characters that mean themselves to GRUB.
_PLAIN = re.compile(r"[A-Za-z0-9_.,:=/@%+^~-]+")
#: What GRUB adds to the command line by itself.
ADDED_KEYS = ("BOOT_IMAGE", "initrd")
#: Commands of an entry that lead to its files or set the screen.
_SETUP = re.compile(r"(insmod|search|set|load_video|gfxmode|if|else|elif|fi)\b")


class OneShotError(RefusalError):
    """An entry cannot be booted once; the message names the file and what would work."""


# -- the environment block -------------------------------------------------------------------------


def parse_environment(data: bytes) -> dict[str, str]:
    """Return the variables of an environment block; ``OneShotError`` when it is damaged."""
    if len(data) != _BLOCK_SIZE or not data.startswith(_BLOCK_HEAD):
        raise OneShotError(
            f"the GRUB environment block (grubenv) is damaged ({len(data)} bytes, {_BLOCK_SIZE} with GRUB's first line expected); "
            "make a new one: grub-editenv - create (RHEL family: grub2-editenv - create, then grubby --set-default)"
        )
    found: dict[str, str] = {}
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        name, mark, value = line.partition("=")
        if mark and not line.startswith("#"):
            found[name] = value.replace("\\\\", "\\")
    return found


def change_environment(data: bytes, name: str, value: str | None) -> bytes:
    """Return the block with a variable set (None: removed); the other lines stay as they are."""
    parse_environment(data)
    lines = data.rstrip(b"#").split(b"\n")
    kept = [line for line in lines if line and not line.startswith(f"{name}=".encode())]
    if value is not None:
        kept.append(f"{name}={value}".encode())
    text = b"".join(line + b"\n" for line in kept)
    if len(text) > _BLOCK_SIZE:
        raise OneShotError(
            f"the GRUB environment block (grubenv) is full, {name} does not fit; remove what is not needed (grub-editenv - list, "
            "grub-editenv - unset NAME)"
        )
    return text.ljust(_BLOCK_SIZE, b"#")


def is_armed(data: bytes) -> bool:
    """Return whether the next boot that reads the frame is the trial's; a damaged block arms nothing."""
    try:
        return parse_environment(data).get(ONCE) == ARMED_ONCE
    except OneShotError:
        return False


def arm_environment(data: bytes) -> bytes:
    """Return the block that makes the next boot the trial; a one-time entry that waits there goes."""
    return change_environment(change_environment(data, NEXT, None), ONCE, ARMED_ONCE)


def disarm_environment(data: bytes) -> bytes:
    """Return the block without what a trial has left in it; a one-time entry of the administrator's stays."""
    changed, left = data, parse_environment(data)
    if ONCE in left:
        changed = change_environment(changed, ONCE, None)
    return change_environment(changed, NEXT, None) if left.get(NEXT) in (TRIAL, "") else changed


# -- what a menu must have, and where GRUB must be able to write -----------------------------------


#: A choice of the entry that boots, or of the one after a failure, wherever a command may begin.
_CHOOSES = re.compile(
    r"""(?m)(?:^|[;{}]|\b(?:then|else|do))[ \t]*("""
    r"""(?:set[ \t]+)?['"]?(?:default|fallback)['"]?=[^\s;]*"""
    r"""|unset[ \t]+(?:default|fallback)\b"""
    r"""|\w+[ \t][^\n;{]*--set[= \t](?:\d+:)?(?:default|fallback)\b)"""
)
_SOURCE = re.compile(r"(?m)^\s*source \$\{config_directory\}/custom\.cfg.*$")


def _choice(text: str) -> re.Match[str] | None:
    return _CHOOSES.search(re.sub(r"(?m)^[ \t]*#.*$", "", text))


def menu_problem(menu: str) -> str:
    """Return why a generated menu cannot boot an entry once; empty: it can. What it chooses before the frame does not count."""
    source = _SOURCE.search(menu)
    if not source:
        return "it does not read custom.cfg (make /etc/grub.d/41_custom executable, and generate the menu again)"
    later = _choice(menu[source.end() :])
    if later:
        return (
            f"it chooses the default again ({later[1]}) after it has read custom.cfg; let that file of /etc/grub.d sort before "
            "41_custom, or choose the default by GRUB_DEFAULT, and generate the menu again"
        )
    return ""


def custom_problem(own: str) -> str:
    """Return why the administrator's lines of custom.cfg would undo the frame before them; empty: they do not."""
    found = _choice(own)
    return f"chooses the default entry ({found[1]}), and GRUB would boot that one; choose it by GRUB_DEFAULT" if found else ""


def stub_problem(text: str, folder: str) -> str:
    """Return what a menu on the EFI partition is, if it does not lead GRUB to the menu of a folder and does nothing else."""
    if re.search(r"(?m)^\s*(menuentry|submenu|blscfg|linux\w*)\b", text):
        return "is a whole menu"
    there = f"/{folder.rpartition('/')[2]}"
    prefix = re.search(r"(?m)^\s*set\s+prefix=(.*)$", text)
    configured = re.search(r"(?m)^\s*(?:configfile|normal)\s+(.*)$", text)
    if not configured:
        return "does not lead to another menu"
    path = configured[1].replace("${prefix}", "$prefix").replace("$prefix", prefix[1] if prefix else "")
    return "" if re.sub("[\"' ]", "", path).endswith(f"{there}/grub.cfg") else f"leads to {configured[1].strip()}"


def place_problem(file_system: str, abstraction: str) -> str:
    """Return why GRUB cannot write a file there, by what grub-probe says; empty: it can."""
    if abstraction.split():
        return f"it lies on {' '.join(abstraction.split())} (LVM, RAID and encryption are read-only for GRUB)"
    if file_system.strip() not in WRITABLE:
        return f"GRUB does not write to {file_system.strip() or 'an unknown file system'} (only {', '.join(WRITABLE)})"
    return ""


# -- entries ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """How GRUB boots one kernel: commands that lead to its files, the files, the arguments."""

    identity: str
    kernel: str
    initrds: tuple[str, ...]
    tokens: tuple[str, ...]
    setup: tuple[str, ...] = ()
    text: str = ""  # the arguments as the menu has them, in GRUB's own quotes
    device_tree: str = ""  # of boards whose firmware has none

    @property
    def release(self) -> str:
        """The kernel release, as ``uname -r`` prints it."""
        return self.kernel.rsplit("/", 1)[-1].partition("-")[2]


def menu_recipes(menu: str) -> list[Recipe]:
    """Return the entries of a generated menu that boot a kernel.

    An entry may have two ``linux`` lines (GRUB_FORCE_PARTUUID): the one with an initial RAM disk is taken.
    """
    recipes = []
    variables = menu_variables(menu)
    for header, body in re.findall(r"(?ms)^[ \t]*menuentry\s([^\n]*)\{[ \t]*\n(.*?)^[ \t]*\}[ \t]*$", menu):
        lines = [line.strip() for line in body.splitlines()]
        kernels = [number for number, line in enumerate(lines) if re.match(r"linux(16|efi)?\s", line)]
        disks = [number for number, line in enumerate(lines) if re.match(r"initrd(16|efi)?\s", line)]
        if not kernels:
            continue
        chosen = max((number for number in kernels if disks and number < disks[-1]), default=kernels[0])
        _command, kernel, text = (*re.split(r"\s+", lines[chosen], maxsplit=2), "", "")[:3]
        text = re.sub(r"(?<!\S)\$\{?\w+\}?(?!\S)", lambda found: _value_of(found[0], variables), text)
        identity = re.search(r"""(?:\$menuentry_id_option|--id)\s+'?([^'\s]+)'?""", header)
        setup = [line for line in lines[: kernels[0]] if _SETUP.match(line) and "initrdfail" not in line]
        trees = [line.split()[1] for line in lines if re.match(r"devicetree\s+\S", line)]
        recipes.append(
            Recipe(
                identity[1] if identity else "",
                kernel,
                tuple(lines[disks[-1]].split()[1:]) if disks else (),
                tuple(grub_words(text)),
                tuple(_filled(setup)),
                text.strip(),
                trees[-1] if trees else "",
            )
        )
    return recipes


def _filled(lines: Iterable[str]) -> list[str]:
    """Put a command into conditions of whose lines none is kept; GRUB takes an empty one for a syntax error."""
    kept: list[str] = []
    for line in lines:
        opened = kept and re.match(r"(if|elif|else)\b", kept[-1]) and not re.search(r"\bfi$", kept[-1])
        if opened and re.match(r"(elif|else|fi)\b", line):
            kept.append("set realtime_kvm_empty=1")
        kept.append(line)
    return kept


def _value_of(name: str, variables: Mapping[str, str]) -> str:
    """Return what a variable of the menu stands for, as GRUB must read it; an unknown one stays."""
    tokens = expand_tokens([name], variables)
    try:
        return name if tokens == [name] else " ".join(map(quoted, tokens))
    except OneShotError:
        return name


def bls_recipe(identity: str, text: str, variables: Mapping[str, str]) -> Recipe:
    """Return the entry of a file in /boot/loader/entries; its paths begin at the device that the menu has found.

    ``variables`` are those of the environment block, of which options may be made ($kernelopts, $tuned_params). A key ends where it
    does for GRUB: at the first blank of its line, and only in a line without blanks at the first tab.
    """
    fields: dict[str, list[str]] = {}
    for line in map(str.strip, text.splitlines()):
        key, _blank, value = line.partition(" " if " " in line else "\t")
        if value and not key.startswith("#"):
            fields.setdefault(key, []).append(value.strip())
    kernel = fields.get("linux", [""])[-1]
    initrds = [word for value in fields.get("initrd", []) for word in value.split() if not word.startswith("$")]
    words = [
        variables.get(word[1:], word) if word.startswith("$") else word for word in " ".join(fields.get("options", [])).split()
    ]
    text = " ".join(word for word in words if word)
    tree = fields.get("devicetree", [""])[-1]
    return Recipe(
        identity,
        f"($root){kernel}",
        tuple(f"($root){path}" for path in initrds),
        tuple(grub_words(text)),
        text=text,
        device_tree=f"($root){tree}" if tree else "",
    )


def running_tokens(cmdline: Iterable[str]) -> list[str]:
    """Return the running kernel's arguments without what GRUB and a trial have added."""
    return without_trial([token for token in cmdline if key_of(token) not in ADDED_KEYS])


def without_trial(tokens: Sequence[str]) -> list[str]:
    """Return arguments without those of a trial, which an entry has where it was made of the running kernel's (kernel-install)."""
    return [token for token in tokens if token not in TRIAL_TOKENS] if MARK in tokens else list(tokens)


def old_entry(recipes: Sequence[Recipe], release: str, cmdline: Sequence[str]) -> Recipe:
    """Return the entry that is running: its kernel's files from the menu, its arguments from the kernel itself."""
    files = [recipe for recipe in recipes if recipe.release == release and recipe.identity not in (PREVIOUS, TRIAL)]
    complete = [recipe for recipe in files if recipe.initrds] or files
    if not complete:
        raise OneShotError(
            f"the running kernel {release} has no entry in the boot menu, so a failed boot could not lead back to it; reboot into an "
            "installed kernel first"
        )
    best = complete[0]
    return Recipe(PREVIOUS, best.kernel, best.initrds, tuple(running_tokens(cmdline)), best.setup, device_tree=best.device_tree)


def new_entry(recipe: Recipe) -> Recipe:
    """Return an entry as it is booted on trial: a panic becomes a reset, and an initial RAM disk that fails reboots."""
    if not recipe.initrds:
        raise OneShotError(
            f"kernel {recipe.release} has no initial RAM disk, so it would not find its disk; install it completely (for example "
            f"update-initramfs -c -k {recipe.release}, or dracut)"
        )
    extra = extra_tokens(recipe.tokens)
    # what stands behind "--" belongs to init
    end = re.search(r"(^|\s)--(\s|$)", recipe.text)
    place = end.start() if end else len(recipe.text)
    text = " ".join(part for part in (recipe.text[:place].strip(), *extra, recipe.text[place:].strip()) if part)
    if len(text) > _LONGEST:
        raise OneShotError(
            f"the command line of kernel {recipe.release} has {len(text)} characters with the arguments of the trial, {_LONGEST} fit; "
            "remove some (rt_kernel_arguments, /etc/default/grub)"
        )
    return replace(recipe, identity=TRIAL, tokens=tuple(grub_words(text)), text=text)


def extra_tokens(tokens: Sequence[str]) -> tuple[str, ...]:
    """Return what the tried boot has beside the entry's own arguments; a ``panic`` of its own that resets stays."""
    own = {key_of(token): canonical(token) for token in tokens}
    resets = re.fullmatch(r"panic=[1-9]\d*", own.get("panic", ""))  # -1 resets too, but initramfs-tools then halts
    return tuple(
        token
        for token in TRIAL_TOKENS
        if own.get(key_of(token)) != canonical(token) and not (resets and key_of(token) == "panic")
    )


# -- the frame -------------------------------------------------------------------------------------

#: What the menu has chosen before, also by a variable of grubenv (fallback counting of the RHEL family), does not count; nor does
#: what it would boot where the files of an entry cannot be loaded. GRUB takes only a place in its menu there, which the frame does not know.
_HOLD = f"""\
set default="{PREVIOUS}"
unset fallback
"""
_TRY = f"""\
set {ONCE}=
load_env {ONCE}
if [ "${{{ONCE}}}" = "{ARMED_ONCE}" ]; then
  set {ONCE}=
  save_env {ONCE}
  # the block is read again: if GRUB could not write it, the new entry would boot again and again
  load_env {ONCE}
  if [ -z "${{{ONCE}}}" ]; then
    set default="{TRIAL}"
  fi
fi
"""


def quoted(token: str) -> str:
    """Return one argument of the running kernel as GRUB must read it, so that the kernel gets the same again."""
    bare = token.replace('"', "")
    if _PLAIN.fullmatch(bare):
        return bare
    if "'" in bare or "\\" in bare or "\n" in bare:
        raise OneShotError(
            f"the kernel argument {token} has quotes or backslashes that a boot entry cannot repeat; write it without them, or boot "
            "without a trial (rt_kernel_trial: false)"
        )
    return f"'{bare}'"


def _entry_text(title: str, recipe: Recipe) -> str:
    arguments = recipe.text or " ".join(quoted(token) for token in recipe.tokens)
    # whoever looks at the console sees which entry boots, as with the menu's own
    lines = [*recipe.setup, f"echo 'Loading {title} ...'", f"linux {recipe.kernel} {arguments}".rstrip()]
    if recipe.initrds:
        lines += ["echo 'Loading initial ramdisk ...'", f"initrd {' '.join(recipe.initrds)}"]
    if recipe.device_tree:
        lines.append(f"devicetree {recipe.device_tree}")
    body = "".join(f"  {line}\n" for line in lines)
    # an entry that asks for a password would wait for a hand
    return f"menuentry '{title}' --unrestricted --id '{recipe.identity}' {{\n{body}}}\n"


def frame(old: Recipe, new: Recipe | None = None) -> str:
    """Return the frame: the old entry is the default, and the new one (if there is one) boots once the environment block asks for it."""
    text = _entry_text(f"Linux {old.release}, as before (realtime.kvm)", old)
    if new is not None:
        text += _entry_text(f"Linux {new.release}, on trial (realtime.kvm)", new)
    return f"{_BEGIN}{text}{_HOLD}{_TRY if new else ''}{_END}"


def framed(custom: str) -> str:
    """Return the frame in custom.cfg, or an empty text."""
    match = re.search(f"(?s){re.escape(_BEGIN)}.*?{re.escape(_END)}", custom)
    return match[0] if match else ""


def with_frame(custom: str | None, text: str) -> str | None:
    """Return custom.cfg with another frame (empty: without one; None: the file does not exist); other lines stay as they are.

    The frame comes first: GRUB runs what it has read, and the lines behind it may end it or be a syntax error. A mark in the
    frame remembers that the file existed although it was empty.
    """
    before = framed(custom or "")
    rest = (custom or "").replace(before, "")
    empty = _EMPTY in before if before else custom == ""
    if not text:
        return rest if rest or empty else None
    return (text.replace(_BEGIN, _BEGIN + _EMPTY, 1) if empty else text) + rest
