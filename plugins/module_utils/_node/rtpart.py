# SPDX-License-Identifier: GPL-3.0-or-later
"""rtpart: the operator's tool for this node's partition. Edge.

It runs the modules' own code from the boot service's archive. Exit status: 0 done, 1 the node differs (status) or the
command was refused, 2 the command line is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from .._audit.findings import Finding, change_finding, check_document, damage_finding, finding_lines, in_order
from .._audit.rules import RULES
from .._cpus.answers import counted, plain, printed
from .._cpus.cpulist import format_cpulist
from .._cpus.errors import HostError, RefusalError
from .._cpus.partition import SETS, Partition
from .._cpus.policies import POLICY_NAMES
from .._guests.instances import check_taken
from .._host.current import check_current
from .._host.document import require_partition
from .._host.host import Host
from .._host.kernel import read_online
from .._host.paths import AUDIT_STATE, WATCH_ARCHIVE, config_path
from .._host.runner import COMMAND_S, late
from .._host.sysfs import read_topology
from .._host.threads import Thread, read_thread, read_threads, set_affinity
from .._host.trial import trial_of
from .._interrupts.counts import parse_interrupt_counts
from .._isolation.cgroups import read_holders, write
from .._isolation.holders import HOLDERS, ROOT, IsolationError, User, check_free
from .._isolation.moves import exclusively
from .._isolation.users import read_users
from .._metrics.kept import age_text, read_audit_interval, read_kept
from .._runtime.features import FEATURES, configured_features
from .._runtime.undo import undo_partition
from .._tables import paragraph, text_table

PYTHON = "/usr/bin/python3"
#: Findings of an audit that ended longer ago are told to be old, and those that have missed so many audits.
_STALE_S, _MISSED = 600, 5


def rtpart(arguments: Sequence[str]) -> int:
    """Run one command; return its exit status."""
    options = _parser().parse_args(list(arguments))
    if options.verb in ("metrics", "audit"):
        return _watch(options)
    host = Host(owner="cpu_partition", check_mode=options.verb in ("list", "status"))
    try:
        if options.verb in ("run", "move", "undo") and os.geteuid() != 0:
            raise IsolationError(f"rtpart {options.verb} changes the node and needs root")
        partition = require_partition(host, None)
        if options.verb in ("run", "move"):
            check_current(partition, read_topology(host))
        verb: Any = {"list": _list, "status": _status, "run": _run, "move": _move, "undo": _undo}[options.verb]
        return int(verb(host, partition, options))
    except (RefusalError, OSError) as error:
        if options.json:
            sys.stdout.write(f"{json.dumps({'error': str(error)})}\n")
        sys.stderr.write(f"rtpart: {printed(str(error))}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rtpart", description="The real-time CPU partition of this node.")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print JSON instead of tables")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    listing = verbs.add_parser(
        "list", parents=[shared], help="every CPU: its set, who owns it, what runs there, timer interrupts"
    )
    listing.add_argument("--seconds", type=float, default=1.0, help="how long timer interrupts are counted (0: not)")
    verbs.add_parser("status", parents=[shared], help="compare the node with its partition file; exit status 1 if it differs")
    run = verbs.add_parser("run", parents=[shared], help="run a command on a CPU of a set")
    run.add_argument("set", choices=SETS)
    run.add_argument("--cpu", type=int, help="this CPU of the set (default: the first that is free)")
    policy = run.add_mutually_exclusive_group()
    policy.add_argument("-f", "--fifo", type=int, metavar="PRIO", help="with SCHED_FIFO at this priority")
    policy.add_argument("-r", "--rr", type=int, metavar="PRIO", help="with SCHED_RR at this priority")
    run.add_argument("command", nargs="+", help="the command and its arguments, after --")
    move = verbs.add_parser("move", parents=[shared], help="move a running process to the CPUs of a set")
    move.add_argument("pid", type=int)
    move.add_argument("set", choices=SETS)
    metrics = verbs.add_parser("metrics", help="print the metrics of this node as OpenMetrics")
    metrics.add_argument("--write", action="store_true", help="write them for node_exporter instead, as the timer does")
    verbs.add_parser("audit", help="audit this node now, as the timer does, and keep the findings")
    verbs.add_parser("undo", parents=[shared], help="return all CPUs and restore every value the partition has changed")
    return parser


def _say(options: argparse.Namespace, data: Mapping[str, Any], lines: Sequence[str]) -> None:
    sys.stdout.write((json.dumps(data, sort_keys=True) if options.json else "\n".join(map(plain, lines))) + "\n")


# -- metrics, audit --------------------------------------------------------------------------------


def _watch(options: argparse.Namespace) -> int:
    """Become one of the programs that rt_metrics installs; returns only where that is not possible."""
    words = [options.verb, *(["--write"] if vars(options).get("write") else [])]
    why = "the role rt_metrics installs it (rt_metrics_enabled: true)"
    if os.path.exists(WATCH_ARCHIVE):
        try:
            # metrics start often and need no site packages; the audit asks libvirt by its library
            os.execv(PYTHON, [PYTHON, "-I", *(["-S"] if options.verb == "metrics" else []), WATCH_ARCHIVE, *words])
        except OSError as error:
            why = f"{PYTHON}: {error.strerror}"
    sys.stderr.write(f"rtpart {options.verb}: {why}\n")
    return 1


# -- list, status ----------------------------------------------------------------------------------


def _list(host: Host, partition: Partition, options: argparse.Namespace) -> int:
    timer = _timer_rates(host, options.seconds)
    users = {cpu: user for user in read_users(host, partition) for cpu in user.cpus}
    holders = read_holders(host)
    tasks = tasks_by_cpu(host, partition)
    rows = []
    for cpu in sorted(read_online(host)):
        name = next((key for key in SETS if cpu in partition.sets[key]), "idle")
        held = next((_described("held", held.state) for held in holders.values() if cpu in held.cpus), "-")
        user = users.get(cpu)
        rows.append(
            {
                "cpu": cpu,
                "set": name,
                "owner": _described(user.owner, user.state) if user else held if cpu in partition.isolated else "-",
                "tasks": tasks.get(cpu, []),
                "timer_per_second": timer.get(cpu),
            }
        )
    table = [
        [
            str(row["cpu"]),
            str(row["set"]),
            str(row["owner"]),
            "-" if row["timer_per_second"] is None else f"{row['timer_per_second']:.0f}",
            ", ".join(row["tasks"]) or "-",  # type: ignore[arg-type]
        ]
        for row in rows
    ]
    _say(options, {"cpus": rows}, text_table(["CPU", "set", "owner", "timer/s", "tasks bound to it"], table))
    return 0


def _described(who: str, state: str) -> str:
    """Return an owner with what cpuset.cpus.partition shows of its cgroup; a member of its parent's partition has none of its own."""
    return who if state == "member" else f"{who} ({state})"


