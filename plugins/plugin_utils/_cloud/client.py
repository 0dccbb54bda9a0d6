# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge to a cloud's API, by openstacksdk: who it is, what it has, and single calls."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import AnswerError, decode, plain, reason_of

from .answers import failure, hide, refusal, secrets_of, words_of
from .changes import NO_ADDRESSES, PORT_SECURITY, QOS, SCHEDULED, Current
from .errors import CloudError
from .networking import Networking
from .placement import Provider
from .wanted import Wanted

try:
    import openstack

    HAS_SDK = True
except ImportError:
    HAS_SDK = False

MISSING = (
    "the Python library openstacksdk is not there for the Python that runs Ansible; it speaks to the cloud. Install it beside ansible-core: "
    "pip install 'openstacksdk<4.15', which openstack.cloud 2.5.0 needs (or the distribution's python3-openstacksdk)"
)
#: Oldest microversions that have what is read: extra specs in the list of flavors; UUIDs of hypervisors since 2.53; trees of providers 1.14.
COMPUTE, PLACEMENT = "2.61", "1.14"
#: The call before the first one, in messages.
_CONFIGURATION = "the configuration"
#: The most bytes of an answer, and the most pages of a list.
_MOST, _MOST_PAGES = 8 << 20, 200


@dataclass(frozen=True)
class Access:
    """How the cloud is reached, as the role's variables say it; empty: clouds.yaml and the environment decide."""

    name: str = ""
    auth: Mapping[str, Any] | None = None
    auth_type: str = ""
    region: str = ""
    interface: str = "public"
    validate_certs: bool = True
    ca_cert: str = ""
    timeout: int = 60

    @property
    def shown(self) -> str:
        """The cloud's name in messages."""
        return (
            self.name
            or os.environ.get("OS_CLOUD", "")
            or hide(str((self.auth or {}).get("auth_url") or os.environ.get("OS_AUTH_URL", "")), secrets_of(self.auth or {}))
            or "?"
        )

    def module_arguments(self) -> dict[str, Any]:
        """Return what a module of openstack.cloud takes."""
        given = {
            "cloud": self.name,
            "auth": dict(self.auth or {}),
            "auth_type": self.auth_type,
            "region_name": self.region,
            "ca_cert": self.ca_cert,
        }
        found: dict[str, Any] = {key: value for key, value in given.items() if value}
        found.update(interface=self.interface, api_timeout=self.timeout)
        if not self.validate_certs:
            found["validate_certs"] = False
        return found


