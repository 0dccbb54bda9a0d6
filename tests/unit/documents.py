# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation as tables and texts, and the node that its pages describe."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "roles").glob("*/README.md"),
    ]
)


def text_of(path):
    return (ROOT / path).read_text(encoding="utf-8")


def code_of(cell):
    """The inside of a cell that is code, with the pipes that a table escapes."""
    return cell.strip("`").replace(r"\|", "|")


def tables(path):
    """Every table of a page: its header, and its rows as lists of cells."""
    found = []
    rows = []
    for line in [*text_of(path).splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif rows:
            found.append((rows[0], rows[2:]))
            rows = []
    return found


def table(path, header):
    """The rows of all the tables with this header."""
    rows = [row for head, content in tables(path) if head == header for row in content]
    assert rows, f"{path} has no table {header}"
    return rows


def lab_node(*, offline="", without_memory=None):
    """node1 of the lab, as the pages describe it: two packages, three cores each, two threads per core."""
    root, pci = "/sys/devices/system", "/sys/bus/pci/devices"
    online = sorted(set(range(12)) - {int(cpu) for cpu in offline.split(",") if cpu})
    files = {f"{root}/cpu/{name}": "0-11" for name in ("possible", "present")}
    files[f"{root}/cpu/online"] = format_cpulist(online)
    for cpu in range(12):
        base = f"{root}/cpu/cpu{cpu}/topology"
        files[f"{base}/thread_siblings_list"] = format_cpulist({cpu // 2 * 2, cpu // 2 * 2 + 1} & set(online))
        files[f"{base}/physical_package_id"] = str(cpu // 6)
    files[f"{root}/node/node0/cpulist"] = format_cpulist(set(range(6)) & set(online))
    files[f"{root}/node/node1/cpulist"] = format_cpulist(set(range(6, 12)) & set(online))
    for address, node, name in (("0000:00:02.0", -1, "enp0s2"), ("0000:41:00.0", 0, "ens1"), ("0000:81:00.0", 1, "ens3")):
        files[f"{pci}/{address}/numa_node"] = str(node)
        files[f"{pci}/{address}/net"] = name
    for node in (0, 1):
        files[f"{root}/node/node{node}/meminfo"] = f"Node {node} MemTotal: {0 if node == without_memory else 2097152} kB\n"
    return build_topology(files)


#: Sets that all differ: housekeeping 0-1,6-7; dataplane 8-9; realtime 2-5; shared 10-11.
PARTITION = plan_partition(lab_node(), Intent(smt="together", cpus={"dataplane": "8-9", "shared": "10-11"}))
NO_DATAPLANE = plan_partition(lab_node(), Intent(smt="together", shared_cores_per_node=1))


def defaults_of(role):
    """A role's defaults, and those of the variables that roles share: these have theirs where they are used."""
    shared = {name: spec["default"] for name, spec in options(role).items() if name.startswith("realtime_")}
    return {**(yaml.safe_load(text_of(f"roles/{role}/defaults/main.yml")) or {}), **shared}


#: Variables of the playbooks, and the text there that gives their default.
PLAYBOOK_DEFAULTS = {
    "realtime_max_disruption": ("plugins/plugin_utils/_limit.py", "DEFAULT = DISRUPTIONS[-1]", "reboot"),
    "realtime_place_apply": ("playbooks/place.yml", "realtime_place_apply | default(false, true)", "false"),
    "realtime_place_devices": ("plugins/plugin_utils/_placement/read.py", '"realtime_place_devices": []', "[]"),
    "realtime_place_domains": ("plugins/plugin_utils/_placement/read.py", '"realtime_place_domains": {}', "{}"),
    "realtime_place_drain": ("playbooks/place.yml", "realtime_place_drain | default([], true)", "[]"),
    "realtime_place_folder": ("plugins/action/rt_placement.py", 'variables, "place"', "results/place"),
    "realtime_place_guests": ("playbooks/place.yml", "realtime_place_guests | default([], true)", "[]"),
    "realtime_place_moves": ("plugins/plugin_utils/_placement/model.py", 'moves: str = "needed"', "needed"),
    "realtime_place_overcommit": ("plugins/plugin_utils/_placement/model.py", "overcommit: int = 4 ", "4"),
    "realtime_place_rules": ("playbooks/place.yml", "realtime_place_rules | default([], true)", "[]"),
    "realtime_place_steps": ("playbooks/place.yml", "else omit }}", "all"),
    "realtime_place_strategy": ("plugins/plugin_utils/_placement/model.py", 'strategy: str = "pack"', "pack"),
    "realtime_place_what_if": ("playbooks/place.yml", "realtime_place_what_if | default({}, true)", "{}"),
    "realtime_place_work": ("plugins/plugin_utils/_placement/model.py", "work: int = 60_000", "60000"),
    "realtime_plan_folder": ("plugins/action/rt_plan_report.py", 'variables, "plan"', "results/plan"),
    "realtime_reboot_allowed": ("playbooks/site.yml", "realtime_reboot_allowed | default(true)", "true"),
    "realtime_unreachable": ("playbooks/tasks/reached.yml", "default('refuse', true)", "refuse"),
    "realtime_update_serial": ("playbooks/update.yml", "realtime_update_serial | default(1, true)", 1),
    "rt_kernel_reboot_serial": ("playbooks/site.yml", "batch_default: 1,25%", "1,25%"),
}


def written(value):
    """A default as the pages write it."""
    return value if isinstance(value, str) and value else json.dumps(value)


#: Results of other roles that a role may read.
RESULTS = {f"{role}_result" for role in ROLES}


def options(role):
    """Variable to its spec, of all entry points; without the results of other roles."""
    return {name: option for name, option in everything_read(role).items() if name not in RESULTS}


def everything_read(role):
    """Variable to its spec, of all entry points."""
    spec = yaml.safe_load(text_of(f"roles/{role}/meta/argument_specs.yml"))["argument_specs"]
    return {name: option for entry in spec.values() for name, option in (entry.get("options") or {}).items()}
