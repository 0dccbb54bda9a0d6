# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All pages: what stays on a node, disruption classes, links that lead somewhere, variables that exist."""

from __future__ import annotations

import re

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot.loader import DROP_IN
from ansible_collections.realtime.kvm.plugins.module_utils._devices.pci import DRIVERCTL_DIR
from ansible_collections.realtime.kvm.plugins.module_utils._guests.kvm import MODPROBE, PROFILE_ADDITIONS, mount_unit
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import DISRUPTIONS
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import ARCHIVE, DOCUMENT
from ansible_collections.realtime.kvm.plugins.module_utils._interrupts import interrupts
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.families import FAMILIES
from ansible_collections.realtime.kvm.plugins.module_utils._node.archive import UNIT
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.known import ROLES as FOLDER
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.known import read_known
from unit.documents import PAGES, ROLES, ROOT, code_of, tables, text_of


def test_undo_names_everything_that_is_left_on_a_node():
    page = text_of("docs/undo-and-recovery.md")
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "plugins" / "module_utils").rglob("*.py"))
    paths = set(re.findall(r'"(/(?:etc|usr|var|run)/[^"{}]*(?:realtime-kvm|realtime_partition|rtpart)[^"{}]*)"', code))
    assert {DROP_IN, ARCHIVE, UNIT, DOCUMENT, MODPROBE} <= paths, "the pattern finds what is known"
    paths |= {JOURNAL, interrupts._REFUSED, PROFILE_ADDITIONS, DRIVERCTL_DIR, mount_unit("<size>")}
    assert sorted(path for path in paths if path not in page and f"`{path.rpartition('/')[0]}/`" not in page) == []


def test_disruption_classes_are_documented():
    rows = [row for head, content in tables("docs/concepts.md") if head[0] == "class" for row in content]
    assert [code_of(row[0]) for row in rows] == list(DISRUPTIONS)


def anchors(path):
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        name, _rest, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_variables_that_pages_name_exist(page):
    """A name that looks like a variable of this collection is one, or is what a role exports."""
    known = read_known(FOLDER).names | {"realtime_partition"}
    known |= {
        "realtime_nodes",
        "realtime_guest_os",
        "cpu_partition_info",
        "rt_latency_run",
        "rt_placement",
        "rt_plan_report",
        "rt_recap",
        "rt_show",
        *ROLES,
    }
    known |= {
        "realtime_vcpus",
        "bios_baseline_info",
        "bios_record",
        "openstack_cloud_info",
        "bios_baseline",
        "packages_planned",
        "packages_undo_result",
    }  # a guest's key, modules, a result
    known |= {"realtime_due", "realtime_failed", "realtime_found", "realtime_unverified"}  # groups that the playbooks make
    known.add("realtime_kvm")  # the file of metrics
    known.add("realtime_kvm_trial")  # a variable of GRUB's environment block
    known |= {path.name for path in (ROOT / "extensions" / "patterns").iterdir()}
    known |= {family.name for family in FAMILIES.values()} | {"realtime_kvm"}  # metrics, and the file that has them
    prefixes = "|".join([*ROLES, "realtime"])
    named = set(re.findall(rf"`((?:{prefixes})_\w+)", page.read_text(encoding="utf-8")))
    assert sorted(named - known) == []
