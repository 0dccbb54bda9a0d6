# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node judges its boot: it confirms, or gives up and reboots; nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot.one_shot import TRIAL
from ansible_collections.realtime.kvm.plugins.module_utils._boot.verdict import (
    PROGRAM,
    RECORD,
    UNIT,
    WANTED,
    WATCHDOG,
    Way,
    load,
)
from ansible_collections.realtime.kvm.plugins.module_utils._node import trial as _trial
from unit.netns import run
from unit.trees import fill, killed_at, snapshot, writable
from unit.trials import Tools, grub_boots, lifted, node, trial_on, tried

CUSTOM = "/boot/grub/custom.cfg"


@pytest.fixture(name="root")
def _root(tmp_path):
    """A node in its tried boot."""
    root = node(tmp_path / "machine")
    fill(root, {"/sys/class/watchdog/watchdog0/nowayout": "0\n"})
    tried(root, seconds=0)
    assert grub_boots(root) == TRIAL
    return root


@pytest.fixture(name="commands", autouse=True)
def _commands(monkeypatch):
    """What was run on the node."""
    found = []
    monkeypatch.setattr(_trial, "_run", lambda command: found.append(list(command)) or True)
    monkeypatch.setattr(_trial.time, "sleep", lambda _seconds: None)
    return found


def record_of(root):
    return load(Path(f"{root}{RECORD}").read_bytes())


def test_a_node_that_is_well_confirms(root, commands):
    assert _trial.judge(str(root)) == 0
    assert record_of(root).state == "confirmed"
    assert [path for path in (CUSTOM, PROGRAM, UNIT, WANTED, WATCHDOG) if os.path.lexists(f"{root}{path}")] == []
    assert Path(f"{root}/proc/sys/kernel/panic").read_text() == "0", "as before the reboot"
    assert commands == [["systemctl", "daemon-reload"]], "no second reboot"
    assert grub_boots(root) == "menu", "the menu's own default, which is the new entry"
    assert lifted(root).changes == [], "nothing is left for a run to clean up"


@pytest.mark.parametrize("release", ["", "6.9\n"])
def test_the_kernel_that_writes_a_crash_down_is_not_judged(root, commands, release):
    """kdump starts it with the arguments of the one that crashed; a reboot would end the dump."""
    fill(root, {"/proc/vmcore": "dump", **({"/proc/sys/kernel/osrelease": release} if release else {})})
    before = record_of(root)
    assert _trial.judge(str(root)) == 0
    assert (commands, record_of(root)) == ([], before)
    assert "\nConditionPathExists=!/proc/vmcore\n" in _trial.UNIT_TEXT


def test_the_admins_own_menu_entries_stay(root):
    own = b"menuentry '\xff' {\n}\n"
    fill(root, {CUSTOM: own + Path(f"{root}{CUSTOM}").read_bytes()})
    os.chmod(f"{root}{CUSTOM}", 0o600)
    assert _trial.judge(str(root)) == 0
    assert Path(f"{root}{CUSTOM}").read_bytes() == own
    assert os.stat(f"{root}{CUSTOM}").st_mode & 0o777 == 0o600


def test_a_node_that_is_not_well_gives_up_and_reboots(root, commands):
    fill(root, {"/proc/sys/kernel/osrelease": "6.9\n"})
    custom = Path(f"{root}{CUSTOM}").read_bytes()
    assert _trial.judge(str(root)) == 0
    assert commands == [["systemctl", "reboot"]]
    assert (record_of(root).state, Path(f"{root}{CUSTOM}").read_bytes()) == ("returned", custom)
    assert record_of(root).reason == "kernel 6.9 runs, 6.1.0-50-rt-amd64 was expected"
    assert grub_boots(root) == "realtime-kvm-previous"
    state = trial_on(writable(root, check_mode=True), Tools(root)).state()
    assert state == {"state": "returned", "reason": "kernel 6.9 runs, 6.1.0-50-rt-amd64 was expected"}


