# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the lab's cloud that need no cloud: its locks, its files, its invented machines, and the order in which they are tested."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import jinja2
import pytest
import yaml
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.sysfs import read_topology

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "molecule" / "openstack"
LOCKS = sorted((FOLDER / "requirements").glob("*.lock"))
SCRIPT = "tests/tools/test_openstack.sh"


def load(name):
    """A program of the lab as a module."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / "files" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hosts():
    """The invented hosts with their variables."""
    groups = yaml.safe_load((FOLDER / "fleet/hosts.yml").read_text())["invented_hosts"]
    return {name: host for group in groups["children"].values() for name, host in group["hosts"].items()}


# -- locks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_a_lock_has_one_release_of_each_package_with_its_digests(lock):
    entries = load("install_wheels").entries(lock.read_text())
    assert len(entries) > 100
    names = [re.sub(r"==\S+|\n.*", "", entry, flags=re.DOTALL) for entry in entries]  # with the marker of a Python
    assert len(set(names)) == len(names)
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==\S+ (; .+ )?\\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+$", entry), entry


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_a_lock_is_that_of_its_request(lock):
    wanted = re.findall(r"^[a-z0-9-]+==[0-9.]+$", lock.with_suffix(".in").read_text(), re.MULTILINE)
    assert len(wanted) == 5
    for line in wanted:
        assert f"\n{line} \\\n" in lock.read_text()


def test_the_default_release_has_a_lock():
    text = (FOLDER / "vars/main.yml").read_text()
    (release,) = re.findall(r"'OPENSTACK_RELEASE', default='([0-9.]+)'", text)
    assert release in [lock.stem for lock in LOCKS]


def test_the_parts_of_a_lock_are_the_whole():
    wheels = load("install_wheels")
    found = wheels.entries(
        "# comment\na==1 \\\n    --hash=sha256:0\n\nb==2 ; python_version < '3' \\\n    --hash=sha256:1 \\\n    --hash=sha256:2\n"
    )
    assert found == [
        "a==1 \\\n    --hash=sha256:0\n",
        "b==2 ; python_version < '3' \\\n    --hash=sha256:1 \\\n    --hash=sha256:2\n",
    ]


# -- files -----------------------------------------------------------------------------------------


def write(folder, files):
    program = FOLDER / "files/write_files.py"
    done = subprocess.run(
        [sys.executable, program, folder], input=json.dumps(files), capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.split()


def test_files_are_written_once_and_for_their_owner_only(tmp_path):
    files = {"etc/nova/nova.conf": "[DEFAULT]\n", "clouds.yaml": "secret\n"}
    assert write(tmp_path, files) == list(files)
    assert write(tmp_path, files) == []
    assert write(tmp_path, {**files, "clouds.yaml": "other\n"}) == ["clouds.yaml"]
    assert (tmp_path / "clouds.yaml").read_text() == "other\n"
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "etc").stat().st_mode) == 0o700


@pytest.mark.parametrize("template", sorted((FOLDER / "templates").glob("*.j2")), ids=lambda path: path.name)
def test_templates_are_jinja_and_an_included_section_ends_its_line(template):
    text = template.read_text()
    jinja2.Environment(autoescape=False).parse(text)
    for after in re.findall(r"{% include '[a-z.]+' %}\n(.*)\n", text):
        assert after == "", "the included text has no newline of its own at its end"


def test_every_password_that_is_used_is_made_up():
    texts = [path.read_text() for path in FOLDER.rglob("*") if path.suffix in (".yml", ".j2")]
    used = {name for text in texts for name in re.findall(r"openstack_secrets\.([a-z]+)", text)}
    users = {name for text in texts for name in re.findall(r"{% set user = '([a-z]+)' %}", text)}
    made = yaml.safe_load((FOLDER / "vars/main.yml").read_text())["openstack_users"]
    assert used | users == set(made)


# -- invented hosts --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", hosts())
def test_an_invented_machine_can_be_partitioned(tmp_path, name):
    host = hosts()[name]
    shape, wanted = host["invented_shape"], host.get("invented_partition", {})
    program = FOLDER / "files/invented_machine.py"
    subprocess.run([sys.executable, program, tmp_path, name, json.dumps(shape)], check=True, timeout=60)
    topology = read_topology(Host(str(tmp_path), captured=True))
    assert len(topology.nodes) == shape["nodes"]
    assert len(topology.online) == shape["nodes"] * shape["cores"] * shape["threads"]
    assert topology.threads_per_core == shape["threads"]
    assert plan_partition(topology, Intent(**wanted)).sets["realtime"]
    assert int(name.split("-")[1]) == len(topology.online)


def test_invented_machines_are_of_every_kind():
    shapes = [host["invented_shape"] for host in hosts().values()]
    cpus = [shape["nodes"] * shape["cores"] * shape["threads"] for shape in shapes]
    assert len(shapes) >= 8
    assert (min(cpus), max(cpus)) == (4, 256)
    assert {shape["threads"] for shape in shapes} == {1, 2}
    assert {1, 2, 8} <= {shape["nodes"] for shape in shapes}


# -- the order of a test ---------------------------------------------------------------------------

PLAYBOOK = """#!/bin/sh
for name; do :; done
echo "$*" >>calls
case "$*" in *FAILS*) echo 'fatal: the reason' && exit 2 ;; esac
"""


@pytest.fixture
def tree(tmp_path):
    """A tree with the script and programs that only write down how they were called."""
    for name in ("ansible-playbook", "python"):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(PLAYBOOK)
        path.chmod(0o755)
    (tmp_path / "tests/tools").mkdir(parents=True)
    shutil.copy(ROOT / SCRIPT, tmp_path / SCRIPT)
    (tmp_path / ".lab/openstack").mkdir(parents=True)
    (tmp_path / ".lab/openstack/with").write_text('exec "$@"\n')
    return tmp_path


def run(tree, fails="", **environment):
    for name in ("ansible-playbook", "python"):
        (tree / "bin" / name).write_text(PLAYBOOK.replace("FAILS", fails or "nothing"))
    given = {"PATH": f"{tree}/bin:/usr/bin:/bin", **environment}
    done = subprocess.run(["bash", SCRIPT], cwd=tree, env=given, capture_output=True, text=True, timeout=60, check=False)
    path = tree / "calls"
    calls = [re.findall(r"(create|fleet|destroy)\.yml$|(pytest)", line) for line in path.read_text().splitlines()]
    path.unlink()
    return done, ["".join(found[-1]) for found in calls]


def test_the_cloud_is_started_tested_and_stopped(tree):
    done, calls = run(tree)
    assert (done.returncode, calls) == (0, ["create", "fleet", "pytest", "destroy"])
    assert "passed" in done.stdout
    assert len(re.findall(r"^ +\d+ s  ", done.stdout, re.MULTILINE)) == 4


@pytest.mark.parametrize(
    ("fails", "calls"),
    [
        ("create", ["create", "destroy"]),
        ("fleet", ["create", "fleet", "destroy"]),
        ("pytest", ["create", "fleet", "pytest", "destroy"]),
    ],
)
def test_it_is_stopped_after_a_failure_too(tree, fails, calls):
    done, called = run(tree, fails)
    assert (done.returncode != 0, called) == (True, calls)
    assert "fatal: the reason" in done.stdout
    assert "FAILED" in done.stdout


def test_a_cloud_that_cannot_be_stopped_is_a_failure(tree):
    done, _calls = run(tree, "destroy")
    assert done.returncode != 0


def test_it_can_be_kept(tree):
    assert run(tree, OPENSTACK_KEEP="yes")[1] == ["create", "fleet", "pytest"]
