# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The captured BMCs, as trees for the stand-in, and the role's baselines."""

from __future__ import annotations

import functools
import json
import re
import tarfile
from pathlib import Path

import yaml
from captures import need

REPOSITORY = Path(__file__).resolve().parents[2]

ARCHIVES = {
    "dell": ("redfish-bmc", "dell.tar.xz"),
    "hpe": ("redfish-bmc", "hpe.tar.xz"),
    "lenovo": ("redfish-bmc", "lenovo.tar.xz"),
    "nvidia": ("redfish-bmc", "nvidia_viking.tar.xz"),
    "supermicro": ("redfish-bmc", "supermicro.tar.xz"),
    "dell_locked": ("redfish-bmc", "dell_locked.tar.xz"),
    "dmtf": ("redfish-other", "dmtf-public-rackmount1.tar.xz"),
}
_WANTED = re.compile(
    r"/(Systems(/[^/]+(/Bios(/.*)?)?)?|Registries(/[^/]*(Bios|bios)[^/]*)?|.*BiosAttributeRegistry[^/]*|Managers/[^/]+"
    r"|.*/SysLockdown|.*/DellAttributes/iDRAC[^/]*)/index\.json$",
    re.IGNORECASE,
)


def load(name: str) -> dict[str, dict]:
    """The part of a captured tree that is about systems, BIOS and its registry; a test that needs an absent one is skipped."""
    return json.loads(_load(name))


@functools.cache
def _load(name: str) -> str:
    tree = {}
    with tarfile.open(need(*ARCHIVES[name])) as archive:
        for member in archive:
            if not member.isfile() or not _WANTED.search(member.name):
                continue
            path = "/" + "/".join(Path(member.name).parent.parts[1:])
            if not path.startswith(("/redfish", "/registries")):
                path = f"/redfish/v1{path}"
            tree[path] = json.load(archive.extractfile(member))
    return json.dumps(tree)


def tree_of(
    attributes: dict, registry: dict | None = None, *, pending: dict | None = None, manufacturer: str = "", identity: str = "1"
) -> dict[str, dict]:
    """A tree around captured attributes that came without one."""
    system = f"/redfish/v1/Systems/{identity}"
    tree = {
        "/redfish/v1/Systems": {"Members": [{"@odata.id": system}]},
        system: {"Id": identity, "Manufacturer": manufacturer, "Bios": {"@odata.id": f"{system}/Bios"}},
        f"{system}/Bios": {
            "Attributes": attributes,
            "AttributeRegistry": "BiosAttributeRegistry.1",
            "@Redfish.Settings": {"SettingsObject": {"@odata.id": f"{system}/Bios/Settings"}, "SupportedApplyTimes": ["OnReset"]},
        },
        f"{system}/Bios/Settings": {"Attributes": pending or dict(attributes)},
        "/redfish/v1/Registries": {"Members": []},
    }
    if registry:
        place = "/redfish/v1/Registries/BiosAttributeRegistry.1"
        tree["/redfish/v1/Registries"]["Members"].append({"@odata.id": place})
        tree[place] = {"Location": [{"Language": "en", "Uri": f"{place}.json"}]}
        tree[f"{place}.json"] = registry
    return tree


def other(name: str) -> dict:
    """A captured document of redfish-other; a test that needs an absent one is skipped."""
    return json.loads(need("redfish-other", f"{name}.json").read_text(encoding="utf-8"))


@functools.cache
def _baselines() -> str:
    found = {}
    for path in sorted((REPOSITORY / "roles/bios/vars/main").glob("*.yml")):
        found.update(yaml.safe_load(path.read_text(encoding="utf-8")))
    order = [re.search(r"__bios_baseline_\w+", text)[0] for text in found["__bios_baselines"]]
    return json.dumps([found[name] for name in order])


def baselines() -> list[dict]:
    """The role's baselines, in its order."""
    return json.loads(_baselines())
