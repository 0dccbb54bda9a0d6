# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The boot service: one archive that needs nothing but Python, and does what the modules do."""

from __future__ import annotations

import ast
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import ARCHIVE, DOCUMENT, config_path
from ansible_collections.realtime.kvm.plugins.module_utils._node import archive as _node_tool
from ansible_collections.realtime.kvm.plugins.module_utils._node.archive import (
    INTERRUPTS_UNIT,
    UNIT,
    UNIT_TEXTS,
    WANTS,
    build_archive,
    parts,
    plan_service,
)
from ansible_collections.realtime.kvm.plugins.module_utils._node.pack import sources
from ansible_collections.realtime.kvm.plugins.module_utils._node.rtpart_files import tool_files
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.gate import BOOT_STATE
from unit.features import CPU
from unit.trees import fill, machine_files, plan, snapshot, writable

SOURCES = Path(_node_tool.__file__).parents[1]
CLEAN = {"PATH": os.environ["PATH"]}


def imports(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            dots = "." * node.level
            yield from [dots + node.module] if node.module else [dots + alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("part", parts())
def test_every_import_of_a_part_is_a_part_or_pythons(part):
    for name in imports(parts()[part]):
        dots = len(name) - len(name.lstrip("."))
        if dots:
            assert ".".join([*part.split(".")[:-dots], name[dots:]]) in parts(), f"{part} imports {name}"
        else:
            assert name == "__future__" or name.split(".")[0] in sys.stdlib_module_names, f"{part} imports {name}"


def test_the_archive_is_the_same_each_time():
    assert build_archive() == build_archive()


def test_the_archive_holds_the_sources():
    with zipfile.ZipFile(io.BytesIO(build_archive())) as archive:
        names = archive.namelist()
        assert names == sorted(names)
        files = {part: f"realtime_kvm/{part.replace('.', '/')}.py" for part in parts()}
        packages = {f"{os.path.dirname(path)}/__init__.py" for path in files.values()}
        assert set(names) == {"__main__.py", "realtime_kvm/__init__.py", *packages, *files.values()}
        for part, path in files.items():
            assert archive.read(path) == (SOURCES / f"{part.replace('.', '/')}.py").read_bytes()
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize("module", ["cpu_partition", "rt_audit"])
def test_modules_bring_all_that_they_pack(module):
    """Ansible sends what a module imports by statement, and nothing else."""
    assert set(parts()) <= set(sources(f"_module.{module}"))


@pytest.fixture(name="archive", scope="module")
def _archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "tool.pyz"
    path.write_bytes(build_archive())
    return path


def test_without_a_document_the_service_says_so(archive):
    if os.path.exists(DOCUMENT):
        pytest.skip("this machine is a node: the service would act on it")
    ran = subprocess.run([sys.executable, "-I", "-S", str(archive)], check=False, capture_output=True, text=True, env=CLEAN)
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert ran.stderr.startswith(f"there is no partition on this node ({DOCUMENT} is missing); run the cpu_partition role first")
    assert len(ran.stderr.splitlines()) == 1


#: The archive's main, on a tree: what it takes for / is the tree.
_ON_A_TREE = """\
import sys
_, archive, root, first, *sys.argv[1:] = sys.argv
sys.path.insert(0, archive)
from realtime_kvm._host import host
from realtime_kvm._node import archive as tool
class Host(host.Host):
    def __init__(self, *args, **options):
        super().__init__(root, **options)
tool.Host = Host
exec(first)
tool.main()
"""


def service(archive, root, *arguments, first=""):
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", _ON_A_TREE, str(archive), str(root), first, *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=CLEAN,
    )


@pytest.fixture(name="node")
def _node(tmp_path):
    files = {
        **machine_files(isolated="1-3"),
        DOCUMENT: json.dumps(to_document(plan())),
        config_path("cpu_partition"): '{"rt_throttling": "kernel", "priority_limit": 1, "cycle_cpus": false}',
        config_path("irq_affinity"): "{}",
        "/proc/sys/vm/stat_interval": "1\n",
        "/proc/irq/default_smp_affinity": "f\n",
        "/var/lib/": None,
    }
    return fill(tmp_path, files)


def test_the_service_makes_what_is_configured(archive, node):
    ran = service(archive, node)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        "cpu_partition: /proc/sys/vm/stat_interval: 1 -> 10",
        "irq_affinity: /proc/irq/default_smp_affinity: f -> 00000001",
    ]
    assert (node / "proc/sys/vm/stat_interval").read_text() == "10"
    again = service(archive, node)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_one_feature_can_be_made_by_itself(archive, node):
    ran = service(archive, node, "irq_affinity")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == ["irq_affinity: /proc/irq/default_smp_affinity: f -> 00000001"]
    assert (node / "proc/sys/vm/stat_interval").read_text() == "1\n"


