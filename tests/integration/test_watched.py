# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node watched by a real Prometheus: no alert while all is right; each thing broken by hand fires its alert and no other, which ends after ``site``.

Debian's prometheus runs on the control node, Debian's prometheus-node-exporter on the node; both are installed by hand before (the second one here).
The emulated node is some twenty times slower than a real one, so intervals are longer than the role's own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from integration.conftest import NODES
from integration.lab import HERE, ROOT, STATE, THAW, lab, playbook, reboot, ssh, wait_for
from integration.test_audit import SABOTAGES
from integration.test_devices import monitor

NODE = "node1"
pytestmark = [
    pytest.mark.skipif(NODE not in NODES, reason="the guests are those of node1 of the lab (LAB_NODES)"),
    pytest.mark.skipif(not shutil.which("prometheus"), reason="Debian's package prometheus is not installed here"),
]

MONITORING = ROOT / "extensions" / "monitoring"
#: Seconds between scrapes, between the node's own metrics, and between its audits.
SCRAPE, METRICS, AUDIT = 60, 15, 30
#: What site is given.
WATCHED = {
    "rt_metrics_enabled": True,
    "rt_metrics_interval_s": METRICS,
    "rt_metrics_audit_interval_s": AUDIT,
}
#: On a node with an IOMMU (``create.yml -e lab_iommu=true``) the switch has a cable that can be pulled.
CABLE = {"realtime_networks": [{"name": "control", "realtime": True, "device": "ens1"}]}
#: The node remaps no interrupts.
PREPARE = """
echo "options vfio_iommu_type1 allow_unsafe_interrupts=1" >/etc/modprobe.d/lab-vfio.conf
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus-node-exporter
"""
#: Seconds of each of two measurements, and a real-time CPU that no guest has.
SPIN, FREE_CPU = 600, 10
EXPORTER, PROMETHEUS = 19100, 19090
#: Begun again after each boot of the node.
TUNNEL = f"while sleep 1; do ssh -F {STATE}/ssh_config -o ConnectTimeout=10 -o ServerAliveInterval=10 -N -L 127.0.0.1:{EXPORTER}:127.0.0.1:9100 {NODE}; done"
TEXT = "/var/lib/prometheus/node-exporter/realtime_kvm.prom"
#: For one boot: the arguments go from the menu, which is back as it was once the node is up.
_BARE = "cp -a /boot/grub/grub.cfg /root/watched-grub.cfg && sed -i 's/ isolcpus=[^ ]*//; s/ nohz_full=[^ ]*//; s/ rcu_nocbs=[^ ]*//' /boot/grub/grub.cfg"


@dataclass(frozen=True)
class Harm:
    """What is broken, the alert that must fire, and what nobody but a hand puts back before ``site``."""

    harm: str
    alert: str
    after: str = ""


def _audited(name: str, alert: str) -> Harm:
    """A sabotage of the audit's own test; what only a hand can put back (a program, a stopped watcher) is put back."""
    return Harm(SABOTAGES[name].harm, alert)


HARMS = {
    "interrupt moved": Harm(SABOTAGES["interrupt moved"].harm, "RealtimeKvmInterrupts", THAW),
    "idle limit (the emulated CPUs have no governor)": _audited("idle limit", "RealtimeKvmSettings"),
    "vcpupin": _audited("pin live only", "RealtimeKvmGuestThreads"),
    "mask of poll-mode threads": _audited("mask edited", "RealtimeKvmSwitch"),
    "mask removed (they run on CPUs of guests)": Harm(
        "ovs-vsctl remove Open_vSwitch . other_config pmd-cpu-mask", "RealtimeKvmSwitch"
    ),
    "huge pages": _audited("pages taken away", "RealtimeKvmMemory"),
    "irqbalance": Harm(SABOTAGES["irqbalance by hand"].harm, "RealtimeKvmTuningDaemon", SABOTAGES["irqbalance by hand"].repair),
    "guest stopped": _audited("guest off", "RealtimeKvmGuestStopped"),
    "watcher stopped": _audited("watcher stopped", "RealtimeKvmProgramDown"),
}


def query(expression: str) -> list[dict]:
    url = f"http://127.0.0.1:{PROMETHEUS}/api/v1/query?query={urllib.request.quote(expression)}"
    with urllib.request.urlopen(url, timeout=20) as answer:
        found: list[dict] = json.load(answer)["data"]["result"]
    return found


def firing() -> set[str]:
    return {item["metric"]["alertname"] for item in query('ALERTS{alertstate="firing"}')}


def await_alerts(wanted: set[str], seconds: float) -> set[str]:
    """Wait until exactly these alerts fire; return those that do at the end."""
    deadline = time.monotonic() + seconds
    while (found := firing()) != wanted and time.monotonic() < deadline:
        time.sleep(3)
    return found


