# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make test-lab`` repeats a scenario whose node was started again in its course, once, and no other one."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from waiting import wait_until

SCRIPT = Path(__file__).parents[2] / "tools" / "test_lab.sh"

#: Does in each attempt what the file `acts/SCENARIO` says: its first line in the first attempt, and so on; else it succeeds.
MOLECULE = """#!/bin/bash
echo "$*" >>calls
echo "state in $MOLECULE_EPHEMERAL_DIRECTORY"
[[ $1 != destroy || ! -e acts/stuck ]] || { echo "  │ fatal: [node1]: FAILED! => rmtree failed"; echo "RECAP failed=0"; exit 2; }
[[ $1 == test && -s acts/$3 ]] || exit 0
read -r act <acts/$3
sed -i 1d acts/$3
case $act in
    *hang*) sleep 60 ;;
    *panic*) echo "kernel panic at $RANDOM" >>"$NODE/crashes"; printf 'Oops\\n### kernel panic\\nagain\\n' >>"$NODE/console.log" ;;
    *crash*) echo "emulator crashed at $RANDOM" >>"$NODE/crashes"; printf 'last words\\n### crash\\nagain\\n' >>"$NODE/console.log" ;;
    *late*) (sleep 1; echo "emulator crashed at $RANDOM" >>"$NODE/crashes") >/dev/null 2>&1 & ;;
esac
[[ $act != *fail* ]] || { echo "  | noise"; echo "E   assert 255 == 0"; echo "  │ lab: plc1 is silent"; exit 2; }
"""


class Lab:
    """A tree with three scenarios, and a molecule that only pretends."""

    def __init__(self, root: Path, *, node: str = "node1") -> None:
        self.root = root
        self.node = root / "lab" / node
        self.node.mkdir(parents=True)
        (self.node / "console.log").write_text("console of " + node + "\n")
        (self.node / "crashes").write_text("emulator crashed at an earlier time\n")
        for name in ("default", "bios", "power", "verify"):
            (root / "molecule" / name).mkdir(parents=True)
            (root / "molecule" / name / "molecule.yml").touch()
        (root / "acts").mkdir()
        (root / "bin").mkdir()
        (root / "bin" / "molecule").write_text(MOLECULE)
        (root / "bin" / "molecule").chmod(0o755)
        (root / "tests" / "tools").mkdir(parents=True)
        self.script = shutil.copy(SCRIPT, root / "tests" / "tools")

    def start(self, *arguments: str, **acts: str) -> subprocess.Popen[str]:
        for name, lines in acts.items():
            (self.root / "acts" / name).write_text(lines.replace(", ", "\n") + "\n")
        environment = {
            **os.environ,
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
            "LAB_DIR": str(self.root / "lab"),
            "LAB_NODES": self.node.name,
            "NODE": str(self.node),
            "TEST_LAB_SETTLE": "30" if "late" in str(acts) else "0",
        }
        command = [self.script, *arguments]
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )

    def calls(self, command: str) -> list[str]:
        """The calls of one of molecule's commands, without it."""
        path = self.root / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.removeprefix(command).strip() for line in lines if line.startswith(command)]

    def end(self, run: subprocess.Popen[str]) -> tuple[int, str, list[str]]:
        output = run.communicate(timeout=120)[0]
        assert (self.root / "calls").read_text().splitlines()[-1] == "destroy -s default"  # whatever happened
        return run.returncode, output, [call.removeprefix("-s ").removesuffix(" --destroy=never") for call in self.calls("test")]

    def run(self, *arguments: str, **acts: str) -> tuple[int, str, list[str]]:
        """The status, the output, and the scenarios in the order of their attempts."""
        return self.end(self.start(*arguments, **acts))


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


def summary(output: str) -> str:
    """What stands below the last scenario."""
    return output[output.index("how long each scenario took") :]


def test_every_scenario_runs_once_after_the_nodes_exist(lab):
    status, output, tested = lab.run()
    assert (status, tested) == (0, ["default", "bios", "power", "verify"])
    assert f"state in {lab.root}/.cache/molecule" in output
    assert [line.split("s  ")[1] for line in summary(output).splitlines() if " s  " in line] == tested
    assert "started again" not in output
    assert lab.calls("cleanup") == []


def test_named_scenarios_run_alone(lab):
    assert lab.run("verify", "default", "bios")[2] == ["default", "verify", "bios"]