def _timer_rates(host: Host, seconds: float) -> dict[int, float]:
    if seconds <= 0:
        return {}
    before = parse_interrupt_counts(host.read("/proc/interrupts") or "")
    started = time.monotonic()
    time.sleep(seconds)
    after = parse_interrupt_counts(host.read("/proc/interrupts") or "")
    passed = time.monotonic() - started
    return {cpu: (after.ticks(cpu) - before.ticks(cpu)) / passed for cpu in after.cpus}


def tasks_by_cpu(host: Host, partition: Partition) -> dict[int, list[str]]:
    """Return the programs' threads that are bound to a single isolated CPU, with their policy, by CPU."""
    found: dict[int, list[str]] = {}
    for thread in bound_tasks(host, partition):
        found.setdefault(min(thread.allowed), []).append(_describe(thread))
    return found


def _describe(thread: Thread) -> str:
    policy = POLICY_NAMES.get(thread.policy, str(thread.policy)).removeprefix("SCHED_")
    return f"{thread.name}[{thread.pid}] {policy}{f' {thread.priority}' if thread.priority else ''}"


def _status(host: Host, partition: Partition, options: argparse.Namespace) -> int:
    elsewhere = check_document(partition, read_topology(host))
    features, damaged = configured_features(host)
    findings = list(elsewhere)
    findings += [
        damage_finding(config_path(name), reason, f"run the {FEATURES[name].role} role") for name, reason in damaged.items()
    ]
    for feature, values in features.items() if not elsewhere else ():
        findings += _compare(host, partition, feature, values)
    lines = finding_lines(in_order(findings)) or ["the machine agrees with its partition file"]
    kept, words = kept_audit(host, time.time())
    data = {"isolation": partition.isolation, "differences": [item.to_dict() for item in findings]}
    _say(options, {**data, **({"audit": kept} if kept else {})}, [*lines, *words])
    return 1 if findings else 0


