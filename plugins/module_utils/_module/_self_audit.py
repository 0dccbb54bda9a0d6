# SPDX-License-Identifier: GPL-3.0-or-later
"""The node audits itself: the body of rt_audit without inventory and without Ansible; what it finds is kept for metrics and rtpart.

It is read-only and bounded: programs have 30 s each, all of it four minutes; then what is kept says why nothing was found out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from .._audit.findings import Finding, finding_lines
from .._cpus.answers import AnswerError, decode, plain
from .._cpus.errors import UNEXPECTED, HostError, RefusalError
from .._host import files
from .._host.deadline import within
from .._host.document import read_partition
from .._host.host import Host
from .._host.paths import ARCHIVE, AUDIT_STATE, WATCH_ARCHIVE
from ._common import carry_out
from ._switch_edges import SwitchEdges
from .rt_audit import OPTIONS, run

#: This file, as the archive's builder names it.
ENTRY = "_module._self_audit"
_SCHEMA = 1
#: Seconds for a program and for the audit; the unit kills it some time later.
_PROGRAM_S, _LONGEST_S = 30, 240
#: Bounds of what is kept: findings, and characters of a text.
_MOST, _MOST_TEXT = 1000, 1000
_KEYS = ("rule", "resource", "expected", "actual", "remedy")


def defaults(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a module that is given none, as Ansible makes them."""
    return {
        name: defaults(spec["options"]) if spec.get("apply_defaults") else spec.get("default") for name, spec in options.items()
    }


def run_program(command: Sequence[str]) -> tuple[int, str, str]:
    """Run a program in the C locale, since its output is parsed; ``HostError`` where it has not ended in its time."""
    environment = {**os.environ, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROGRAM_S,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        raise HostError(f"{' '.join(command)} has not ended within {_PROGRAM_S} s and was killed") from None
    except OSError as error:
        return 127, "", f"{command[0]}: {error.strerror}"
    return done.returncode, done.stdout, done.stderr


def look(host: Host) -> Mapping[str, Any]:
    """Audit the machine, as verify does without an inventory."""
    return carry_out(SwitchEdges(host, run_program), run, defaults(OPTIONS))


def _bounded(items: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    return [{key: text[:_MOST_TEXT] for key, text in item.items()} for item in items]


def state_of(found: Mapping[str, Any], error: str, began: float, seconds: float, release: str) -> dict[str, Any]:
    """Return what is kept of an audit; its end is its begin and how long it took, since the clock may be set meanwhile."""
    findings = [_of_release(item) for item in found.get("findings", [])]
    remarks = found.get("remarks", [])
    return {
        "schema": _SCHEMA,
        "release": release,
        "began": int(began),
        "ended": round(began + seconds, 3),
        "findings": _bounded(findings[:_MOST]),
        "remarks": _bounded(remarks[:_MOST]),
        "unchecked": _bounded(found.get("unchecked", [])[:_MOST]),
        "omitted": max(len(findings) - _MOST, 0) + max(len(remarks) - _MOST, 0),
        "error": error[:_MOST_TEXT],
    }


def _of_release(item: Mapping[str, str]) -> Mapping[str, str]:
    """Say of a boot service that is not of this program's release that both differ: this one may be the older."""
    if item["rule"] != "boot-service-old":
        return item
    return {
        **item,
        "expected": f"the release of {WATCH_ARCHIVE}",
        "actual": f"another release than {ARCHIVE}",
        "remedy": "run the site playbook with rt_metrics_enabled: true (roles cpu_partition and rt_metrics)",
    }


def previous(host: Host) -> list[Mapping[str, str]] | None:
    """Return the findings of the audit before; None where there was none, or it could not find out."""
    try:
        kept = decode(
            host.read_bytes(AUDIT_STATE) or b"", {"schema": int, "error": str, "findings": [{"rule": str, "resource": str}]}
        )
    except AnswerError:
        return None
    return None if kept["error"] or kept["schema"] != _SCHEMA else list(kept["findings"])


def news(before: Sequence[Mapping[str, str]] | None, now: Sequence[Mapping[str, str]]) -> list[str]:
    """Return what is new and what has gone since the audit before, a line each."""

    def named(items: Iterable[Mapping[str, str]]) -> dict[tuple[str, str], Mapping[str, str]]:
        return {(item["rule"], item["resource"]): item for item in items}

    old, new = named(before or ()), named(now)
    lines = [
        plain(
            f"{item['severity']}: {item['rule']}: {item['resource']}: {item['actual']}; expected: {item['expected']}; remedy: {item['remedy']}"
        )
        for key, item in new.items()
        if key not in old
    ]
    return lines + [plain(f"gone: {item['rule']}: {item['resource']}") for key, item in old.items() if key not in new]


def audit_itself(host: Host, act: Callable[[Host], Mapping[str, Any]] = look, release: str = "") -> dict[str, Any]:
    """Audit the machine, keep what was found, and return it."""
    began, clock = time.time(), time.monotonic()
    found: Mapping[str, Any] = {}
    error = ""
    try:
        found = within(_LONGEST_S, lambda: act(host))
    except RefusalError as refusal:
        error = str(refusal)
    except (*UNEXPECTED, ArithmeticError, RuntimeError, MemoryError) as unexpected:
        error = f"unexpected {type(unexpected).__name__}: {unexpected}"
    state = state_of(found, error, began, time.monotonic() - clock, release)
    try:
        files.write_file(host.path(AUDIT_STATE), (json.dumps(state, indent=1, sort_keys=True) + "\n").encode(), 0o644)
    except OSError as refusal:
        with suppress(OSError):  # old findings must not look new
            files.unlink(host.path(AUDIT_STATE))
        raise HostError(f"{AUDIT_STATE} cannot be written: {refusal.strerror}") from None
    return state


def _keep_off_isolated(host: Host) -> None:
    """Stay on housekeeping CPUs, also where somebody starts this by hand."""
    with suppress(RefusalError, OSError):
        partition = read_partition(host)
        cpus = partition.housekeeping & os.sched_getaffinity(0) if partition else frozenset()
        if cpus:
            os.sched_setaffinity(0, cpus)


def main(release: str = "") -> None:
    """Entry point of the archive's program ``audit``, of that release; it says what is new, and on a terminal everything."""
    host = Host(check_mode=True, owner="rt_audit")
    _keep_off_isolated(host)
    before = previous(host)
    try:
        state = audit_itself(host, release=release)
    except HostError as error:
        sys.stderr.write(f"{plain(str(error))}\n")
        raise SystemExit(1) from None
    if state["error"]:
        sys.stderr.write(f"the node could not audit itself: {plain(state['error'])}\n")
        raise SystemExit(1)
    sys.stderr.writelines(f"{line}\n" for line in news(before, state["findings"]))
    if sys.stdout.isatty():
        found = [Finding(**{key: item[key] for key in _KEYS}) for item in state["findings"]]
        sys.stdout.writelines(
            f"{plain(line)}\n" for line in finding_lines(found) or ["no finding: the machine is as it should be"]
        )
    raise SystemExit(0)