class Cloud:
    """One session with a cloud. Every method raises ``CloudError`` with cloud, call and what would work."""

    def __init__(self, access: Access) -> None:
        if not HAS_SDK:
            raise CloudError(MISSING)
        for name in ("keystoneauth", "openstack"):  # what they log is in the messages
            logging.getLogger(name).addHandler(logging.NullHandler())
        self.access = access
        self.secrets = secrets_of(access.auth or {})
        if not access.name and not access.auth and not os.environ.get("OS_CLOUD") and not os.environ.get("OS_AUTH_URL"):
            raise CloudError(
                "openstack_cloud_name is empty: give the cloud's name in clouds.yaml, set OS_CLOUD, or give openstack_cloud_auth (in a vault)"
            )
        with _Translated(self, _CONFIGURATION):
            self._connection = openstack.connect(**self._configuration())
            self.secrets |= secrets_of(self._connection.config.config.get("auth") or {})
        with _Translated(self, "POST /auth/tokens (identity)"):
            token = self._connection.session.get_token()
            self.secrets |= {token} if token else set()

    def _configuration(self) -> dict[str, Any]:
        access = self.access
        given = {
            "cloud": access.name or None,
            "auth": dict(access.auth) if access.auth else None,
            "auth_type": access.auth_type or None,
            "region_name": access.region or None,
            "cacert": access.ca_cert or None,
        }
        found: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        found.update(interface=access.interface, api_timeout=access.timeout)
        if not access.validate_certs:
            found["verify"] = False
        return found

    # reading

    def current(self, wanted: Wanted) -> Current:
        """Return what the cloud has of what is wanted."""
        networked = bool(wanted.qos_policies or wanted.networks or wanted.ports)
        extensions = self._extensions() if networked else frozenset()
        own = Networking(self).read(wanted, QOS in extensions) if networked else {}
        return Current(
            traits=self._traits(),
            flavors=self.flavors([item.name for item in wanted.flavors]) if wanted.flavors else {},
            aggregates=self._aggregates(),
            services=self.services(),
            extensions=extensions,
            **own,
        )

    def project(self) -> str:
        """Return the id of the project of the credentials, to which networks, policies and ports belong."""
        with _Translated(self, "POST /auth/tokens (identity)"):
            found = self._connection.session.get_project_id()
        if not found:
            raise CloudError(
                f"cloud {plain(self.access.shown, 60)}: the credentials are of no project (system or domain scope), and networks, policies and ports "
                "belong to one; give project_name in clouds.yaml or openstack_cloud_auth"
            )
        return str(found)

    def newest(self) -> tuple[int, int] | None:
        """Return the newest microversion of Nova's API, None where it does not say."""
        with _Translated(self, "GET / (compute)"):
            data = self._connection.compute.get_endpoint_data()
        found = getattr(data, "max_microversion", None) if data else None
        return (int(found[0]), int(found[1])) if found else None

    def services(self) -> list[dict[str, Any]]:
        """Return Nova's services: binary, host, state (up, down) and status (enabled, disabled)."""
        form = {"services": [{"binary": str, "host": str, "state": str, "status": str}]}
        found = self.get("compute", "/os-services", form)["services"]
        return [{key: item[key] for key in ("binary", "host", "state", "status")} for item in found]

    def providers(self, hosts: list[str]) -> dict[str, Provider]:
        """Return what placement and Nova have of compute hosts; those that are not there are missing."""
        if not hosts:
            return {}
        form = {"hypervisors": [{"id": str, "service": {"host": str}}]}
        machines = {
            item["service"]["host"]: item["id"] for item in self.list("compute", "/os-hypervisors/detail", "hypervisors", form)
        }
        states = {item["host"]: item for item in self.services() if item["binary"] == "nova-compute"}
        return {host: self._provider(host, machines[host], states.get(host, {})) for host in hosts if host in machines}

    def _provider(self, host: str, identity: str, service: Mapping[str, Any]) -> Provider:
        here = quote(identity, safe="")
        form = {"resource_providers": [{"uuid": str, "name": str}]}
        tree = self.get("placement", f"/resource_providers?in_tree={here}", form)["resource_providers"]
        return Provider(
            host=host,
            inventories=self._inventories(here),
            traits=frozenset(self.get("placement", f"/resource_providers/{here}/traits", {"traits": [str]})["traits"]),
            children={item["name"]: self._inventories(quote(item["uuid"], safe="")) for item in tree if item["uuid"] != identity},
            state=service.get("state", "down"),
            status=service.get("status", "disabled"),
        )

    def _inventories(self, identity: str) -> dict[str, dict[str, Any]]:
        form = {"inventories": {str: {"total": int, "reserved": int, "allocation_ratio": (int, float)}}}
        found: dict[str, dict[str, Any]] = self.get("placement", f"/resource_providers/{identity}/inventories", form)[
            "inventories"
        ]
        return found

    def _traits(self) -> frozenset[str]:
        return frozenset(self.get("placement", "/traits?name=startswith:CUSTOM_", {"traits": [str]})["traits"])

    def flavors(self, names: Collection[str] = ()) -> dict[str, dict[str, Any]]:
        """Return all flavors by name; of private ones among ``names`` also the projects that have access."""
        form = {"flavors": [{"id": str, "name": str, "vcpus": int, "ram": int, "disk": int, "extra_specs": {str: str}}]}
        found = {}
        for item in self.list("compute", "/flavors/detail?is_public=None", "flavors", form):
            found[item["name"]] = {
                **{key: item[key] for key in ("id", "vcpus", "ram", "disk", "extra_specs")},
                "swap": item.get("swap") or 0,  # an empty text is none
                "ephemeral": item.get("OS-FLV-EXT-DATA:ephemeral") or 0,
                "rxtx_factor": item.get("rxtx_factor") or 1.0,
                "is_public": item.get("os-flavor-access:is_public", True),
                "description": item.get("description"),
            }
            if item["name"] in names and not found[item["name"]]["is_public"]:
                found[item["name"]]["access"] = self._access(item["id"])
        return found

    def _access(self, flavor: str) -> list[str]:
        form = {"flavor_access": [{"tenant_id": str}]}
        answer = self.get("compute", f"/flavors/{quote(flavor, safe='')}/os-flavor-access", form)
        return sorted(item["tenant_id"] for item in answer["flavor_access"])

    def _aggregates(self) -> dict[str, dict[str, Any]]:
        form = {"aggregates": [{"id": int, "name": str, "hosts": [str], "metadata": {str: str}}]}
        return {item["name"]: item for item in self.get("compute", "/os-aggregates", form)["aggregates"]}

    def _extensions(self) -> frozenset[str]:
        form = {"extensions": [{"alias": str}]}
        known = (QOS, NO_ADDRESSES, PORT_SECURITY, SCHEDULED)
        aliases = {item["alias"] for item in self.get("network", "/extensions", form)["extensions"]}
        return frozenset(aliases & set(known))

    # calls

    def list(self, service: str, path: str, key: str, form: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the items of all pages of a list."""
        for _page in range(_MOST_PAGES):
            answer = self.get(service, path, form)
            yield from answer[key]
            links = answer.get(f"{key}_links") or []
            following = next((link.get("href") for link in links if isinstance(link, dict) and link.get("rel") == "next"), None)
            if not following or not answer[key]:
                return
            # of the link only the question: its host and path are a proxy's business, and nothing that a token is sent to
            path = f"{path.partition('?')[0]}?{urlsplit(str(following)).query}"
        raise CloudError(
            f"cloud {plain(self.access.shown, 60)}: the list {path.partition('?')[0]} has more than {_MOST_PAGES} pages"
        )

    def get(self, service: str, path: str, form: Any) -> dict[str, Any]:
        """Return an answer of this form."""
        found: dict[str, Any] = self.send("GET", service, path, form=form)
        return found

    def send(self, method: str, service: str, path: str, body: Any = None, *, form: Any = None) -> Any:
        """Make one call; None where there is no answer to it."""
        call = f"{method} {path.partition('?')[0]} ({service})"
        options: dict[str, Any] = {"raise_exc": False}
        if service == "compute":
            options["microversion"] = COMPUTE
        if service == "placement":
            options["microversion"] = PLACEMENT
        if body is not None:
            options["json"] = body
        with _Translated(self, call):
            answer = getattr(self._connection, service).request(path, method, **options)
        if answer.status_code >= 400:
            raise CloudError(refusal(self.access.shown, call, answer.status_code, _words(answer), self.secrets))
        if form is None and (method == "DELETE" or not answer.content):
            return None
        try:
            return decode(answer.content, form, most=_MOST)
        except AnswerError as error:
            remedy = f"check that this is the endpoint of {service} in the service catalogue, and no proxy's page"
            raise CloudError(
                failure(self.access.shown, call, f"the answer cannot be read: {error}", remedy, self.secrets)
            ) from None


def _words(answer: Any) -> str:
    try:
        return words_of(decode(answer.content[:_MOST]))
    except AnswerError:
        return ""


class _Translated:
    """Turns what the libraries raise into one message."""

    def __init__(self, cloud: Cloud, call: str) -> None:
        self._cloud, self._call = cloud, call

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, CloudError) or not isinstance(error, Exception):
            return
        self._raise(error)

    def _raise(self, error: Exception) -> NoReturn:
        access, secrets = self._cloud.access, self._cloud.secrets
        status = getattr(error, "http_status", None) or getattr(error, "status_code", None)
        text = " ".join(str(getattr(error, "details", None) or error).split())
        if isinstance(status, int) and status >= 400:
            raise CloudError(refusal(access.shown, self._call, status, text.removesuffix(f" (HTTP {status})"), secrets)) from None
        remedy = _remedy(error, access, self._call)
        raise CloudError(failure(access.shown, self._call, hide(f"{reason_of(error)}", secrets), remedy, secrets)) from None


#: Exceptions of keystoneauth and openstacksdk by name, since releases differ in where they are, and what would work; the first that fits counts.
_REMEDIES = {
    "ConnectTimeout": "no answer within {timeout} s (openstack_cloud_timeout); look whether the service runs, and run the playbook again",
    "SSLFailure": "give the certificate of its authority (openstack_cloud_ca_cert, or cacert in clouds.yaml)",
    "ConnectFailure": "check the address (auth_url, region and interface), and that this machine reaches it",
    "DiscoveryFailure": "check the address (auth_url, region and interface): what answers there is no OpenStack service",
    "EndpointNotFound": "the service catalogue has no such endpoint: check openstack_cloud_region and openstack_cloud_interface, or install the service",
    "CatalogException": "the service catalogue has no such endpoint: check openstack_cloud_region and openstack_cloud_interface, or install the service",
    "MissingRequiredOptions": "complete the credentials in clouds.yaml or openstack_cloud_auth",
    "NoMatchingPlugin": "check auth_type in clouds.yaml or openstack_cloud_auth_type",
    "ConfigException": "check the name (openstack_cloud_name) and the file clouds.yaml: ./, ~/.config/openstack/ or /etc/openstack/",
}


def _remedy(error: Exception, access: Access, call: str) -> str:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    # before the first call only the configuration can be wrong, whatever the library makes of it
    usual = _REMEDIES["ConfigException"] if call == _CONFIGURATION else "look at the service's log, and run the playbook again"
    found = next((text for name, text in _REMEDIES.items() if name in kinds), usual)
    return found.format(timeout=access.timeout)
