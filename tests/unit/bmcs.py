# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A BMC whose answers are given in the test, without a network."""

from __future__ import annotations

import io
import json
from urllib.error import HTTPError

from ansible_collections.realtime.kvm.plugins.module_utils._firmware.connection import Access
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.redfish import ROOT

SYSTEM, BIOS, SETTINGS = f"{ROOT}/Systems/1", f"{ROOT}/Systems/1/Bios", f"{ROOT}/Systems/1/Bios/Settings"
REGISTRY = {"Id": "r", "RegistryEntries": {"Attributes": [{"AttributeName": "Smt", "Type": "String"}]}}
TREE = {
    f"{ROOT}/Systems": {"Members": [{"@odata.id": SYSTEM}]},
    SYSTEM: {"Bios": {"@odata.id": BIOS}, "Manufacturer": "M", "PowerState": "On"},
    BIOS: {
        "Attributes": {"Smt": "On", "Numa": 1},
        "AttributeRegistry": "Bios.v1",
        "@Redfish.Settings": {"SettingsObject": {"@odata.id": SETTINGS}},
    },
    SETTINGS: {"Attributes": {"Smt": "Off", "Numa": 1, "Other": 7}, "@odata.etag": "e1"},
    f"{ROOT}/Registries/Bios.v1": REGISTRY,
}


def access(address="bmc.example", **more):
    return Access(address, "user", "secret", **more)


class Wire:
    """Answers by path, each a document, or a function that makes one; asked for others: not found."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []

    def __call__(self, url, **options):
        self.asked.append((options["method"], url, options["headers"]))
        answer = self.answers.get(url.partition("bmc.example")[2], 404)
        answer = answer.pop(0) if isinstance(answer, list) else answer
        if isinstance(answer, tuple):
            status, headers, body = answer
            raise HTTPError(url, status, "", headers, io.BytesIO(json.dumps(body).encode()))
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            raise HTTPError(url, answer, "", {}, io.BytesIO(b""))
        stream = io.BytesIO(answer if isinstance(answer, bytes) else json.dumps(answer).encode())
        stream.headers, stream.status = {}, 200
        return stream


def listed(*names):
    return {f"{ROOT}/Systems": {"Members": [{"@odata.id": f"{ROOT}/Systems/{name}"} for name in names]}}