def test_a_node_may_take_its_time(root, commands, monkeypatch):
    tried_record = record_of(root)
    Path(f"{root}{RECORD}").write_bytes(_trial.dump(_trial.replace(tried_record, seconds=60, libvirt=True)))
    answers = iter(["does not answer", "does not answer", ""])
    monkeypatch.setattr(_trial, "libvirt_problem", lambda: next(answers))
    assert _trial.judge(str(root)) == 0
    assert record_of(root).state == "confirmed"
    assert commands == [["systemctl", "daemon-reload"]]


def test_a_default_that_cannot_be_written_is_no_confirmation(root, commands, monkeypatch):
    def refuse(_full):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(_trial, "unlink", refuse)
    assert _trial.judge(str(root)) == 0
    assert commands == [["systemctl", "reboot"]]
    assert "could not be made the default" in record_of(root).reason


def test_a_boot_folder_that_is_not_mounted_is_no_confirmation(root, commands):
    os.rename(f"{root}/boot", f"{root}/away")
    assert _trial.judge(str(root)) == 0
    assert commands == [["systemctl", "reboot"]]
    assert "is /boot mounted?" in record_of(root).reason


def test_a_reboot_that_systemd_refuses_is_forced_and_else_the_unit_fails(root, monkeypatch):
    tries = []
    monkeypatch.setattr(_trial, "_run", lambda command: tries.append(list(command)) or False)
    fill(root, {"/proc/sys/kernel/osrelease": "6.9\n"})
    assert _trial.judge(str(root)) == 1
    assert tries == [["systemctl", "reboot"], ["systemctl", "reboot", "--force"]]


def test_the_unit_reboots_where_the_program_fails_and_runs_only_in_the_tried_boot():
    assert "\nFailureAction=reboot\n" in _trial.UNIT_TEXT
    assert "\nConditionKernelCommandLine=realtime-kvm.trial=1\n" in _trial.UNIT_TEXT


@pytest.mark.parametrize("content", [None, b"", b"{}"])
def test_without_a_record_the_program_fails(root, content):
    os.unlink(f"{root}{RECORD}")
    if content is not None:
        fill(root, {RECORD: content})
    assert _trial.judge(str(root)) == 1


def test_an_old_boot_is_not_judged(root, commands):
    grub_boots(root)
    before = snapshot(root)
    assert _trial.judge(str(root)) == 0
    assert (snapshot(root), commands) == (before, [])


def test_killed_anywhere_the_node_is_in_one_of_two_shapes(root, tmp_path, commands):
    step, killed, ends = 0, True, set()
    while killed:
        tree = tmp_path / f"tree{step}"
        shutil.copytree(root, tree, symlinks=True)
        killed = killed_at(step, lambda tree=tree: _trial.judge(str(tree)), tree)
        shape = grub_boots(tree)
        ends.add(shape)
        fill(tree, {"/proc/sys/kernel/random/boot_id": "cccc\n"})
        state = trial_on(writable(tree, check_mode=True), Tools(tree)).state()["state"]
        assert (shape, state) in {("menu", "confirmed"), ("realtime-kvm-previous", "returned")}, f"killed before step {step}"
        step += 1
    assert ends == {"menu", "realtime-kvm-previous"}
    assert step > 5


def test_the_frame_is_out_of_the_journal_before_the_record_says_confirmed(root, monkeypatch):
    seen = []
    monkeypatch.setattr(
        _trial, "checkpoint", lambda *given: seen.append((*given, os.path.exists(f"{root}{CUSTOM}"), record_of(root).state))
    )
    assert _trial.judge(str(root)) == 0
    assert seen == [(f"{root}/boot/grub", str(root), False, "armed")]
    assert record_of(root).state == "confirmed"


