# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The house: a folder imports only from folders below it, and pure code touches no machine. CONTRIBUTING.md draws the floors."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UTILS = ROOT / "plugins" / "module_utils"
TESTS = ROOT / "tests" / "unit" / "module_utils"
BASE = "ansible_collections.realtime.kvm.plugins.module_utils"
FILES = sorted(UTILS.rglob("*.py"))

#: The files that may touch a machine. All of _module is edge: it joins a module and the machine.
EDGE = {
    "_audit/drift",
    "_audit/inside",
    "_audit/read",
    "_audit/slices",
    "_boot/grubby",
    "_cache/groups",
    "_cache/mounting",
    "_cache/read",
    "_audit/starved",
    "_boot/loader",
    "_boot/other_loaders",
    "_boot/place",
    "_boot/trial",
    "_boot/watchdog",
    "_boot/way",
    "_devices/assigned",
    "_devices/binding",
    "_devices/pci",
    "_devices/posted",
    "_devices/settings",
    "_devices/use",
    "_devices/virtual",
    "_firmware/connection",
    "_firmware/redfish",
    "_firmware/staging",
    "_guests/backup",
    "_guests/bases",
    "_guests/changes",
    "_guests/checks",
    "_guests/device_plan",
    "_guests/disk_checks",
    "_guests/folders",
    "_guests/images",
    "_guests/instances",
    "_guests/kernel_networks",
    "_guests/kvm",
    "_guests/libvirt",
    "_guests/made_images",
    "_guests/nova_options",
    "_guests/near",
    "_guests/plan",
    "_guests/power",
    "_guests/qemu_img",
    "_guests/seeds",
    "_guests/threads",
    "_guests/vhost_threads",
    "_guests/workers",
    "_host/afterwards",
    "_host/checkpoint",
    "_host/daemons",
    "_host/deadline",
    "_host/document",
    "_host/files",
    "_host/holds",
    "_host/host",
    "_host/identity",
    "_host/kernel",
    "_host/lines",
    "_host/locks",
    "_host/journal",
    "_host/needrestart",
    "_host/package_locks",
    "_host/packages",
    "_host/replaced",
    "_host/runner",
    "_host/sysfs",
    "_host/current",
    "_host/resolve",
    "_host/session",
    "_host/stopped_guests",
    "_host/threads",
    "_host/trial",
    "_host/tuning_daemons",
    "_host/unit_files",
    "_host/updates",
    "_host/watchdogs",
    "_interrupts/interrupts",
    "_interrupts/irqbalance",
    "_interrupts/steering",
    "_interrupts/threads",
    "_interrupts/watcher",
    "_isolation/cgroups",
    "_isolation/hotplug",
    "_isolation/moves",
    "_isolation/users",
    "_latency/choice",
    "_latency/machine",
    "_latency/place",
    "_latency/smi",
    "_memory/pools",
    "_node/archive",
    "_node/events",
    "_node/hook",
    "_node/keep",
    "_node/pack",
    "_node/rtpart",
    "_node/watcher",
    "_node/trial",
    "_guests/image_users",
    "_openstack/restart",
    "_openstack/service",
    "_openstack/switch_database",
    "_openstack/units",
    "_runtime/cache",
    "_runtime/cpus",
    "_runtime/feature",
    "_runtime/features",
    "_runtime/gate",
    "_runtime/interrupts",
    "_runtime/kernel_threads",
    "_runtime/options",
    "_runtime/pages",
    "_runtime/power",
    "_runtime/ptp_kvm",
    "_runtime/undo",
    "_runtime/watchdog",
    "_switch/changes",
    "_switch/daemon",
    "_switch/guard",
    "_switch/nic",
    "_switch/ovsdb",
    "_switch/ready",
    "_time/nic",
    "_time/ntp",
    "_time/plan",
    "_time/services",
    "_time/state",
}