def kept_audit(host: Host, now: float) -> tuple[dict[str, Any], list[str]]:
    """Return what the node's own audit has found last, as data and as text with its age; nothing where it keeps none.

    It is a look back, so it has no say in the exit status.
    """
    try:
        kept = read_kept(host, AUDIT_STATE)
    except HostError as error:
        return {"error": str(error)}, [f"the node's own audit: {error}"]
    if kept is None:
        return {}, []
    age = now - kept["ended"]
    head = f"the node's own audit, {age_text(age)}"
    if age > max(_STALE_S, _MISSED * (read_audit_interval(host) or 0)):
        head += ", which is too long: look at systemctl status realtime-kvm-audit.timer"
    data = {**kept, "age_s": round(age, 1)}
    if kept["error"]:
        return data, [f"{head}: it could not audit the node: {kept['error']}"]
    found = kept["findings"]
    return data, [
        f"{head}: {'no finding' if not found else 'it had found'}",
        *[line for item in found for line in _kept_lines(item)],
    ]


def _kept_lines(item: Mapping[str, str]) -> list[str]:
    """Return a kept finding as text; of a rule that this release does not know, without what the rule means."""
    wanted = f"; expected: {item['expected']}" if item["expected"] else ""
    told = RULES[item["rule"]].meaning if item["rule"] in RULES else "a rule of another release"
    return [
        *paragraph(f"{item['severity']}: {told} ({item['rule']})", "  "),
        *paragraph(f"{item['resource']}: {item['actual']}{wanted}", "    ", "      "),
        *paragraph(f"remedy: {item['remedy']}", "      ", "        "),
    ]


def _compare(host: Host, partition: Partition, feature: str, options: Mapping[str, Any]) -> list[Finding]:
    """Return what the boot service would change of a feature, or why it would be refused."""
    trial, role = trial_of(host, feature), FEATURES[feature].role
    try:
        FEATURES[feature].plan(trial, partition, options)
    except RefusalError as error:
        return [
            Finding(
                "refused", f"values of {feature}", "can be made", str(error), f"repair what is named, then run the {role} role"
            )
        ]
    return [change_finding(change, role) for change in trial.changes]


# -- run, move -------------------------------------------------------------------------------------


def pick(host: Host, partition: Partition, name: str, cpu: int | None) -> frozenset[int]:
    """Return the CPUs for a task: one free CPU of an isolated set, all CPUs of another set."""
    own = partition.sets[name] & read_online(host)
    if not own:
        raise IsolationError(f"the {name} set has no CPU on this node")
    if cpu is not None and cpu not in own:
        raise IsolationError(f"CPU {cpu} is not in the {name} set, which has {format_cpulist(own)}")
    if not own & partition.isolated:
        return own if cpu is None else frozenset({cpu})
    bound = bound_tasks(host, partition)
    users = [*read_users(host, partition), *(_user(thread) for thread in bound if _reserves(host, thread))]
    busy: frozenset[int] = frozenset().union(*(user.cpus for user in users))
    if cpu is not None:
        check_free(frozenset({cpu}), users, f"CPU {cpu}")
        return frozenset({cpu})
    if not own - busy:
        check_free(own, users, f"no CPU of the {name} set is free")
    taken: frozenset[int] = frozenset().union(*(thread.allowed for thread in bound))
    return frozenset({min(own - busy - taken or own - busy)})


def bound_tasks(host: Host, partition: Partition) -> list[Thread]:
    """Return programs' threads that are bound to a single isolated CPU."""
    return [
        thread for thread in read_threads(host, user=True) if len(thread.allowed) == 1 and thread.allowed <= partition.isolated
    ]


def _user(thread: Thread) -> User:
    return User(f"{thread.name} (pid {thread.pid})", "", thread.allowed)


