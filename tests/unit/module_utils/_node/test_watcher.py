# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watcher: moves what is misplaced, is silent otherwise, reacts to the kernel's events, and may be killed at any time."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._host import files
from ansible_collections.realtime.kvm.plugins.module_utils._host import locks as _locks
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import ARCHIVE, DOCUMENT
from ansible_collections.realtime.kvm.plugins.module_utils._node import watcher as _watcher
from ansible_collections.realtime.kvm.plugins.module_utils._node.archive import build_archive
from ansible_collections.realtime.kvm.plugins.module_utils._node.watcher import Watcher
from unit.devices import running_guest
from unit.irqs import DEFAULT, LIST, irq, text
from unit.netns import command_of
from unit.trees import fill, killed_at, machine_files, plan, refuse_writes, snapshot, task

FILE = f"/proc/irq/24/{LIST}"


@pytest.fixture(name="root")
def _root(tmp_path):
    files = {
        **machine_files(isolated="1-3"),
        DOCUMENT: json.dumps(to_document(plan())),  # housekeeping 0, realtime 1-3
        ARCHIVE: build_archive(),
        "/var/lib/": None,
        DEFAULT: "00000001",
        **irq(24, "0", "0", "eth0-rx"),
    }
    return fill(tmp_path, files)


def watcher(root):
    return Watcher(lambda dry: Host(str(root), owner="irq_affinity", check_mode=dry, needs_journal=False))


def test_a_look_at_a_node_in_order_writes_nothing(root):
    before = snapshot(root)
    assert watcher(root).look() == []
    assert snapshot(root) == before


def test_what_a_driver_has_set_again_is_moved_and_said_once(root):
    watching = watcher(root)
    watching.look()
    fill(root, {FILE: "2"})
    assert watching.look() == [f"{FILE}: 2 -> 0 (IRQ 24 (eth0-rx))"]
    assert text(root, FILE) == "0"
    assert watching.look() == []
    assert json.loads(text(root, JOURNAL))["entries"][FILE]["owner"] == "irq_affinity", "undo knows it"


def test_a_move_names_its_interrupt_for_the_journal(root):
    fill(root, {FILE: "2", "/sys/class/net/ens1/queues/rx-0/rps_cpus": "f"})
    moved, steered = watcher(root).look()
    assert moved.event.name == steered.event.name == "interrupt-moved"
    assert moved.fields == {"RESOURCE": (FILE,), "BEFORE": ("2",), "AFTER": ("0",), "IRQ": ("24",)}
    assert "IRQ" not in steered.fields


@pytest.mark.parametrize(
    "change",
    [
        {FILE: "2"},
        irq(77, "1", "1", "vf0-rx"),
        {DEFAULT: "f"},
        {"/proc/irq/25/eth0-tx/": None},
    ],
    ids=["affinity", "new interrupt", "default", "new handler"],
)
def test_without_an_event_a_look_compares_and_goes_on_where_something_differs(root, change):
    fill(root, {f"/proc/irq/25/{LIST}": "3", "/proc/irq/25/effective_affinity_list": "3"})  # has no handler yet
    watching = watcher(root)
    assert watching.look() == []
    assert watching.look(quiet=True) == []
    fill(root, change)
    assert len(watching.look(quiet=True)) == 1
    assert watching.look(quiet=True) == []


def test_without_an_event_it_plans_only_now_and_then(root, monkeypatch):
    planned = []
    real = _watcher.INTERRUPTS.plan
    monkeypatch.setattr(_watcher, "INTERRUPTS", replace(_watcher.INTERRUPTS, plan=lambda *rest: planned.append(0) or real(*rest)))
    watching = watcher(root)
    for _look in range(2 * (_watcher.COMPARED + 1)):
        watching.look(quiet=True)
    assert len(planned) == 2
    watching.look()
    assert len(planned) == 3, "an event counts at once"
    fill(root, {DOCUMENT: (root / DOCUMENT[1:]).read_text() + "\n"})
    watching.look(quiet=True)
    assert len(planned) == 4, "a new document too"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EBUSY, errno.EINVAL, errno.ENOMEM])
def test_a_move_that_was_refused_for_the_moment_is_tried_again_without_an_event(root, monkeypatch, number):
    """ENOSPC: no vector is free on the wanted CPUs."""
    fill(root, {FILE: "2"})
    watching = watcher(root)
    with monkeypatch.context() as patch:
        refuse_writes(patch, [f"{root}{FILE}"], number)
        (said,) = watching.look()
    assert said.startswith("IRQ 24 (eth0-rx) could not be moved off CPUs 2")
    watching.look(quiet=True)
    assert text(root, FILE) == "0"


