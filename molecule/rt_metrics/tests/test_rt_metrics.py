# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The timers on a running node: they write fresh metrics and findings, on housekeeping CPUs, and fill no journal."""

import json
import time

AUDIT = "/run/realtime-kvm/audit.json"
OUTPUT = "/var/lib/prometheus/node-exporter/realtime_kvm.prom"


def waited_for(host, path, since, seconds):
    """The file's content, once it is younger than ``since``."""
    for _second in range(seconds):
        if host.file(path).exists and host.file(path).mtime.timestamp() >= since:
            return host.file(path).content_string
        time.sleep(1)
    raise AssertionError(f"{path} was not written within {seconds} s")


def test_the_timers_run_and_start_at_boot(host):
    for name in ("realtime-kvm-metrics.timer", "realtime-kvm-audit.timer"):
        assert host.service(name).is_running
        assert host.service(name).is_enabled


def test_the_services_may_only_use_housekeeping_cpus(host):
    for name in ("realtime-kvm-metrics.service", "realtime-kvm-audit.service"):
        assert host.check_output(f"systemctl show --property=CPUAffinity --value {name}") == "0-1 6-7"


def test_metrics_are_written_again_and_again(host):
    now = float(host.check_output("date +%s"))
    assert "realtime_kvm_" in waited_for(host, OUTPUT, now, 30)


def test_the_node_audits_itself(host):
    now = float(host.check_output("date +%s"))
    state = json.loads(waited_for(host, AUDIT, now, 240))
    assert (state["schema"], state["error"]) == (1, "")
    assert [item for item in state["findings"] if item["rule"] in ("metrics", "boot-service-old", "unchecked")] == []


def test_passes_leave_no_line_in_the_journal(host):
    said = host.check_output("journalctl --boot --output=cat _PID=1 UNIT=realtime-kvm-metrics.service")
    assert "Finished" not in said
    assert "Starting" not in said