def test_one_failing_feature_does_not_keep_the_others(archive, node):
    (node / "proc/sys/vm/stat_interval").unlink()
    fill(node, {"/proc/sys/kernel/timer_migration": ("link", "/proc/version"), "/proc/sys/vm/swappiness": "60"})
    ran = service(archive, node)
    assert ran.returncode == 1
    assert ran.stderr.startswith("cpu_partition: /proc/sys/kernel/timer_migration: the kernel refused '0': ")
    assert state(node)["cpu_partition"].startswith("/proc/sys/kernel/timer_migration: the kernel refused")
    assert state(node)["irq_affinity"] == ""
    assert (node / "proc/irq/default_smp_affinity").read_text() == "00000001"


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        (DOCUMENT, "{", f"cpu_partition, irq_affinity: {DOCUMENT}: "),
        (
            DOCUMENT,
            json.dumps(to_document(plan(cores=2))),
            "cpu_partition, irq_affinity: the partition file describes another",
        ),
        (config_path("cpu_partition"), "{", f"cpu_partition: {config_path('cpu_partition')} is damaged"),
        (config_path("cpu_partition"), '{"priority_limit": "x"}', f"cpu_partition: {config_path('cpu_partition')} is damaged"),
    ],
)
def test_damaged_files_are_named_without_a_traceback(archive, node, path, content, said):
    fill(node, {path: content})
    ran = service(archive, node)
    assert ran.returncode == 1
    assert ran.stderr.startswith(said)
    assert len(ran.stderr.splitlines()) == 1
    assert (node / "proc/sys/vm/stat_interval").read_text() == "1\n"
    spared = path != DOCUMENT  # one damaged options file fails one feature
    assert (node / "proc/irq/default_smp_affinity").read_text() == ("00000001" if spared else "f\n")
    assert state(node)["cpu_partition"]
    assert bool(state(node)["irq_affinity"]) is not spared


def state(node):
    return json.loads((node / BOOT_STATE[1:]).read_text())


def test_values_wait_for_a_boot_that_isolates_as_they_do_in_the_modules(archive, node):
    """Deleting our arguments in the boot menu: throttling, fair servers and priorities stay the kernel's own."""
    fill(node, {f"{CPU}/isolated": "\n"})
    values = {path: content for path, content in snapshot(node).items() if path.startswith(("/proc", "/sys"))}
    ran = service(archive, node)
    assert ran.returncode == 1
    assert ran.stderr == (
        "cpu_partition, irq_affinity: the running kernel does not isolate CPUs 1-3 (isolated: none), "
        "which the partition file isolates by the kernel's arguments\n"
    )
    assert {path: content for path, content in snapshot(node).items() if path.startswith(("/proc", "/sys"))} == values
    assert set(state(node)) == {"cpu_partition", "irq_affinity"}
    assert all(reason.startswith("the running kernel does not isolate") for reason in state(node).values())
    fill(node, {f"{CPU}/isolated": "1-3\n"})
    assert service(archive, node).returncode == 0
    assert state(node) == {"cpu_partition": "", "irq_affinity": ""}


def test_options_of_an_older_and_of_a_newer_release_are_made(archive, node):
    fill(node, {config_path("cpu_partition"): '{"rt_throttling": "kernel", "newer": 1}'})
    ran = service(archive, node)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "holds newer, which this release does not know" in ran.stdout
    assert (node / "proc/sys/vm/stat_interval").read_text() == "10"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ({"/var/lib/realtime-kvm": "a file"}, "/var/lib/realtime-kvm is not a directory"),
        ({"/var/lib/realtime-kvm/journal.json": "{"}, "/var/lib/realtime-kvm/journal.json is damaged"),
        ({"/var/lib/realtime-kvm/journal.json/": None}, "/var/lib/realtime-kvm/journal.json is damaged"),
        ({"/var/lib/realtime-kvm/lock/": None}, "/var/lib/realtime-kvm cannot be written: Is a directory"),
        ({"/var/lib/realtime-kvm/.realtime-kvm-journal.json/": None}, "/var/lib/realtime-kvm/.realtime-kvm-journal.json cannot"),
    ],
)
def test_values_are_made_without_a_journal(archive, node, damage, said):
    """/var is full, read-only, or what a power cut left of it."""
    fill(node, damage)
    before = {path: content for path, content in snapshot(node).items() if path.startswith("/var")}
    ran = service(archive, node)
    assert ran.returncode == 0
    assert f"cpu_partition: only a reboot restores the values of this boot, since {said}" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert (node / "proc/sys/vm/stat_interval").read_text() == "10"
    assert (node / "proc/irq/default_smp_affinity").read_text() == "00000001"
    after = {path: content for path, content in snapshot(node).items() if path.startswith("/var")}
    assert {path: after.get(path) for path in before} == before
    assert (state(node)["cpu_partition"], state(node)["irq_affinity"]) == ("", "")
    assert state(node)["journal"].startswith(said)


