# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rtpart's choices and refusals; what it does to cgroups and tasks is the lab's to test."""

import json
import shutil
import subprocess
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import AUDIT_STATE, DOCUMENT, config_path
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.holders import HOLDERS, ROOT, IsolationError
from ansible_collections.realtime.kvm.plugins.module_utils._node import rtpart as _rtpart
from ansible_collections.realtime.kvm.plugins.module_utils._node.rtpart import pick, rtpart
from ansible_collections.realtime.kvm.plugins.module_utils._node.rtpart_files import COMMAND, COMPLETION, MANUAL, tool_files
from unit.instances import instance_xml
from unit.resctrls import Resctrl, cache_files, processor
from unit.trees import fill, machine_files, plan, writable

PARTITION = replace(plan(), isolation="runtime")  # housekeeping 0, realtime 1-3
SCOPE = f"{ROOT}/machine.slice/machine-qemu\\x2d1\\x2dplc1.scope/libvirt"
VERBS = ("list", "status", "metrics", "audit", "run", "move", "undo")


def task(pid, name, allowed, kernel=False, bound=False, user=None, policy=0):
    flags = 0x00200000 * kernel | 0x04000000 * bound
    rest = [0] * 50
    rest[6], rest[19], rest[38] = flags, 100, policy
    stat = f"{pid} ({name}) " + " ".join(map(str, ["S", *rest[1:]]))
    owner = "" if user is None else f"Uid:\t{user}\t{user}\t{user}\t{user}\n"
    files = {"stat": stat, "status": f"Name:\t{name}\n{owner}Cpus_allowed_list:\t{allowed}\n"}
    return {f"/proc/{pid}/{part}{file}": text for part in ("", f"task/{pid}/") for file, text in files.items()}


@pytest.fixture(name="node")
def _node(tmp_path, monkeypatch):
    files = {
        **machine_files(),
        DOCUMENT: json.dumps(to_document(PARTITION)),
        f"{ROOT}/cpuset.cpus.isolated": "1-3\n",
        f"{HOLDERS['realtime']}/cpuset.cpus": "1,3\n",
        f"{HOLDERS['realtime']}/cpuset.cpus.partition": "isolated\n",
        f"{HOLDERS['realtime']}/cgroup.procs": "",
        f"{SCOPE}/vcpu0/cpuset.cpus": "2\n",
        f"{SCOPE}/vcpu0/cpuset.cpus.partition": "isolated\n",
        f"{SCOPE}/vcpu0/cgroup.threads": "70\n",
        "/proc/interrupts": "            CPU0       CPU1       CPU2       CPU3\n LOC:   100   200   300   400   Local timer interrupts\n",
        **task(40, "watcher", "1"),
        **task(50, "rcuc/1", "1", kernel=True, bound=True),
    }
    fill(tmp_path, files)
    monkeypatch.setattr(_rtpart, "Host", lambda **options: writable(tmp_path, options["owner"], options["check_mode"]))
    return tmp_path


