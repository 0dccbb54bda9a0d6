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
import copy
import datetime
import hashlib
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

USER, PASSWORD = "operator", "S3cret-of-the-BMC!"


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


class Machine:
    """One BMC: a tree of documents, and what a BIOS does with them."""

    def __init__(self, tree: dict[str, dict]) -> None:
        self.tree = {self.key(path): copy.deepcopy(document) for path, document in tree.items()}
        self.lock = threading.Lock()
        self.requests: list[tuple[str, str]] = []
        self.patches: list[dict] = []
        self.resets = 0
        # what goes wrong on request
        self.password = PASSWORD
        self.delay = 0.0
        self.busy = 0  # so many answers 503
        self.retry_after = "1"
        self.truncate: set[str] = set()
        self.html: set[str] = set()
        self.refuse: dict[str, str] = {}  # attribute: why; the whole PATCH is refused
        self.refuse_partly: dict[str, str] = {}  # the others are taken
        self.ignore: set[str] = set()  # taken, but not applied at the reset
        self.only_sparse = False  # pending settings: only what differs (iDRAC), or everything
        self.etags = True
        self.redirect = ""

    @staticmethod
    def key(path: str) -> str:
        return path.split("?")[0].rstrip("/").lower()

    def get(self, path: str) -> dict | None:
        return self.tree.get(self.key(path))

    def find(self, suffix: str) -> dict:
        return next(document for path, document in sorted(self.tree.items()) if path.endswith(suffix.lower()))

    # -- the BIOS ----------------------------------------------------------------------------------

    @property
    def bios(self) -> dict:
        path = next(
            document["Bios"]["@odata.id"]
            for path, document in sorted(self.tree.items())
            if "/systems/" in path and isinstance(document.get("Bios"), dict)
        )
        return self.get(path)

    @property
    def settings_path(self) -> str:
        return self.key(self.bios["@Redfish.Settings"]["SettingsObject"]["@odata.id"])

    @property
    def pending(self) -> dict:
        found = self.tree[self.settings_path].get("Attributes") or {}
        current = self.bios["Attributes"]
        return {name: value for name, value in found.items() if current.get(name) != value}

    def stage(self, **values) -> None:
        """Stage settings as another user."""
        document = self.tree[self.settings_path]
        document["Attributes"] = {**(document.get("Attributes") or {}), **values}

    def registry(self) -> dict | None:
        """The registry's entries; None where it is not about this BIOS (as in sushy's samples)."""
        entries = next((document["RegistryEntries"] for document in self.tree.values() if "RegistryEntries" in document), None)
        known = {one["AttributeName"] for one in entries["Attributes"]} if entries else set()
        return entries if known & set(self.bios["Attributes"]) else None

    def _held(self, dependency: dict, values: dict) -> bool:
        results = []
        for source in dependency["MapFrom"]:
            known = source["MapFromAttribute"] in values
            equal = known and str(values[source["MapFromAttribute"]]) == str(source.get("MapFromValue"))
            results.append((known and not equal) if source["MapFromCondition"] == "NEQ" else equal)
        terms = {source.get("MapTerms") for source in dependency["MapFrom"]}
        return all(results) if "AND" in terms else any(results)

    def _maps(self, prop: str) -> list[dict]:
        entries = (self.registry() or {}).get("Dependencies") or []
        return [entry["Dependency"] for entry in entries if entry["Dependency"]["MapToProperty"] == prop]

    def read_only(self, name: str) -> bool:
        entry = next(one for one in self.registry()["Attributes"] if one["AttributeName"] == name)
        rules = [rule for rule in self._maps("ReadOnly") if rule["MapToAttribute"] == name]
        if rules:
            return any(self._held(rule, self.bios["Attributes"]) for rule in rules)
        return bool(entry.get("ReadOnly"))

    def objection(self, name: str, value: object) -> str:
        """Why a value cannot be staged; empty if it can."""
        if name in self.refuse:
            return self.refuse[name]
        registry = self.registry()
        if name not in self.bios["Attributes"]:
            return f"The property {name} is not in the list of valid properties."
        if registry is None:
            return ""
        entry = next((one for one in registry["Attributes"] if one["AttributeName"] == name), None)
        if entry is None:
            return f"The property {name} is not in the registry."
        if self.read_only(name):
            return f"The property {name} is a read only property and cannot be assigned a value."
        if entry["Type"] == "Enumeration" and value not in [one["ValueName"] for one in entry["Value"]]:
            return f"The value {value} for the property {name} is not in the list of acceptable values."
        if entry["Type"] == "Integer" and (not isinstance(value, int) or isinstance(value, bool)):
            return f"The value {value} for the property {name} is of a different type."
        return ""

    def patch(self, body: dict) -> tuple[int, dict]:
        self.patches.append(copy.deepcopy(body))
        allowed = self.bios["@Redfish.Settings"].get("SupportedApplyTimes")
        time_ = (body.get("@Redfish.SettingsApplyTime") or {}).get("ApplyTime")
        if allowed and time_ not in allowed:
            return 400, _error("The apply time is missing or not supported.", [])
        values = body["Attributes"]
        errors = [(name, self.objection(name, value)) for name, value in values.items()]
        errors = [(name, text) for name, text in errors if text]
        if errors:
            return 400, _errors(errors)
        self.stage(**{name: value for name, value in values.items() if name not in self.refuse_partly})
        if self.refuse_partly:
            told = [(name, self.refuse_partly[name]) for name in values if self.refuse_partly.get(name)]
            return 200, _errors(told) if told else {}
        return 200, _error("The request completed successfully.", [])

    def reset(self) -> None:
        """The machine goes through its BIOS: what was pending becomes current, and the registry's rules act."""
        self.resets += 1
        values, pending = self.bios["Attributes"], self.pending
        changed = set()
        for name, value in pending.items():
            if name not in self.ignore:
                values[name] = value
                changed.add(name)
        for _round in range(5):
            for rule in self._maps("CurrentValue"):
                sources = {source["MapFromAttribute"] for source in rule["MapFrom"]}
                target = rule["MapToAttribute"]
                if sources & changed and target in values and self._held(rule, values) and values[target] != rule["MapToValue"]:
                    values[target] = rule["MapToValue"]
                    changed.add(target)
        document = self.tree[self.settings_path]
        if self.only_sparse:
            document.pop("Attributes", None)
        else:
            document["Attributes"] = dict(values)
        lost = sorted(set(pending) & self.ignore)
        if lost:
            self.bios["@Redfish.Settings"]["Messages"] = [
                {"Message": f"The BIOS did not apply {name}.", "RelatedProperties": [f"#/Attributes/{name}"]} for name in lost
            ]


