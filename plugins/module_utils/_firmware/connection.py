# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge to a BMC: requests of Redfish over HTTPS, with a message for every failure.

Credentials are sent only to the given address: redirects and links to another host are refused.
"""

from __future__ import annotations

import gzip
import http.client
import json
import math
import re
import socket
import ssl
import time
import zlib
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
from .etags import ANY, usable
from .odata import messages_of
from .secrets import forms_of, without

_REDIRECTS = (301, 302, 303, 307, 308)
#: The BMC is busy or starting; the request is repeated.
_BUSY = (429, 502, 503, 504)
#: Messages of a BMC that is not ready yet: iDRAC, iLO.
_UNREADY = re.compile(r"SYS518|iLO[0-9.]*InvalidOperationForSystemState")
#: Bounds of one answer: bytes, and values. The largest registry of the captures has 1.2 MB and 24,000 values.
_LIMIT = 8 << 20
_VALUES = 200_000
#: A whole answer, from the connection to its last byte, may take this many times ``timeout``, which bounds each wait for a byte.
_WHOLE = 4
#: Everything that is asked for one reading may take this many times as long as one answer, and ``wait`` once.
_READING = 3


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
    """A document, its ETags (of the header, of the document) and the HTTP status."""

    body: Mapping[str, Any]
    etags: tuple[str, str]
    status: int


class Connection:
    """The way to a BMC. What it sends loses the secrets as it arrives, before anything is cut: a part of one would be known to nobody."""

    def __init__(self, access: Access, sleep: Callable[[float], None] = time.sleep) -> None:
        self.access = access
        self._secrets = access.secrets
        self.requests = 0
        self._sleep = sleep
        self._end = math.inf  # of the reading, by the monotonic clock
        self.base = _base(access)

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
                    f"{self.who()} did not end its answer to {shown(path)} within {whole} s; restart the BMC, or raise bios_timeout"
                ) from None
            except _BusyError as error:
                pause = error.after or min(pause * 2, 10)
                if not (error.undone or error.status in again) or waited + pause > self.access.wait:
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
    def reading(self) -> Iterator[None]:
        """Bound what one reading asks for as a whole, and refuse what cannot be read."""
        self._end = time.monotonic() + self._most
        try:
            with answering(
                lambda reason: RedfishError(f"{self.who()} answers what cannot be read ({reason}); update its firmware")
            ):
                yield
        finally:
            self._end = math.inf

    @property
    def _most(self) -> float:
        return self.access.timeout * _WHOLE * _READING + self.access.wait

    def _too_slow(self) -> RedfishError:
        return RedfishError(
            f"{self.who()} could not be read within {self._most:g} s, though each of its answers came in time; restart the BMC, name its system "
            "(bios_system), or raise bios_timeout"
        )

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None, etag: str) -> Answer:
        url = self._url(path)
        headers = {"Accept": "application/json", "OData-Version": "4.0"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if etag == ANY or usable(etag):
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
                if error.code == 406 and method == "GET" and "Accept-Encoding" not in headers:
                    # urllib asks for identity, which some HPE BMCs refuse for their registries
                    headers["Accept-Encoding"] = "gzip"
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
        raise RedfishError(f"{self.who()} redirects {shown(path)} in circles")

    def _answer(self, stream: Any, path: str) -> Answer:
        try:
            content = stream.read(_LIMIT + 1)
        except (http.client.HTTPException, EOFError, ValueError, zlib.error, gzip.BadGzipFile) as error:
            raise _DamagedError(
                f"{self.who()} cut its answer to {shown(path)} short ({type(error).__name__}); try again, or restart the BMC"
            ) from None
        except (OSError, URLError) as error:
            raise self._unreachable(error) from None
        body = self._parse(content, path, str(stream.headers.get("Content-Type", ""))) if content.strip() else {}
        etags = str(self._clean(stream.headers.get("ETag")) or ""), str(body.get("@odata.etag") or "")
        return Answer(body, etags, int(stream.status))

    def _parse(self, content: bytes, path: str, kind: str) -> Mapping[str, Any]:
        if len(content) > _LIMIT:
            raise RedfishError(f"{self.who()} answers {shown(path)} with more than {_LIMIT >> 20} MiB; update its firmware")
        try:
            body = self._clean(decode(content, values=_VALUES))
        except AnswerError as error:
            if "html" in kind.lower() or content.lstrip()[:1] == b"<":
                raise RedfishError(
                    f"{self.who()} answers {shown(path)} with HTML instead of JSON; "
                    "is this the address of the BMC, and is Redfish enabled there?"
                ) from None
            raise _DamagedError(
                f"{self.who()} answers {shown(path)} with a damaged body ({len(content)} bytes; {error}); "
                "try again, or restart the BMC"
            ) from None
        if not isinstance(body, dict):
            raise RedfishError(f"{self.who()} answers {shown(path)} with a {type(body).__name__} instead of an object")
        return body

    def _refusal(self, error: HTTPError, method: str, path: str) -> Exception:
        try:
            body = self._clean(decode(error.read(_LIMIT), dict, values=_VALUES))
        except (ValueError, OSError, http.client.HTTPException):
            body = {}
        words = "; ".join(text for text, _names in messages_of(body))
        said = f": {words}" if words else ""
        code = int(error.code)
        # some say in words alone that they are not ready, and have done nothing (OpenStack sushy, Connector.check_retry_on_exception)
        unready = code in (400, 500) and _UNREADY.search(json.dumps(body))
        if code == 401:
            text = (
                f"{self.who()} refuses the credentials (HTTP 401); "
                "see bios_username and bios_password (BMCs lock accounts after some tries)"
            )
        elif code == 403:
            text = (
                f"{self.who()} does not allow user {self.access.username} to {method} {shown(path)} (HTTP 403){said}; "
                "give the user the right to configure"
            )
        elif code == 412:
            text = f"{self.who()} reports that {shown(path)} was changed meanwhile (HTTP 412); run again to read it again"
        elif code in _BUSY or unready:
            after = str(error.headers.get("Retry-After", ""))
            return _BusyError(
                f"{self.who()} is busy (HTTP {code} for {shown(path)}){said}",
                code,
                int(after) if re.fullmatch("[0-9]{1,4}", after) else 0,
                bool(unready),
            )
        else:
            text = f"{self.who()} answers {method} {shown(path)} with HTTP {code}{said}"
        return RedfishError(text, code, body)

    def _unreachable(self, error: BaseException) -> RedfishError:
        reason = getattr(error, "reason", None)
        cause = reason if isinstance(reason, BaseException) else error
        text = self._clean(str(cause))
        if isinstance(cause, (socket.timeout, TimeoutError)) or "timed out" in text:
            return RedfishError(
                f"{self.who()} did not answer within {self.access.timeout} s; see bios_timeout, or restart the BMC"
            )
        if isinstance(cause, (ssl.SSLError, SSLValidationError, ssl.CertificateError)) or "CERTIFICATE" in text.upper():
            why = next((one for one in re.findall(r"verify failed: ([^(\]\n]+)", text) if one.strip()), text).strip()
            return RedfishError(
                f"the certificate of {self.who()} cannot be trusted: {why}; renew it, name the file of its CA in bios_ca_file, "
                "or set bios_validate_certs: false"
            )
        if isinstance(cause, socket.gaierror):
            return RedfishError(f"{self.who()} has no address: {text}; see bios_address")
        return RedfishError(f"{self.who()} cannot be reached: {text or type(cause).__name__}; see bios_address")

    def _url(self, path: str) -> str:
        try:
            url = urljoin(f"{self.base}/", path)
            origin = _origin(url)
        except ValueError as error:
            raise RedfishError(
                f"{self.who()} points to {shown(path)}, which is no address ({error}); update its firmware"
            ) from None
        if origin != _origin(self.base):
            raise RedfishError(
                f"{self.who()} points to another address, {shown(origin)}, which does not get the credentials; see bios_address"
            )
        if not url[len(origin) :].isascii():
            raise RedfishError(
                f"{self.who()} points to {shown(path)}, which is no address (it has characters outside ASCII); update its firmware"
            )
        return url

    def _clean(self, answer: Any) -> Any:
        return without(answer, self._secrets)

    def who(self) -> str:
        """Return the BMC's name for a message."""
        return f"the BMC {_origin(self.base)}"


class _BusyError(Exception):
    """``after``: seconds that the BMC asks for; ``undone``: it says that it has done nothing."""

    def __init__(self, message: str, status: int, after: int, undone: bool) -> None:
        super().__init__(message)
        self.status = status
        self.after = after
        self.undone = undone


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


def shown(path: str) -> str:
    """Return a path for a message."""
    return plain(path, 200)
