# SPDX-License-Identifier: GPL-3.0-or-later
"""What the audit compares with the node itself, without an inventory: what watches it, and its switch."""

from __future__ import annotations

from collections.abc import Collection

from .._audit.findings import Finding, change_finding, damage_finding
from .._audit.switch import check_links, check_mask
from .._cpus.errors import HostError
from .._cpus.partition import Partition
from .._host.host import Host, Runner
from .._host.paths import WATCH_ARCHIVE
from .._host.trial import trial_of
from .._switch.diff import setting_resource
from .._watch.folder import check_folder
from .._watch.plan import OPTIONS_FILE, plan_watch, read_watch, release_of
from ._switch_edges import SwitchEdges

_ROLE = "rt_metrics"
_MASK = "pmd-cpu-mask"


def watch_findings(host: Host, runner: Runner, partition: Partition) -> list[Finding]:
    """Compare files and timers of rt_metrics with what it keeps on the node; nothing where it keeps nothing."""
    trial = trial_of(host, _ROLE)
    try:
        options = read_watch(host)
    except HostError as error:
        return [damage_finding(OPTIONS_FILE, str(error), f"run the {_ROLE} role")]
    if options is None:
        lost = OPTIONS_FILE in trial.entries("file")
        remedy = f"run the site playbook ({_ROLE} role)"
        return [Finding("unconfigured", OPTIONS_FILE, f"the options of the {_ROLE} role", "absent", remedy)] if lost else []
    plan_watch(trial, runner, partition, options, None)
    files = [change for change in trial.changes if not change.resource.startswith("service:")]
    findings = [change_finding(change, _ROLE, "host-file") for change in files]
    archive = host.read_bytes(WATCH_ARCHIVE)
    if archive is None or release_of(archive) != options.release:
        actual = "absent" if archive is None else "another file"
        findings.append(
            Finding("host-file", WATCH_ARCHIVE, f"as the {_ROLE} role has written it", actual, f"run the {_ROLE} role")
        )
    if findings:
        return findings  # a timer that does not run for this reason is no second difference
    for change in trial.changes:
        timer = change.resource.partition(":")[2]
        remedy = f"run systemctl start {timer}, or the {_ROLE} role"
        findings.append(Finding("metrics", timer, change.after or "", change.before or "", remedy))
    try:
        check_folder(trial, options.directory)
    except HostError as error:
        remedy = f"mend that, or set rt_metrics_directory to another folder and run the {_ROLE} role"
        findings.append(
            Finding("metrics", options.directory, "a folder for the metrics, which others cannot change", str(error), remedy)
        )
    return findings


def switch_findings(edges: SwitchEdges, partition: Partition, running: Collection[str]) -> list[Finding]:
    """Look at the mask and the links of a switch that ovs_dpdk has set up; ``running``: the guests that run.

    What its threads do has rules of its own, so a mask that explains them is looked at first.
    """
    if setting_resource(_MASK) not in trial_of(edges.host, "ovs_dpdk").entries("ovs"):
        return []
    ovsdb = edges.ovsdb(edges.host, edges.runner)
    if not ovsdb.running():
        return []
    database = ovsdb.read()
    found = check_mask(database.other_config.get(_MASK), partition)
    return found + check_links(database.interfaces.values(), running)