def test_refused_moves_cost_the_journal_no_write_each(root, monkeypatch):
    many = range(100, 140)
    fill(root, {path: value for number in many for path, value in irq(number, "2", "2", f"q{number}").items()})
    refuse_writes(monkeypatch, [f"{root}/proc/irq/{number}/{LIST}" for number in many], errno.ENOSPC)
    writes, write = [], files.write_file
    monkeypatch.setattr(files, "write_file", lambda path, *rest, **more: writes.append(path) or write(path, *rest, **more))
    watcher(root).look()
    assert 0 < len([path for path in writes if path.endswith(JOURNAL)]) <= 3
    assert not (root / JOURNAL[1:]).exists()


def test_after_a_fault_a_quiet_look_plans_again(root):
    good = (root / DOCUMENT[1:]).read_text()
    fill(root, {DOCUMENT: "{", FILE: "2"})
    watching = watcher(root)
    watching.look(quiet=True)
    assert watching.failed
    fill(root, {DOCUMENT: good})
    assert watching.look(quiet=True) == [f"{FILE}: 2 -> 0 (IRQ 24 (eth0-rx))"]


def test_new_interrupts_and_queues_are_moved(root):
    watching = watcher(root)
    watching.look()
    queue = "/sys/class/net/ens1/queues/rx-0/rps_cpus"
    fill(root, {**irq(77, "0-3", "3", "vf0-rx"), queue: "f"})
    assert watching.look() == [
        f"/proc/irq/77/{LIST}: 0-3 -> 0 (IRQ 77 (vf0-rx))",
        f"{queue}: f -> 00000001 (packets are not handed to isolated CPUs)",
    ]


def test_names_reach_the_journal_without_control_characters(root):
    fill(root, irq(77, "1", "1", "e\x1b]0;owned\x07\u2028th"))
    assert watcher(root).look() == [f"/proc/irq/77/{LIST}: 1 -> 0 (IRQ 77 (e?]0;owned??th))"]


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        (DOCUMENT, "{", f"{DOCUMENT}: "),
        (
            DOCUMENT,
            json.dumps({**to_document(plan()), "topology_digest": "other"}),
            "the partition file describes another topology",
        ),
    ],
)
def test_a_fault_is_said_once_and_again_after_it_was_away(root, path, content, said):
    good = (root / path[1:]).read_text()
    fill(root, {path: content, FILE: "2"})
    watching = watcher(root)
    (line,) = watching.look()
    assert line.startswith(said)
    assert watching.failed is True, "so it looks again soon"
    assert watching.look() == []
    fill(root, {path: good})
    assert watching.look() == [f"{FILE}: 2 -> 0 (IRQ 24 (eth0-rx))"]
    assert watching.failed is False
    fill(root, {path: content, FILE: "2"})
    assert watching.look() == [line]


def full(monkeypatch, _root):
    def no_room(*_rest, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "write_file", no_room)


def damaged(_monkeypatch, root):
    fill(root, {JOURNAL: "{"})


@pytest.mark.parametrize(
    ("harm", "why"), [(full, f"{JOURNAL} cannot be written: No space left"), (damaged, f"{JOURNAL} is damaged")]
)
def test_without_a_journal_it_moves_all_the_same_and_says_what_is_lost(root, monkeypatch, harm, why):
    """The boot service does so too: a real-time guest that is disturbed is worse than an affinity that only a reboot restores."""
    fill(root, {FILE: "2"})
    harm(monkeypatch, root)
    watching = watcher(root)
    move, lost = watching.look()
    assert (move, text(root, FILE)) == (f"{FILE}: 2 -> 0 (IRQ 24 (eth0-rx))", "0")
    assert lost.startswith(f"only a reboot restores what was moved, since {why}")
    assert watching.failed is False
    assert watching.look() == []
    if harm is damaged:
        assert text(root, JOURNAL) == "{", "it stays as it is"


def test_an_interrupt_that_the_kernel_keeps_stops_no_other_move_where_no_file_can_be_written(root, monkeypatch):
    fill(root, {**irq(7, "3", "3", "nvme0q3"), FILE: "2"})
    full(monkeypatch, root)
    refuse_writes(monkeypatch, [f"{root}/proc/irq/7/{LIST}"], errno.EIO)
    said = watcher(root).look()
    assert said[:2] == [
        f"{FILE}: 2 -> 0 (IRQ 24 (eth0-rx))",
        "IRQ 7 (nvme0q3) is managed by the kernel, which refused to move it off CPUs 3",
    ]
    assert text(root, FILE) == "0"