def _error(text: str, names: list[str]) -> dict:
    return _errors([(name, text) for name in names] or [("", text)])


def _errors(errors: list[tuple[str, str]]) -> dict:
    entries = [
        {"MessageId": "Base.1.8", "Message": text, "RelatedProperties": [f"#/Attributes/{name}"] if name else []}
        for name, text in errors
    ]
    return {"error": {"code": "Base.1.8.GeneralError", "message": "See ExtendedInfo.", "@Message.ExtendedInfo": entries}}


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    machine: Machine

    def log_message(self, *_arguments: object) -> None:
        pass

    def setup(self) -> None:
        # the handshake is the connection's own business, not that of the thread that accepts
        self.request.do_handshake()
        super().setup()

    def _send(self, code: int, content: bytes, headers: dict[str, str], cut: bool = False) -> None:
        self.send_response(code)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
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
            self._json(401, _error(f"The credentials {self.headers.get('Authorization')} are wrong.", []))
        elif machine.redirect:
            self._send(302, b"", {"Location": machine.redirect})
        elif machine.busy > 0:
            machine.busy -= 1
            self._json(
                503, _error("The service is starting.", []), {"Retry-After": machine.retry_after} if machine.retry_after else {}
            )
        elif path in machine.html:
            self._send(200, b"<html><body>Please log in</body></html>", {"Content-Type": "text/html"})
        else:
            return True
        return False

    def _etag(self, document: dict) -> str:
        return '"' + hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:12] + '"'

    def do_GET(self) -> None:
        if not self._common("GET"):
            return
        document = self.machine.get(self.path)
        if document is None:
            self._json(404, _error("The resource was not found.", []))
            return
        headers = {"ETag": self._etag(document)} if self.machine.etags else {}
        self._json(200, document, headers, self.machine.key(self.path) in self.machine.truncate)

    def do_PATCH(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._common("PATCH"):
            return
        machine = self.machine
        with machine.lock:
            if machine.key(self.path) != machine.settings_path:
                self._json(405, _error("Only the settings object can be changed.", []))
                return
            if machine.etags and self.headers.get("If-Match") != self._etag(machine.get(self.path)):
                self._json(412 if self.headers.get("If-Match") else 428, _error("The ETag does not match.", []))
                return
            self._json(*machine.patch(body))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self._common("POST"):
            return
        if self.path.endswith("ComputerSystem.Reset"):
            self.machine.reset()
            self._send(204, b"", {})
        else:
            self._json(404, _error("The action was not found.", []))


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