@pytest.mark.parametrize("value", ["30", "60", "-1", "0"])
def test_a_panic_that_another_has_set_since_the_boot_stays(root, value):
    fill(root, {"/proc/sys/kernel/panic": f"{value}\n"})
    assert _trial.judge(str(root)) == 0
    assert Path(f"{root}/proc/sys/kernel/panic").read_text().strip() == value


# -- file systems that are full or fail ------------------------------------------------------------


class Failing:
    """From its n-th change on, so many changes of files in a tree answer that the disk is full."""

    def __init__(self, patch, root, start, count):
        self.root, self.start, self.count, self.changes = str(root), start, count, 0
        really_open, really_os_open = open, os.open
        patch.setattr(
            "builtins.open",
            lambda path, mode="r", *rest, **more: self.step(really_open, set(mode) & set("wa+x"), path, mode, *rest, **more),
        )
        patch.setattr(
            os,
            "open",
            lambda path, flags, *rest: self.step(really_os_open, flags & (os.O_WRONLY | os.O_RDWR), path, flags, *rest),
        )
        for name in ("mkdir", "rename", "unlink", "fsync"):
            patch.setattr(os, name, partial(self.step, getattr(os, name), True))

    def step(self, really, writes, path, *rest, **more):
        if writes and (isinstance(path, int) or str(path).startswith(self.root)):
            self.changes += 1
            if self.start <= self.changes < self.start + self.count:
                raise OSError(28, "No space left on device")
        return really(path, *rest, **more)


@pytest.mark.parametrize("count", [1, 10**6], ids=["once", "for ever"])
@pytest.mark.parametrize("seconds", [0, 300])
def test_a_write_that_fails_ends_in_one_of_two_shapes(root, tmp_path, commands, monkeypatch, count, seconds):
    Path(f"{root}{RECORD}").write_bytes(_trial.dump(_trial.replace(record_of(root), seconds=seconds)))
    clock = [0.0]
    monkeypatch.setattr(_trial.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(_trial.time, "sleep", lambda pause: clock.__setitem__(0, clock[0] + pause))
    step, failed, ends = 0, True, set()
    while failed:
        step += 1
        tree = tmp_path / f"tree{step}"
        shutil.copytree(root, tree, symlinks=True)
        commands.clear()
        clock[0] = 0.0
        with pytest.MonkeyPatch.context() as patch:
            failing = Failing(patch, tree, step, count)
            code = _trial.judge(str(tree))
        failed = failing.changes >= step
        state = trial_on(writable(tree, check_mode=True), Tools(tree)).state()["state"]
        rebooted, shape = bool(code) or ["systemctl", "reboot"] in commands, grub_boots(tree)
        ends.add((rebooted, shape))
        assert (rebooted, shape, state) in {(False, "menu", "confirmed"), (True, "realtime-kvm-previous", "judging")}, (
            f"write {step}"
        )
        assert rebooted or not (count == 1 and clock[0] > 10), f"write {step}: a node that is well waits for nothing"
        shutil.rmtree(tree)
    assert (False, "menu") in ends
    assert step > 10
    assert not (count == 1 and seconds) or ends == {(False, "menu")}, "what fails once is tried again"


# -- the way of Ansible ----------------------------------------------------------------------------


@contextmanager
def serving(said):
    """A server of this machine's that says something to each connection and ends it (None: it takes none); its port."""

    def serve():
        with suppress(OSError):
            while said is not None:
                connection, _peer = server.accept()
                with connection:
                    for piece in said:
                        connection.sendall(piece)
                        threading.Event().wait(0.01)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    "said", [[b"SSH-2.0-OpenSSH_9.2p1\r\n"], [b"S", b"SH", b"-2.0-x\r\n"], [b"for members only\r\n", b"SSH-2.0-x\r\n"]]
)
def test_a_way_that_is_open(said):
    with serving(said) as port:
        assert _trial.way_problem(Way("127.0.0.1", port, "127.0.0.1")) == ""


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([], r"it ends the connection"),  # sshd@.service that fails
        ([b"Exceeded MaxStartups\r\n"], r"it ends the connection"),
        ([b"HTTP/1.0 400\r\nX: SSH-2.0\r\n"], r"it ends the connection"),
        ([b"x" * 20000], r"it says something else"),
        (None, r"timed out"),  # ssh.socket whose sshd cannot start
    ],
)
def test_a_connection_without_the_greeting_of_an_ssh_server_is_no_way(said, why, monkeypatch):
    monkeypatch.setattr(_trial, "_PATIENCE", 0.3 if said is None else 10)
    with serving(said) as port:
        found = _trial.way_problem(Way("127.0.0.1", port, "127.0.0.1"))
        assert re.search(rf"takes a connection, but no SSH server greets \(.*({why}|reset)", found), found
        assert _trial.way_problem(Way("127.0.0.1", port, "127.0.0.1", greeting=False)) == "", "it lacked that before"


