# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge to a BMC: Redfish over HTTPS, read and PATCH, with a message for every failure.

Credentials are sent only to the given address: redirects and links to another host are refused.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urljoin, urlsplit

from ansible.module_utils.urls import ConnectionError as AnsibleConnectionError
from ansible.module_utils.urls import NoSSLError, SSLValidationError, open_url

from .._cpus.errors import RefusalError
from .registry import BiosError, Registry, Value, parse_registry

ROOT = "/redfish/v1"
_REDIRECTS = (301, 302, 303, 307, 308)
#: The BMC is busy or starting; the request is repeated.
_BUSY = (429, 502, 503, 504)
_LIMIT = 32 * 1024 * 1024


class RedfishError(RefusalError):
    """The BMC did not answer or refused; the message names what would help. ``status`` is the HTTP status, 0 without one."""

    def __init__(self, message: str, status: int = 0, body: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = body or {}


@dataclass(frozen=True)
class Access:
    """How to reach a BMC. ``timeout`` and ``wait`` (for a busy one) in seconds."""

    address: str
    username: str
    password: str = field(repr=False)
    validate_certs: bool = True
    ca_path: str | None = None
    timeout: int = 30
    wait: int = 60
    system: str = ""


@dataclass(frozen=True)
class Answer:
    """A document, its ETag and the HTTP status."""

    body: Mapping[str, Any]
    etag: str
    status: int


@dataclass(frozen=True)
class Firmware:
    """A BMC's report of one system's BIOS.

    ``pending`` has the values that wait for a reboot and differ from the current ones.
    """

    system: str
    manufacturer: str
    model: str
    version: str
    power: str
    current: Mapping[str, Value]
    pending: Mapping[str, Value]
    settings: str
    etag: str
    apply_times: tuple[str, ...]
    registry: Registry | None
    notes: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()


class Redfish:
    """A BMC."""

    def __init__(self, access: Access, sleep: Callable[[float], None] = time.sleep) -> None:
        self.access = access
        self.requests = 0
        self._sleep = sleep
        self.base = _base(access)

    # -- requests ----------------------------------------------------------------------------------

    def get(self, path: str) -> Answer:
        """Read a resource; the request to a busy BMC is repeated until ``wait`` is over."""
        return self._patiently("GET", path, None, "")

    def patch(self, path: str, body: Mapping[str, Any], etag: str) -> Answer:
        """Change a resource if ``etag`` still matches. Repeated only after the answer that nothing was done (503)."""
        return self._patiently("PATCH", path, body, etag)

    def post(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Call an action. Repeated only after the answer that nothing was done (503)."""
        return self._patiently("POST", path, body, "")

    def _patiently(self, method: str, path: str, body: Mapping[str, Any] | None, etag: str) -> Answer:
        waited, pause = 0.0, 1.0
        again = _BUSY if method == "GET" else (429, 503)
        damaged = 0
        while True:
            try:
                return self._request(method, path, body, etag)
            except _BusyError as error:
                pause = error.after or min(pause * 2, 10)
                if error.status not in again or waited + pause > self.access.wait:
                    raise RedfishError(
                        f"{str(error).rstrip('.')}; requests were repeated for {waited:.0f} s. Try again, or restart the BMC",
                        error.status,
                    ) from None
                waited += pause
            except _DamagedError as error:
                # one failure may be chance; a write is not repeated, its result is read
                damaged += 1
                if method != "GET" or damaged > 1:
                    raise RedfishError(str(error)) from None
                pause = 0.5
            self._sleep(pause)

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None, etag: str) -> Answer:
        url = self._url(path)
        headers = {"Accept": "application/json", "OData-Version": "4.0"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if etag:
            headers["If-Match"] = etag
        for _redirect in range(3):
            self.requests += 1
            try:
                stream = open_url(
                    url,
                    data=None if body is None else json.dumps(body).encode(),
                    method=method,
                    headers=headers,
                    timeout=self.access.timeout,
                    validate_certs=self.access.validate_certs,
                    ca_path=self.access.ca_path,
                    url_username=self.access.username,
                    url_password=self.access.password,
                    force_basic_auth=True,
                    follow_redirects="none",
                    use_netrc=False,
                    http_agent="realtime.kvm",
                )
            except HTTPError as error:
                if error.code in _REDIRECTS:
                    url = self._url(urljoin(url, error.headers.get("Location", "")))
                    continue
                raise self._refusal(error, method, path) from None
            except (
                URLError,
                OSError,
                http.client.HTTPException,
                SSLValidationError,
                NoSSLError,
                AnsibleConnectionError,
            ) as error:
                raise self._unreachable(error) from None
            with stream:
                return self._answer(stream, path)
        raise RedfishError(f"{self._who()} redirects {path} in circles")

    def _answer(self, stream: Any, path: str) -> Answer:
        try:
            content = stream.read(_LIMIT)
        except (http.client.HTTPException, EOFError, ValueError) as error:
            raise _DamagedError(
                f"{self._who()} cut its answer to {path} short ({type(error).__name__}); try again, or restart the BMC"
            ) from None
        except (OSError, URLError) as error:
            raise self._unreachable(error) from None
        body = self._parse(content, path, str(stream.headers.get("Content-Type", ""))) if content.strip() else {}
        etag = stream.headers.get("ETag") or body.get("@odata.etag") or ""
        return Answer(body, str(etag), int(stream.status))

    def _parse(self, content: bytes, path: str, kind: str) -> Mapping[str, Any]:
        try:
            body = json.loads(content.decode("utf-8"))
        except ValueError:
            if "html" in kind.lower() or content.lstrip()[:1] == b"<":
                raise RedfishError(
                    f"{self._who()} answers {path} with HTML instead of JSON; "
                    "is this the address of the BMC, and is Redfish enabled there?"
                ) from None
            raise _DamagedError(
                f"{self._who()} answers {path} with a damaged body ({len(content)} bytes that are no JSON); "
                "try again, or restart the BMC"
            ) from None
        if not isinstance(body, dict):
            raise RedfishError(f"{self._who()} answers {path} with a {type(body).__name__} instead of an object")
        return body

    def _refusal(self, error: HTTPError, method: str, path: str) -> Exception:
        try:
            content = error.read(_LIMIT)
            body = json.loads(content.decode("utf-8")) if content else {}
        except (ValueError, OSError, http.client.HTTPException):
            body = {}
        body = body if isinstance(body, dict) else {}
        words = "; ".join(text for text, _names in messages_of(body))
        said = f": {words}" if words else ""
        code = int(error.code)
        if code == 401:
            text = (
                f"{self._who()} refuses the credentials (HTTP 401); "
                "see bios_username and bios_password (BMCs lock accounts after some tries)"
            )
        elif code == 403:
            text = (
                f"{self._who()} does not allow user {self.access.username} to {method} {path} (HTTP 403){said}; "
                "give the user the right to configure"
            )
        elif code == 412:
            text = f"{self._who()} reports that {path} was changed meanwhile (HTTP 412); run again to read it again"
        elif code in _BUSY:
            after = str(error.headers.get("Retry-After", ""))
            return _BusyError(f"{self._who()} is busy (HTTP {code} for {path}){said}", code, int(after) if after.isdigit() else 0)
        else:
            text = f"{self._who()} answers {method} {path} with HTTP {code}{said}"
        return RedfishError(text, code, body)

    def _unreachable(self, error: BaseException) -> RedfishError:
        reason = getattr(error, "reason", None)
        cause = reason if isinstance(reason, BaseException) else error
        text = str(cause)
        if isinstance(cause, (socket.timeout, TimeoutError)) or "timed out" in text:
            return RedfishError(
                f"{self._who()} did not answer within {self.access.timeout} s; see bios_timeout, or restart the BMC"
            )
        if isinstance(cause, (ssl.SSLError, SSLValidationError, ssl.CertificateError)) or "CERTIFICATE" in text.upper():
            why = next((one for one in re.findall(r"verify failed: ([^(\]\n]+)", text) if one.strip()), text).strip()
            return RedfishError(
                f"the certificate of {self._who()} cannot be trusted: {why}; renew it, name the file of its CA in bios_ca_file, "
                "or set bios_validate_certs: false"
            )
        if isinstance(cause, socket.gaierror):
            return RedfishError(f"{self._who()} has no address: {text}; see bios_address")
        return RedfishError(f"{self._who()} cannot be reached: {text or type(cause).__name__}; see bios_address")

    def _url(self, path: str) -> str:
        url = urljoin(f"{self.base}/", path)
        if _origin(url) != _origin(self.base):
            raise RedfishError(
                f"{self._who()} points to another address, {_origin(url)}, which does not get the credentials; see bios_address"
            )
        return url

    def _who(self) -> str:
        return f"the BMC {_origin(self.base)}"

    # -- the BIOS ----------------------------------------------------------------------------------

    def read(self, *, registry: bool = True) -> Firmware:
        """Return the BMC's report of the system's BIOS; ``registry`` false leaves the (large) attribute registry out."""
        path, system = self._system()
        link = _link(system.get("Bios"))
        if not link:
            raise RedfishError(f"{self._who()} has no Bios for system {_last(path)}; its Redfish does not serve BIOS settings")
        bios = self.get(link).body
        current = bios.get("Attributes")
        if not isinstance(current, dict) or not current:
            raise RedfishError(
                f"{self._who()} serves no BIOS attributes at {link}; power the system on once, so that the BIOS reports them"
            )
        block = bios.get("@Redfish.Settings")
        block = block if isinstance(block, dict) else {}
        settings, pending, etag, times, notes = _link(block.get("SettingsObject")), {}, "", block.get("SupportedApplyTimes"), []
        if settings:
            answer = self.get(settings)
            etag = answer.etag
            waiting = answer.body.get("Attributes")
            waiting = waiting if isinstance(waiting, dict) else {}
            pending = {name: value for name, value in waiting.items() if name in current and not _equal(value, current[name])}
            support = answer.body.get("@Redfish.SettingsApplyTime")
            if not times and isinstance(support, dict):
                times = support.get("ApplyTime@Redfish.AllowableValues")
        else:
            notes.append("the BMC names no settings object (@Redfish.Settings), so its BIOS cannot be set")
        found = self._registry(str(bios.get("AttributeRegistry") or ""), current, notes) if registry else None
        return Firmware(
            system=_last(path),
            manufacturer=str(system.get("Manufacturer") or ""),
            model=str(system.get("Model") or ""),
            version=str(system.get("BiosVersion") or ""),
            power=str(system.get("PowerState") or ""),
            current=current,
            pending=pending,
            settings=settings,
            etag=etag,
            apply_times=tuple(str(one) for one in times) if isinstance(times, list) else (),
            registry=found,
            notes=tuple(notes),
            messages=tuple(text for text, _names in messages_of({"error": {"@Message.ExtendedInfo": block.get("Messages")}})),
        )

    def system(self) -> Mapping[str, Any]:
        """Return the system's own description."""
        return self._system()[1]

    def _system(self) -> tuple[str, Mapping[str, Any]]:
        members = [_link(one) for one in self.get(f"{ROOT}/Systems").body.get("Members") or []]
        members = [one for one in members if one]
        wanted = self.access.system
        if not members:
            raise RedfishError(f"{self._who()} lists no systems")
        if wanted:
            for path in members:
                if _last(path) == wanted:
                    return path, self.get(path).body
            raise RedfishError(f"bios_system: {self._who()} has no system {wanted!r}; it has {', '.join(map(_last, members))}")
        systems = [(path, self.get(path).body) for path in members]
        if len(systems) > 1:
            systems = [(path, body) for path, body in systems if _link(body.get("Bios"))]
        if len(systems) != 1:
            several = ", ".join(_last(path) for path in members)
            raise RedfishError(f"bios_system: {self._who()} has several systems ({several}); name one of them")
        return systems[0]

    def _registry(self, name: str, current: Mapping[str, Value], notes: list[str]) -> Registry | None:
        """Return the attribute registry. A failure to read it is only a note, since a report does not need it."""
        try:
            document = self._registry_document(name)
            if document is None:
                notes.append(f"the BMC has no attribute registry {name!r}, so allowed values and locks are unknown")
                return None
            registry = parse_registry(document)
        except (BiosError, RedfishError) as error:
            if isinstance(error, RedfishError) and error.status in (0, 401, 503):
                raise
            notes.append(f"{error}; so allowed values and locks are unknown")
            return None
        if not set(current) & set(registry.attributes):
            notes.append(
                f"the BMC's attribute registry {registry.identity} has none of its attributes, "
                "so allowed values and locks are unknown"
            )
            return None
        return registry

    def _registry_document(self, name: str) -> Mapping[str, Any] | None:
        file = None
        if name:
            try:  # most BMCs use the BIOS's name for the file
                file = self.get(f"{ROOT}/Registries/{name}").body
            except RedfishError as error:
                if error.status not in (400, 404, 405):
                    raise
        if file is None:
            members = [_link(one) for one in self.get(f"{ROOT}/Registries").body.get("Members") or []]
            path = _nearest(name, [one for one in members if one])
            if path is None:
                return None
            file = self.get(path).body
        if "RegistryEntries" in file:
            return file
        places = [one for one in file.get("Location") or [] if isinstance(one, dict) and one.get("Uri")]
        places.sort(key=lambda one: not str(one.get("Language", "")).lower().startswith("en"))
        return self.get(_uri(places[0]["Uri"])).body if places else None


class _BusyError(Exception):
    def __init__(self, message: str, status: int, after: int) -> None:
        super().__init__(message)
        self.status = status
        self.after = after


class _DamagedError(Exception):
    pass


def _base(access: Access) -> str:
    address = access.address if "://" in access.address else f"https://{access.address}"
    parts = urlsplit(address)
    if parts.username or parts.password:
        raise RedfishError("bios_address: give user and password in bios_username and bios_password, not in the address")
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise RedfishError(
            f"bios_address: {access.address!r} is no address of a BMC; give a host name, host:port or https://host:port"
        )
    if parts.scheme == "http" and access.validate_certs:
        raise RedfishError(
            "bios_address: http sends the password in the clear; use https, or set bios_validate_certs: false to accept that"
        )
    return f"{parts.scheme}://{parts.netloc}"


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _equal(one: Value, other: Value) -> bool:
    return type(one) is type(other) and one == other


def _uri(value: Any) -> str:
    """Return a registry's place; some BMCs send an object instead of text."""
    return _link(value) or str(value)


def _link(value: Any) -> str:
    return str(value.get("@odata.id") or "") if isinstance(value, dict) else ""


def _last(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1]


def _nearest(name: str, members: list[str]) -> str | None:
    """Return the registry file that fits best: on some machines, BIOS and registry collection disagree about versions."""
    wanted = name.lower()
    for path in members:
        if _last(path).lower() == wanted:
            return path
    for stem in (wanted.split(".")[0], "biosattributeregistry"):
        found = [path for path in members if stem and _last(path).lower().startswith(stem)]
        if found:
            return found[0]
    return None


def messages_of(body: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Return the messages of an answer, each with the attributes it is about."""
    found = []
    error = body.get("error")
    lists = [body.get("@Message.ExtendedInfo"), error.get("@Message.ExtendedInfo") if isinstance(error, dict) else None]
    lists += [value for key, value in body.items() if key.endswith("@Message.ExtendedInfo") and key != "@Message.ExtendedInfo"]
    for entry in [one for entries in lists if isinstance(entries, list) for one in entries if isinstance(one, dict)]:
        text = str(entry.get("Message") or entry.get("MessageId") or "")
        related = entry.get("RelatedProperties") if isinstance(entry.get("RelatedProperties"), list) else []
        arguments = entry.get("MessageArgs") if isinstance(entry.get("MessageArgs"), list) else []
        attributes = [str(one).rsplit("/", 1)[-1] for one in related or []]
        found.append((text, attributes + [str(one) for one in arguments or []]))
    if not found and isinstance(error, dict) and error.get("message"):
        found.append((str(error["message"]), []))
    return [(text, attributes) for text, attributes in found if text]