def test_the_program_asks_for_no_journal(monkeypatch):
    hosts = []

    def look_once(open_host):
        hosts.extend([open_host(True), open_host(False)])
        raise LookupError

    monkeypatch.setattr(_watcher, "Watcher", look_once)
    with pytest.raises(LookupError):
        _watcher.main()
    assert [(host.owner, host.dry, host.needs_journal) for host in hosts] == [
        ("irq_affinity", True, False),
        ("irq_affinity", False, False),
    ]


def test_it_waits_for_the_kernel_that_isolates(root):
    fill(root, {"/sys/devices/system/cpu/isolated": "\n", FILE: "2"})
    watching = watcher(root)
    assert watching.look() == []
    fill(root, {"/sys/devices/system/cpu/isolated": "1-3\n"})
    assert len(watching.look()) == 1


def test_a_new_document_counts_at_once(root):
    watching = watcher(root)
    fill(root, {FILE: "0,3"})
    watching.look()
    wide = plan(cores=4)
    document = to_document(wide)
    document["sets"]["realtime"], document["sets"]["shared"] = document["sets"]["shared"], document["sets"]["realtime"]
    fill(root, {DOCUMENT: json.dumps(document), FILE: "3"})
    assert watching.look() == []
    assert text(root, FILE) == "3", "the CPU is a shared one now"


def test_it_knows_that_its_code_was_replaced(root):
    watching = watcher(root)
    assert watching.outdated() is False
    os.replace(root / ARCHIVE[1:], root / "old")
    assert watching.outdated() is True
    fill(root, {ARCHIVE: "new"})
    assert watching.outdated() is True


def test_killed_at_any_step_the_next_look_ends_the_work_and_undo_knows_the_originals(root):
    step = 0
    while True:
        fill(root, {FILE: "2", DEFAULT: "f"})
        if not killed_at(step, lambda: watcher(root).look(), root):
            break
        watcher(root).look()
        assert (text(root, FILE), text(root, DEFAULT)) == ("0", "00000001")
        host = Host(str(root), owner="irq_affinity")
        with host.locked():
            host.restore_values()
            host.commit()
        assert (text(root, FILE), text(root, DEFAULT)) == ("2", "f")
        assert not (root / "var/lib/realtime-kvm").exists()
        step += 1
    assert step > 5


# -- as it runs on a node --------------------------------------------------------------------------

#: The archive's main with one link that comes and goes; what it takes for / is a tree, whose queues are those of the kernel.
_ON_A_TREE = """\
import sys, subprocess
archive, root = sys.argv[1:3]
sys.path.insert(0, archive)
subprocess.run("ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up", shell=True, check=True)
from realtime_kvm._host import host
from realtime_kvm._node import watcher
class Host(host.Host):
    def __init__(self, *args, **options):
        super().__init__(root, **options)
watcher.Host = Host
import threading
def orders():
    for line in sys.stdin:
        subprocess.run(line, shell=True, check=True)
threading.Thread(target=orders, daemon=True).start()
watcher.main()
"""


class Running:
    """A watcher in a network namespace; orders are commands that run there."""

    def __init__(self, root):
        self.root = root
        fill(root, {"/sys/class/net": ("link", "/sys/class/net")})
        command = command_of(_ON_A_TREE, f"{root}{ARCHIVE}", root)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def order(self, command):
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()

    def line(self):
        return self.process.stdout.readline().strip()

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=20)
        return out, err


@pytest.fixture(name="running")
def _running(root):
    fill(root, {FILE: "2"})
    running = Running(root)
    assert running.line() == f"{FILE}: 2 -> 0 (IRQ 24 (eth0-rx))", "the first look comes at once"
    yield running
    running.process.kill()
    running.process.communicate()


def moved(running, event):
    """Let a driver move the interrupt, then the kernel report something; return after how many seconds it was moved back.

    A busy machine gives neither the watcher nor this test a CPU at once; 20 times what the smallest program takes do not count.
    """
    time.sleep(1.5)  # the rest after a look
    beside = Path(f"{running.root}{FILE}.new")
    beside.write_text("1-3")
    beside.replace(f"{running.root}{FILE}")  # as a whole: a file of the kernel is never empty for a moment
    began = time.monotonic()
    running.order(event)
    assert running.line() == f"{FILE}: 1-3 -> 0 (IRQ 24 (eth0-rx))"
    ended = time.monotonic()
    subprocess.run(["true"], check=True)
    return ended - began - 20 * (time.monotonic() - ended)


