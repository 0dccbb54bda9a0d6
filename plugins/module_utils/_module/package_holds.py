# SPDX-License-Identifier: GPL-3.0-or-later
"""package_holds: packages whose update would disturb guests, held or released."""

from __future__ import annotations

from functools import partial
from typing import Any

from .._cpus.errors import HostError
from .._host.holds import hold, release
from ._common import LIMIT, Edges, Outcome

#: The module's options; M(package_holds) describes them.
OPTIONS: dict[str, Any] = {**LIMIT, "state": {"type": "str", "choices": ["present", "absent"], "default": "present"}}


def run(edges: Edges, parameters: dict[str, Any]) -> Outcome:
    """Plan the holds; they are read back."""
    if parameters["state"] == "absent":
        release(edges.host, edges.runner)
        return Outcome({"held": []})
    return Outcome({"held": hold(edges.host, edges.runner)}, after=partial(_look, edges) if edges.host.changes else None)


def _look(edges: Edges) -> dict[str, Any]:
    planned = len(edges.host.changes)
    held = hold(edges.host, edges.runner)
    left = [change.resource for change in edges.host.changes[planned:]]
    if left:
        raise HostError(f"{', '.join(left)}: still not held; another program has changed the package manager's list meanwhile")
    return {"held": held}
