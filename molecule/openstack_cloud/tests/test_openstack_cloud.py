# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for a cloud has what the role makes, once, and every trait was made before a flavor."""

import importlib.util
import json
import os
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FOLDER = Path(os.environ.get("LAB_DIR") or ROOT / ".lab") / "cloud"


def installed(name):
    """Whether Python finds a module; it also asks for its parent, which may be missing."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.skipif(
    not all(map(installed, ("openstack", "ansible_collections.openstack"))),
    reason="needs openstacksdk and openstack.cloud",
)
def test_the_cloud_has_the_flavor_and_the_trait():
    with urllib.request.urlopen(f"{(FOLDER / 'address').read_text()}/made", timeout=30) as answer:
        made = json.load(answer)
    assert [flavor["name"] for flavor in made["flavors"]] == ["rt.plc"]
    assert made["flavors"][0]["extra_specs"]["hw:cpu_realtime_mask"] == "1-3"
    assert "CUSTOM_REALTIME_KVM" in made["traits"]
    calls = made["calls"]
    assert calls.index("PUT /placement/traits/CUSTOM_REALTIME_KVM") < calls.index("POST /compute/v2.1/flavors")
    assert calls.count("POST /compute/v2.1/flavors") == 1
