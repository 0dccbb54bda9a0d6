# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make demo` says before and after it works, and what it does without an answer."""

from __future__ import annotations

import io
import socket
import tarfile
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from ansible_collections.realtime.kvm.demo import machine
from ansible_collections.realtime.kvm.demo import run as demo
from ansible_collections.realtime.kvm.demo.machine import Needs
from ansible_collections.realtime.kvm.demo.playbooks import StopError

ROOT = Path(__file__).resolve().parents[3]
FRESH = Needs(("qemu-utils", "mmdebstrap"), ansible=True, images=True, nodes=True)
AGAIN = Needs((), ansible=False, images=False, nodes=False)


@pytest.fixture(autouse=True)
def _plenty(monkeypatch):
    monkeypatch.setattr(machine, "free_memory_mib", lambda: 16000)
    monkeypatch.setattr(machine, "free_disk_mb", lambda _folder: 100000)
    for name in ("LAB_ACCEL", "LAB_DIR", "LAB_PORT"):
        monkeypatch.delenv(name, raising=False)


def test_the_first_run_says_what_it_takes():
    text = "\n".join(demo.announcement(["node1"], FRESH, 4096, "no (/dev/kvm: reason)", "about 20 min"))
    for words in (
        "installs   qemu-utils mmdebstrap",
        "DEMO_INSTALL=no",
        "550 MB",
        "4.4 GB; 100.0 GB are free",
        "4 GiB for the node; 15.6 GiB",
        "20 min",
    ):
        assert words in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_second_run_says_that_it_takes_little():
    text = "\n".join(demo.announcement(["node1"], AGAIN, 4096, "yes", "about 3 min"))
    assert "installs" not in text
    assert "downloads  nothing" in text
    assert "exists" in text


def test_try_announces_the_venv_that_it_makes():
    text = " ".join(" ".join(demo.introduction(Needs((), ansible=True, images=False, nodes=False), "about 40 s")).split())
    for words in (
        "makes .venv with Ansible, about 100 MB",
        "downloads about 10 MB",
        "time about 40 s",
        "only .venv, .cache/try and results/try",
    ):
        assert words in text
    again = demo.introduction(AGAIN, "about 25 s")
    assert not [line for line in again if "makes" in line or "downloads" in line or "installs" in line]
    assert max(map(len, again)) <= 100


def test_an_ansible_from_elsewhere_does_not_stand_for_the_venv(monkeypatch):
    """The venv is made in any case, so it is announced and has its time."""
    for code, lacks in ((0, False), (1, True), (2, True)):
        asked = []
        monkeypatch.setattr(
            machine.subprocess,
            "run",
            lambda command, code=code, asked=asked, **_options: asked.append(command) or CompletedProcess(command, code),
        )
        assert machine.lacks_ansible() == lacks
        assert asked == [["make", "--question", "--silent", "ansible"]]


def test_a_full_disk_stops_it_and_little_memory_is_told(monkeypatch):
    monkeypatch.setattr(machine, "free_memory_mib", lambda: 2000)
    assert "very slow" in "\n".join(demo.announcement(["node1"], FRESH, 4096, "", ""))
    monkeypatch.setattr(machine, "free_disk_mb", lambda _folder: 3000)
    with pytest.raises(StopError) as stopped:
        demo.announcement(["node1"], FRESH, 4096, "", "")
    assert "LAB_DIR" in stopped.value.lines[-1]


def test_the_steps_are_those_that_have_something_to_do(monkeypatch):
    first = [step.name for step in demo.steps_of(FRESH, kvm=False)]
    assert first == list(demo.STEPS)
    assert "qemu" not in [step.name for step in demo.steps_of(FRESH, kvm=True)]
    again = [step.name for step in demo.steps_of(AGAIN, kvm=False)]
    assert again == ["kvm", "boot", "disks", "plan", "sets", "host", "kernel", "switch", "guests", "verify", "report"]
    monkeypatch.setenv("LAB_ACCEL", "tcg")
    assert "kvm" not in [step.name for step in demo.steps_of(AGAIN, kvm=False)]
    destroyed = Needs((), ansible=False, images=False, nodes=True)
    assert sum(step.seconds for step in demo.steps_of(AGAIN, kvm=False)) < 300
    assert {"reboot", "kernel"} <= {step.name for step in demo.steps_of(destroyed, kvm=False)}
    assert "image" not in [step.name for step in demo.steps_of(destroyed, kvm=False)]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("/dev/kvm: Permission denied", "usermod -aG kvm"),
        ("/dev/kvm: No such file or directory", "firmware"),
        ("a boot sector did not end", ""),
    ],
)
def test_where_kvm_does_not_work_there_is_advice(reason, words):
    assert words in machine.kvm_advice(reason)
    assert bool(words) == bool(machine.kvm_advice(reason))


