# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation says what the code does: tables, messages, defaults, links."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.manager import VariableManager
from ansible_collections.realtime.kvm.plugins.module_utils import (
    _boot,
    _host,
    _interrupts,
    _kernel_arguments,
    _node_tool,
    _runtime,
)
from ansible_collections.realtime.kvm.plugins.module_utils._audit import Finding
from ansible_collections.realtime.kvm.plugins.module_utils._audit_rules import RULES, SEVERITIES
from ansible_collections.realtime.kvm.plugins.module_utils._boot_arguments import (
    NOHZ_FULL_CHOICES,
    TSC_CHOICES,
    ArgumentPolicy,
    Machine,
    partition_arguments,
)
from ansible_collections.realtime.kvm.plugins.module_utils._change import DISRUPTIONS
from ansible_collections.realtime.kvm.plugins.module_utils._cpuset import format_cpulist, format_mask
from ansible_collections.realtime.kvm.plugins.module_utils._module.cpu_partition import intent_from
from ansible_collections.realtime.kvm.plugins.module_utils._partition import Intent, PartitionError, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._report import plan_table
from ansible_collections.realtime.kvm.plugins.module_utils._settings import (
    POLICY_NAMES,
    THREAD_RULES,
    THROTTLING_CHOICES,
    power_settings,
    runtime_settings,
)
from ansible_collections.realtime.kvm.plugins.module_utils._topology import build_topology

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
RESULTS = {f"{role}_result" for role in ROLES}
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


def lab_node(*, offline=""):
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
    return build_topology(files)


#: Sets that can all be told apart: housekeeping 0-1,6-7; dataplane 8-9; realtime 2-5; shared 10-11.
PARTITION = plan_partition(lab_node(), Intent(cpus={"dataplane": "8-9", "shared": "10-11"}))
NO_DATAPLANE = plan_partition(lab_node(), Intent(shared_cores_per_node=1))


# README.md


def test_readme_shows_the_real_plan():
    wish = yaml.safe_load(text_of("inventories/lab/host_vars/node1.yml"))  # what the demo plans for
    intent = Intent(dataplane_devices=tuple(wish["cpu_partition_dataplane_devices"]))
    lines = plan_table(plan_partition(lab_node(), intent), lab_node())
    assert "\n".join(lines) in text_of("README.md")


def test_readme_shows_real_arguments():
    plan = plan_partition(lab_node(), Intent())
    known = {a.token: a.reason for a in partition_arguments(plan, Machine(kernel_release="6.12.0"), ArgumentPolicy())}
    shown = re.findall(r"^((?:isolcpus|nohz_full)=\S+)\s+(.*?) \.\.\.$", text_of("README.md"), re.MULTILINE)
    assert len(shown) == 2
    for token, reason in shown:
        assert known[token].startswith(reason)


def defaults_of(role):
    """A role's defaults, and those of the variables that roles share: these have theirs where they are used."""
    shared = {name: spec["default"] for name, spec in options(role).items() if name.startswith("realtime_")}
    return {**(yaml.safe_load(text_of(f"roles/{role}/defaults/main.yml")) or {}), **shared}


@pytest.mark.parametrize("role", ROLES)
def test_shared_variables_have_the_documented_default_wherever_they_are_used(role):
    findings = []
    for name, spec in options(role).items():
        if not name.startswith("realtime_"):
            continue
        files = [path for folder in ("tasks", "vars") for path in (ROOT / "roles" / role / folder).glob("*.yml")]
        used = [
            use
            for path in files
            for use in re.findall(
                rf"(?<![\w.]){name}\b(?! \| default\({re.escape(repr(spec['default']))}\)|: \w| is\b)", path.read_text()
            )
        ]
        findings += [f"{name} without its default" for _use in used]
    assert findings == []


#: Variables of the playbooks, and the text there that gives their default.
PLAYBOOK_DEFAULTS = {
    "realtime_max_disruption": ("playbooks/tasks/show_and_refuse.yml", "default('reboot')", "reboot"),
    "realtime_reboot_allowed": ("playbooks/site.yml", "realtime_reboot_allowed | default(true)", "true"),
    "rt_kernel_reboot_serial": ("playbooks/site.yml", "rt_kernel_reboot_serial | default('25%')", "25%"),
}