@pytest.fixture(scope="module", autouse=True)
def _watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    lab("reach", NODE, lab_stage="hosting", lab_iommu=True)
    if ssh(NODE, "ls /sys/kernel/iommu_groups"):
        WATCHED.update(CABLE)
    lab("guests", NODE)
    ssh(NODE, PREPARE, timeout=600)
    playbook("site.yml", nodes=NODE, timeout=1500, extra=WATCHED)
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "prometheus.yml").write_text(_configuration())
    tunnel = subprocess.Popen(["bash", "-c", TUNNEL], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(_server(folder), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        assert wait_for(NODE, f"grep -q '^realtime_kvm_audit_success 1' {TEXT}", 300), ssh(NODE, f"cat {TEXT}", ok=False)
        yield
    finally:
        server.terminate()
        os.killpg(tunnel.pid, signal.SIGTERM)


def _configuration() -> str:
    return json.dumps(
        {
            "global": {"scrape_interval": f"{SCRAPE}s", "scrape_timeout": "30s", "evaluation_interval": "10s"},
            "rule_files": [str(MONITORING / "rules.yml")],
            "scrape_configs": [
                {"job_name": "node", "static_configs": [{"targets": [f"127.0.0.1:{EXPORTER}"], "labels": {"instance": NODE}}]}
            ],
        }
    )


def _server(folder: Path) -> list[str]:
    return [
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{PROMETHEUS}",
    ]


def test_a_node_in_order_fires_no_alert() -> None:
    time.sleep(2 * SCRAPE)
    assert query("up == 1"), "the node is scraped"
    assert query("realtime_kvm_info"), "its metrics arrive"
    assert firing() == set()


@pytest.mark.parametrize("name", HARMS)
def test_each_harm_fires_its_alert_and_no_other_until_site_has_run(name: str) -> None:
    case = HARMS[name]
    assert await_alerts(set(), 3 * SCRAPE) == set()
    ssh(NODE, case.harm)
    try:
        assert await_alerts({case.alert}, 2 * SCRAPE) == {case.alert}
        assert await_alerts(set(), SCRAPE / 2) == {case.alert}, "nothing else fires a little later"
    finally:
        ssh(NODE, case.after or "true")
        playbook("site.yml", nodes=NODE, timeout=1500, extra=WATCHED)
    assert await_alerts(set(), 2 * SCRAPE) == set()


def test_a_cable_that_is_pulled_fires_one_alert() -> None:
    if "realtime_networks" not in WATCHED:
        pytest.skip("node1 has no IOMMU: create.yml -e lab_nodes=node1 -e lab_iommu=true")
    monitor("set_link data1 off")
    try:
        assert await_alerts({"RealtimeKvmLink"}, 2 * SCRAPE) == {"RealtimeKvmLink"}
    finally:
        monitor("set_link data1 on")
    assert await_alerts(set(), 2 * SCRAPE) == set()


def test_a_boot_without_arguments_fires_one_alert() -> None:
    ssh(NODE, _BARE)
    assert reboot(NODE, seconds=400, degraded=True)
    ssh(NODE, "cp -a /root/watched-grub.cfg /boot/grub/grub.cfg")
    assert await_alerts({"RealtimeKvmKernel"}, 3 * SCRAPE) == {"RealtimeKvmKernel"}
    playbook("site.yml", nodes=NODE, timeout=1500, extra={**WATCHED, "rt_kernel_reboot_with_guests": True})
    assert await_alerts(set(), 3 * SCRAPE) == set()


def spin(seconds: float) -> dict:
    """What a spinning real-time thread sees on a free isolated CPU meanwhile."""
    ssh(NODE, "cat > /root/spinner.py", stdin=(HERE / "spinner.py").read_text())
    found: dict = json.loads(ssh(NODE, f"python3 /root/spinner.py {FREE_CPU} {seconds}", timeout=seconds + 120))
    return found


def test_a_spinning_thread_does_not_notice_metrics_and_audits() -> None:
    """The figures go into the output (``-s``); the emulator alone makes gaps, so they are compared with those without metrics."""
    timers = "realtime-kvm-metrics.timer realtime-kvm-audit.timer"
    ssh(NODE, f"systemctl stop {timers}")
    without = spin(SPIN)
    ssh(NODE, f"systemctl start {timers}")
    having = spin(SPIN)
    print(json.dumps({"without": without, "with": having}, indent=1))
    assert having["switches"] <= without["switches"] + 1
    for row in ("RES", "CAL", "TLB", "IWI"):  # from other CPUs
        assert having["interrupts"].get(row, 0) <= without["interrupts"].get(row, 0) + 1, row


def test_undo_takes_the_metrics_away() -> None:
    playbook("site.yml", nodes=NODE, timeout=1500, extra={"rt_metrics_enabled": False})
    assert ssh(NODE, "ls /etc/systemd/system/ /var/lib/prometheus/node-exporter/").count("realtime-kvm-metrics") == 0
    assert ssh(NODE, f"test ! -e {TEXT} && echo gone").strip() == "gone"