def test_what_is_known_of_kvm_before_qemu_is_there():
    assert demo.kvm_line("tcg", "") == "LAB_ACCEL=tcg"
    assert demo.kvm_line("", "/dev/kvm: x") == "no (/dev/kvm: x): the node's CPUs will be emulated"
    assert "small boot" in demo.kvm_line("", "")


def test_the_nodes_of_the_lab_and_their_memory():
    known = machine.described_nodes((ROOT / demo.INVENTORY).read_text(encoding="utf-8"))
    assert {name: (node.memory, node.port) for name, node in known.items()} == {
        "node1": (4096, 2201),
        "node2": (3072, 2202),
        "node3": (3072, 2203),
    }


def test_a_port_that_another_program_has_is_refused_before_anything_is_installed(monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setenv("LAB_PORT", str(port - 1))
        monkeypatch.setattr(machine, "find_needs", lambda _nodes: FRESH)
        with pytest.raises(StopError) as stopped:
            demo.demo(["node1"])
        assert f"port {port} " in stopped.value.lines[0]
    assert not machine.is_taken(port)


def test_another_node_or_processor_is_refused_at_once(monkeypatch):
    with pytest.raises(StopError) as stopped:
        demo.demo(["node1", "node9"])
    assert stopped.value.lines == ["   NODES: node9 is no node of the lab; there are node1, node2, node3."]
    monkeypatch.setattr(machine.platform, "machine", lambda: "aarch64")
    with pytest.raises(StopError) as stopped:
        demo.demo(["node1"])
    assert "aarch64" in stopped.value.lines[0]
    monkeypatch.setattr(machine.platform, "machine", lambda: "x86_64")
    monkeypatch.setenv("LAB_DIR", "/a folder/.lab")
    with pytest.raises(StopError) as stopped:
        demo.demo(["node1"])
    assert "LAB_DIR" in " ".join(stopped.value.lines)


@pytest.mark.parametrize(
    ("text", "recent"), [("QEMU emulator version 10.0.13 (Debian)", True), ("QEMU emulator version 8.2.2", False), ("", False)]
)
def test_a_recent_qemu(text, recent):
    assert machine.is_recent(text) == recent


@pytest.mark.parametrize(
    ("text", "pace"), [('{"pace": 2.5}', 2.5), ("{}", 1.0), ("[]", 1.0), ("x", 1.0), ('{"pace": null}', 1.0), (None, 1.0)]
)
def test_the_pace_of_the_last_time_is_kept(tmp_path, text, pace):
    if text is not None:
        (tmp_path / "demo.json").write_text(text)
    assert demo.read_pace(tmp_path / "demo.json") == pace


def test_the_end_names_the_report_and_the_next_steps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "\n".join(demo.ending(["node1"], tmp_path / ".lab", [str(tmp_path / "results/report.html")], 30, 1200))
    for words in (
        "The node is ready (20 min)",
        "results/report.html",
        "ssh -F .lab/ssh_config node1",
        "make lab-destroy",
        "playbooks/verify.yml",
    ):
        assert words in text
    assert "nothing was changed" in demo.ending(["node1"], tmp_path, [], 0, 100)[1]


def test_a_capture_is_unpacked_below_its_folder_only(tmp_path):
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as stream:
        for name, kind in (
            ("m/proc/cmdline", None),
            ("m/sys/up", "../cpu"),
            ("m/../../sys/x", None),
            ("m/etc/passwd", None),
            ("/sys/abs", None),
        ):
            member = tarfile.TarInfo(name)
            if kind:
                member.type, member.linkname = tarfile.SYMTYPE, kind
                stream.addfile(member)
            else:
                member.size = 2
                stream.addfile(member, io.BytesIO(b"ab"))
    folder = tmp_path / "machine"
    folder.mkdir()
    (folder / "left").touch()
    demo.unpack(archive, folder)
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()) == [
        "proc/cmdline",
        "sys/abs",
        "sys/up",
    ]


def test_the_captures_are_in_the_repository():
    assert [name for name, path in demo.MACHINES.items() if not (demo.CAPTURES / path).is_file()] == []


@pytest.mark.parametrize("arguments", [[], ["x"]])
def test_other_words_get_the_usage(arguments, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert demo.main(arguments) == 2
    assert "usage" in capsys.readouterr().out
