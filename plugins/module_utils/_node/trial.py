# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges a boot on trial, on the node itself and without a controller.

The unit starts early and runs only in the tried boot. If the node becomes well in time, its new entry becomes the default.
Otherwise the reason is written down and the node reboots, into its old entry. Edge.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from .._boot.compared import TRIAL_PANIC
from .._boot.one_shot import OneShotError, disarm_environment, framed, with_frame
from .._boot.verdict import (
    ARMED,
    CONFIRMED,
    PROGRAM,
    RECORD,
    RETURNED,
    TRIED,
    UNIT,
    WANTED,
    WATCHDOG,
    Boot,
    Health,
    Record,
    RecordError,
    Way,
    dump,
    load,
    panic_after,
    problems,
    which_boot,
)
from .._boot.way import look_at_way, server_problem
from .._cpus.cmdline import split_tokens
from .._host.checkpoint import checkpoint
from .._host.files import mode_of, sync_directory, unlink, write_file

#: There only in the kernel that kdump has started to write a crash down; it has the arguments of the one that crashed.
VMCORE = "/proc/vmcore"
UNIT_TEXT = f"""\
# Written by realtime.kvm (module kernel_arguments), and removed once the boot on trial has been confirmed.
[Unit]
Description=Judge the boot on trial: confirm the new boot entry, or reboot into the old one
Documentation=https://github.com/realtime-kvm/realtime.kvm
DefaultDependencies=no
After=systemd-remount-fs.service
Conflicts=shutdown.target
Before=shutdown.target
IgnoreOnIsolate=yes
ConditionKernelCommandLine=realtime-kvm.trial=1
ConditionPathExists={RECORD}
ConditionPathExists=!{VMCORE}
FailureAction=reboot

[Service]
Type=simple
ExecStart=/usr/bin/python3 -I {PROGRAM}

[Install]
WantedBy=sysinit.target
"""
WATCHDOG_TEXT = """\
# Written by realtime.kvm (module kernel_arguments) for a boot on trial: the hardware watchdog resets a node whose systemd hangs.
"""
#: Seconds between two looks, and that a program or a connection may take.
_PAUSE, _PATIENCE = 2.0, 20
#: The port of the service that drops what it gets.
_DISCARD = 9


