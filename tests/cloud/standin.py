# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for keystone, nova, neutron and placement: a small HTTP server that keeps what it is told in memory.

It is no OpenStack. It answers the calls that this collection and openstack.cloud's modules make, in the forms of the API references, and refuses what
the tests need to be refused. ``Cloud.faults`` maps a call (``"POST /compute/v2.1/flavors"``) to an answer that is given instead.
Alone: ``python tests/cloud/standin.py --port 0 --folder FOLDER`` writes its address to FOLDER/address, for molecule.
"""

from __future__ import annotations

import argparse
import json
import re
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

USER, PASSWORD, TOKEN = "operator", "S3cret-of-the-cloud!", "gAAAAtoken-of-the-cloud"
#: The id of the operator's project.
PROJECT = "p"


class Cloud:
    """What the cloud has, and how it misbehaves."""

    def __init__(self) -> None:
        self.traits: list[str] = ["COMPUTE_NODE"]
        self.flavors: dict[str, dict[str, Any]] = {}
        self.access: dict[str, list[str]] = {}  # flavor to projects
        self.aggregates: dict[int, dict[str, Any]] = {}
        self.networks: dict[str, dict[str, Any]] = {}
        self.ports: dict[str, dict[str, Any]] = {}
        self.policies: dict[str, dict[str, Any]] = {}
        self.services: list[dict[str, Any]] = []
        self.hypervisors: list[dict[str, Any]] = []
        self.providers: dict[str, dict[str, Any]] = {}
        self.extensions = ["qos", "ip_allocation", "port-security", "port-resource-request", "security-group"]
        self.microversion = "2.100"
        self.faults: dict[str, tuple[int, Any]] = {}
        self.slow: dict[str, float] = {}
        self.calls: list[str] = []
        for binary in ("nova-scheduler", "nova-conductor"):
            self.services.append({"binary": binary, "host": "control", "state": "up", "status": "enabled", "zone": "internal"})

    def add_compute(
        self, host: str, pcpu: int, vcpu: int, traits: tuple[str, ...] = (), bridges: dict[str, int] | None = None
    ) -> None:
        """Add a compute node with its inventories."""
        identity = str(uuid.uuid5(uuid.NAMESPACE_DNS, host))
        self.services.append({"binary": "nova-compute", "host": host, "state": "up", "status": "enabled", "zone": "nova"})
        self.hypervisors.append({"id": identity, "hypervisor_hostname": host, "service": {"host": host}, "state": "up"})
        self.providers[identity] = {
            "uuid": identity, "name": host, "root": identity, "traits": list(traits),
            "inventories": {"PCPU": _inventory(pcpu), "VCPU": _inventory(vcpu, 4.0), "MEMORY_MB": _inventory(4096, 1.0)},
        }  # fmt: skip
        for bridge, kbps in (bridges or {}).items():
            child = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{host}/{bridge}"))
            self.providers[child] = {
                "uuid": child, "name": f"{host}:Open vSwitch agent:{bridge}", "root": identity, "traits": [],
                "inventories": {"NET_BW_EGR_KILOBIT_PER_SEC": _inventory(kbps)},
            }  # fmt: skip


def _inventory(total: int, ratio: float = 1.0) -> dict[str, Any]:
    return {"total": total, "reserved": 0, "min_unit": 1, "max_unit": total, "step_size": 1, "allocation_ratio": ratio}


class AnswerError(Exception):
    """An answer that ends the call."""

    def __init__(self, status: int, body: Any = None) -> None:
        super().__init__(status)
        self.status, self.body = status, body


def _new_id() -> str:
    return str(uuid.uuid4())


def identity(cloud: Cloud, base: str, method: str, path: str, query: dict[str, str], body: Any) -> Any:
    """Keystone."""
    version = {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": f"{base}/identity/v3/"}], "media-types": []}
    if method == "GET" and path in ("", "/"):
        raise AnswerError(300, {"versions": {"values": [version]}})
    if method == "GET" and path.rstrip("/") == "/v3":
        return {"version": version}
    if method == "POST" and path == "/v3/auth/tokens":
        given = body["auth"]["identity"].get("password", {}).get("user", {})
        if given.get("name") != USER or given.get("password") != PASSWORD:
            raise AnswerError(
                401,
                {
                    "error": {
                        "code": 401,
                        "title": "Unauthorized",
                        "message": "The request you have made requires authentication.",
                    }
                },
            )
        catalog = [
            {"type": kind, "name": name, "id": name, "endpoints": [
                {"interface": side, "region": "RegionOne", "region_id": "RegionOne", "url": base + url, "id": f"{name}-{side}"}
                for side in ("public", "internal", "admin")
            ]}
            for kind, name, url in (
                ("identity", "keystone", "/identity"), ("compute", "nova", "/compute/v2.1"),
                ("network", "neutron", "/network"), ("placement", "placement", "/placement"),
            )
        ]  # fmt: skip
        token = {
            "methods": ["password"], "expires_at": "2099-01-01T00:00:00.000000Z", "issued_at": "2026-01-01T00:00:00.000000Z",
            "user": {"id": "u", "name": USER, "domain": {"id": "default", "name": "Default"}},
            "project": {"id": PROJECT, "name": "admin", "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": "r", "name": "admin"}], "catalog": catalog,
        }  # fmt: skip
        raise AnswerError(201, {"token": token})
    raise AnswerError(404, {"error": {"code": 404, "message": "no such thing in identity"}})


def compute(cloud: Cloud, base: str, method: str, path: str, query: dict[str, str], body: Any) -> Any:
    """Nova."""
    version = {
        "id": "v2.1", "status": "CURRENT", "version": cloud.microversion, "min_version": "2.1", "updated": "2013-07-23T11:33:21Z",
        "links": [{"rel": "self", "href": f"{base}/compute/v2.1/"}], "media-types": [],
    }  # fmt: skip
    if path in ("", "/"):
        return {"versions": [version]}
    path = path.removeprefix("/v2.1")
    if path in ("", "/"):
        return {"version": version}
    if path == "/os-services":
        return {"services": [{**service, "id": _new_id()} for service in cloud.services]}
    if path == "/os-hypervisors/detail":
        return {"hypervisors": cloud.hypervisors}
    if path.startswith("/flavors"):
        return _flavors(cloud, method, path, query, body)
    if path.startswith("/os-aggregates"):
        return _aggregates(cloud, method, path, body)
    raise AnswerError(404, {"itemNotFound": {"code": 404, "message": f"{path} could not be found."}})


def _flavors(cloud: Cloud, method: str, path: str, query: dict[str, str], body: Any) -> Any:
    parts = path.strip("/").split("/")
    if method == "GET" and path in ("/flavors", "/flavors/detail"):
        return {"flavors": [] if query.get("marker") else list(cloud.flavors.values())}
    if method == "POST" and len(parts) == 1:
        return _new_flavor(cloud, body["flavor"])
    flavor = cloud.flavors.get(parts[1])
    if flavor is None:
        raise AnswerError(404, {"itemNotFound": {"code": 404, "message": f"Flavor {parts[1]} could not be found."}})
    if len(parts) == 2:
        if method == "DELETE":
            del cloud.flavors[parts[1]]
            cloud.access.pop(parts[1], None)
            raise AnswerError(202)
        if method == "PUT":
            flavor["description"] = body["flavor"]["description"]
        return {"flavor": flavor}
    if parts[2] in ("os-flavor-access", "action"):
        return _access(cloud, parts[1], body)
    if method == "POST":
        for name in body["extra_specs"]:
            if name.startswith("hw:") and "polcy" in name:
                raise AnswerError(
                    400,
                    {
                        "badRequest": {
                            "code": 400,
                            "message": f"Validation failed; extra spec '{name}' does not appear to be valid",
                        }
                    },
                )
        flavor["extra_specs"].update(body["extra_specs"])
    if method == "DELETE":
        flavor["extra_specs"].pop(parts[3], None)
    return {"extra_specs": flavor["extra_specs"]}


def _access(cloud: Cloud, flavor: str, body: Any) -> Any:
    if body:
        cloud.access.setdefault(flavor, []).append(body["addTenantAccess"]["tenant"])
    return {"flavor_access": [{"flavor_id": flavor, "tenant_id": project} for project in cloud.access.get(flavor, [])]}


def _new_flavor(cloud: Cloud, given: dict[str, Any]) -> Any:
    if any(flavor["name"] == given["name"] for flavor in cloud.flavors.values()):
        raise AnswerError(
            409, {"conflictingRequest": {"code": 409, "message": f"Flavor with name {given['name']} already exists."}}
        )
    made = {
        "id": given.get("id") or _new_id(), "name": given["name"], "vcpus": given["vcpus"], "ram": given["ram"], "disk": given["disk"],
        "swap": given.get("swap", 0), "OS-FLV-EXT-DATA:ephemeral": given.get("OS-FLV-EXT-DATA:ephemeral", 0),
        "OS-FLV-DISABLED:disabled": False, "rxtx_factor": given.get("rxtx_factor", 1.0),
        "os-flavor-access:is_public": given.get("os-flavor-access:is_public", True),
        "description": given.get("description"), "extra_specs": {}, "links": [],
    }  # fmt: skip
    cloud.flavors[made["id"]] = made
    return {"flavor": made}


def _aggregates(cloud: Cloud, method: str, path: str, body: Any) -> Any:
    parts = path.strip("/").split("/")
    if len(parts) == 1:
        if method == "GET":
            return {"aggregates": list(cloud.aggregates.values())}
        number = max(cloud.aggregates, default=0) + 1
        cloud.aggregates[number] = {
            "id": number, "name": body["aggregate"]["name"], "availability_zone": None, "hosts": [], "metadata": {}, "uuid": _new_id(),
            "created_at": "2026-01-01T00:00:00.000000", "updated_at": None, "deleted": False, "deleted_at": None,
        }  # fmt: skip
        return {"aggregate": cloud.aggregates[number]}
    found = next((item for item in cloud.aggregates.values() if parts[1] in (str(item["id"]), item["name"])), None)
    if found is None:
        raise AnswerError(404, {"itemNotFound": {"code": 404, "message": f"Aggregate {parts[1]} could not be found."}})
    if method == "DELETE":
        if found["hosts"]:
            raise AnswerError(400, {"badRequest": {"code": 400, "message": "Host aggregate is not empty"}})
        del cloud.aggregates[found["id"]]
        raise AnswerError(200)
    if method == "POST":
        ((action, given),) = body.items()
        if action == "add_host":
            found["hosts"].append(given["host"])
        elif action == "remove_host":
            found["hosts"].remove(given["host"])
        else:
            for name, value in given["metadata"].items():
                if value is None:
                    found["metadata"].pop(name, None)
                else:
                    found["metadata"][name] = value
    return {"aggregate": found}


def placement(cloud: Cloud, base: str, method: str, path: str, query: dict[str, str], body: Any) -> Any:
    """Placement."""
    if path in ("", "/"):
        version = {
            "id": "v1.0",
            "status": "CURRENT",
            "max_version": "1.39",
            "min_version": "1.0",
            "links": [{"rel": "self", "href": ""}],
        }
        return {"versions": [version]}
    if path.startswith("/traits"):
        return _traits(cloud, method, path, query)
    if path == "/resource_providers":
        found = [item for item in cloud.providers.values() if query.get("in_tree") in (None, item["root"])]
        return {
            "resource_providers": [{"uuid": item["uuid"], "name": item["name"], "generation": 1, "links": []} for item in found]
        }
    parts = path.strip("/").split("/")
    provider = cloud.providers.get(parts[1]) if len(parts) == 3 else None
    if provider is None:
        raise AnswerError(404, {"errors": [{"status": 404, "title": "Not Found", "detail": f"No resource provider {parts[-1]}"}]})
    return {parts[2]: provider[parts[2]], "resource_provider_generation": 1}


def _traits(cloud: Cloud, method: str, path: str, query: dict[str, str]) -> Any:
    name = path.removeprefix("/traits").strip("/")
    if not name:
        start = query.get("name", "").removeprefix("startswith:")
        return {"traits": [trait for trait in cloud.traits if trait.startswith(start)]}
    if method == "PUT":
        status = 204 if name in cloud.traits else 201
        cloud.traits += [] if name in cloud.traits else [name]
        raise AnswerError(status)
    if name not in cloud.traits:
        raise AnswerError(404, {"errors": [{"status": 404, "title": "Not Found", "detail": f"No such trait: {name}"}]})
    if method == "DELETE":
        cloud.traits.remove(name)
    raise AnswerError(204)


def network(cloud: Cloud, base: str, method: str, path: str, query: dict[str, str], body: Any) -> Any:
    """Neutron."""
    if path in ("", "/"):
        return {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [{"rel": "self", "href": f"{base}/network/v2.0/"}]}]}
    path = path.removeprefix("/v2.0")
    if path in ("", "/"):
        return {"resources": []}
    if path == "/extensions":
        return {"extensions": [{"alias": alias, "name": alias} for alias in cloud.extensions]}
    if path.startswith("/extensions/"):
        raise AnswerError(404, {"NeutronError": {"type": "ExtensionNotFound", "message": "Extension not found", "detail": ""}})
    if path.startswith("/qos/policies"):
        return _policies(cloud, method, path, body)
    kind = path.strip("/").split("/")[0]
    if kind not in ("networks", "ports"):
        raise AnswerError(404, {"NeutronError": {"type": "HTTPNotFound", "message": f"no {kind}", "detail": ""}})
    return _things(cloud, kind, method, path, query, body)


def _things(cloud: Cloud, kind: str, method: str, path: str, query: dict[str, str], body: Any) -> Any:
    store, one = (cloud.networks, "network") if kind == "networks" else (cloud.ports, "port")
    parts = path.strip("/").split("/")
    if "security_groups" in (body or {}).get(one, {}) and "security-group" not in cloud.extensions:
        raise AnswerError(
            400,
            {"NeutronError": {"type": "HTTPBadRequest", "message": "Unrecognized attribute(s) 'security_groups'", "detail": ""}},
        )
    if len(parts) == 1:
        if method == "GET":
            keys = [key for key in query if key in ("name", "network_id", "id")]
            return {kind: [item for item in store.values() if all(item.get(key) == query[key] for key in keys)]}
        given = body[one]
        made = {
            "id": _new_id(),
            "name": given["name"],
            "project_id": PROJECT,
            "qos_policy_id": None,
            "port_security_enabled": True,
            **given,
        }
        if kind == "networks":
            made = {
                "mtu": 1500,
                "shared": False,
                "subnets": [],
                "provider:segmentation_id": None,
                "router:external": False,
                **made,
            }
        else:
            groups = {"security_groups": []} if "security-group" in cloud.extensions else {}
            made = {"mac_address": "fa:16:3e:00:00:01", "device_id": "", **groups, **made}
            made["ip_allocation"] = "none" if given.get("fixed_ips") == [] else "immediate"
            made.setdefault("fixed_ips", [{"ip_address": "192.0.2.5", "subnet_id": "s"}])
        store[made["id"]] = made
        raise AnswerError(201, {one: made})
    item = store.get(parts[1])
    if item is None:
        kind_name = "NetworkNotFound" if one == "network" else "PortNotFound"
        raise AnswerError(
            404, {"NeutronError": {"type": kind_name, "message": f"{one} {parts[1]} could not be found.", "detail": ""}}
        )
    if method == "DELETE":
        if kind == "networks" and any(port["network_id"] == item["id"] for port in cloud.ports.values()):
            raise AnswerError(
                409,
                {
                    "NeutronError": {
                        "type": "NetworkInUse",
                        "message": f"Unable to complete operation on network {item['id']}. There are one or more ports still in use on the network.",
                        "detail": "",
                    }
                },
            )
        del store[item["id"]]
        raise AnswerError(204)
    if method == "PUT" and parts[2:] == ["tags"]:
        item["tags"] = body["tags"]
        return body
    if method == "PUT":
        item.update(body[one])
    return {one: item}


def _policies(cloud: Cloud, method: str, path: str, body: Any) -> Any:
    parts = path.strip("/").split("/")[2:]
    if not parts:
        if method == "GET":
            return {"policies": list(cloud.policies.values())}
        made = {"id": _new_id(), "project_id": PROJECT, "shared": False, "rules": [], **body["policy"]}
        cloud.policies[made["id"]] = made
        raise AnswerError(201, {"policy": made})
    policy = cloud.policies.get(parts[0])
    if policy is None:
        raise AnswerError(404, {"NeutronError": {"type": "QosPolicyNotFound", "message": "QoS policy not found", "detail": ""}})
    if len(parts) == 1:
        if method == "DELETE":
            if any(item["qos_policy_id"] == policy["id"] for item in [*cloud.networks.values(), *cloud.ports.values()]):
                raise AnswerError(
                    409,
                    {"NeutronError": {"type": "QosPolicyInUse", "message": f"QoS Policy {policy['id']} is used.", "detail": ""}},
                )
            del cloud.policies[policy["id"]]
            raise AnswerError(204)
        policy.update((body or {}).get("policy", {}))
        return {"policy": policy}
    if method == "POST":
        policy["rules"].append({"id": _new_id(), "type": "minimum_bandwidth", **body["minimum_bandwidth_rule"]})
        raise AnswerError(201, {"minimum_bandwidth_rule": policy["rules"][-1]})
    rule = next(rule for rule in policy["rules"] if rule["id"] == parts[2])
    rule.update((body or {}).get("minimum_bandwidth_rule", {}))
    return {"minimum_bandwidth_rule": rule}


SERVICES = {"identity": identity, "compute": compute, "placement": placement, "network": network}


class Handler(BaseHTTPRequestHandler):
    """One call."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the terminal clean."""

    def answer(self) -> None:
        """AnswerError any method."""
        cloud, parts = self.server.cloud, urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        text = self.rfile.read(length)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        call = f"{self.command} {parts.path}"
        with self.server.lock:
            cloud.calls.append(call)
        time.sleep(next((wait for pattern, wait in cloud.slow.items() if re.fullmatch(pattern, call)), 0))
        try:
            if fault := next((answer for pattern, answer in cloud.faults.items() if re.fullmatch(pattern, call)), None):
                raise AnswerError(*fault)
            if call == "GET /made":  # for tests in another process
                raise AnswerError(200, {"traits": cloud.traits, "flavors": list(cloud.flavors.values()), "calls": cloud.calls})
            service, _slash, rest = parts.path.strip("/").partition("/")
            if service not in SERVICES:
                raise AnswerError(404, {"error": {"message": "no such service", "code": 404}})
            path = f"/{rest}" if rest else ""
            if (
                service != "identity"
                and rest.strip("/") not in ("", "v2.1", "v2.0")
                and self.headers.get("X-Auth-Token") != TOKEN
            ):
                raise AnswerError(401, {"error": {"message": "The request you have made requires authentication.", "code": 401}})
            with self.server.lock:
                body = SERVICES[service](cloud, self.server.base, self.command, path, query, json.loads(text) if text else None)
            self.reply(200, body)
        except AnswerError as answer:
            self.reply(answer.status, answer.body)

    def reply(self, status: int, body: Any) -> None:
        """Send an answer; text is sent as a page."""
        kind, data = ("text/html", body.encode()) if isinstance(body, str) else ("application/json", json.dumps(body).encode())
        if body is None or status == 204:
            data = b""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Subject-Token", TOKEN)
        self.send_header("OpenStack-API-Version", "compute 2.61")
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815


class Server(ThreadingHTTPServer):
    """The stand-in, listening on this machine only."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.cloud, self.lock = Cloud(), threading.RLock()
        self.base = f"http://127.0.0.1:{self.server_address[1]}"

    def start(self) -> None:
        """AnswerError in the background."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


def main() -> None:
    """Run until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    server = Server(options.port)
    (options.folder / "address").write_text(server.base)
    server.serve_forever()


if __name__ == "__main__":
    main()
