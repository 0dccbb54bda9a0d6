# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab starts a node again whose emulator crashed or whose kernel panicked, and never one that was stopped by order."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from waiting import wait_until

FILES = Path(__file__).parents[3] / "molecule" / "lab" / "files"

#: The start script of a node, as far as watch and cut-power know it: -uuid names the process, `pid` has its number.
RUN = f"""#!/bin/sh
# -uuid {{uuid}} of a QEMU
cd "$(dirname "$0")"
echo >>starts
while [ -e slow ]; do sleep 0.1; done
setsid bash ./qemu -uuid {{uuid}} </dev/null >/dev/null 2>&1 &
until grep -aqF {{uuid}} /proc/$!/cmdline; do sleep 0.05; done # a QEMU writes its number itself, when it has begun
echo $! >pid
setsid '{FILES}/watch' "$(cat pid)" </dev/null >/dev/null 2>&1 &
"""
QEMU = """trap 'rm pid; echo >>stops; exit' TERM
while sleep 0.1; do :; done
"""
#: In this time watch has looked at a QEMU that has ended.
LOOKED_S = 3


class Node:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.uuid = f"uuid-{os.getpid()}-{root.name}"
        (root / "run").write_text(RUN.format(uuid=self.uuid))
        (root / "run").chmod(0o755)
        (root / "qemu").write_text(QEMU)
        (root / "console.log").write_text(
            "---[ end Kernel panic - not syncing: of an earlier boot ]---\nLoading initial ramdisk ...\nnode1 login:\n"
        )
        subprocess.run([root / "run"], check=True)

    def lines(self, name: str) -> list[str]:
        return (self.root / name).read_text().splitlines() if (self.root / name).exists() else []

    @property
    def alive(self) -> list[int]:
        """The QEMUs that run."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):  # it has just ended
                if path.read_bytes().endswith(f"qemu\0-uuid\0{self.uuid}\0".encode()):
                    found.append(int(path.parent.name))
        return found

    def panic(self) -> None:
        with (self.root / "console.log").open("a") as console:
            console.write("---[ end Kernel panic - not syncing: Attempted to kill init! ]---\n")

    def crash(self) -> None:
        os.kill(int((self.root / "pid").read_text()), signal.SIGKILL)

    def cut(self) -> str:
        done = subprocess.run([FILES / "cut-power", self.root], check=True, capture_output=True, text=True, timeout=60)
        return done.stdout.strip()


@pytest.fixture
def node(tmp_path):
    node = Node(tmp_path)
    yield node
    (tmp_path / "slow").unlink(missing_ok=True)
    node.cut()
    assert wait_until(lambda: not node.alive)


def test_a_crashed_emulator_is_started_again(node):
    before = node.alive
    (node.root / "qemu.log").write_text("its last words\n")
    node.crash()
    assert wait_until(lambda: len(node.lines("starts")) == 2 and len(node.alive) == 1)
    assert node.alive != before
    assert [line.split(" at ")[0] for line in node.lines("crashes")] == ["emulator crashed"]
    assert node.lines("console.log")[-2:] == ["its last words", f"### {node.lines('crashes')[0]}"]


def test_a_kernel_that_panicked_is_stopped_and_started_again_once(node):
    # again until watch, which has just begun, has seen it
    assert wait_until(lambda: node.lines("crashes") or node.panic())
    assert wait_until(lambda: len(node.lines("starts")) == 2 and len(node.alive) == 1)
    assert len(node.lines("stops")) == 1
    time.sleep(LOOKED_S)  # the new watch takes the old panic for one of an earlier boot
    assert len(node.lines("starts")) == 2
    assert [line.split(" at ")[0] for line in node.lines("crashes")] == ["kernel panic"]


def test_a_kernel_that_resets_itself_after_its_panic_is_left_alone(node):
    with (node.root / "console.log").open("a") as console:
        console.write("Kernel panic - not syncing: Attempted to kill init!\nRebooting in 10 seconds..\n")
    time.sleep(LOOKED_S)
    assert (len(node.lines("starts")), node.lines("crashes")) == (1, [])


@pytest.mark.parametrize("crashed", [False, True])
def test_a_node_that_is_switched_off_stays_off(node, crashed):
    if crashed:  # a moment before, so that watch has not seen it yet
        node.crash()
    assert node.cut() in {"cut", "" if crashed else "cut"}  # watch may have started it again already
    time.sleep(LOOKED_S)
    assert len(node.lines("starts")) == 1
    assert node.lines("crashes") == []


def test_the_directory_of_a_node_that_was_switched_off_stays_empty(node):
    node.cut()
    for path in node.root.iterdir():
        path.unlink()
    time.sleep(LOOKED_S)
    assert list(node.root.iterdir()) == []


def test_a_node_that_is_being_started_again_is_switched_off(node):
    (node.root / "slow").touch()
    node.crash()
    assert wait_until(lambda: len(node.lines("starts")) == 2)
    with subprocess.Popen([FILES / "cut-power", node.root], stdout=subprocess.PIPE, text=True) as cut:
        time.sleep(1)
        assert cut.poll() is None
        (node.root / "slow").unlink()
        assert cut.communicate(timeout=60)[0].strip() == "cut"
    time.sleep(LOOKED_S)
    assert node.alive == []
    assert len(node.lines("starts")) == 2