@pytest.mark.parametrize("row", table("README.md", ["Variable", "Default", "Meaning"]), ids=lambda row: row[0].strip("`"))
def test_readme_variables_have_their_defaults(row):
    name, default = code_of(row[0]), code_of(row[1])
    if name in PLAYBOOK_DEFAULTS:
        path, where, value = PLAYBOOK_DEFAULTS[name]
        assert where in text_of(path)
        assert default == value
        return
    everything = {variable: value for role in ROLES for variable, value in defaults_of(role).items()}
    assert written(everything[name]) == default


def written(value):
    """A default as the pages write it."""
    return value if isinstance(value, str) and value else json.dumps(value)


def test_pages_name_every_role_and_every_page():
    page = text_of("README.md")
    missing = [role for role in ROLES if f"roles/{role}/README.md" not in page]
    missing += [path.name for path in (ROOT / "docs").glob("*.md") if f"docs/{path.name}" not in page]
    assert missing == []


# Role READMEs


def sections(role):
    """Variable to its paragraph, of a role's README."""
    parts = re.split(r"^### `(\w+)`\n", text_of(f"roles/{role}/README.md"), flags=re.MULTILINE)
    return {name: re.split(r"^#", body, flags=re.MULTILINE)[0] for name, body in zip(parts[1::2], parts[2::2])}


def options(role):
    """Variable to its spec, of all entry points; without the results of other roles."""
    return {name: option for name, option in everything_read(role).items() if name not in RESULTS}


def everything_read(role):
    spec = yaml.safe_load(text_of(f"roles/{role}/meta/argument_specs.yml"))["argument_specs"]
    return {name: option for entry in spec.values() for name, option in (entry.get("options") or {}).items()}


@pytest.mark.parametrize("role", ROLES)
def test_role_readme_names_the_results_that_it_reads(role):
    told = re.findall(r"Reads (.*?) where earlier roles", " ".join(text_of(f"roles/{role}/README.md").split()))
    assert sorted(name for text in told for name in re.findall(r"`(\w+)`", text)) == sorted(set(everything_read(role)) & RESULTS)


@pytest.mark.parametrize("role", ROLES)
def test_role_readme_has_every_variable(role):
    assert sorted(sections(role)) == sorted(options(role)) == sorted(defaults_of(role))


@pytest.mark.parametrize("role", ROLES)
def test_role_readme_has_the_defaults_and_choices(role):
    findings = []
    for name, body in sections(role).items():
        value, spec = defaults_of(role)[name], options(role)[name]
        computed = isinstance(value, str) and "{{" in value
        expected = "Default: as `" if computed else f"Default: `{written(value)}`."
        if not body.startswith(expected):
            findings.append(f"{name}: {expected} expected")
        if "choices" in spec:
            choices = "Choices: " + ", ".join(f"`{choice}`" for choice in spec["choices"]) + "."
            if choices not in body:
                findings.append(f"{name}: {choices} expected")
    assert findings == []


@pytest.mark.parametrize("role", ROLES)
def test_role_readme_keeps_the_contract(role):
    page = text_of(f"roles/{role}/README.md")
    wanted = ["## Requirements", "Control node", "Managed node", "## Variables", "exported by the role", "## Example playbook"]
    wanted += ["Rollback capability", "Idempotent", "Atomic", "Tag in `site`"]
    assert [text for text in wanted if text not in page] == []
    assert len(page.splitlines()) <= 90


# docs/kernel-arguments.md

ARGUMENTS = table("docs/kernel-arguments.md", ["Argument", "When", "Reason", "Cost", "Source"])
INVARIANT = frozenset({"constant_tsc", "nonstop_tsc"})

