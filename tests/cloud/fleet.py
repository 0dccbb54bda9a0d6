# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cloud of molecule/openstack: its folders, its invented hosts, what placement answers."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import parse_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.sets import nova_sets

STATE = Path(os.environ.get("LAB_DIR") or Path(__file__).parents[2] / ".lab") / "openstack/state"
FLEET = STATE / "fleet"


@dataclass
class Host:
    """An invented host, and what placement knows of it."""

    name: str
    document: dict
    inventories: dict[str, int] = field(default_factory=dict)
    traits: set[str] = field(default_factory=set)

    @property
    def realtime(self):
        return self.name.startswith("rt-")

    @property
    def dedicated(self):
        """The CPUs that Nova may pin to."""
        return parse_cpulist(nova_sets(self.document)["dedicated"])

    @property
    def shared(self):
        """The CPUs of all else, emulators of real-time instances included."""
        return parse_cpulist(nova_sets(self.document)["shared"])

    def cpus_of(self, name):
        """The CPUs of a set of the document."""
        return parse_cpulist(self.document["sets"][name]["cpus"])


def documents():
    """The documents of the hosts by name, as fleet.yml has planned them."""
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(FLEET.glob("*/document.json"))}


def placement(cloud, path):
    """What placement answers, in the version that the tests need."""
    answer = cloud.session.get(
        path, endpoint_filter={"service_type": "placement"}, headers={"OpenStack-API-Version": "placement 1.39"}, raise_exc=False
    )
    assert answer.ok, answer.text
    return answer.json()
