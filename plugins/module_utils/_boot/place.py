# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether GRUB can boot an entry once on this machine, and a failed boot leads back: what must hold before any change. Edge, read-only."""

from __future__ import annotations

import re

from .._cpus.errors import HostError
from .._host import files
from .._host.host import Host, Runner
from .one_shot import (
    arm_environment,
    change_environment,
    custom_problem,
    framed,
    menu_problem,
    parse_environment,
    place_problem,
    stub_problem,
)
from .other_loaders import refuse_other_boot_loaders

ENTRIES = "/boot/loader/entries"
#: What the unit of the trial starts.
PYTHON = "/usr/bin/python3"
WITHOUT = "or boot without a way back (rt_kernel_trial: false)"
#: The file of grub-mkconfig that makes the menu read custom.cfg.
READS_CUSTOM = "/etc/grub.d/41_custom"
_PROBES = ("/usr/sbin/grub-probe", "/usr/sbin/grub2-probe", "/usr/bin/grub-probe", "/usr/bin/grub2-probe")
_CHECKERS = ("/usr/bin/grub-script-check", "/usr/bin/grub2-script-check")
#: Where GRUB's image for UEFI finds its first menu; folders that are not named as the distribution calls itself.
_EFI, _EFI_NAMES = "/boot/efi/EFI", {"rhel": "redhat", "ol": "redhat"}


def check_place(host: Host, runner: Runner, folder: str) -> None:
    """Raise ``HostError`` where GRUB, whose files are in ``folder``, cannot boot an entry once."""
    if not re.search(r"(^|\s)BOOT_IMAGE=", host.value("/proc/cmdline") or ""):
        raise HostError(
            "GRUB did not boot this node (its kernel command line has no BOOT_IMAGE=), so GRUB cannot boot an entry once; "
            f"let GRUB boot it, {WITHOUT}"
        )
    refuse_other_boot_loaders(host)
    if not host.exists(PYTHON):
        raise HostError(f"{PYTHON} does not exist, by which the node judges its new boot entry; install python3, {WITHOUT}")
    _check_efi(host, folder)
    check_menu(host, folder)
    custom, environment = f"{folder}/custom.cfg", f"{folder}/grubenv"
    for path in (custom, environment):
        if files.read_link(host.path(path)) is not None:
            raise HostError(f"{path} is a symbolic link, which GRUB may not follow; put the file itself there, {WITHOUT}")
    text = (host.read_bytes(custom) or b"").decode("utf-8", "surrogateescape")
    problem = custom_problem(text.replace(framed(text), ""))
    if problem:
        raise HostError(f"{custom} {problem}, {WITHOUT}")
    _check_environment(host, environment)
    problem = place_problem(_probe(host, runner, "fs", folder), _probe(host, runner, "abstraction", folder))
    if problem:
        raise HostError(
            f"GRUB cannot write {environment}, so an entry would boot again and again: {problem}; move /boot to a plain "
            f"partition, {WITHOUT}"
        )


def check_menu(host: Host, folder: str) -> None:
    """Raise ``HostError`` where the menu of today, or the next one that is generated, does not obey the frame in custom.cfg."""
    problem = menu_problem(host.read(f"{folder}/grub.cfg") or "")
    if problem:
        raise HostError(f"{folder}/grub.cfg cannot boot an entry once: {problem}, {WITHOUT}")
    if host.exists(READS_CUSTOM) and not files.mode_of(host.path(READS_CUSTOM)) & 0o111:
        raise HostError(
            f"{READS_CUSTOM} is not executable, so the next menu that is generated would not read custom.cfg; make it executable "
            f"(chmod a+x {READS_CUSTOM}), {WITHOUT}"
        )


def check_script(host: Host, runner: Runner, text: str) -> None:
    """Raise ``HostError`` where GRUB would not understand a frame, if its own checker is there."""
    program = next((path for path in _CHECKERS if host.exists(path)), None)
    if program is None:
        return
    code, out, err = runner(["sh", "-c", 'printf "%s" "$1" | "$2"', "sh", text, program])
    if code != 0:
        said = " ".join((err or out).split())[-300:]
        raise HostError(
            f"GRUB would not understand the boot entry that is made from its menu ({program}: {said}); repair the menu, {WITHOUT}"
        )


def _check_efi(host: Host, folder: str) -> None:
    """A menu on the EFI partition that is more than a pointer to the folder is what GRUB reads; then it does not look at the folder."""
    if not host.exists("/sys/firmware/efi"):
        return
    menus = host.glob(f"{_EFI}/*/grub.cfg")
    identity = re.search(r"""(?m)^ID=["']?([^"'\n]*)""", host.read("/etc/os-release") or "")
    name = _EFI_NAMES.get(identity[1], identity[1]) if identity else ""
    own = [path for path in menus if path == f"{_EFI}/{name}/grub.cfg"]
    for path in own or menus:
        problem = stub_problem(host.read(path) or "", folder)
        if problem:
            raise HostError(
                f"{path} {problem}, so GRUB does not look at {folder}, where an entry is booted once. Let it look there: generate "
                f"{folder}/grub.cfg, put {folder}/grubenv there as a file (no link), and leave in {path} only the search for the file system, "
                f"set prefix=($root){folder} (without /boot where that is a file system of its own) and configfile $prefix/grub.cfg, "
                f"as newer releases install it; {WITHOUT}"
            )


def _check_environment(host: Host, path: str) -> None:
    block = host.read_bytes(path)
    if block is None:
        maker = "grub2-editenv" if "/grub2/" in path else "grub-editenv"
        raise HostError(f"{path} does not exist, and GRUB cannot create it; create it ({maker} - create), {WITHOUT}")
    left = parse_environment(block).get("prev_saved_entry")
    if left:
        raise HostError(
            f"{path} has prev_saved_entry={left}, which GRUB makes the saved default at the next boot, in place of the new entry; remove it "
            f"(grub-editenv {path} unset prev_saved_entry), {WITHOUT}"
        )
    # grubby writes the new default into the same block before the trial is armed
    names = [name.rpartition("/")[2][: -len(".conf")] for name in host.glob(f"{ENTRIES}/*.conf")] if "/grub2/" in path else []
    if names:
        block = change_environment(block, "saved_entry", max(names, key=lambda name: len(name.encode())))
    arm_environment(block)


def _probe(host: Host, runner: Runner, target: str, folder: str) -> str:
    program = next((path for path in _PROBES if host.exists(path)), None)
    if program is None:
        raise HostError(f"grub-probe was not found, so it is unknown whether GRUB can write here; install grub-common, {WITHOUT}")
    code, out, err = runner([program, f"--target={target}", folder])
    if code != 0:
        raise HostError(f"{program} --target={target} {folder} failed: {(err or out).strip()[-300:]}; repair it, {WITHOUT}")
    return out