#: The words of the column "When", each as a question to a case.
WHEN = {
    "always": lambda partition, machine, policy: True,
    "dataplane CPUs": lambda partition, machine, policy: bool(partition.sets["dataplane"]),
    "nohz_full CPUs": lambda partition, machine, policy: (
        policy.nohz_full == "all" or (policy.nohz_full == "dataplane" and bool(partition.sets["dataplane"]))
    ),
    "kernel 6.12 or newer": lambda partition, machine, policy: machine.kernel_version >= (6, 12),
    "kernel older than 6.13": lambda partition, machine, policy: machine.kernel_version < (6, 13),
    "invariant TSC": lambda partition, machine, policy: machine.tsc_invariant,
    "Intel": lambda partition, machine, policy: machine.vendor == "GenuineIntel",
    "AMD": lambda partition, machine, policy: machine.vendor == "AuthenticAMD",
    "`nohz_full: all`": lambda partition, machine, policy: policy.nohz_full == "all",
    "`nohz_full: dataplane`": lambda partition, machine, policy: policy.nohz_full == "dataplane",
    "`tsc: nowatchdog`": lambda partition, machine, policy: policy.tsc == "nowatchdog",
    "`tsc: reliable`": lambda partition, machine, policy: policy.tsc == "reliable",
    "`cstates: boot`": lambda partition, machine, policy: policy.cstates == "boot",
}


def argument_cases():
    """Every combination that an argument may depend on."""
    machines = [
        Machine(kernel_release=release, vendor=vendor, cpu_flags=flags)
        for release, vendor, flags in itertools.product(
            ("6.1.0-1-amd64", "6.12.1+deb13-amd64", "6.13.0", "7.2.0"),
            ("GenuineIntel", "AuthenticAMD", ""),
            (INVARIANT, frozenset()),
        )
    ]
    policies = [
        ArgumentPolicy(nohz_full=nohz_full, tsc=tsc, cstates=cstates)
        for nohz_full, tsc, cstates in itertools.product(NOHZ_FULL_CHOICES, TSC_CHOICES, ("boot", "keep"))
    ]
    return itertools.product((PARTITION, NO_DATAPLANE), machines, policies)


def in_words(token, partition):
    """A token with the names of the sets in place of their CPUs."""
    for name, cpus in (
        ("<isolated>", partition.isolated),
        ("<ordinary>", partition.unisolated),
        ("<dataplane>", partition.sets["dataplane"]),
    ):
        token = re.sub(rf"(?<=[=,]){re.escape(format_cpulist(cpus) or 'none')}$", name, token)
    return token


def test_documented_arguments_are_those_of_the_code():
    emitted = {
        (in_words(argument.token, partition), argument.reason, argument.disturbs, argument.source)
        for partition, machine, policy in argument_cases()
        for argument in partition_arguments(partition, machine, policy)
    }
    documented = [(code_of(token), reason, cost, source) for token, _when, reason, cost, source in ARGUMENTS]
    assert sorted(documented) == sorted(emitted)


@pytest.mark.parametrize("row", ARGUMENTS, ids=lambda row: code_of(row[0]))
def test_arguments_are_emitted_when_the_page_says(row):
    token, when = code_of(row[0]), row[1].split(", ")
    assert [word for word in when if word not in WHEN] == []
    seen = set()
    for partition, machine, policy in argument_cases():
        emitted = token in [in_words(argument.token, partition) for argument in partition_arguments(partition, machine, policy)]
        promised = all(WHEN[word](partition, machine, policy) for word in when)
        assert emitted == promised, (machine, policy)
        seen.add(emitted)
    assert True in seen


def test_no_isolated_cpus_no_arguments():
    everything_ordinary = plan_partition(lab_node(), Intent(realtime="0"))
    assert partition_arguments(everything_ordinary, Machine(), ArgumentPolicy()) == []


# docs/settings.md

SETTING_HEADER = ["File", "Value", "Reason", "Disturbs", "Class", "Source"]


def coded_settings():
    found = set()
    settings = [setting for throttling in THROTTLING_CHOICES for setting in runtime_settings(PARTITION, throttling)]
    for latency, turbo, performance in itertools.product((None, "<limit>"), ("keep", "off"), (True, False)):
        settings += power_settings(PARTITION, latency_us=latency, turbo=turbo, performance=performance)
    for setting in settings:
        path = re.sub(r"/cpu\d+/", "/cpu<N>/", setting.path)
        value = "<ordinary>" if setting.value == format_mask(PARTITION.unisolated) else setting.value
        found.add((path, value, setting.reason, setting.disturbs, setting.disruption, setting.source))
    return found


