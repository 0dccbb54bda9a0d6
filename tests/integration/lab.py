# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs playbooks against the lab's nodes and looks at the nodes; every call is bounded in time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
INVENTORY = ROOT / "inventories" / "lab" / "hosts.yml"
STATE = Path(os.environ.get("LAB_DIR") or ROOT / ".lab")
#: The watcher is held where nothing sees it: a stopped one has a finding of its own, and systemd restarts one that hangs.
FREEZE = "systemctl service-watchdogs no; systemctl freeze realtime-kvm-watch"
THAW = "systemctl thaw realtime-kvm-watch; systemctl service-watchdogs yes"


@dataclass
class Run:
    """A finished (or killed) playbook run."""

    code: int
    events: list[dict]
    output: str
    seconds: float

    def changes(self, host: str) -> list[tuple]:
        """What the run changed (or, in check mode, would change) on a host, task by task, in order."""
        return [
            (event["task"], event["action"], json.dumps(event["changes"], sort_keys=True))
            for event in self.events
            if event.get("host") == host and event["changed"]
        ]

    def remote_executions(self, host_count: int = 1) -> int:
        """How often ssh ran something on a node (from the -vvv output); tries that did not reach it, as while it reboots, do not count."""
        return (self.output.count("SSH: EXEC") - len(re.findall(r"^<[^>]+> \(255, b", self.output, re.MULTILINE))) // host_count

    def by_task(self) -> dict[str, int]:
        """How often each task ran something on a node, in their order; to see what a count is made of."""
        found: dict[str, int] = {}
        name = ""
        for task, line in re.findall(r"^TASK \[(.*)\]|(SSH: EXEC)", self.output, re.MULTILINE):
            name = task or name
            if line:
                found[name] = found.get(name, 0) + 1
        return found


def playbook(
    path: str,
    *arguments: str,
    nodes: str = "node1",
    kill_at: int = 0,
    timeout: float = 900,
    ok: bool | None = True,
    extra: dict | None = None,
) -> Run:
    """Run one of the collection's playbooks (``site.yml``, ``undo.yml``) on nodes. ``ok`` None accepts any end."""
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as record:
        environment = {**recording(record.name), "RECORD_KILL_AT": str(kill_at)}
        command = ["ansible-playbook", "-i", str(INVENTORY), str(ROOT / "playbooks" / path), "--limit", nodes, *arguments]
        for name, value in {"rt_kernel_reboot_serial": "100%", **(extra or {})}.items():
            command += ["-e", json.dumps({name: value})]
        started = time.monotonic()
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            start_new_session=True,
            check=False,
        )
        events = [json.loads(line) for line in record]
    run = Run(done.returncode, events, done.stdout + done.stderr, time.monotonic() - started)
    if ok is not None and (run.code == 0) != ok:
        raise AssertionError(f"{' '.join(command)} ended with {run.code}:\n{run.output[-6000:]}")
    return run


def recording(path: str) -> dict[str, str]:
    """Return the environment in which ansible writes what it does to a file."""
    return {
        **os.environ,
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback_plugins"),
        "ANSIBLE_CALLBACKS_ENABLED": "record",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "RECORD_FILE": path,
    }


def module(node: str, name: str, *arguments: str) -> dict:
    """Return the result of one module on a node; ``arguments`` are those of the ansible command (``--check``, ``-a``, ...)."""
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as record:
        environment = {**recording(record.name), "RECORD_RESULTS": "1", "ANSIBLE_LOAD_CALLBACK_PLUGINS": "true"}
        subprocess.run(
            ["ansible", "-i", str(INVENTORY), node, "-m", name, *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
        )
        events = [json.loads(line) for line in record]
    return {**events[-1]["result"], "failed": events[-1]["event"] != "ok"}


def lab(name: str, nodes: str, **variables: object) -> None:
    """Run one of the lab's own playbooks (reset, snapshot, power)."""
    command = ["ansible-playbook", "-i", str(INVENTORY), str(ROOT / "molecule" / "lab" / f"{name}.yml")]
    command += ["-e", json.dumps({"lab_nodes": nodes, **variables})]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")


def ssh(node: str, command: str, *, timeout: float = 120, stdin: str = "", ok: bool = True) -> str:
    """Return what a shell command prints on a node."""
    done = subprocess.run(
        ["ssh", "-F", str(STATE / "ssh_config"), node, command],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if ok and done.returncode != 0:
        raise AssertionError(f"{node}: {command!r} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def holds(node: str, condition: str) -> bool:
    """Whether a shell condition holds on a node; a node that does not answer holds none."""
    try:
        return ssh(node, f"{condition} && echo yes", timeout=20, ok=False).strip() == "yes"
    except subprocess.TimeoutExpired:
        return False


def wait_for(node: str, condition: str, seconds: float) -> bool:
    """Wait until a shell condition holds on a node."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds(node, condition):
            return True
    return False


def reboot(node: str, condition: str = "true", seconds: float = 300, *, degraded: bool = False) -> bool:
    """Reboot a node; whether it is up again in time, with another boot id, and the condition holds then.

    ``degraded``: a unit must fail in this boot.
    """
    boot = ssh(node, "cat /proc/sys/kernel/random/boot_id").strip()
    ssh(node, "(sleep 1; reboot) >/dev/null 2>&1 &")
    again = f"! grep -q {boot} /proc/sys/kernel/random/boot_id"
    state = "degraded" if degraded else "running"
    return wait_for(node, f'{again} && {condition} && test "$(systemctl is-system-running --wait)" = {state}', seconds)


def fingerprint(node: str) -> dict[str, str]:
    """Return every file's digest and every setting's value that this collection could touch on a node."""
    return json.loads(ssh(node, "python3 -", stdin=(HERE / "fingerprint.py").read_text(), timeout=300))


def differences(before: dict[str, str], after: dict[str, str]) -> dict[str, tuple]:
    """Return what differs between two fingerprints."""
    return {
        name: (before.get(name, "absent"), after.get(name, "absent"))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    }
