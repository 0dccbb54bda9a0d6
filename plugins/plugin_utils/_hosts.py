# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts have answered, as actions on the controller read it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def variables_of(hostvars: Any, host: str) -> Mapping[str, Any]:
    """Return a host's variables as they are: the results of its tasks hold no template that is ours."""
    found: Mapping[str, Any] = hostvars.raw_get(host) if hasattr(hostvars, "raw_get") else hostvars[host]
    return found


def plain_data(value: Any) -> Any:
    """Return plain data, without the tags that Ansible adds to every value."""
    return json.loads(json.dumps(value, default=str))