@pytest.mark.parametrize("event", ["ip link set v0 down", "ip link set v0 mtu 1400", "ip link add v2 type veth peer name v3"])
def test_an_event_of_the_kernel_makes_it_look_within_two_seconds(running, event):
    assert moved(running, event) < 2
    assert running.end() == ("", "")


def test_a_real_queue_is_taken_off_isolated_cpus(running):
    time.sleep(1.5)
    running.order("printf 3 > /sys/class/net/v0/queues/rx-0/rps_cpus && ip link set v0 mtu 1300")
    wanted = "/sys/class/net/v0/queues/rx-0/rps_cpus: 3 -> 00000001 (packets are not handed to isolated CPUs)"
    assert running.line() == wanted
    assert running.end() == ("", "")


def test_a_hostile_interface_gives_nothing_to_the_journal(running):
    time.sleep(1.5)
    running.order(
        r"ip link add name $(printf 'x\033[2J') type veth peer name ... && for f in /sys/class/net/x*/queues/rx-0/rps_cpus; do printf 3 > $f; done"
    )
    assert moved(running, "ip link set v0 down") < 4
    assert running.end() == ("", "")


def test_killed_it_leaves_a_journal_that_the_next_one_goes_on_with(running, root):
    assert running.end(signal.SIGKILL) == ("", "")
    fill(root, {FILE: "3"})
    assert watcher(root).look() == [f"{FILE}: 3 -> 0 (IRQ 24 (eth0-rx))"]
    assert json.loads(text(root, JOURNAL))["entries"][FILE]["before"] == "2", "the first original"


