# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans a node's metrics and its audit of itself: archive, options, units, their start, and the way back. Edge."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Collection, Iterable
from contextlib import suppress
from functools import partial

from .._cpus.answers import AnswerError, plain
from .._cpus.errors import HostError
from .._cpus.partition import Partition
from .._host import files
from .._host.afterwards import afterwards, plan_reload, reload_systemd
from .._host.change import Change
from .._host.daemons import UnitState, read_units
from .._host.host import Host, Runner
from .._host.journal import OUTPUT_KIND
from .._host.paths import AUDIT_STATE, KEPT, KEPT_LATENCY, RUNS, WATCH_ARCHIVE, config_path
from .._host.runner import systemctl
from .folder import is_foreign
from .options import HALF, OUTPUT, WatchOptions, parse_options
from .units import AUDIT, METRICS, UNITS, WANTS, described, names_of, unit_texts

OPTIONS_FILE = config_path("rt_metrics")
_SYSTEMD = "/run/systemd/system"
_UNITS = (METRICS, AUDIT)
#: What the programs keep of themselves in ``KEPT``, or a killed one has left.
_CACHED = ("watch-", ".realtime-kvm-watch-")


def release_of(archive: bytes) -> str:
    """Return the release of an archive: the digest of its code."""
    return hashlib.sha256(archive).hexdigest()[:12]


def read_watch(host: Host) -> WatchOptions | None:
    """Return what the node was told; None where rt_metrics is not set up."""
    text = host.read(OPTIONS_FILE)
    if text is None:
        return None
    try:
        return parse_options(text)
    except AnswerError as error:
        raise HostError(f"{OPTIONS_FILE} is damaged ({error}); run the rt_metrics role to write it again") from None


def _starts(host: Host) -> bool:
    """Whether systemd runs here, so that timers can be asked and started."""
    return not host.captured and host.exists(_SYSTEMD)


def plan_watch(host: Host, runner: Runner, partition: Partition, options: WatchOptions, archive: bytes | None) -> None:
    """Plan all files, and that the timers run; ``archive`` None leaves that as it is."""
    texts = unit_texts(partition, options)
    if archive is not None:
        host.set_file(WATCH_ARCHIVE, archive, reason="metrics of the node, and its audit of itself")
    host.set_file(OPTIONS_FILE, options.text.encode(), reason="what the timers work by")
    outputs = [options.output, RUNS, KEPT_LATENCY, *([AUDIT_STATE] if options.audit else [])]
    for path in outputs:
        host.keep(path, OUTPUT_KIND, None)
    _restore_outputs(host, [path for path in host.entries(OUTPUT_KIND) if path not in outputs])
    gone = [unit for unit in _UNITS if f"{UNITS}/{unit}.timer" not in texts]
    _stop(host, runner, gone)
    _drop_units(host, texts)
    for path, text in texts.items():
        host.set_file(path, text.encode(), reason="metrics and audit run on housekeeping CPUs")
        if path.endswith(".timer"):
            host.set_link(f"{WANTS}/{posixpath.basename(path)}", path, reason="the timer starts at boot")
    _plan_start(host, runner, options, texts)


def _plan_start(host: Host, runner: Runner, options: WatchOptions, texts: Collection[str]) -> None:
    if not _starts(host):
        return
    timers = [posixpath.basename(path) for path in texts if path.endswith(".timer")]
    states = read_units(runner, timers)
    changed = {change.resource for change in host.changes}
    plan_reload(host, runner, due=any(path.startswith(f"{UNITS}/") for path in changed))
    for timer in timers:
        active = states.get(timer, UnitState()).active
        fresh = not changed & {f"{UNITS}/{timer}", f"{WANTS}/{timer}"}
        before = "stopped" if not active else described(timer, options) if fresh else "running, with another interval or unit"
        afterwards(
            host,
            f"service:{timer}",
            partial(_restart, host, runner, timer),
            due=not active or not fresh,
            change=Change(f"service:{timer}", before, described(timer, options), reason="metrics and findings stay fresh"),
        )


def _restart(host: Host, runner: Runner, timer: str) -> None:
    reload_systemd(host, runner)  # also where a run ended between the unit and this
    systemctl(runner, "restart", timer)


def _stop(host: Host, runner: Runner, units: Iterable[str]) -> None:
    """Plan to stop timers and services of ours that run."""
    names = [name for unit in units for name in names_of(unit) if f"{UNITS}/{name}" in host.entries("file")]
    running = [name for name, state in read_units(runner, names).items() if state.active] if names and _starts(host) else []
    for timer in [name for name in running if name.endswith(".timer")]:
        host.follow_up(
            Change(f"service:{timer}", "running", "stopped", reason="not wanted"), partial(systemctl, runner, "stop", timer)
        )
    if names and _starts(host) and not host.dry:  # also one that its timer starts in between; what has ended is no error
        host.perform(partial(systemctl, runner, "stop", *[name for name in names if name.endswith(".service")]))


def _drop_units(host: Host, texts: Collection[str]) -> None:
    """Plan to take back the units that are not wanted any more."""
    ours = [path for path in host.entries("file") if path.startswith(f"{UNITS}/") and path not in texts]
    if not ours:
        return
    for link, original in host.entries("link").items():
        if f"{UNITS}/{posixpath.basename(link)}" in ours:
            change = (
                Change(link, f"{UNITS}/{posixpath.basename(link)}", original["link"], reason="restored")
                if host.exists(link)
                else None
            )
            host.restore(change, link, partial(host.write_file, link, None))
    host.restore_files(only=ours)


def _restore_outputs(host: Host, paths: Iterable[str]) -> None:
    """Plan to remove what the timers have written, and what a run that was cut off has left beside it."""
    for path in paths:
        if is_foreign(host, path):
            host.notes.append(f"rt_metrics: {plain(path)} is not what this collection has written, so it stays")
            host.restore(None, path, partial(_remove_half, host, path), anyway=True)
            continue
        change = Change(path, "written by the node", None, reason="restored") if host.exists(path) else None
        host.restore(change, path, partial(_remove, host, path), anyway=True)


def _remove(host: Host, path: str) -> None:
    host.write_file(path, None)
    _remove_half(host, path)


def _remove_half(host: Host, path: str) -> None:
    half = f"{posixpath.dirname(path)}/{HALF}" if posixpath.basename(path) == OUTPUT else files.temporary_of(path)
    try:
        files.unlink(host.path(half))
    except OSError as error:
        raise HostError(f"{half} cannot be removed: {error.strerror}") from None


def _forget_cache(host: Host) -> None:
    """Remove what the programs have kept of themselves, compiled; it is made again."""
    for name in host.listdir(KEPT) if not os.path.islink(host.path(KEPT)) else ():
        if name.endswith(".pyz") and name.startswith(_CACHED):
            host.write_file(f"{KEPT}/{name}", None)
    with suppress(OSError):  # another cache may be there
        os.rmdir(host.path(KEPT))


def undo_watch(host: Host, runner: Runner) -> None:
    """Plan to stop the timers, and to remove everything that was made, and that the timers have written."""
    ours = bool(host.entries("file"))
    _stop(host, runner, _UNITS)
    _restore_outputs(host, host.entries(OUTPUT_KIND))
    host.restore_links()
    host.restore_files()
    for resource in host.entries("after"):  # of a run that was cut off
        host.restore(None, resource, lambda: None)
    if ours:
        host.perform(partial(_forget_cache, host))
        host.perform(partial(reload_systemd, host, runner))