def test_a_server_that_never_ends_its_lines_takes_no_longer_than_the_patience(monkeypatch):
    monkeypatch.setattr(_trial, "_PATIENCE", 0.3)
    with serving([b"x\r\n"] * 10_000) as port:
        start = time.monotonic()
        assert "no SSH server greets (timed out)" in _trial.way_problem(Way("127.0.0.1", port, "127.0.0.1"))
        assert time.monotonic() - start < 30


def test_a_way_whose_address_is_gone():
    assert "192.0.2.1 port 22, by which Ansible came, does not answer" in _trial.way_problem(Way("192.0.2.1", 22, "127.0.0.1"))


def test_a_way_whose_server_is_gone():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert "does not answer (Connection refused)" in _trial.way_problem(Way("127.0.0.1", port, "127.0.0.1"))


def test_a_way_without_a_route(monkeypatch):
    class Socket:
        def __init__(self, *_arguments):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_arguments):
            pass

        def connect(self, _address):
            raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(_trial.socket, "socket", Socket)
    assert _trial.way_problem(Way("10.0.2.15", 22, "10.0.2.2")) == (
        "no route to 10.0.2.2, where Ansible came from (Network is unreachable)"
    )


NETWORK = """
import json, socket, subprocess, sys, threading, time
sys.path.insert(0, sys.argv[1])
from ansible_collections.realtime.kvm.plugins.module_utils._boot.verdict import Way
from ansible_collections.realtime.kvm.plugins.module_utils._boot.way import look_at_way
from ansible_collections.realtime.kvm.plugins.module_utils._node.trial import _answer, way_problem

def ip(line):
    subprocess.run(["ip", *line.split()], check=True)

def found():
    for _look in range(20):  # as the program does, every two seconds
        problem = way_problem(way)
        if "nobody has answered" not in problem:
            break
        time.sleep(0.1)
    print(problem)

for line in ("link set lo up", "link add v0 type veth peer name v1", "link add br0 type bridge", "link set v0 master br0",
             "link set v0 up", "link set br0 up", "addr add 192.0.2.10/24 dev br0", "addr add 192.0.2.11/24 dev br0"):
    ip(line)
# the other end is a namespace of its own
other = subprocess.Popen(["unshare", "--net", "sleep", "60"])
time.sleep(0.5)
ip(f"link set v1 netns {other.pid}")
for line in ("addr add 192.0.2.1/24 dev v1", "link set v1 up"):
    subprocess.run(["nsenter", "-t", str(other.pid), "-n", "ip", *line.split()], check=True)
server = socket.create_server(("0.0.0.0", 2222))

def greet():
    while True:
        with server.accept()[0] as connection:
            connection.sendall(b"SSH-2.0-x\\r\\n")

threading.Thread(target=greet, daemon=True).start()
way = Way("192.0.2.11", 2222, "192.0.2.1", neighbour=True)
while way_problem(way):
    time.sleep(0.1)
signs = look_at_way(_answer, "", "192.0.2.1")
print(signs.source, signs.device, signs.cable, signs.neighbour)
way = Way("192.0.2.11", 2222, "192.0.2.1", signs.source, signs.cable, signs.neighbour)
try:
    for lines in json.loads(sys.argv[2]):
        for line in lines:
            ip(line)
        found()
finally:
    other.kill()
"""


