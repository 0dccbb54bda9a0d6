# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables that this collection reads, from one source: the argument specs of its roles. Edge: reads these files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.common.yaml import yaml_load

#: What playbooks read beside the variables of roles. Raw ones are checked by rules of their own.
PLAYBOOK_OPTIONS: dict[str, dict[str, Any]] = {
    "realtime_known_variables": {"type": "list", "elements": "str"},
    "realtime_place_apply": {"type": "raw"},
    "realtime_place_devices": {"type": "raw"},
    "realtime_place_domains": {"type": "dict"},
    "realtime_place_drain": {"type": "raw"},
    "realtime_place_folder": {"type": "str"},
    "realtime_place_guests": {"type": "list", "elements": "raw"},
    "realtime_place_moves": {"type": "str", "choices": ["needed", "drain", "none"]},
    "realtime_place_overcommit": {"type": "raw"},
    "realtime_place_rules": {"type": "list", "elements": "raw"},
    "realtime_place_steps": {"type": "raw"},
    "realtime_place_strategy": {"type": "str", "choices": ["pack", "spread"]},
    "realtime_place_what_if": {"type": "dict"},
    "realtime_place_work": {"type": "raw"},
    "realtime_plan_folder": {"type": "str"},
    "realtime_reboot_allowed": {"type": "bool"},
    "realtime_unreachable": {"type": "str", "choices": ["refuse", "skip"]},
    "realtime_update_serial": {"type": "raw"},
    "rt_kernel_reboot_serial": {"type": "raw"},
}

#: Empty, as a survey sends a question without an answer, these have their default.
EMPTY_IS_DEFAULT = frozenset(
    {
        "realtime_max_disruption",
        "realtime_place_moves",
        "realtime_place_strategy",
        "realtime_unreachable",
        "realtime_update_serial",
        "rt_kernel_reboot_serial",
    }
)

#: Sizes of batches. Ansible takes 0 for all nodes at once, and ends with a traceback in the middle of a run where it reads no number.
BATCHES = frozenset({"realtime_update_serial", "rt_kernel_reboot_serial"})

#: A number of cores for every NUMA node, or numbers by node; the argument specs can only call them raw.
COUNTS = frozenset(f"cpu_partition_{name}_cores_per_node" for name in ("housekeeping", "dataplane", "shared"))

#: The guests that place has written for a host. A run refuses another list: one of a stronger place hides the plan's.
PLACED = "realtime_placed"
#: Which state of its file the inventory of place has for each host, and which one the file is of: a folder that was written by half is refused.
PLACED_FILES, PLACED_FILE = "realtime_placed_files", "realtime_placed_file"
#: In the inventory with which guests leave their old hosts; place itself is not run with it.
PLACED_LEAVE = "realtime_placed_leave"

#: What roles and playbooks set themselves, beside ``<role>_result``. Statistics of a job are extra variables of the next one in a workflow.
SET = frozenset(
    {
        "packages_holds_result",
        "packages_planned",
        "packages_undo_result",
        "packages_update_result",
        "realtime_bios",
        "realtime_drift",
        "realtime_latency",
        "realtime_look_result",
        "realtime_place_result",
        PLACED,
        PLACED_FILE,
        PLACED_FILES,
        PLACED_LEAVE,
        "realtime_plan_result",
        "realtime_report",
        "realtime_update_due",
        "realtime_update_kernel",
        "realtime_update_reboots",
        "rt_kernel_reboot_required",
    }
)

#: The groups that the playbooks make in a run, and then work on.
GROUPS = ("realtime_due", "realtime_failed", "realtime_found", "realtime_unverified")

#: Only other roles call it.
INTERNAL_ROLES = frozenset({"packages"})


@dataclass(frozen=True)
class Known:
    """The names that mean something, and how values are checked."""

    options: Mapping[str, Mapping[str, Any]]  # variable to its option in an argument spec
    others: frozenset[str]  # variables whose values nobody gives
    prefixes: tuple[str, ...]  # whatever begins with one belongs to this collection

    @property
    def names(self) -> frozenset[str]:
        """All known variables."""
        return self.others | self.options.keys()


def read_known(roles: Path) -> Known:
    """Return what the roles in a folder read; a variable of several roles and entry points has the same type in all of them."""
    names = sorted(path.name for path in roles.iterdir() if path.is_dir())
    options: dict[str, Mapping[str, Any]] = dict(PLAYBOOK_OPTIONS)
    for name in names:
        spec = yaml_load((roles / name / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
        for entry in spec.values():
            for option, described in (entry.get("options") or {}).items():
                options.setdefault(option, described)
    others = SET | {f"{name}_result" for name in names}
    return Known(options, others, (*(f"{name}_" for name in names), "realtime_"))


ROLES = Path(__file__).resolve().parents[3] / "roles"
