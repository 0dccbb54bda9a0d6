# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in a Python that has nova: says what Nova's own code says of flavors, one JSON document to another."""

from __future__ import annotations

import json
import sys
from functools import cache
from importlib.metadata import version
from typing import Any


@cache  # nova compiles its 500 patterns again for each name of a trait
def refusal(name: str, value: str) -> str:
    """Return what the API refuses of one extra spec, an empty text if it takes it."""
    from nova import exception
    from nova.api.validation.extra_specs import validators

    try:
        validators.validate(name, value)
    except exception.ValidationError as error:
        return str(error)
    return ""


def judge(flavor: dict[str, Any]) -> dict[str, Any]:
    """Return what nova refuses of a flavor: ``names``, each extra spec at the API; ``together``, all when an instance is made."""
    from nova import objects
    from nova.virt import hardware

    said = {name: refusal(name, value) for name, value in flavor["extra_specs"].items()}
    refused = {name: text for name, text in said.items() if text}
    made = objects.Flavor(
        vcpus=flavor["vcpus"], memory_mb=flavor["ram"], root_gb=flavor["disk"], extra_specs=flavor["extra_specs"], name="f"
    )
    image = objects.ImageMeta.from_dict({"properties": {}})
    try:
        topology = hardware.numa_get_constraints(made, image)
        realtime = sorted(hardware.get_realtime_cpu_constraint(made, image) or ())
        together = ""
    except Exception as error:
        return {"names": refused, "together": f"{type(error).__name__}: {error}", "realtime": [], "pinned": [], "cells": 0}
    cells = topology.cells if topology else []
    pinned = sorted(vcpu for cell in cells for vcpu in cell.pcpuset)
    return {"names": refused, "together": together, "realtime": realtime, "pinned": pinned, "cells": len(cells)}


def main() -> None:
    """Answer on the standard output."""
    from nova import objects

    objects.register_all()
    asked = json.load(sys.stdin)
    json.dump({"version": version("nova"), "flavors": [judge(flavor) for flavor in asked]}, sys.stdout)


if __name__ == "__main__":
    main()