def on_a_bridge(*changes):
    """What is said of a way over a bridge, after each change of the network."""
    first, *rest = run(NETWORK, os.environ["ANSIBLE_COLLECTIONS_PATH"], json.dumps(changes))
    assert first == "192.0.2.10 br0 1 True", "the node is reached by a second address, and packets begin at the first"
    return rest


def test_a_way_as_before_is_a_way_by_a_second_address_too():
    assert on_a_bridge([], ["neigh flush dev br0"]) == ["", ""]


def test_a_bridge_without_its_member_is_no_way():
    (said,) = on_a_bridge(["neigh flush dev br0", "link set v0 nomaster"])
    assert said == "br0, which leads to 192.0.2.1, has no link as before; its cable, its network card or the driver is missing"


def test_a_bridge_that_only_a_guest_is_on_is_no_way():
    changes = ["link set v0 nomaster", "link add t0 type veth peer name t1", "link set t1 up", "link set t0 up master br0"]
    (said,) = on_a_bridge(["neigh flush dev br0", *changes])
    assert said == "nobody has answered on br0, which leads to 192.0.2.1, neither that address nor a gateway"


def test_a_way_that_begins_elsewhere_is_named():
    (said,) = on_a_bridge(["addr del 192.0.2.10/24 dev br0", "addr add 192.0.2.12/24 dev br0", "addr add 192.0.2.11/24 dev br0"])
    assert said == "the way to 192.0.2.1 begins at 192.0.2.12, no longer at 192.0.2.10"


def test_libvirt_that_is_not_installed(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert _trial.libvirt_problem() == "does not answer (virsh: No such file or directory)"


def with_libvirt(root):
    Path(f"{root}{RECORD}").write_bytes(_trial.dump(_trial.replace(record_of(root), libvirt=True)))


def test_a_message_of_libvirt_that_is_no_utf_8_does_not_end_the_program(root, tmp_path, monkeypatch, commands):
    program = tmp_path / "bin" / "virsh"
    fill(tmp_path, {"/bin/virsh": "#!/bin/sh\nprintf 'Fehler: \\374\\n' >&2\nexit 1\n"})
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    with_libvirt(root)
    assert _trial.judge(str(root)) == 0
    assert commands == [["systemctl", "reboot"]]
    assert record_of(root).reason == "libvirt: does not answer (Fehler: \ufffd)"


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), OSError(5, "x"), TypeError("x")])
def test_a_look_that_fails_is_tried_again(root, monkeypatch, error):
    Path(f"{root}{RECORD}").write_bytes(_trial.dump(_trial.replace(record_of(root), seconds=60, libvirt=True)))
    answers = iter([error, ""])

    def asked():
        answer = next(answers)
        if answer:
            raise answer
        return answer

    monkeypatch.setattr(_trial, "libvirt_problem", asked)
    assert _trial.judge(str(root)) == 0
    assert record_of(root).state == "confirmed"


def test_a_look_that_always_fails_gives_the_entry_up_with_the_reason(root, monkeypatch):
    def asked():
        raise ValueError("no number")

    with_libvirt(root)
    monkeypatch.setattr(_trial, "libvirt_problem", asked)
    assert _trial.judge(str(root)) == 0
    assert record_of(root).reason == "the node could not be looked at (ValueError: no number)"


def test_an_empty_custom_menu_of_the_admins_stays(tmp_path):
    root = node(tmp_path / "machine")
    fill(root, {CUSTOM: ""})
    tried(root, seconds=0)
    grub_boots(root)
    assert _trial.judge(str(root)) == 0
    assert Path(f"{root}{CUSTOM}").read_bytes() == b""
