# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cloud's refusal means: one short message with the call and what would work, without secrets. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import plain

#: The most characters of what the cloud says itself.
_MOST = 300

#: Keys of a cloud's configuration whose values are no secrets.
_OPEN = frozenset(
    {
        "auth_url",
        "username",
        "user_id",
        "project_name",
        "project_id",
        "tenant_name",
        "domain_name",
        "domain_id",
        "user_domain_name",
        "user_domain_id",
        "project_domain_name",
        "project_domain_id",
        "default_domain",
        "system_scope",
        "application_credential_id",
        "application_credential_name",
        "identity_provider",
        "protocol",
    }
)

_ADVICE = {
    400: "the cloud does not take that",
    401: "the credentials are refused: check user, password, project and domains in clouds.yaml or openstack_cloud_auth, and whether they have expired",
    403: "the user may not do that: flavors, aggregates, traits and provider networks need the role admin; use such a user",
    404: "it is not there: check the region (openstack_cloud_region) and that the service is of a release since 2018",
    409: "it conflicts with what is there; look at that, and run the playbook again",
    413: "a quota is used up; raise it, and run the playbook again",
    429: "too many calls; run the playbook again later",
}
_LATER = (
    "the service is not ready; look after it, and run the playbook again: what is made stays, and the next run goes on from there"
)
_MIXED = (
    "start a nova-compute of release Victoria (22) or later and wait until it is up: before that Nova refuses instances of flavors with "
    "hw:cpu_policy=mixed"
)


def secrets_of(auth: Mapping[str, Any]) -> frozenset[str]:
    """Return the values of credentials that no text may show: of every key that is not known to be harmless."""
    found: set[str] = set()
    for key, value in auth.items():
        if isinstance(value, Mapping):
            found |= secrets_of(value)
        elif isinstance(value, str) and key not in _OPEN and len(value) > 2:
            found.add(value)
    return frozenset(found)


def hide(text: str, secrets: Collection[str]) -> str:
    """Return text without secrets; a token or password in a URL or a header is one, whoever wrote it."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "********")
    text = re.sub(r"(?i)(x-(?:auth|subject|service)-token['\"]?\s*[:=]\s*['\"]?)[^\s'\",}]+", r"\1********", text)
    text = re.sub(r"(?i)((?:password|passwd|secret|token)['\"]?\s*[:=]\s*['\"]?)[^\s'\",}]+", r"\1********", text)
    return re.sub(r"//[^/\s]*@", "//********@", text)  # also of a password with an @


def words_of(body: Any) -> str:
    """Return what a service says in its answer: Nova, Neutron, keystone and placement each have their own form."""
    if isinstance(body, Mapping):
        for key in ("message", "detail", "faultstring"):
            if isinstance(body.get(key), str) and body[key]:
                return " ".join(body[key].split())
        for value in body.values():
            if found := words_of(value):
                return found
    if isinstance(body, list):
        return next(filter(None, map(words_of, body)), "")
    return ""


def advice(status: int, words: str = "") -> str:
    """Return what would work after an answer with this status."""
    if status == 409 and "mixed" in words.lower():
        return _MIXED
    if status >= 500 and status != 501:
        return _LATER
    return _ADVICE.get(status, "the cloud does not take that")


def refusal(cloud: str, call: str, status: int, words: str, secrets: Collection[str] = ()) -> str:
    """Return the message of an answer that is an error; ``call`` is service, method and path, or what a module was to do."""
    said = f" ({plain(hide(words, secrets), _MOST)})" if words else ""
    return (
        f"cloud {plain(cloud, 60)}: {plain(hide(call, secrets), 160)} was answered with {status}{said}; {advice(status, words)}"
    )


def failure(cloud: str, call: str, reason: str, remedy: str, secrets: Collection[str] = ()) -> str:
    """Return the message of a call that got no answer."""
    return f"cloud {plain(cloud, 60)}: {plain(hide(call, secrets), 160)}: {plain(hide(reason, secrets), _MOST)}; {remedy}"


_STATUS = re.compile(r"\b(?:[A-Za-z]+Exception: )?([45]\d\d): (?:Client|Server) Error(?: for url: [^\s,]+)?,? ?(.*)", re.DOTALL)
_RAISED = re.compile(
    r"^(?:[\w.]+\.)?(\w+(?:Exception|Error|Failure|Timeout|Unauthorized|NotFound|Conflict|Resource)\w*|Unauthorized|Forbidden): (.*)$"
)


def module_failure(cloud: str, call: str, result: Mapping[str, Any], secrets: Collection[str] = ()) -> str:
    """Return the message of a module of openstack.cloud that failed: of a traceback only its last line."""
    caught = getattr(
        getattr(result.get("exception"), "event", None), "msg", ""
    )  # what ansible-core makes of a module's traceback
    text = str(result.get("msg") or caught or "")
    trace = next((str(result[key]) for key in ("module_stderr", "exception") if "Traceback" in str(result.get(key, ""))), "")
    lines = [line.strip() for line in trace.strip().splitlines()]
    raised = next((match for line in reversed(lines) if (match := _RAISED.match(line))), None)
    if match := _STATUS.search(text) or (_STATUS.search(raised[0]) if raised else None):
        return refusal(cloud, call, int(match[1]), " ".join(match[2].split()), secrets)
    if raised:
        text = f"{raised[1]}: {raised[2]}"
    code = re.search(r"\(HTTP ([45]\d\d)\)", text)
    if code:
        return refusal(cloud, call, int(code[1]), text, secrets)
    return failure(cloud, call, " ".join(text.split()) or "it failed without a word", "look at the service's log", secrets)