def _read(root: str, path: str) -> str:
    try:
        with open(root + path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read()
    except OSError:
        return ""


def running(root: str) -> Boot:
    """Return the running kernel and its arguments."""
    return Boot(_read(root, "/proc/sys/kernel/osrelease").strip(), tuple(split_tokens(_read(root, "/proc/cmdline"))))


def way_problem(way: Way, root: str = "") -> str:
    """Return why Ansible could not come again by its way; empty: it could. What it lacked before the reboot is not asked for."""
    family = socket.AF_INET6 if ":" in way.local else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((way.peer, _DISCARD))  # sends nothing, but needs a route
            source = probe.getsockname()[0]
    except OSError as error:
        return f"no route to {way.peer}, where Ansible came from ({error.strerror or error})"
    closed = server_problem(way.local, way.port, _PATIENCE, greets=way.greeting)
    if closed:
        return f"{way.local} port {way.port}, by which Ansible came, {closed}"
    if way.source and source != way.source:
        return f"the way to {way.peer} begins at {source}, no longer at {way.source}"
    signs = look_at_way(_answer, root, way.peer)
    if signs.cable < way.cable:
        return f"{signs.device or 'the interface'}, which leads to {way.peer}, has no link as before; its cable, its network card or the driver is missing"
    if way.neighbour and not signs.neighbour:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.sendto(b"", (way.peer, _DISCARD))  # the kernel looks for the next hop, for the next look
        return f"nobody has answered on {signs.device or 'the interface'}, which leads to {way.peer}, neither that address nor a gateway"
    return ""


def _answer(command: Sequence[str]) -> tuple[int, str, str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return 1, "", f"{command[0]} has not ended within {_PATIENCE} s"
    except OSError as error:
        return 1, "", f"{command[0]}: {error.strerror or error}"
    return done.returncode, done.stdout, done.stderr


def libvirt_problem() -> str:
    """Return why libvirt does not answer; empty: it does."""
    code, _out, err = _answer(["virsh", "-q", "-c", "qemu:///system", "uri"])
    return "" if code == 0 else f"does not answer ({err.strip()[-200:]})"


def look(root: str, record: Record) -> Health:
    """Look at the node as far as the record asks for it."""
    return Health(running(root), way_problem(record.way, root) if record.way else "", libvirt_problem() if record.libvirt else "")


def _found(root: str, record: Record) -> list[str]:
    """Return what speaks against the new entry. A look that fails is no end: the next one may not."""
    try:
        return problems(record, look(root, record))
    except (OSError, ValueError, TypeError, LookupError, subprocess.SubprocessError) as error:
        return [f"the node could not be looked at ({type(error).__name__}: {error})"]


def confirm(root: str, record: Record) -> None:
    """Make the new entry the default: take the frame away, then write it down and clean up.

    ``OSError`` while the frame is still there, so the old entry is the default. Once it is gone the new one is, and no later error
    may end in a reboot; so the record is written before, too, where a full file system is found.
    """
    custom = f"{root}{record.folder}/custom.cfg"
    text = _read("", custom)
    if framed(text):
        write_file(root + RECORD, dump(record), 0o644)
        _take_frame(custom, text, root)
    elif not os.path.exists(f"{root}{record.folder}/grubenv"):
        raise FileNotFoundError(2, "the part of realtime.kvm is missing; is /boot mounted?", custom)
    with suppress(OSError):  # without the frame, a run knows all the same
        write_file(root + RECORD, dump(replace(record, state=CONFIRMED)), 0o644)
    with suppress(OSError, OneShotError):  # GRUB leaves empty variables behind
        _forget_once(f"{root}{record.folder}/grubenv")
    with suppress(OSError):
        _give_back_panic(f"{root}/proc/sys/kernel/panic", record)
    for path in (WATCHDOG, WANTED, UNIT, PROGRAM):
        with suppress(OSError):
            unlink(root + path)


def _take_frame(custom: str, text: str, root: str = "") -> None:
    rest = with_frame(text, "")
    try:
        if rest is not None:
            write_file(custom, rest.encode("utf-8", "surrogateescape"), mode_of(custom))
        else:
            unlink(custom)
            sync_directory(os.path.dirname(custom))
    except OSError:
        if framed(_read("", custom)):
            raise
    # GRUB replays no journal: it would go on to see the frame
    checkpoint(os.path.dirname(custom), root)


def _give_back_panic(full: str, record: Record) -> None:
    """Take back what the trial's own argument has set, unless systemd-sysctl or a hand has set another value since."""
    value = panic_after(record)
    if value is not None and _read("", full).strip() == TRIAL_PANIC:
        with open(full, "w") as stream:
            stream.write(value)


def _forget_once(full: str) -> None:
    with open(full, "r+b") as stream:
        block = stream.read()
        stream.seek(0)
        stream.write(disarm_environment(block))


def _run(command: Sequence[str]) -> bool:
    with suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(command, timeout=_PATIENCE * 3, check=False).returncode == 0
    return False


def give_up(root: str, record: Record, found: Sequence[str]) -> bool:
    """Write down why the new entry is given up, and reboot; the old entry is still the default. Return whether systemd agreed."""
    with suppress(OSError):  # the reboot matters more
        write_file(root + RECORD, dump(replace(record, state=RETURNED, reason="; ".join(found))), 0o644)
    return _run(["systemctl", "reboot"]) or _run(["systemctl", "reboot", "--force"])


def judge(root: str = "") -> int:
    """Wait until the node is well or its time is over, then act; return the exit code."""
    try:
        with open(root + RECORD, "rb") as stream:
            record = load(stream.read())
    except (OSError, RecordError) as error:
        sys.stderr.write(f"{RECORD}: {error}\n")
        return 1  # the unit reboots, into the old entry
    if os.path.exists(root + VMCORE):
        return 0
    boot_id = _read(root, "/proc/sys/kernel/random/boot_id").strip()
    if record.state != ARMED or which_boot(record, boot_id, running(root), framed=True) != TRIED:
        return 0
    end = time.monotonic() + record.seconds
    while True:
        found = _found(root, record)
        if not found:
            try:
                confirm(root, record)
            except OSError as error:
                found = [f"the new entry could not be made the default ({error})"]
            else:
                sys.stdout.write("the node is well: its new boot entry is the default now\n")
                _run(["systemctl", "daemon-reload"])  # systemd closes the watchdog
                return 0
        if time.monotonic() >= end:
            break
        time.sleep(_PAUSE)
    sys.stderr.write(f"back to the old boot entry: {'; '.join(found)}\n")
    return 0 if give_up(root, record, found) else 1


def main() -> None:
    """Entry point of the program."""
    raise SystemExit(judge())
