# SPDX-License-Identifier: GPL-3.0-or-later
"""The option of the modules with which playbooks end on a node; the doc fragment ``runs`` describes it."""

from __future__ import annotations

from typing import Any

from .._watch.runs import PLAYBOOKS

ENDS: dict[str, Any] = {"runs": {"type": "list", "elements": "str", "choices": list(PLAYBOOKS), "default": []}}