def test_list_says_who_owns_every_cpu(node, capsys):
    assert rtpart(["list", "--seconds", "0", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["cpus"]
    assert [(row["cpu"], row["set"], row["owner"]) for row in rows] == [
        (0, "housekeeping", "-"),
        (1, "realtime", "held (isolated)"),
        (2, "realtime", "plc1 vcpu0 (isolated)"),
        (3, "realtime", "held (isolated)"),
    ]
    assert [row["tasks"] for row in rows] == [[], ["watcher[40] OTHER"], [], []]
    assert rtpart(["list", "--seconds", "0.01"]) == 0
    assert capsys.readouterr().out.splitlines()[3].split() == ["1", "realtime", "held", "(isolated)", "0", "watcher[40]", "OTHER"]


def test_list_has_no_word_for_what_is_no_partition(node, capsys):
    """A thread of a node isolated by its boot is a member of its parent's partition, which says nothing to a person."""
    fill(node, {f"{SCOPE}/vcpu0/cpuset.cpus.partition": "member\n", f"{HOLDERS['realtime']}/cpuset.cpus.partition": "member\n"})
    assert rtpart(["list", "--seconds", "0", "--json"]) == 0
    owners = {row["cpu"]: row["owner"] for row in json.loads(capsys.readouterr().out)["cpus"]}
    assert owners == {0: "-", 1: "held", 2: "plc1 vcpu0", 3: "held"}


def test_status_of_a_node_without_roles_options_has_nothing_to_compare(node, capsys):
    assert rtpart(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"isolation": "runtime", "differences": []}


def test_status_of_a_node_with_other_cpus_or_damaged_options_names_them(node, capsys):
    fill(node, {config_path("cpu_power"): "{"})
    assert rtpart(["status", "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["differences"]
    assert (found["rule"], found["resource"]) == ("file-damaged", config_path("cpu_power"))
    fill(node, {DOCUMENT: json.dumps(to_document(plan(cores=3)))})
    assert rtpart(["status", "--json"]) == 1
    assert [item["rule"] for item in json.loads(capsys.readouterr().out)["differences"]] == ["topology-changed", "file-damaged"]


def test_status_shows_what_resctrl_refuses_and_compares_the_rest(node, capsys, monkeypatch):
    fill(
        node, {**cache_files(L3={0: "0-3"}), **processor(), config_path("cpu_cache"): json.dumps({"cache": {"realtime": "505"}})}
    )
    fill(node, {config_path("cpu_power"): "{"})
    Resctrl(node, monkeypatch).mount()
    assert rtpart(["status"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "values of cpu_cache: cpu_partition_cache.realtime: 505 has a hole" in shown
    assert config_path("cpu_power") in shown


# -- what rt_metrics installs ----------------------------------------------------------------------

FINDING = {"rule": "interrupt", "severity": "error", "resource": "IRQ 24 (eth0\x1b[2J)", "expected": "CPUs 0", "actual": "CPUs 1"}
AUDIT = {"schema": 1, "release": "r1", "began": 90.0, "ended": 100.0, "findings": [], "remarks": [], "unchecked": [], "error": ""}


def audited(node, monkeypatch, now, **more):
    fill(node, {AUDIT_STATE: json.dumps({**AUDIT, **more})})
    monkeypatch.setattr(_rtpart.time, "time", lambda: now)


def test_status_shows_what_the_node_has_found_itself_and_how_long_ago(node, capsys, monkeypatch):
    audited(node, monkeypatch, 134.4, findings=[{**FINDING, "remedy": "run it"}])
    assert rtpart(["status"]) == 0, "it is a look back"
    shown = capsys.readouterr().out
    assert "the machine agrees with its partition file\nthe node's own audit, 34 s ago: it had found\n" in shown
    assert "(interrupt)" in shown
    assert "IRQ 24 (eth0\\x1b[2J): CPUs 1; expected: CPUs 0" in shown
    assert rtpart(["status", "--json"]) == 0
    kept = json.loads(capsys.readouterr().out)["audit"]
    assert (kept["age_s"], len(kept["findings"])) == (34.4, 1)


@pytest.mark.parametrize(
    ("now", "more", "said"),
    [
        (160, {}, "the node's own audit, 60 s ago: no finding"),
        (160, {"error": "it took too long"}, "the node's own audit, 60 s ago: it could not audit the node: it took too long"),
        (
            800,
            {},
            "the node's own audit, 11 min ago, which is too long: look at systemctl status realtime-kvm-audit.timer: no finding",
        ),
        (40, {}, "the node's own audit, 60 s in the future, so the clock was set: no finding"),
        (
            160,
            {"findings": [{**FINDING, "rule": "rule-of-2030", "remedy": "x"}]},
            "error: a rule of another release (rule-of-2030)",
        ),
        (160, {"schema": 2}, f"the node's own audit: {AUDIT_STATE} cannot be read: it was written by a newer release"),
    ],
)
def test_status_says_how_far_its_audit_can_be_trusted(node, capsys, monkeypatch, now, more, said):
    audited(node, monkeypatch, now, **more)
    assert rtpart(["status"]) == 0
    assert said in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("interval", "late"), [(3600, 18001), (60, 601)])
def test_an_audit_is_old_once_it_has_missed_five_of_its_intervals(node, capsys, monkeypatch, interval, late):
    fill(node, {config_path("rt_metrics"): json.dumps({"audit": True, "audit_interval_s": interval})})
    for age, old in ((late - 2, False), (late, True)):
        audited(node, monkeypatch, 100 + age)
        rtpart(["status"])
        assert ("which is too long" in " ".join(capsys.readouterr().out.split())) is old


@pytest.mark.parametrize(
    ("arguments", "started"),
    [
        (["metrics"], ["-I", "-S", "{archive}", "metrics"]),
        (["metrics", "--write"], ["-I", "-S", "{archive}", "metrics", "--write"]),
        (["audit"], ["-I", "{archive}", "audit"]),
    ],
)
def test_metrics_and_audit_are_programs_of_the_other_archive(tmp_path, capsys, monkeypatch, arguments, started):
    archive = str(tmp_path / "metrics.pyz")
    monkeypatch.setattr(_rtpart, "WATCH_ARCHIVE", archive)
    ran = []

    def become(program, words):
        ran.append([program, *words])
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(_rtpart.os, "execv", become)
    assert rtpart(arguments) == 1
    assert ran == []
    said = f"rtpart {arguments[0]}: the role rt_metrics installs it (rt_metrics_enabled: true)\n"
    assert capsys.readouterr().err == said
    fill(tmp_path, {"/metrics.pyz": b"PK"})
    assert rtpart(arguments) == 1
    assert ran == [["/usr/bin/python3", "/usr/bin/python3", *(word.format(archive=archive) for word in started)]]
    assert capsys.readouterr().err == f"rtpart {arguments[0]}: /usr/bin/python3: No such file or directory\n"


@pytest.mark.parametrize("arguments", [["run", "realtime", "--", "true"], ["move", "40", "realtime"]])
def test_nothing_is_moved_by_a_document_of_another_topology(node, capsys, monkeypatch, arguments):
    monkeypatch.setattr(_rtpart.os, "geteuid", lambda: 0)
    fill(node, {DOCUMENT: json.dumps(to_document(plan(cores=3)))})
    assert rtpart(arguments) == 1
    assert "describes another topology" in capsys.readouterr().err


def test_the_first_free_cpu_is_picked(node):
    assert pick(writable(node), PARTITION, "realtime", None) == {3}
    assert pick(writable(node), PARTITION, "realtime", 3) == {3}
    assert pick(writable(node), PARTITION, "housekeeping", None) == {0}


def test_an_ordinary_thread_of_any_user_owns_no_cpu(node):
    """Otherwise a user without rights could keep all CPUs from everyone."""
    assert pick(writable(node), PARTITION, "realtime", None) == {3}
    for cpu in (1, 3):
        fill(node, task(60 + cpu, "sleep", str(cpu), user=1000))
    fill(node, {"/proc/40/": None, **task(40, "watcher", "1", user=1000)})
    assert pick(writable(node), PARTITION, "realtime", None) == {1}, "all have foreign threads, so the first is as good as any"
    assert pick(writable(node), PARTITION, "realtime", 3) == {3}
    fill(node, task(61, "sleep", "0"))
    assert pick(writable(node), PARTITION, "realtime", None) == {1}
    fill(node, task(63, "sleep", "0"))
    assert pick(writable(node), PARTITION, "realtime", None) == {3}, "a CPU without foreign threads is chosen first"


@pytest.mark.parametrize(
    ("uids", "mode", "cpu"),
    [
        ("65534 0 0 0", 0o4755, 3),  # su, before it knows the password
        ("65534 0 0 0", 0o755, 3),
        ("0 0 0 0", 0o4755, 3),  # sudo asks for the password with root as its real user too
        ("0 0 0 0", 0o755, 1),  # a program of root's
        ("0 1000 1000 1000", 0o755, 1),
    ],
)
def test_a_program_that_waits_for_a_password_owns_no_cpu(node, uids, mode, cpu):
    fill(node, {"/proc/40/": None, **task(40, "sleep", "1", user=1000)})
    waiting = task(63, "su", "3")
    fill(node, {path: text.replace("Name:", f"Uid:\t{uids}\nName:") for path, text in waiting.items()} | {"/proc/63/exe": ""})
    (node / "proc/63/exe").chmod(mode)
    if cpu == 3:
        assert pick(writable(node), PARTITION, "realtime", 3) == {3}
        return
    with pytest.raises(IsolationError, match=r"CPU 3: in use: CPU 3 by su \(pid 63\)"):
        pick(writable(node), PARTITION, "realtime", 3)
    assert pick(writable(node), PARTITION, "realtime", None) == {cpu}


def test_a_users_real_time_thread_owns_its_cpu(node):
    fill(node, task(63, "control", "3", user=1000, policy=1))
    with pytest.raises(IsolationError, match=r"CPU 3: in use: CPU 3 by control \(pid 63\)"):
        pick(writable(node), PARTITION, "realtime", 3)


def test_a_threads_name_writes_nothing_to_the_terminal(node, capsys):
    fill(node, task(40, "\x1b]0;owned\x07\n1  realtime", "1"))
    assert rtpart(["list", "--seconds", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert all(line.isprintable() for line in lines)
    assert r"\x1b]0;owned\x07\n1  realtime[40] OTHER" in lines[3]


@pytest.mark.parametrize(
    ("name", "cpu", "said"),
    [
        ("realtime", 2, "CPU 2: in use: CPU 2 by plc1 vcpu0; stop or move it first"),
        ("realtime", 1, r"CPU 1: in use: CPU 1 by watcher \(pid 40\)"),
        ("realtime", 0, "CPU 0 is not in the realtime set, which has 1-3"),
        ("dataplane", None, "the dataplane set has no CPU on this node"),
    ],
)
def test_a_cpu_that_cannot_be_had_is_refused_by_name(node, name, cpu, said):
    with pytest.raises(IsolationError, match=said):
        pick(writable(node), PARTITION, name, cpu)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["move", "999", "realtime"], "there is no process 999 (any more)"),
        (["move", "50", "housekeeping"], "rcuc/1 (50) is bound to CPU 1 by the kernel"),
        (["run", "realtime", "-f", "100", "--", "true"], "priority 100 is not in 1-99"),
        (["run", "realtime", "-f", "0", "--", "true"], "priority 0 is not in 1-99"),
        (["run", "realtime", "-r", "0", "--", "true"], "priority 0 is not in 1-99"),
        (["run", "dataplane", "--", "true"], "the dataplane set has no CPU on this node"),
    ],
)
def test_refusals_are_one_line_and_a_status(node, capsys, monkeypatch, arguments, said):
    monkeypatch.setattr(_rtpart.os, "geteuid", lambda: 0)
    assert rtpart(arguments) == 1
    assert capsys.readouterr().err == f"rtpart: {said}\n"


def test_undo_is_refused_while_an_instance_of_nova_has_a_cpu(node, capsys, monkeypatch):
    monkeypatch.setattr(_rtpart.os, "geteuid", lambda: 0)
    fill(node, {"/etc/libvirt/qemu/instance-00000001.xml": instance_xml(1, ["2"], sched="0")})
    assert rtpart(["undo"]) == 1
    assert "undo would end the isolation of CPUs 2 of instances of Nova" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["run", "realtime", "--", "true"], ["move", "40", "realtime"], ["undo"]])
def test_what_writes_needs_root(node, capsys, monkeypatch, arguments):
    monkeypatch.setattr(_rtpart.os, "geteuid", lambda: 1000)
    assert rtpart(arguments) == 1
    assert capsys.readouterr().err == f"rtpart: rtpart {arguments[0]} changes the node and needs root\n"


def test_a_node_without_a_document_is_told_what_to_do(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_rtpart, "Host", lambda **options: writable(tmp_path))
    assert rtpart(["list", "--json"]) == 1
    said = capsys.readouterr()
    assert "there is no partition on this node" in json.loads(said.out)["error"]
    assert said.err.startswith("rtpart: there is no partition on this node")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["create"],
        ["metrics", "--json"],
        ["audit", "--write"],
        ["audit", "--json"],
        ["run", "isolated", "--", "true"],
        ["run", "realtime"],
        ["move", "x", "realtime"],
    ],
)
def test_a_wrong_command_line_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        rtpart(arguments)
    assert ended.value.code == 2
    assert "usage: rtpart" in capsys.readouterr().err


def test_manual_and_completion_know_every_verb(tmp_path):
    files = tool_files("/somewhere/tool.pyz")
    assert set(files) == {COMMAND, MANUAL, COMPLETION}
    assert all(f".B {verb}\n" in files[MANUAL][0] for verb in VERBS)
    assert f'verbs="{" ".join(VERBS)}"' in files[COMPLETION][0]
    assert 'exec /usr/bin/python3 -I /somewhere/tool.pyz rtpart "$@"' in files[COMMAND][0]
    assert subprocess.run(["bash", "-n"], input=files[COMPLETION][0], text=True, check=False).returncode == 0
    if shutil.which("man"):
        (tmp_path / "rtpart.8").write_text(files[MANUAL][0])
        shown = subprocess.run(
            ["man", "--warnings", "-l", str(tmp_path / "rtpart.8")], capture_output=True, text=True, check=False
        )
        assert shown.stderr == ""
