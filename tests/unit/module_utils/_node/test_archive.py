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
from ansible_collections.realtime.kvm.plugins.module_utils._node.rtpart_files import tool_files
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
_, archive, root, *sys.argv[1:] = sys.argv
sys.path.insert(0, archive)
from realtime_kvm._host import host
from realtime_kvm._node import archive as tool
class Host(host.Host):
    def __init__(self, *args, **options):
        super().__init__(root, **options)
tool.Host = Host
tool.main()
"""


def service(archive, root, *arguments):
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", _ON_A_TREE, str(archive), str(root), *arguments],
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
    assert (node / "proc/irq/default_smp_affinity").read_text() == "00000001"


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        (DOCUMENT, "{", f"{DOCUMENT}: "),
        (config_path("cpu_partition"), "{", f"{config_path('cpu_partition')} is damaged"),
        (config_path("cpu_partition"), "{}", f"{config_path('cpu_partition')} is damaged"),
    ],
)
def test_damaged_files_are_named_without_a_traceback(archive, node, path, content, said):
    fill(node, {path: content})
    before = snapshot(node)
    ran = service(archive, node)
    assert ran.returncode == 1
    assert ran.stderr.startswith(said)
    assert "Traceback" not in ran.stderr
    assert snapshot(node) == before


# -- installing it ---------------------------------------------------------------------------------


def install(root, check_mode=False):
    host = writable(root, "cpu_partition", check_mode)
    with host.locked():
        plan_service(host)
        host.commit()
    return host


def test_the_service_is_installed_once_and_removed_whole(tmp_path):
    fill(tmp_path, {"/etc/systemd/system/": None, "/usr/": None, "/var/lib/": None, "/proc/sys/kernel/random/boot_id": "b"})
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
    assert f"ExecStart=/usr/bin/python3 {ARCHIVE}\n" in UNIT_TEXTS[UNIT]
    assert f"ExecStart=/usr/bin/python3 {ARCHIVE} irq_affinity\n" in UNIT_TEXTS[INTERRUPTS_UNIT]
    assert {"libvirtd.service", "virtqemud.service", "openvswitch.service", "ovs-vswitchd.service"} <= ordered(UNIT, "Before")
    assert {"realtime-kvm.service", "network.target"} <= ordered(INTERRUPTS_UNIT, "After")
    # Open vSwitch starts before network.target: a unit between the two must wait for neither what follows it
    assert "network.target" not in ordered(UNIT, "After")
    assert not ordered(INTERRUPTS_UNIT, "Before")
