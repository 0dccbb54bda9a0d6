# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for BMCs, which cannot be here: serves captured Redfish trees over HTTPS and behaves like one.

It keeps pending settings, ETags and apply times, refuses what the captured registry refuses (unknown attributes and values,
attributes that are read-only under the current values), applies what is pending at a reset, and then what the registry's
dependencies map to other attributes. It has its own reading of the registry, so that the code under test is not its own judge.
What it cannot show is whether a real BIOS of that vendor behaves as its registry says.

Run by hand: python tests/bmc/replay.py DIRECTORY (a tree with path/index.json) [--delay SECONDS]
"""

from __future__ import annotations

import argparse
import base64
import datetime
import gzip
import http.server
import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

try:
    from .machine import PASSWORD, USER, Machine, error_of
except ImportError:  # started by hand
    from machine import PASSWORD, USER, Machine, error_of

__all__ = ["PASSWORD", "USER", "Bmc", "Machine", "make_certificate", "read_tree"]


def make_certificate(folder: Path, *, days: int = 1, addresses: Iterable[str] = ("127.0.0.1",)) -> Path:
    """Write a self-signed certificate and its key to one file; ``days`` below 0 for one that has expired."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bmc.example")])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = [x509.IPAddress(ipaddress.ip_address(one)) for one in addresses]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"bmc{days}.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    machine: Machine

    def log_message(self, *_arguments: object) -> None:
        pass

    def setup(self) -> None:
        # the handshake is the connection's own business, not that of the thread that accepts
        self.request.do_handshake()
        super().setup()

    def _send(self, code: int, content: bytes, headers: dict[str, str | list[str]], cut: bool = False) -> None:
        self.send_response(code)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            for one in value if isinstance(value, list) else [value]:
                self.send_header(name, one)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection = True

    def _json(self, code: int, body: object, headers: dict[str, str] | None = None, cut: bool = False) -> None:
        self._send(code, json.dumps(body).encode(), headers or {}, cut)

    def _common(self, method: str) -> bool:
        """Answer what every request may get; false if that was it."""
        machine, path = self.machine, self.machine.key(self.path)
        machine.requests.append((method, path))
        if machine.delay:
            time.sleep(machine.delay)
        known = base64.b64encode(f"{USER}:{machine.password}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {known}":
            # as careless as an error page can be: it quotes what it was sent
            self._json(401, error_of(f"The credentials {self.headers.get('Authorization')} are wrong.", []))
        elif machine.redirect:
            self._send(302, b"", {"Location": machine.redirect})
        elif machine.busy > 0:
            machine.busy -= 1
            self._json(
                503, error_of("The service is starting.", []), {"Retry-After": machine.retry_after} if machine.retry_after else {}
            )
        elif path in machine.html:
            self._send(200, b"<html><body>Please log in</body></html>", {"Content-Type": "text/html"})
        else:
            return True
        return False

    def do_GET(self) -> None:
        if not self._common("GET"):
            return
        machine, path = self.machine, self.machine.key(self.path)
        document = machine.get(self.path)
        if document is None or (machine.hidden_settings and path == machine.settings_path and not machine.pending):
            self._json(404, error_of("The resource was not found.", []))
            return
        header, field = machine.etags.given(machine.tag(document))
        if field is not None:
            document = {**document, "@odata.etag": field}
        headers = {"ETag": header} if header else {}
        if path in machine.no_identity:
            if "gzip" not in self.headers.get("Accept-Encoding", ""):
                self._json(406, error_of("The encoding is not acceptable.", []))
                return
            self._send(200, gzip.compress(json.dumps(document).encode()), {**headers, "Content-Encoding": "gzip"})
            return
        self._json(200, document, headers, path in machine.truncate)

    def do_PATCH(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._common("PATCH"):
            return
        machine = self.machine
        with machine.lock:
            if machine.key(self.path) != machine.settings_path:
                self._json(405, error_of("Only the settings object can be changed.", []))
                return
            sent = self.headers.get_all("If-Match") or []
            machine.matches.append(sent[0] if sent else None)
            code = machine.etags.verdict(
                sent[0] if len(sent) == 1 else None, machine.tag(machine.tree.get(machine.settings_path, {}))
            )
            self._json(*((code, error_of("The ETag does not match.", [])) if code else machine.patch(body)))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self._common("POST"):
            return
        if self.path.endswith("ComputerSystem.Reset"):
            self.machine.reset()
            self._send(204, b"", {})
        else:
            self._json(404, error_of("The action was not found.", []))


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_arguments: object) -> None:
        """A client that does not trust the certificate hangs up; that is part of the tests."""


class Bmc:
    """A running stand-in."""

    def __init__(self, tree: dict[str, dict], certificate: Path, host: str = "127.0.0.1", port: int = 0) -> None:
        self.machine = Machine(tree)
        handler = type("Handler", (_Handler,), {"machine": self.machine})
        self.server = _Server((host, port), handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.certificate = certificate
        self.port = self.server.server_address[1]
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def read_tree(folder: Path) -> dict[str, dict]:
    """Read a directory of path/index.json; some BMCs' trees begin below redfish/v1."""
    tree = {}
    for path in sorted(folder.rglob("index.json")):
        name = "/" + path.parent.relative_to(folder).as_posix()
        if not name.startswith("/redfish"):
            name = "/redfish/v1" + ("" if name == "/." else name)
        try:
            tree[name] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
    return tree


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--port", type=int, default=8443)
    parser.add_argument("--folder", type=Path, default=Path("."), help="where certificate and address are written")
    options = parser.parse_args()
    addresses = ["127.0.0.1", *(f"127.0.1.{number}" for number in range(1, 255))]
    bmc = Bmc(read_tree(options.tree), make_certificate(options.folder, addresses=addresses), "0.0.0.0", options.port)
    bmc.machine.delay = options.delay
    (options.folder / "address").write_text(bmc.address)
    print(f"https://{bmc.address}, user {USER}, certificate {bmc.certificate}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
