# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules, dashboard and routes by Prometheus' own tools and by a real Prometheus and Alertmanager.

make test installs them (Debian: prometheus, prometheus-alertmanager); elsewhere these tests are skipped.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess

import pytest
from conformance.prometheus_site import FOLDER, HOST, PROGRAMS, Site
from unit.documents import text_of
from waiting import wait_until

MISSING = [name for name, path in PROGRAMS.items() if path is None]
pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"needs {', '.join(MISSING)} (packages prometheus and prometheus-alertmanager)"
)


#: promtool makes a database for each unit test, and waits for the disk; this folder is memory.
MEMORY = {"TMPDIR": "/dev/shm"} if os.access("/dev/shm", os.W_OK) else {}


def tool(name, *arguments, folder=FOLDER):
    command, environment = [PROGRAMS[name], *arguments], {**os.environ, **MEMORY}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_promtool_takes_the_rules():
    done = tool("promtool", "check", "rules", "--lint=all", "--lint-fatal", "rules.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_unit_tests_of_the_rules_pass():
    done = tool("promtool", "test", "rules", "rules_test.yml", "rules_days_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def differing(text):
    """The instances for which promtool expected other alerts than it got."""
    found = set()
    for expected, got in re.findall(r"exp: (.*)\n\s+got: (.*)", text):
        found |= set(re.findall(r"\{[^}]*\}", expected)) ^ set(re.findall(r"\{[^}]*\}", got))
    return {re.search(r'instance="([^"]*)"', labels)[1] for labels in found}


@pytest.mark.parametrize(
    "changes",
    [
        {
            ("realtime_kvm_kernel_as_documented == 0", "realtime_kvm_kernel_as_documented == 2"): "RealtimeKvmRebootDue fires",
            (
                'unless on (job, instance, cluster) realtime_kvm_audit_findings{rule="irqbalance"',
                'unless on (job, instance, cluster) absent_series{rule="irqbalance"',
            ): "irqbalance is started",
            ('rule=~"setting|', 'rule=~"settings|'): "rule setting",
            ('severity!="info",rule!~', "rule!~"): "rule note",
        },
        {
            (
                "realtime_kvm_kernel_isolates == 0",
                "realtime_kvm_kernel_isolates == 2",
            ): "the kernel is booted without its arguments",
            ("for: 10m", "for: 0s"): "they have been sent back, and the rates still know of it",
            ("and realtime_kvm_guest_running == 0", ""): "RealtimeKvmGuestStopped is quiet",
        },
    ],
)
def test_unit_tests_of_the_rules_fail_for_wrong_rules(tmp_path, changes):
    text = text_of("extensions/monitoring/rules.yml")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "rules.yml").write_text(text)
    shutil.copy(FOLDER / "rules_test.yml", tmp_path)
    done = tool("promtool", "test", "rules", "rules_test.yml", folder=tmp_path)
    assert done.returncode == 1
    assert set(changes.values()) - differing(done.stdout + done.stderr) == set()


def test_examples_of_configuration_are_taken():
    done = tool("promtool", "check", "config", "--syntax-only", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    done = tool("amtool", "check-config", "alertmanager.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        (("collection=realtime.kvm", "severity=critical"), "realtime-kvm-rulebook,desk"),
        (("collection=realtime.kvm", "severity=info"), "realtime-kvm-rulebook,nobody"),
        (("severity=critical",), "desk"),
    ],
)
def test_routes_of_the_example(labels, receivers):
    done = tool("amtool", "config", "routes", "test", "--config.file=alertmanager.yml", *labels)
    assert done.stdout.strip() == receivers, done.stderr


# A real Prometheus


@pytest.fixture(name="site", scope="module")
def _site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("site"))
    try:
        assert wait_until(site.ready, 60), "".join(path.read_text()[-2000:] for path in site.folder.glob("*.log"))
        yield site
    finally:
        site.close()


def test_a_node_that_is_as_it_should_be_has_no_alert(site):
    assert site.firing() == set()


def queries():
    """Each query of the dashboard, and what its variables ask for, as Grafana sends them."""
    board = json.loads(text_of("extensions/monitoring/dashboard.json"))
    found = {
        f"{panel['title']} {target['refId']}": target["expr"] for panel in board["panels"] for target in panel.get("targets", [])
    }
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            found[f"${variable['name']}"] = re.fullmatch(r"label_values\((.*), \w+\)", variable["query"]["query"])[1]
    return found


#: What a node without alerts and findings has none of.
EMPTY = {"Alerts A", "Findings by rule A", "Findings over time A"}


@pytest.mark.parametrize("name", queries())
def test_every_panel_shows_something(site, name):
    text = queries()[name].replace("$instance", site.instance).replace("$__rate_interval", "1m")
    text = text.replace("$guest", ".*").replace("$cluster", ".*")
    assert bool(site.query(text)) is (name not in EMPTY), text


def test_an_alert_fires_alone_reaches_the_rulebook_with_its_host_and_clears(site):
    site.node.findings = {"interrupt": "error"}
    assert wait_until(lambda: site.firing() == {"RealtimeKvmInterrupts"}, 20)
    assert wait_until(lambda: site.bodies, 60)
    token, body = site.bodies[-1]
    assert token == "Bearer secret"
    assert (body["status"], body["groupLabels"], body["receiver"]) == ("firing", {"host": HOST}, "realtime-kvm-rulebook")
    (alert,) = body["alerts"]
    assert alert["labels"]["rule"] == "interrupt"
    assert alert["annotations"]["summary"] == f"{HOST}: interrupts may fire on isolated CPUs, rule interrupt"
    site.node.findings = {}
    assert wait_until(lambda: site.firing() == set(), 30)


def test_a_node_with_another_kernel_has_one_alert_and_no_gap_between_it_and_those_it_explains(site):
    site.node.findings = {"setting": "error", "interrupt": "error", "isolation": "error"}
    site.node.broken = {"kernel_as_documented": 0, "kernel_isolates": 0, "guest_running": 0, "program_up": 0}
    seen = []
    assert wait_until(lambda: seen.append(site.firing()) or len([one for one in seen if one]) > 5, 60)
    assert set().union(*seen) == {"RealtimeKvmKernel"}
    site.node.findings, site.node.broken = {}, {}
    assert wait_until(lambda: site.firing() == set(), 30)