#: A disk that is full, or read-only, for all but the kernel's own file systems; as the system calls answer.
_NO_DISK = """
import errno, os
opens = os.open
number, kept = getattr(errno, {name!r}), ("{root}/proc", "{root}/sys", "{root}/run")
def refusing(real, place):
    def call(*arguments, **options):
        path = str(arguments[place])
        writes = real is not opens or arguments[1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if path.startswith("{root}") and not path.startswith(kept) and writes:
            raise OSError(number, os.strerror(number), path)
        return real(*arguments, **options)
    return call
for name in {calls!r}:
    setattr(os, name, refusing(getattr(os, name), 0))
"""


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("EROFS", ("open", "unlink", "mkdir", "rename", "rmdir")),
        ("ENOSPC", ("open", "mkdir")),
        ("ENOSPC", ("rename",)),
        ("EDQUOT", ("open", "mkdir", "rename")),
    ],
)
def test_values_are_made_although_the_disk_takes_nothing(archive, node, name, calls):
    first = _NO_DISK.format(name=name, root=node, calls=calls)
    ran = service(archive, node, first=first)
    assert (ran.returncode, "Traceback" in ran.stderr) == (0, False), ran.stderr
    assert "only a reboot restores the values of this boot" in ran.stderr
    assert (node / "proc/sys/vm/stat_interval").read_text() == "10"
    assert (node / "proc/irq/default_smp_affinity").read_text() == "00000001"


def test_a_run_that_hangs_fails_the_features_and_is_named(archive, node):
    with writable(node, "rt_domain").locked():
        ran = service(archive, node, first="from realtime_kvm._host import locks\nlocks.WAIT_S = 0.1")
    assert ran.returncode == 1
    assert f"/lock is locked by process {os.getpid()} (rt_domain) since " in ran.stderr
    assert all("is locked by" in reason for reason in state(node).values())


def test_a_service_that_is_killed_leaves_what_it_had_not_finished(archive, node):
    kills = "import os\nfrom realtime_kvm._host import host as h\nh.Host.write_value = lambda *_rest: os._exit(9)"
    assert service(archive, node, first=kills).returncode == 9
    assert state(node) == dict.fromkeys(("cpu_partition", "irq_affinity"), "the boot service has not finished")


def test_the_archive_runs_isolated_from_the_environment(archive, tmp_path):
    (tmp_path / "json.py").write_text("raise SystemExit('a module of the working directory')")
    ran = subprocess.run(
        [sys.executable, "-I", str(archive), "rtpart"],
        check=False, capture_output=True, text=True, cwd=tmp_path, env={**CLEAN, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert (ran.returncode, "usage: rtpart" in ran.stderr) == (2, True)


# -- installing it ---------------------------------------------------------------------------------


def install(root, check_mode=False):
    host = writable(root, "cpu_partition", check_mode)
    with host.locked():
        plan_service(host)
        host.commit()
    return host


def test_the_service_is_installed_once_and_removed_whole(tmp_path):
    fill(
        tmp_path,
        {"/etc/systemd/system/": None, "/usr/": None, "/var/lib/": None, "/run/": None, "/proc/sys/kernel/random/boot_id": "b"},
    )
    before = snapshot(tmp_path)
    check = install(tmp_path, check_mode=True)
    links = {f"{WANTS}/{os.path.basename(unit)}": unit for unit in UNIT_TEXTS}
    assert {change.resource for change in check.changes} == {ARCHIVE, *UNIT_TEXTS, *links, *tool_files(ARCHIVE)}
    assert snapshot(tmp_path) == before
    assert install(tmp_path).changes == check.changes
    assert install(tmp_path).changes == []
    assert {path: os.readlink(f"{tmp_path}{path}") for path in links} == links
    host = writable(tmp_path, "cpu_partition")
    with host.locked():
        host.restore_links()
        host.restore_files()
        host.commit()
    assert snapshot(tmp_path) == before


def ordered(unit, key):
    return {
        name for line in UNIT_TEXTS[unit].splitlines() if line.startswith(f"{key}=") for name in line.partition("=")[2].split()
    }


def test_the_service_runs_before_guests_and_switch_and_once_more_for_the_network_s_interrupts():
    assert all(f"ConditionPathExists={DOCUMENT}\n" in text for text in UNIT_TEXTS.values())
    assert f"ExecStart=/usr/bin/python3 -I {ARCHIVE}\n" in UNIT_TEXTS[UNIT]
    assert f"ExecStart=/usr/bin/python3 -I {ARCHIVE} irq_affinity\n" in UNIT_TEXTS[INTERRUPTS_UNIT]
    assert {"libvirtd.service", "virtqemud.service", "openvswitch.service", "ovs-vswitchd.service"} <= ordered(UNIT, "Before")
    assert {"realtime-kvm.service", "network.target"} <= ordered(INTERRUPTS_UNIT, "After")
    # Open vSwitch starts before network.target: a unit between the two must wait for neither what follows it
    assert "network.target" not in ordered(UNIT, "After")
    assert not ordered(INTERRUPTS_UNIT, "Before")
