# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first stage waits in a BMC for the next reset, and takes effect there."""

import base64
import json
import os
import ssl
import urllib.request
from pathlib import Path

from bmc.replay import PASSWORD, USER

ROOT = Path(__file__).resolve().parents[3]
FOLDER = Path(os.environ.get("LAB_DIR") or ROOT / ".lab") / "bmc"
NODE = os.environ.get("LAB_NODES", "node1")
STAGED = {"WorkloadProfile": "Custom", "CStateEfficiencyMode": "Disabled", "MemPatrolScrubbing": "Disabled"}


def ask(path, body=None):
    """Ask the stand-in; a body is posted."""
    account = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    request = urllib.request.Request(
        f"https://{(FOLDER / 'address').read_text()}{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Basic {account}", "Content-Type": "application/json"},
    )
    context = ssl.create_default_context(cafile=FOLDER / "bmc1.pem")
    with urllib.request.urlopen(request, context=context, timeout=20) as answer:
        return json.loads(answer.read() or "null")


def test_the_first_stage_waits_and_the_reset_brings_it():
    bios = "/redfish/v1/Systems/1/Bios"
    settings = ask(bios)["@Redfish.Settings"]["SettingsObject"]["@odata.id"]
    assert STAGED.items() <= ask(settings)["Attributes"].items()
    assert ask(bios)["Attributes"]["WorkloadProfile"] != "Custom"
    ask("/redfish/v1/Systems/1/Actions/ComputerSystem.Reset", {"ResetType": "GracefulRestart"})
    assert STAGED.items() <= ask(bios)["Attributes"].items()


def test_the_report_names_what_is_left():
    report = json.loads((FOLDER / f"{NODE}.json").read_text())
    assert (report["host"], report["reboots"], report["error"]) == (NODE, 2, "")
    assert {one["attribute"] for one in report["attributes"] if one["state"] == "staged"} == set(STAGED)
