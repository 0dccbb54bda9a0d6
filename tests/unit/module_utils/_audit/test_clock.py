# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the clock: each fault has one finding, on a node whose module has set the service up."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._audit.clock import check_state
from ansible_collections.realtime.kvm.plugins.module_utils._module._dry_runs import Specs, clock_outcome
from ansible_collections.realtime.kvm.plugins.module_utils._module._switch_edges import SwitchEdges
from ansible_collections.realtime.kvm.plugins.module_utils._time.answers import Running, State
from ansible_collections.realtime.kvm.plugins.module_utils._time.state import KEPT
from ansible_collections.realtime.kvm.plugins.module_utils._time.texts import PHC2SYS_UNIT, PTP4L_UNIT
from ansible_collections.realtime.kvm.plugins.module_utils._time.wanted import Wanted
from unit.clocks import DEBIAN, LINUXPTP, PTP, Clocks, node, run
from unit.module_utils._time.test_answers import ALONE, PHC, SOURCES, TIME, TRACKING
from unit.trees import fill, writable

CHRONY = {"source": "chrony", "servers": ["10.99.0.1"]}
DROP_IN = "/etc/systemd/system/chrony.service.d/realtime-kvm.conf"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("ansible_collections.realtime.kvm.plugins.module_utils._time.plan._SETTLE_S", 0.0)


def made(root, parameters):
    """A node on which the module has set the service up, and which is well."""
    answers = {"chronyc": TRACKING + SOURCES, "pmc": TIME, "journalctl": PHC}
    systemd = Clocks(node(root, DEBIAN, LINUXPTP), {"chrony.service": (True, parameters["source"] == "chrony")}, answers)
    run(root, systemd, **parameters, take_over=True) if parameters["source"] == "chrony" else _made_ptp(root, systemd, parameters)
    return systemd


def _made_ptp(root, systemd, parameters):
    systemd.answers["ptp4l"] = "master offset 1 s0 freq\n"
    run(root, systemd, **parameters, take_over=True)


def found(root, systemd, **limits):
    edges = SwitchEdges(writable(root, "rt_audit", check_mode=True), systemd)
    specs = Specs([], [], {}, {}, limits.get("priority_limit", 1))
    return [(item.rule, item.resource, item.actual) for item in clock_outcome(edges, specs).findings]


@pytest.mark.parametrize("parameters", [CHRONY, PTP], ids=["chrony", "ptp"])
def test_a_node_that_is_well_has_no_finding(tmp_path, parameters):
    assert found(tmp_path, made(tmp_path, parameters)) == []


def test_a_node_without_a_time_service_has_none(tmp_path):
    assert found(node(tmp_path, DEBIAN), Clocks(tmp_path)) == []


def stop(root, systemd):
    systemd(["systemctl", "stop", "chrony.service"])


def disable(root, systemd):
    systemd(["systemctl", "disable", "chrony.service"])


def spread(root, systemd):
    systemd.start("chrony.service", cpus="0-3")


def edit(root, systemd):
    Path(f"{root}{DROP_IN}").write_text("[Service]\n")
    systemd.start("chrony.service", cpus="0-3")


def beside(root, systemd):
    fill(root, {"/lib/systemd/system/systemd-timesyncd.service": "[Service]\nExecStart=/x\n"})
    systemd.units["systemd-timesyncd.service"] = [True, True]


def stranger(root, systemd):
    systemd.process(9, "/srv/ntpd", cgroup="/x.scope")


def lose(root, systemd):
    systemd.answers["chronyc"] = ALONE + SOURCES


def drift(root, systemd):
    systemd.answers["chronyc"] = TRACKING.replace("-0.000002508", "0.5") + SOURCES


def forget(root, systemd):
    Path(f"{root}{KEPT}").unlink()


def remove(root, systemd):
    Path(f"{root}/lib/systemd/system/chrony.service").unlink()


@pytest.mark.parametrize(
    ("sabotage", "rule", "resource"),
    [
        (stop, "time-service", "chrony.service"),
        (disable, "time-service", "chrony.service"),
        (spread, "time-cpus", "chrony.service"),
        (edit, "host-file", DROP_IN),
        (beside, "time-conflict", "systemd-timesyncd.service"),
        (stranger, "time-conflict", "clock"),
        (lose, "time-source", "clock (chrony)"),
        (drift, "time-offset", "clock (chrony)"),
        (forget, "unconfigured", KEPT),
        (remove, "time-service", "chrony"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_each_sabotage_has_its_finding(tmp_path, sabotage, rule, resource):
    systemd = made(tmp_path, CHRONY)
    sabotage(tmp_path, systemd)
    assert [item[:2] for item in found(tmp_path, systemd)] == [(rule, resource)]


def test_of_ptp_each_service_is_looked_at(tmp_path):
    systemd = made(tmp_path, PTP)
    systemd.end(PHC2SYS_UNIT)
    assert found(tmp_path, systemd) == [("time-service", PHC2SYS_UNIT, "stopped")]
    systemd.start(PHC2SYS_UNIT)
    systemd.start(PTP4L_UNIT, cpus="2")
    assert found(tmp_path, systemd) == [("time-cpus", PTP4L_UNIT, "running on CPUs 2")]


def test_software_time_stamps_are_said_and_no_fault(tmp_path):
    systemd = made(tmp_path, {"source": "ptp", "interface": "eth1"})
    assert found(tmp_path, systemd) == [("time-stamping", "eth1", "by the kernel, to some microseconds")]


def test_a_service_above_the_kernels_threads():
    wanted, state = Wanted("chrony"), State(True, "a", 1, 0.5)
    services = {"chrony.service": Running(7, frozenset({0}), 40, ())}
    [one] = check_state(wanted, state, services, hardware=False, priority_limit=2)
    assert (one.rule, one.actual, one.severity) == ("time-priority", "40 on CPUs 0", "warning")
    assert check_state(wanted, state, services, hardware=False, priority_limit=40) == []


@pytest.mark.parametrize(("offset", "rules"), [(None, ["time-offset"]), (-1001.0, ["time-offset"]), (1000.0, [])])
def test_the_limit_counts_both_ways(offset, rules):
    found = check_state(Wanted("chrony"), State(True, "a", 1, offset), {}, hardware=False, priority_limit=1)
    assert [item.rule for item in found] == rules
    assert (
        check_state(Wanted("chrony", offset_limit_us=0), State(True, "a", 1, offset), {}, hardware=False, priority_limit=1) == []
    )