#: The files without a test file of their name, and why.
UNTESTED = {
    "_audit/guest_rules": "a table: test_rules.py checks it",
    "_audit/node_rules": "a table: test_rules.py checks it",
    "_cpus/pages": "constants",
    "_cpus/policies": "constants",
    "_openstack/kinds": "constants: test_service.py finds services of each form by them",
    "_runtime/undo": "test_cpu_partition.py and test_rtpart.py undo with it",
    "_firmware/staging": "test_bios_baseline.py runs it against the stand-in for BMCs",
    "_guests/programs": "constants",
    "_guests/board": "test_pinning.py places guests on it",
    "_host/paths": "constants and one join",
    "_latency/choice": "test_rt_latency.py runs it",
    "_latency/place": "test_rt_latency.py runs it",
    "_latency/machine": "test_rt_latency.py runs it with stand-ins for tools and agent",
    "_module/_dry_runs": "test_rt_audit.py runs it: its findings are those of the modules' own plans",
    "_module/_guest_edges": "values without behaviour",
    "_module/_openstack": "test_nova_compute.py and test_neutron_agent.py restart services through it",
    "_module/_specs": "options: test_guest.py holds them against the guests' keys",
    "_module/_switch_edges": "values without behaviour",
    "_time/plan": "test_time_sync.py makes and undoes its plans",
    "_node/rtpart_files": "texts: test_rtpart.py holds manual and completion against the command's verbs",
}

#: What pure code may import: nothing that reads or writes files, starts programs, or asks for time or chance.
PURE_IMPORTS = {
    "__future__",
    "abc",
    "base64",
    "bisect",
    "collections",
    "contextlib",
    "copy",
    "dataclasses",
    "difflib",
    "enum",
    "fnmatch",
    "fractions",
    "unicodedata",
    "functools",
    "hashlib",
    "heapq",
    "html",
    "ipaddress",
    "itertools",
    "json",
    "math",
    "operator",
    "posixpath",
    "re",
    "shlex",
    "statistics",
    "string",
    "struct",
    "textwrap",
    "types",
    "typing",
    "urllib.parse",
    "uuid",
    "xml",
}
IMPURE_NAMES = {
    *("__import__", "breakpoint", "eval", "exec", "input", "open", "print"),
    *("ElementTree.parse", "ElementTree.iterparse", "uuid.uuid1", "uuid.uuid4", "uuid.getnode"),
}


def name_of(path: Path) -> str:
    """``_host/sysfs`` for a file of module_utils."""
    return path.relative_to(UTILS).with_suffix("").as_posix()


def is_edge(name: str) -> bool:
    return name in EDGE or name.startswith("_module/")


def floors(page: str) -> dict[str, int]:
    """The table of CONTRIBUTING.md: folder (or file beside the folders) to its floor."""
    rows = re.findall(r"^\| (\d+) \| ([^|]*) \|", page, re.MULTILINE)
    return {folder: int(floor) for floor, folders in rows for folder in re.findall(r"`([\w.]+?)(?:\.py)?`", folders)}


FLOORS = floors((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))


