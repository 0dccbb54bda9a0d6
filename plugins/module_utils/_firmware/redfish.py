# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge to a BMC: Redfish over HTTPS, read and PATCH, with a message for every failure.

Credentials are sent only to the given address: redirects and links to another host are refused.
"""

from __future__ import annotations

import http.client
import json
import math
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urljoin, urlsplit

from ansible.module_utils.urls import ConnectionError as AnsibleConnectionError
from ansible.module_utils.urls import NoSSLError, SSLValidationError, open_url

from .._cpus.answers import AnswerError, answering, decode, plain
from .._cpus.errors import RefusalError
from .._host.deadline import LateError, within
from .odata import last, link, listed, messages_of, nearest, uri
from .registry import BiosError, Registry, Value, parse_registry
from .secrets import forms_of, without

ROOT = "/redfish/v1"
_REDIRECTS = (301, 302, 303, 307, 308)
#: The BMC is busy or starting; the request is repeated.
_BUSY = (429, 502, 503, 504)
#: Bounds of one answer: bytes, and values. The largest registry of the captures has 1.2 MB and 24,000 values.
_LIMIT = 8 << 20
_VALUES = 200_000
#: A whole answer, from the connection to its last byte, may take this many times ``timeout``, which bounds each wait for a byte.
_WHOLE = 4
#: Everything that is asked for one reading may take this many times as long as one answer, and ``wait`` once.
_READING = 3
#: Systems that are looked at.
_SYSTEMS = 64


class RedfishError(RefusalError):
    """The BMC did not answer or refused; the message names what would help. ``status`` is the HTTP status, 0 without one."""

    def __init__(self, message: str, status: int = 0, body: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = body or {}


@dataclass(frozen=True)
class Access:
    """How to reach a BMC. ``timeout`` (of each wait) and ``wait`` (for a busy BMC) in seconds."""

    address: str
    username: str
    password: str = field(repr=False)
    validate_certs: bool = True
    ca_path: str | None = None
    timeout: int = 30
    wait: int = 60
    system: str = ""

    @property
    def secrets(self) -> set[str]:
        """What no output may contain: the password, and its HTTP header, which a BMC may quote."""
        return forms_of(self.username, self.password)


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
    """A BMC. What it sends loses the secrets as it arrives, before anything is cut: a part of one would be known to nobody."""

    def __init__(self, access: Access, sleep: Callable[[float], None] = time.sleep) -> None:
        self.access = access
        self._secrets = access.secrets
        self.requests = 0
        self._sleep = sleep
        self._end = math.inf  # of the reading, by the monotonic clock
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
            whole = self.access.timeout * _WHOLE
            left = self._end - time.monotonic()
            if left <= 0:
                raise self._too_slow()
            try:
                return within(min(whole, left), partial(self._request, method, path, body, etag))
            except LateError:
                if left < whole:
                    raise self._too_slow() from None
                raise RedfishError(
                    f"{self._who()} did not end its answer to {_shown(path)} within {whole} s; restart the BMC, or raise bios_timeout"
                ) from None
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

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Bound what one reading asks for as a whole, and refuse what cannot be read."""
        self._end = time.monotonic() + self._most
        try:
            with answering(
                lambda reason: RedfishError(f"{self._who()} answers what cannot be read ({reason}); update its firmware")
            ):
                yield
        finally:
            self._end = math.inf

    @property
    def _most(self) -> float:
        return self.access.timeout * _WHOLE * _READING + self.access.wait

    def _too_slow(self) -> RedfishError:
        return RedfishError(
            f"{self._who()} could not be read within {self._most:g} s, though each of its answers came in time; restart the BMC, name its system "
            "(bios_system), or raise bios_timeout"
        )

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None, etag: str) -> Answer:
        url = self._url(path)
        headers = {"Accept": "application/json", "OData-Version": "4.0"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if etag and len(etag) <= 200 and etag.isascii() and etag.isprintable():
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
                    url = self._url(urljoin(url, self._clean(error.headers.get("Location", ""))))
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
        raise RedfishError(f"{self._who()} redirects {_shown(path)} in circles")

    def _answer(self, stream: Any, path: str) -> Answer:
        try:
            content = stream.read(_LIMIT + 1)
        except (http.client.HTTPException, EOFError, ValueError) as error:
            raise _DamagedError(
                f"{self._who()} cut its answer to {_shown(path)} short ({type(error).__name__}); try again, or restart the BMC"
            ) from None
        except (OSError, URLError) as error:
            raise self._unreachable(error) from None
        body = self._parse(content, path, str(stream.headers.get("Content-Type", ""))) if content.strip() else {}
        etag = self._clean(stream.headers.get("ETag")) or body.get("@odata.etag") or ""
        return Answer(body, str(etag), int(stream.status))

    def _parse(self, content: bytes, path: str, kind: str) -> Mapping[str, Any]:
        if len(content) > _LIMIT:
            raise RedfishError(f"{self._who()} answers {_shown(path)} with more than {_LIMIT >> 20} MiB; update its firmware")
        try:
            body = self._clean(decode(content, values=_VALUES))
        except AnswerError as error:
            if "html" in kind.lower() or content.lstrip()[:1] == b"<":
                raise RedfishError(
                    f"{self._who()} answers {_shown(path)} with HTML instead of JSON; "
                    "is this the address of the BMC, and is Redfish enabled there?"
                ) from None
            raise _DamagedError(
                f"{self._who()} answers {_shown(path)} with a damaged body ({len(content)} bytes; {error}); "
                "try again, or restart the BMC"
            ) from None
        if not isinstance(body, dict):
            raise RedfishError(f"{self._who()} answers {_shown(path)} with a {type(body).__name__} instead of an object")
        return body

    def _refusal(self, error: HTTPError, method: str, path: str) -> Exception:
        try:
            body = self._clean(decode(error.read(_LIMIT), dict, values=_VALUES))
        except (ValueError, OSError, http.client.HTTPException):
            body = {}
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
                f"{self._who()} does not allow user {self.access.username} to {method} {_shown(path)} (HTTP 403){said}; "
                "give the user the right to configure"
            )
        elif code == 412:
            text = f"{self._who()} reports that {_shown(path)} was changed meanwhile (HTTP 412); run again to read it again"
        elif code in _BUSY:
            after = str(error.headers.get("Retry-After", ""))
            return _BusyError(
                f"{self._who()} is busy (HTTP {code} for {_shown(path)}){said}",
                code,
                int(after) if re.fullmatch("[0-9]{1,4}", after) else 0,
            )
        else:
            text = f"{self._who()} answers {method} {_shown(path)} with HTTP {code}{said}"
        return RedfishError(text, code, body)

    def _unreachable(self, error: BaseException) -> RedfishError:
        reason = getattr(error, "reason", None)
        cause = reason if isinstance(reason, BaseException) else error
        text = self._clean(str(cause))
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
        try:
            url = urljoin(f"{self.base}/", path)
            origin = _origin(url)
        except ValueError as error:
            raise RedfishError(
                f"{self._who()} points to {_shown(path)}, which is no address ({error}); update its firmware"
            ) from None
        if origin != _origin(self.base):
            raise RedfishError(
                f"{self._who()} points to another address, {_shown(origin)}, which does not get the credentials; see bios_address"
            )
        if not url[len(origin) :].isascii():
            raise RedfishError(
                f"{self._who()} points to {_shown(path)}, which is no address (it has characters outside ASCII); update its firmware"
            )
        return url

    def _clean(self, answer: Any) -> Any:
        return without(answer, self._secrets)

    def _who(self) -> str:
        return f"the BMC {_origin(self.base)}"

    # -- the BIOS ----------------------------------------------------------------------------------

    def read(self, *, registry: bool = True) -> Firmware:
        """Return the BMC's report of the system's BIOS; ``registry`` false leaves the (large) attribute registry out."""
        with self._reading():
            return self._read(registry=registry)

    def _read(self, *, registry: bool) -> Firmware:
        path, system = self._system()
        place = link(system.get("Bios"))
        if not place:
            raise RedfishError(f"{self._who()} has no Bios for system {last(path)}; its Redfish does not serve BIOS settings")
        bios = self.get(place).body
        current = _values(bios.get("Attributes"))
        if not current:
            raise RedfishError(
                f"{self._who()} serves no BIOS attributes at {_shown(place)}; power the system on once, so that the BIOS reports them"
            )
        block = bios.get("@Redfish.Settings")
        block = block if isinstance(block, dict) else {}
        settings, pending, etag, times, notes = link(block.get("SettingsObject")), {}, "", block.get("SupportedApplyTimes"), []
        if settings:
            answer = self.get(settings)
            etag = answer.etag
            waiting = _values(answer.body.get("Attributes"))
            pending = {name: value for name, value in waiting.items() if name in current and not _equal(value, current[name])}
            support = answer.body.get("@Redfish.SettingsApplyTime")
            if not times and isinstance(support, dict):
                times = support.get("ApplyTime@Redfish.AllowableValues")
        else:
            notes.append("the BMC names no settings object (@Redfish.Settings), so its BIOS cannot be set")
        found = self._registry(str(bios.get("AttributeRegistry") or ""), current, notes) if registry else None
        return Firmware(
            system=last(path),
            manufacturer=str(system.get("Manufacturer") or ""),
            model=str(system.get("Model") or ""),
            version=str(system.get("BiosVersion") or ""),
            power=str(system.get("PowerState") or ""),
            current=current,
            pending=pending,
            settings=settings,
            etag=etag,
            apply_times=tuple(str(one) for one in listed(times)),
            registry=found,
            notes=tuple(notes),
            messages=tuple(text for text, _names in messages_of({"error": {"@Message.ExtendedInfo": block.get("Messages")}})),
        )

    def system(self) -> Mapping[str, Any]:
        """Return the system's own description."""
        with self._reading():
            return self._system()[1]

    def _system(self) -> tuple[str, Mapping[str, Any]]:
        members = [link(one) for one in listed(self.get(f"{ROOT}/Systems").body.get("Members"))[:_SYSTEMS]]
        members = [one for one in members if one]
        wanted = self.access.system
        if not members:
            raise RedfishError(f"{self._who()} lists no systems")
        if wanted:
            for path in members:
                if last(path) == wanted:
                    return path, self.get(path).body
            raise RedfishError(f"bios_system: {self._who()} has no system {wanted!r}; it has {_names(members)}")
        if len(members) == 1:
            return members[0], self.get(members[0]).body
        found = None
        for path in members:  # a document may have megabytes: only the one that counts is kept
            body = self.get(path).body
            if not link(body.get("Bios")):
                continue
            if found:
                break
            found = path, body
        else:
            if found:
                return found
        raise RedfishError(f"bios_system: {self._who()} has several systems ({_names(members)}); name one of them")

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
        if name and name.isascii() and name.isprintable() and " " not in name:
            try:  # most BMCs use the BIOS's name for the file
                file = self.get(f"{ROOT}/Registries/{name}").body
            except RedfishError as error:
                if error.status not in (400, 404, 405):
                    raise
        if file is None:
            members = [link(one) for one in listed(self.get(f"{ROOT}/Registries").body.get("Members"))]
            path = nearest(name, [one for one in members if one])
            if path is None:
                return None
            file = self.get(path).body
        if "RegistryEntries" in file:
            return file
        places = [one for one in listed(file.get("Location")) if isinstance(one, dict) and one.get("Uri")]
        places.sort(key=lambda one: not str(one.get("Language", "")).lower().startswith("en"))
        return self.get(uri(places[0]["Uri"])).body if places else None


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


def _names(paths: list[str]) -> str:
    return ", ".join(plain(last(path), 60) for path in paths)


def _shown(path: str) -> str:
    return plain(path, 200)


def _values(attributes: Any) -> dict[str, Value]:
    """Return attributes whose values are text, whole numbers or truths; others cannot be compared or set."""
    found = attributes.items() if isinstance(attributes, dict) else ()
    return {name: value for name, value in found if value is None or isinstance(value, (str, int))}


def _equal(one: Value, other: Value) -> bool:
    return type(one) is type(other) and one == other