def test_documented_settings_are_those_of_the_code():
    """Where the code names no source, the page may."""
    coded = coded_settings()
    sources = {setting[0]: setting[5] for setting in coded}
    documented = [
        (code_of(path), code_of(value), reason, disturbs, disruption, sources.get(code_of(path)) and source)
        for path, value, reason, disturbs, disruption, source in table("docs/settings.md", SETTING_HEADER)
    ]
    assert sorted(documented, key=str) == sorted(coded, key=str)
    assert all(row[5] for row in table("docs/settings.md", SETTING_HEADER))


def test_documented_thread_rules_are_those_of_the_code():
    rows = table("docs/settings.md", ["Thread (regular expression)", "Policy", "Reason", "Source"])
    documented = [(code_of(pattern), policy, reason, source) for pattern, policy, reason, source in rows]
    coded = [(rule.pattern, f"{POLICY_NAMES[rule.policy]} {rule.priority}", rule.reason, rule.source) for rule in THREAD_RULES]
    assert documented == coded


def test_documented_interrupt_files_are_those_of_the_code():
    source = text_of("plugins/module_utils/_interrupts.py")
    rows = table("docs/settings.md", ["File", "Value", "Reason", "Class"])
    paths = [code_of(row[0]).replace("<n>", "{interrupt.number}") for row in rows]
    assert len(paths) == 4
    assert [path for path in paths if path not in source] == []


# docs/partition.md

#: Wishes that node1 of the lab cannot meet, one for every message of the page.
WISHES = [
    {"smt": "on"},
    {"housekeeping_cores_per_node": 0},
    {"shared_cores_per_node": -1},
    {"realtime": "2-5"},
    {"cpus": {"rt": "2"}},
    {"cpus": {"realtime": 2}},
    {"cpus": {"realtime": "5-3"}},
    {"cpus": {"realtime": ""}},
    {"cpus": {"realtime": "10-13"}},
    {"cpus": {"realtime": "10-11"}, "offline": "11"},
    {"cpus": {"realtime": "2-5", "dataplane": "4-5"}},
    {"cpus": {"realtime": "0-1"}},
    {"cpus": {"shared": "0-1"}},
    {"cpus": {"housekeeping": "0-1,6-7", "realtime": "2-5"}},
    {"cpus": {"realtime": "2,4"}},
    {"cpus": {"realtime": "2-3"}, "smt": "single"},
    {"cpus": {"realtime": "2", "shared": "3"}, "smt": "single"},
    {"cpus": {"housekeeping": "0-1"}},
    {"cpus": {"realtime": "6-11"}},
    {"shared_cores_per_node": 3},
    {"housekeeping_cores_per_node": 3},
    {"dataplane_devices": ["ens99f0"]},
    {"dataplane_devices": ["ens3"], "cpus": {"dataplane": "2-3"}},
]
OPTIONS = {
    "housekeeping_cores_per_node": 1,
    "dataplane_cores_per_node": 0,
    "dataplane_devices": [],
    "shared_cores_per_node": 0,
    "realtime": "rest",
    "smt": "together",
    "isolation": "boot",
    "cpus": {},
}


def refusal(wishes):
    topology = lab_node(offline=wishes.get("offline", ""))
    wanted = {name: value for name, value in wishes.items() if name != "offline"}
    with pytest.raises(PartitionError) as caught:
        plan_partition(topology, intent_from({**OPTIONS, **wanted}))
    return str(caught.value)


def test_documented_refusals_are_those_of_the_planner():
    documented = [code_of(row[1]) for row in table("docs/partition.md", ["Invariant", "Message", "Remedy"])]
    assert sorted(documented) == sorted(refusal(wishes) for wishes in WISHES)


def test_documented_plans_of_the_lab():
    plan = plan_partition(lab_node(), Intent())
    housekeeping, realtime = (format_cpulist(plan.sets[name]) for name in ("housekeeping", "realtime"))
    assert f"housekeeping {housekeeping}; realtime {realtime} |" in text_of("docs/inventory.md")