def imported(name: str, source: str) -> set[str]:
    """What a file imports: ``/_host/host`` for files of module_utils, ``/..`` for the rest of the collection, else the top-level package."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(of_collection(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".") if node.module else []
            if node.level:
                module = [*[*BASE.split("."), *name.split("/")][: -node.level], *module]
            names.update(of_collection([*module, alias.name]) for alias in node.names)
    return names


def of_collection(module: list[str]) -> str:
    """A name of ``imported`` for a module, or for a name in one."""
    base = BASE.split(".")
    if module[:1] != base[:1]:
        return "urllib.parse" if module[:2] == ["urllib", "parse"] else module[0]  # beside it urllib.request, which reads
    inside = module[len(base) :] if module[: len(base)] == base else []
    if not inside or inside[0] not in FLOORS:
        return "/.."  # module_utils as a whole, plugin_utils, another collection
    while len(inside) > 1 and not (UTILS / "/".join(inside)).with_suffix(".py").exists():
        inside.pop()
    return f"/{'/'.join(inside)}"


def folder_of(name: str) -> str:
    return name.lstrip("/").split("/")[0]


def upward(name: str, source: str) -> list[str]:
    """The imports of a file that lead to its own floor or above, other than to its own folder."""
    mine = folder_of(name)
    targets = sorted(target for target in imported(name, source) if target.startswith("/") and folder_of(target) != mine)
    return [target[1:] for target in targets if FLOORS.get(folder_of(target), math.inf) >= FLOORS[mine]]


def hidden(name: str, source: str) -> list[str]:
    """Ways around an import statement; only what packs the files may look them up by name, or how they are compiled."""
    nodes = list(ast.walk(ast.parse(source)))
    names = {node.id for node in nodes if isinstance(node, ast.Name)} | {
        node.attr for node in nodes if isinstance(node, ast.Attribute)
    }
    found = names & {"__import__", "eval", "exec"}
    return sorted(found | ({"importlib"} & imported(name, source) if name not in ("_node/pack", "_node/keep") else set()))


def circle(imports: Mapping[str, set[str]]) -> list[str]:
    """Files that import each other, wherever in the file; empty if there are none."""
    try:
        tuple(TopologicalSorter(imports).static_order())
    except CycleError as error:
        return list(error.args[1])
    return []


def impurities(name: str, source: str) -> list[str]:
    """Why a file is not pure."""
    tree = ast.parse(source)
    found = [
        f"imports {target}"
        for target in sorted(imported(name, source))
        if (is_edge(target[1:]) if target.startswith("/") else target not in PURE_IMPORTS)
    ]
    used = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    called = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return found + [f"uses {name}" for name in [*used, *called] if name in IMPURE_NAMES]


def mirror_of(name: str) -> Path:
    """``tests/unit/module_utils/_host/test_sysfs.py`` for ``_host/sysfs``."""
    path = TESTS / f"{name}.py"
    return path.with_name(f"test_{path.name}")


def test_the_map_and_the_tree_name_the_same_folders():
    assert {folder_of(name_of(path)) for path in FILES} == set(FLOORS)


def test_every_edge_file_exists():
    assert sorted(EDGE - {name_of(path) for path in FILES}) == []


@pytest.mark.parametrize("name", [name_of(path) for path in FILES if name_of(path) not in UNTESTED])
def test_every_file_has_a_test_file_of_its_name(name):
    assert mirror_of(name).is_file(), "write the test, or say in UNTESTED why there is none"


def test_files_that_are_said_to_be_untested_exist_and_are():
    assert sorted(UNTESTED.keys() - {name_of(path) for path in FILES}) == []
    assert [name for name in UNTESTED if mirror_of(name).exists()] == []


@pytest.mark.parametrize("path", sorted(TESTS.rglob("test_*.py")), ids=lambda path: path.relative_to(TESTS).as_posix())
def test_every_test_file_begins_with_the_name_of_a_file(path):
    """A file may have several: ``test_loader_grub.py``, ``test_loader_grubby.py``."""
    files = [mirror_of(name_of(source)) for source in FILES]
    own = [file for file in files if file.parent == path.parent and path.stem.startswith(file.stem)]
    assert own


@pytest.mark.parametrize("name", [name_of(path) for path in FILES])
def test_module_utils_are_private(name):
    assert name.startswith("_"), "module_utils are for this collection only: begin the folder's name with _"


@pytest.mark.parametrize("name", [name_of(path) for path in FILES])
def test_a_folder_imports_only_from_folders_below_it(name):
    assert upward(name, (UTILS / f"{name}.py").read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", [name_of(path) for path in FILES])
def test_imports_are_written_as_imports(name):
    assert hidden(name, (UTILS / f"{name}.py").read_text(encoding="utf-8")) == []


def test_no_file_imports_itself_by_way_of_others():
    sources = {name_of(path): path.read_text(encoding="utf-8") for path in FILES}
    assert (
        circle({name: {target[1:] for target in imported(name, source)} & set(sources) for name, source in sources.items()}) == []
    )


@pytest.mark.parametrize(
    ("name", "source", "found"),
    [
        ("_host/host", "import importlib", ["importlib"]),
        ("_host/host", "def late():\n    from importlib import import_module", ["importlib"]),
        ("_node/pack", "import importlib", []),
        ("_node/pack", "run = exec", ["exec"]),
        ("_host/host", "__import__('os')", ["__import__"]),
        ("_host/host", "import builtins\nbuiltins.__import__('os')", ["__import__"]),
        ("_host/host", "import os", []),
    ],
)
def test_hidden_imports_are_found(name, source, found):
    assert hidden(name, source) == found


@pytest.mark.parametrize(
    ("imports", "found"), [({"a": {"b"}, "b": set()}, False), ({"a": {"b"}, "b": {"c"}, "c": {"a"}}, True), ({"a": {"a"}}, True)]
)
def test_circles_are_found(imports, found):
    assert (circle(imports) != []) is found


@pytest.mark.parametrize("name", [name_of(path) for path in FILES if not is_edge(name_of(path))])
def test_pure_code_is_pure(name):
    found = impurities(name, (UTILS / f"{name}.py").read_text(encoding="utf-8"))
    assert found == [], "keep I/O at the edge; if this file is the edge, add it to EDGE"


@pytest.mark.parametrize(
    ("name", "source", "found"),
    [
        ("_cpus/cpulist", "from .._host.host import Host", ["_host/host"]),
        ("_cpus/cpulist", "from .._host import host", ["_host/host"]),
        ("_cpus/cpulist", "from .errors import RefusalError", []),
        ("_host/sysfs", "from .._cpus.cpulist import parse_cpulist", []),
        ("_boot/loader", "def late():\n    from .._interrupts.affinity import stuck", ["_interrupts/affinity"]),  # the same floor
        ("_switch/plan", "from .._node.hook import HOOK", ["_node/hook"]),
        ("_switch/plan", f"from {BASE}._module._common import run_module", ["_module/_common"]),
        ("_tables", "from ._cpus.partition import Partition", []),
        ("_tables", "from ._audit.findings import Finding", ["_audit/findings"]),
        ("_host/sysfs", f"import {BASE}._module._common as door", ["_module/_common"]),
        ("_host/sysfs", f"import {BASE}._cpus.cpulist", []),
        ("_host/sysfs", "from .. import _module", ["_module"]),
        ("_host/sysfs", "from .. import _cpus", []),
        ("_host/sysfs", f"from {BASE} import _module", ["_module"]),
        ("_host/sysfs", "from ...plugin_utils._latency import plan_runs", [".."]),
        ("_host/sysfs", "from ....plugins.plugin_utils import _latency", [".."]),
        ("_tables", "from ..plugin_utils._latency import plan_runs", [".."]),
        ("_host/sysfs", "from ansible_collections.realtime.kvm.plugins import module_utils", [".."]),
        ("_host/sysfs", "from ansible_collections.realtime.kvm.plugins.modules import rt_domain", [".."]),
        ("_host/sysfs", "from ansible_collections.community.general.plugins.module_utils import x", [".."]),
    ],
)
def test_upward_imports_are_found(name, source, found):
    assert upward(name, source) == found


@pytest.mark.parametrize(
    ("source", "pure"),
    [
        ("import re\nfrom collections.abc import Iterable\nfrom xml.etree import ElementTree", True),
        ("from .cpulist import parse_cpulist\nfrom . import topology", True),
        (f"from {BASE}._cpus.cpulist import x", True),
        (f"from {BASE}._host.host import x", False),
        (f"from {BASE}._host import host", False),
        ("from .._host import host", False),
        ("from .._host.change import Change", True),
        ("from .._module.rt_domain import run", False),
        ("import os", False),
        ("import os.path", False),
        ("def late():\n    import subprocess", False),
        ("from ansible.module_utils.basic import AnsibleModule", False),
        ("open('/proc/cmdline')", False),
        ("o = open\no('/proc/cmdline')", False),
        ("from xml.etree import ElementTree\nElementTree.parse('a')", False),
        ("from xml.etree import ElementTree\nElementTree.fromstring('<a/>')", True),
        ("import uuid\nuuid.uuid4()", False),
        ("import uuid\nuuid.uuid5(uuid.NAMESPACE_DNS, 'a')", True),
    ],
)
def test_impurities(source, pure):
    assert (impurities("_cpus/partition", source) == []) is pure