@pytest.mark.parametrize("act", ["crash fail", "panic fail", "late fail"])
def test_a_scenario_whose_node_was_started_again_is_repeated_and_named(lab, act):
    status, output, tested = lab.run(power=act)
    assert (status, tested) == (0, ["default", "bios", "power", "power", "verify"])
    assert "power is repeated once" in output
    reason = "kernel panic" if "panic" in act else "emulator crashed"
    assert f"power: node1: {reason} at " in summary(output)
    assert "power: failed" in summary(output)
    assert ("THE KERNEL OF A NODE PANICKED" in summary(output)) == ("panic" in act)
    assert "earlier time" not in output


def test_what_led_to_the_repetition_is_shown(lab):
    output = lab.run(power="crash fail")[1]
    assert "last words\n### crash\n" in output
    assert "### crash\nagain" not in output
    assert "what failed in power\nE   assert 255 == 0\n" in output


def test_a_plain_failure_ends_the_run_at_once(lab):
    status, output, tested = lab.run(bios="fail")
    assert (status, tested) == (1, ["default", "bios"])
    assert "repeated" not in output
    assert "the end of node1's console\nconsole of node1\n" in output
    assert "what failed in bios\nE   assert 255 == 0\n" in output
    assert summary(output).endswith("FAILED: bios\n")
    assert lab.calls("cleanup") == ["-s bios"]


def test_what_failed_is_kept_for_the_end_of_a_longer_run(lab):
    lab.run("power", power="fail")
    kept = (lab.root / ".cache" / "test-lab" / "why").read_text()
    assert "what failed in power" in kept
    assert "E   assert 255 == 0" in kept
    assert "lab: plc1 is silent" in kept
    assert "noise" not in kept


def test_the_log_with_times_says_where_the_time_went(lab):
    lab.run("power")
    log = lab.root / ".cache" / "test-lab" / "power-1.times"
    assert wait_until(lambda: re.match(r"\d\d:\d\d:\d\d state in ", log.read_text()))


def test_a_plain_failure_after_a_repeated_scenario_ends_the_run(lab):
    status, output, tested = lab.run(bios="crash fail", power="fail")
    assert (status, tested) == (1, ["default", "bios", "bios", "power"])
    assert summary(output).endswith("FAILED: power\n")


@pytest.mark.parametrize("second", ["crash fail", "fail"])
def test_a_repeated_scenario_is_not_repeated_again(lab, second):
    status, output, tested = lab.run(power=f"crash fail, {second}")
    assert (status, tested) == (1, ["default", "bios", "power", "power"])
    assert summary(output).count("power: node1: emulator crashed at ") == 1 + ("crash" in second)
    assert summary(output).endswith("FAILED: power\n")


def test_each_scenario_has_its_own_repetition(lab):
    status, _output, tested = lab.run(bios="crash fail", power="crash fail")
    assert (status, tested) == (0, ["default", "bios", "bios", "power", "power", "verify"])


def test_a_second_panic_ends_the_run(lab):
    status, output, tested = lab.run(bios="panic fail", power="panic fail")
    assert (status, tested) == (1, ["default", "bios", "bios", "power"])
    assert summary(output).count("kernel panic at ") == 2


def test_a_second_panic_ends_the_run_even_if_every_scenario_succeeds(lab):
    status, _output, tested = lab.run(bios="panic", power="panic")
    assert (status, tested) == (1, ["default", "bios", "power"])


def test_a_restart_that_no_scenario_minds_is_only_named(lab):
    status, output, tested = lab.run(bios="crash")
    assert (status, tested) == (0, ["default", "bios", "power", "verify"])
    assert "bios: node1: emulator crashed at " in summary(output)


def test_a_run_that_is_interrupted_ends_with_the_times_and_destroys_the_nodes(lab):
    run = lab.start(bios="hang")
    assert wait_until(lambda: len(lab.calls("test")) == 2)
    os.killpg(run.pid, signal.SIGTERM)  # as timeout does
    status, output, _tested = lab.end(run)
    assert status != 0
    assert "  default\n" in summary(output)
    assert summary(output).endswith("FAILED: bios\n")


def test_nodes_that_cannot_be_created_end_the_run(lab):
    assert lab.run(default="fail")[::2] == (1, ["default"])


def test_nodes_that_cannot_be_destroyed_fail_the_run_and_the_last_lines_say_so(lab):
    status, output, tested = lab.run(stuck="always")
    assert (status, tested) == (1, ["default", "bios", "power", "verify"])
    assert "RECAP failed=0" in output
    last = ["== test-lab: FAILED: the nodes could not be destroyed", "  │ fatal: [node1]: FAILED! => rmtree failed"]
    assert output.splitlines()[-2:] == last


def test_the_selected_nodes_are_looked_at(tmp_path):
    assert Lab(tmp_path, node="node2").run(bios="crash fail")[::2] == (0, ["default", "bios", "bios", "power", "verify"])