# docs/audit.md


def test_documented_rules_are_those_of_the_code():
    rows = table("docs/audit.md", ["Rule", "Severity", "What must hold", "Repaired by", "Source"])
    documented = [(code_of(rule), severity, meaning, source, repair) for rule, severity, meaning, repair, source in rows]
    assert documented == [(rule.id, rule.severity, rule.meaning, rule.source, rule.repair) for rule in RULES.values()]


def test_documented_keys_of_a_finding_are_those_of_the_code():
    rows = table("docs/audit.md", ["Key", "Meaning"])
    documented = [key for row in rows for key in re.findall(r"`(\w+)`", row[0])]
    assert documented == list(Finding("setting", "", "", "", "").to_dict())
    assert re.findall(r"`(\w+)`:", rows[0][1]) == list(SEVERITIES)


# The other pages


def test_undo_names_everything_that_is_left_on_a_node():
    page = text_of("docs/undo-and-recovery.md")
    paths = [
        _boot.DROP_IN,
        _host.JOURNAL,
        _interrupts.IRQBALANCE_DROP_IN,
        _interrupts._REFUSED,
        _node_tool.ARCHIVE,
        _node_tool.UNIT,
        _runtime.CONFIG_DIR,
        _runtime.DOCUMENT,
    ]
    assert [path for path in paths if path not in page] == []


def test_disruption_classes_are_documented():
    rows = [row for head, content in tables("docs/concepts.md") if head[0] == "class" for row in content]
    assert [code_of(row[0]) for row in rows] == list(DISRUPTIONS)


def test_repeatable_keys_are_documented():
    page = text_of("roles/rt_kernel/README.md")
    keys = re.search(r"Keys that may repeat \((.*?)\)", page)[1]
    named = re.findall(r"`(.*?)`", keys)
    assert all(_kernel_arguments.is_list_key(key) for key in named)


def test_every_playbook_is_named():
    pages = text_of("README.md") + text_of("docs/awx.md")
    names = [path.stem for path in (ROOT / "playbooks").glob("*.yml")]
    assert [name for name in names if f"realtime.kvm.{name}" not in pages] == []


# The example inventory


def test_example_inventory_sets_only_known_variables():
    known = {name for role in ROLES for name in options(role)} | set(PLAYBOOK_DEFAULTS) | {"ansible_user"}
    folder = ROOT / "inventories" / "example" / "group_vars"
    unknown = {
        f"{path.stem}: {name}" for path in folder.glob("*.yml") for name in yaml.safe_load(path.read_text()) if name not in known
    }
    assert unknown == set()


def test_example_inventory_has_no_cpu_numbers():
    folder = ROOT / "inventories" / "example"
    assert [path.name for path in folder.rglob("*.yml") if "cpu_partition_cpus" in path.read_text()] == []


def test_example_inventory_keeps_live_nodes_live():
    """As Ansible works the variables out, not as the files read."""
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[str(ROOT / "inventories/example/hosts.yml")])
    variables = VariableManager(loader=loader, inventory=inventory)
    limits = {
        host.name: variables.get_vars(host=host)["realtime_max_disruption"] for host in inventory.get_hosts("realtime_nodes")
    }
    live = {host.name for host in inventory.get_hosts("live_nodes")}
    assert live
    assert limits == {name: "none" if name in live else "reboot" for name in limits}


# Links


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
    """A name that looks like a variable of ours is one, or is what a role exports."""
    known = {name for role in ROLES for name in options(role)} | set(PLAYBOOK_DEFAULTS)
    known |= {f"{role}_result" for role in ROLES} | {
        "rt_kernel_reboot_required",
        "realtime_bios",
        "realtime_drift",
        "realtime_latency",
        "realtime_partition",
    }
    known |= {"realtime_nodes", "cpu_partition_info", *ROLES}
    prefixes = "|".join([*ROLES, "realtime"])
    named = set(re.findall(rf"`((?:{prefixes})_\w+)", page.read_text(encoding="utf-8")))
    assert sorted(named - known) == []