def test_it_ends_when_another_release_has_replaced_its_code(running, root):
    os.replace(root / ARCHIVE[1:], root / "old")
    running.order("ip link set v0 down")
    out, err = running.process.communicate(timeout=20)
    assert (running.process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize("place", ["{root}/notify", "@realtime-kvm-{pid}"])
def test_it_tells_systemd_that_it_does_not_hang(monkeypatch, tmp_path, place):
    address = place.format(root=tmp_path, pid=os.getpid())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0{address[1:]}" if address[0] == "@" else address)
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        _watcher.at_work()
        assert systemd.recv(100) == b"WATCHDOG=1"
        for _time in range(1000):
            _watcher.at_work()  # a systemd that takes nothing does not stop it
    monkeypatch.setenv("NOTIFY_SOCKET", f"{tmp_path}/absent")
    _watcher.at_work()
    monkeypatch.delenv("NOTIFY_SOCKET")
    _watcher.at_work()


def test_while_it_waits_it_says_so_at_least_every_five_seconds(monkeypatch, root):
    said, waited = [], []
    monkeypatch.setattr(_watcher, "at_work", lambda: said.append(sum(waited)))
    monkeypatch.setattr(_watcher, "time", SimpleNamespace(monotonic=lambda: sum(waited)))

    class Silent:
        def heard(self, seconds):
            waited.append(seconds)
            return False

    watching = watcher(root)
    watching.look()
    assert _watcher._heard(watching, Silent(), _watcher.SLOW_S) is False
    assert max(after - before for before, after in pairwise(said)) <= _watcher.GUESTS_S
    assert sum(waited) == _watcher.SLOW_S


def test_while_another_run_has_the_lock_it_says_so_each_second(monkeypatch, root):
    """A run that sets up a node has it for minutes: no reason for systemd to end the watcher, which waits as long as it may be silent."""
    said, now = [], [0.0]
    monkeypatch.setattr(_watcher, "at_work", lambda: said.append(now[0]))
    clock = {"monotonic": lambda: now[0], "sleep": lambda seconds: now.append(now.pop() + seconds)}
    monkeypatch.setattr(_locks, "time", SimpleNamespace(**{**vars(time), **clock}))
    fill(root, {FILE: "2"})
    with Host(str(root), owner="rt_domain").locked():
        (note,) = watcher(root).look()
    assert "is locked by process" in note
    assert now[0] >= _locks.WAIT_S
    assert max(after - before for before, after in pairwise(said)) < 2
    assert (said[0], now[0] - said[-1] < 2) == (0, True)


def test_while_the_journal_takes_no_line_it_says_so_with_each(monkeypatch):
    """journald.tell waits half a second for each; hundreds of queues that come at once have a line each."""
    said, told = [], []
    monkeypatch.setattr(_watcher, "at_work", lambda: said.append(len(told)))
    monkeypatch.setattr(_watcher, "tell", told.append)
    looks = SimpleNamespace(look=lambda quiet: ["line"] * 300, outdated=lambda: bool(told), failed=False)
    monkeypatch.setattr(_watcher, "Watcher", lambda _open: looks)
    monkeypatch.setattr(_watcher, "Events", lambda: None)
    monkeypatch.setattr(_watcher, "_heard", lambda *_rest: False)
    _watcher.main()
    assert said == list(range(301))


_IS_REPLACED = """\
import os, sys
sys.path.insert(0, sys.argv[1])
from realtime_kvm._node import watcher
watcher.ARCHIVE = sys.argv[1] + ".new"
watcher.Watcher.outdated = lambda self: True
print(os.getpid(), flush=True)
watcher.main()
"""


@pytest.mark.parametrize("replaced", [True, False])
def test_it_goes_on_as_the_code_that_has_replaced_it_in_the_same_process(tmp_path, replaced):
    archive = tmp_path / "archive"
    archive.write_bytes(build_archive())
    if replaced:
        (tmp_path / "archive.new").write_text(
            "import os, sys; print(os.getpid(), sys.argv[1:], sys.flags.isolated, sys.flags.no_site)"
        )
    ran = subprocess.run(
        [sys.executable, "-c", _IS_REPLACED, str(archive)], check=True, capture_output=True, text=True, timeout=60
    )
    old, *new = ran.stdout.splitlines()
    assert new == [f"{old} ['watch'] 1 1"] * replaced
    assert ran.stderr == ""


def test_it_takes_little_memory(running):
    pid = running.process.pid  # unshare and sh have become it
    found = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    private = sum(int(found[key].split()[0]) for key in ("Private_Clean", "Private_Dirty"))
    assert private < 12 * 1024, f"{private} KiB"


# -- guests with devices ---------------------------------------------------------------------------

CARD = "0000:41:00.0"
VECTOR = f"/proc/irq/30/{LIST}"


def test_it_follows_a_guest_with_a_device_without_an_event(root):
    watching = watcher(root)
    assert (watching.look(), watching.has_devices, watching.guests_changed()) == ([], False, False)
    running_guest(root, "plc1", CARD, vcpus=("2", "3"))
    assert watching.guests_changed()
    assert (watching.look(), watching.has_devices, watching.guests_changed()) == ([], True, False)
    running_guest(root, "plc1", CARD, vcpus=("2", "3"), vectors=(30,))
    fill(root, irq(30, "0", "0", f"vfio-msix[0]({CARD})"))  # the guest's driver has asked for it
    assert watching.look(quiet=True) == [f"{VECTOR}: 0 -> 2 (IRQ 30 (vfio-msix[0]({CARD})), to vCPU 0 of plc1)"]
    assert watching.look(quiet=True) == []
    fill(root, task("/proc/500/task/501", "CPU 0/KVM", allowed="1"))
    assert watching.look(quiet=True)[0].startswith(f"{VECTOR}: 2 -> 1 ")
    (root / "run/libvirt/qemu/plc1.xml").unlink()
    assert watching.guests_changed()
    assert watching.look()[0].startswith(f"{VECTOR}: 1 -> 0 ")
    assert not watching.has_devices


class Silence:
    """Events that never come; ``waits`` are the seconds that were waited."""

    def __init__(self, then=lambda: None):
        self.waits, self.then = [], then

    def heard(self, seconds):
        self.waits.append(seconds)
        self.then()
        return False


def test_it_waits_only_a_moment_while_guests_have_devices(root, monkeypatch):
    watching, silence = watcher(root), Silence()
    times = iter(range(0, 10_000, 5))
    monkeypatch.setattr(_watcher.time, "monotonic", lambda: float(next(times)))
    watching.look()
    assert _watcher._heard(watching, silence, 20) is False
    assert silence.waits == [5.0, 5.0, 5.0]
    running_guest(root, "plc1", CARD)
    assert _watcher._heard(watching, Silence(), 300) is True, "a guest has begun"
    watching.look()
    assert _watcher._heard(watching, Silence(), 300) is False, "it looks at once"
