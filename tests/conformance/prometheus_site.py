# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site of its own on this machine: a real Prometheus and Alertmanager with the collection's files, a node that tells what a test wants.

The node is a small HTTP server in place of node_exporter; another one is the receiver of Alertmanager's webhook. All listen on 127.0.0.1 alone.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.families import FAMILIES, SEVERITIES
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.samples import Samples
from unit.documents import ROOT, text_of

FOLDER = ROOT / "extensions" / "monitoring"
PROGRAMS = {name: shutil.which(name) for name in ("prometheus", "promtool", "prometheus-alertmanager", "amtool")}
HOST = "kvm01.example.com"
#: What labels have in place of their own name.
LABELS = {"cpu": "4", "guest": 'Säge "A"', "playbook": "verify", "kind": "dpdk", "port": "uplink0", "node": "0", "vcpu": "1"}

#: What is 1 on a node that is as it should be.
GOOD = {
    "partition_valid", "kernel_as_documented", "kernel_isolates", "audit_success", "program_up", "source_up", "guest_running", "guest_autostart", "port_up",
    "latency_passed", "clock_synchronised",
}  # fmt: skip


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Node:
    """A node that tells every metric, each with one sample, as one that is as it should be; ``broken`` has what differs."""

    def __init__(self) -> None:
        self.broken: dict[str, float] = {}
        self.findings: dict[str, str] = {}  # rule to severity
        self.gone = False

    def text(self) -> str:
        """Return the page; counters go on by a little."""
        if self.gone:
            return ""
        samples, now = Samples(), time.time()
        for short, family in FAMILIES.items():
            if short == "audit_findings":
                for rule, severity in self.findings.items():
                    samples.add(short, 1, rule, severity)
                continue
            if family.labels == ("severity",):
                for severity in SEVERITIES:
                    samples.add(short, 0, severity)
                continue
            value = now if short.endswith("timestamp_seconds") else float(short in GOOD or family.kind == "info")
            value = 86400.0 if short == "uptime_seconds" else value
            if family.kind == "counter":
                value = 1000.0 + now % 1000 / 1e6
            samples.add(short, self.broken.get(short, value), *(LABELS.get(label, label) for label in family.labels))
        return samples.text()


class Site:
    """Prometheus, Alertmanager, one node and the receiver of a webhook."""

    def __init__(self, folder) -> None:
        self.node, self.bodies = Node(), []
        self.folder = folder
        self._servers = [self._serve(self._node_handler()), self._serve(self._hook_handler())]
        node, hook = (server.server_address[1] for server in self._servers)
        self.instance = f"127.0.0.1:{node}"
        self.port, self.alerts = free_port(), free_port()
        (folder / "token").write_text("secret")
        self._write("alertmanager.yml", self._alertmanager(hook))
        self._write("prometheus.yml", self._prometheus())
        shutil.copy(FOLDER / "rules.yml", folder / "rules.yml")
        self._processes = [
            self._start(
                "prometheus-alertmanager",
                "--cluster.listen-address=",
                f"--storage.path={folder}/am",
                f"--web.listen-address=127.0.0.1:{self.alerts}",
            ),
            self._start(
                "prometheus",
                f"--storage.tsdb.path={folder}/db",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--query.lookback-delta=10s",
            ),
        ]

    def _prometheus(self):
        config = yaml.safe_load(text_of("extensions/monitoring/prometheus.yml"))
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{self.alerts}"]
        config["scrape_configs"][0]["static_configs"] = [{"targets": [self.instance], "labels": {"host": HOST}}]
        return config

    def _alertmanager(self, hook):
        config = yaml.safe_load(text_of("extensions/monitoring/alertmanager.yml"))
        config["route"]["routes"][0].update(group_wait="1s", group_interval="1s")
        (receiver,) = [one for one in config["receivers"] if "webhook_configs" in one]
        receiver["webhook_configs"][0]["url"] = f"http://127.0.0.1:{hook}/alerts"
        receiver["webhook_configs"][0]["http_config"]["authorization"]["credentials_file"] = str(self.folder / "token")
        return config

    def _write(self, name, config):
        (self.folder / name).write_text(yaml.safe_dump(config), encoding="utf-8")

    def _start(self, program, *options):
        name = "alertmanager" if "alert" in program else program
        log = (self.folder / f"{name}.log").open("w")
        return subprocess.Popen(
            [PROGRAMS[program], f"--config.file={self.folder / name}.yml", *options],
            cwd=self.folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    @staticmethod
    def _serve(handler):
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def _node_handler(self):
        node = self.node

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body = node.text().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_rest):
                pass

        return Handler

    def _hook_handler(self):
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                bodies.append((self.headers.get("Authorization"), body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_rest):
                pass

        return Handler

    def query(self, text):
        """Return the result of a query now."""
        return self._ask("query", query=text)["result"]

    def firing(self) -> set[str]:
        """Return the names of alerts that fire."""
        return {one["metric"]["alertname"] for one in self.query('ALERTS{alertstate="firing"}')}

    def _ask(self, path, **arguments):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{arguments}: {error.read().decode()}") from None

    def ready(self) -> bool:
        """Whether Prometheus has scraped the node some times, so that rates exist."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=20):
                pass
        except OSError:  # also while it starts: 503
            return False
        return len(self.query("rate(realtime_kvm_smi_total[1m]) > 0 and instance:realtime_kvm_smi:rate5m")) == 1

    def close(self) -> None:
        """End everything."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(timeout=30)
        for server in self._servers:
            server.shutdown()
            server.server_close()