def _reserves(host: Host, thread: Thread) -> bool:
    """Whether a bound thread owns its CPU: root's and real-time ones do. Any user may bind an ordinary thread to any CPU.

    A program that the file system makes root's (su, sudo) may be anyone's who started it, and waits for a password as long as that user likes.
    """
    if POLICY_NAMES.get(thread.policy) in ("SCHED_FIFO", "SCHED_RR", "SCHED_DEADLINE"):
        return True
    user = re.search(r"^Uid:\s*(\d+)", host.read(f"/proc/{thread.pid}/status") or "", re.MULTILINE)  # the real one
    return user is None or (user[1] == "0" and not _is_setuid(host.path(f"/proc/{thread.pid}/exe")))


def _is_setuid(program: str) -> bool:
    try:
        return bool(os.stat(program).st_mode & stat.S_ISUID)
    except OSError:
        return False


def _enter(host: Host, partition: Partition, name: str, pid: int) -> None:
    """Move a process into the cgroup that may use the set's CPUs; on a node isolated by its boot, every cgroup may."""
    if partition.isolation != "runtime":
        return
    home = HOLDERS.get(name, ROOT)
    if not host.exists(home):
        raise IsolationError(f"all CPUs of the {name} set are in use, so {home} does not exist")
    write(host, f"{home}/cgroup.procs", str(pid))


def _run(host: Host, partition: Partition, options: argparse.Namespace) -> int:
    priority = options.rr if options.fifo is None else options.fifo
    if priority is not None and not 1 <= priority <= 99:
        raise IsolationError(f"priority {priority} is not in 1-99")
    with exclusively(host, f"rtpart {options.verb}"):
        cpus = pick(host, partition, options.set, options.cpu)
        _enter(host, partition, options.set, os.getpid())
        set_affinity(0, format_cpulist(cpus))
    if priority is not None:
        os.sched_setscheduler(0, os.SCHED_RR if options.fifo is None else os.SCHED_FIFO, os.sched_param(priority))
    try:
        os.execvp(options.command[0], options.command)
    except OSError as error:
        raise IsolationError(f"{options.command[0]}: {error.strerror}") from None


def _move(host: Host, partition: Partition, options: argparse.Namespace) -> int:
    thread = read_thread(host, options.pid)
    if thread is None:
        raise IsolationError(f"there is no process {options.pid} (any more)")
    if thread.bound:
        raise IsolationError(f"{thread.name} ({options.pid}) is bound to CPU {format_cpulist(thread.allowed)} by the kernel")
    with exclusively(host, f"rtpart {options.verb}"):
        cpus = pick(host, partition, options.set, None)
        if not thread.kernel:
            _enter(host, partition, options.set, options.pid)
        for task in [options.pid] if thread.kernel else map(int, host.listdir(f"/proc/{options.pid}/task")):
            set_affinity(task, format_cpulist(cpus))
    moved = read_thread(host, options.pid)
    if moved is None:
        raise IsolationError(f"process {options.pid} has ended")
    before, after = format_cpulist(thread.allowed), format_cpulist(moved.allowed)
    data = {"pid": options.pid, "name": thread.name, "set": options.set, "before": before, "after": after}
    _say(options, data, [f"{thread.name} ({options.pid}): CPUs {before} -> {after}"])
    return 0


# -- undo ------------------------------------------------------------------------------------------


def _undo(host: Host, partition: Partition, options: argparse.Namespace) -> int:
    check_taken(host, lambda: None, partition, None)
    with host.locked():
        undo_partition(host, partition, partial(_command, check=False))
        host.commit()
    changes = [{"resource": change.resource, "before": change.before, "after": change.after} for change in host.changes]
    _say(options, {"changes": changes}, [f"{counted(len(changes), 'value')} restored", *host.notes])
    return 0


def _command(command: Sequence[str], *, check: bool) -> tuple[int, str, str]:
    try:
        done = subprocess.run(list(command), check=check, capture_output=True, text=True, errors="replace", timeout=COMMAND_S)
    except subprocess.TimeoutExpired:
        raise late(command) from None
    return done.returncode, done.stdout, done.stderr
