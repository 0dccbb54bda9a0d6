# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real ovs-vswitchd of one's own: without DPDK, hardware, or the system's instance, with processors that are made up.

``--enable-dummy=override`` replaces every datapath and device by ones inside the process, ``--dummy-numa`` the machine's
processors; ports of type ``dummy-pmd`` are polled by real poll-mode threads, as those of DPDK are.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

PROGRAMS = ("ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl", "ovs-appctl")
SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")

_MISSING = [name for name in PROGRAMS if not shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")]
needs_switch = pytest.mark.skipif(
    bool(_MISSING) or not SCHEMA.exists(), reason=f"no {', '.join(_MISSING) or SCHEMA} on this machine"
)


class DummySwitch:
    """A database server and a daemon below a directory, which is laid out as a machine's root."""

    def __init__(self, root: Path, numa: str) -> None:
        self.root = root
        self.numa = numa
        self.run = root / "run" / "openvswitch"
        self.run.mkdir(parents=True)
        (root / "etc" / "openvswitch").mkdir(parents=True)
        (root / "var" / "log" / "openvswitch").mkdir(parents=True)
        self.log = root / "var" / "log" / "openvswitch" / "ovs-vswitchd.log"
        self.socket = self.run / "db.sock"
        self.environment = {
            **os.environ,
            "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
            "OVS_RUNDIR": str(self.run),
            "OVS_LOGDIR": str(self.log.parent),
            "OVS_DBDIR": str(root / "etc" / "openvswitch"),
            "OVS_SYSCONFDIR": str(root / "etc"),
        }
        self.database = root / "etc" / "openvswitch" / "conf.db"
        self.starts = 0

    def call(self, *command: str, timeout: float = 30) -> str:
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def start_server(self) -> None:
        if not self.database.exists():
            self.call("ovsdb-tool", "create", str(self.database), str(SCHEMA))
        remote = f"--remote=punix:{self.socket}"
        self.call(
            "ovsdb-server", str(self.database), remote, "--detach", "--no-chdir", "--pidfile", "--log-file", "-vconsole:off"
        )
        self.vsctl("--no-wait", "init")

    def start_daemon(self) -> None:
        dummy = ("--enable-dummy=override", "--disable-system", f"--dummy-numa={self.numa}")
        self.call(
            "ovs-vswitchd", *dummy, "--detach", "--no-chdir", "--pidfile", "--log-file", "-vconsole:off", f"unix:{self.socket}"
        )
        self.starts += 1

    def start(self) -> DummySwitch:
        self.start_server()
        self.start_daemon()
        return self

    def pid(self, name: str) -> int | None:
        with suppress(OSError, ValueError):
            return int((self.run / f"{name}.pid").read_text())
        return None

    def stop(self, name: str, how: int = signal.SIGTERM) -> None:
        pid = self.pid(name)
        if pid is None:
            return
        with suppress(ProcessLookupError):
            os.kill(pid, how)
        wait_for(lambda: not alive(pid), f"{name} to end")
        (self.run / f"{name}.pid").unlink(missing_ok=True)

    def stop_all(self) -> None:
        self.stop("ovs-vswitchd")
        self.stop("ovsdb-server")

    def vsctl(self, *arguments: str) -> str:
        return self.call("ovs-vsctl", f"--db=unix:{self.socket}", "--timeout=20", *arguments)

    def appctl(self, *arguments: str) -> str:
        return self.call("ovs-appctl", "-t", "ovs-vswitchd", "--timeout=20", *arguments)

    def queues(self) -> dict[tuple[str, int], int]:
        """Which CPU polls which queue, as the daemon says."""
        return {(port, queue): core for port, queue, _numa, core in parse_queues(self.appctl("dpif-netdev/pmd-rxq-show"))}

    def isolated(self) -> dict[int, bool]:
        """The poll-mode threads by CPU, and whether each serves only queues that are pinned to it."""
        text = self.appctl("dpif-netdev/pmd-rxq-show")
        return {int(core): value == "true" for core, value in re.findall(r"core_id (\d+):\n\s*isolated : (\w+)", text)}

    def rows(self, table: str, columns: str) -> str:
        """Columns of a table, as text."""
        return self.call(
            "ovsdb-client", "--format=csv", "dump", f"unix:{self.socket}", "Open_vSwitch", table, *columns.split(",")
        )


def parse_queues(text: str) -> list[tuple[str, int, int, int]]:
    """(port, queue, NUMA node, CPU) of what ``dpif-netdev/pmd-rxq-show`` prints."""
    found = []
    numa = core = -1
    for line in text.splitlines():
        if thread := re.match(r"pmd thread numa_id (\d+) core_id (\d+):", line):
            numa, core = int(thread[1]), int(thread[2])
        elif queue := re.match(r"\s+port: (\S+)\s+queue-id:\s+(\d+)", line):
            found.append((queue[1], int(queue[2]), numa, core))
    return sorted(found)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, what: str, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.05)
