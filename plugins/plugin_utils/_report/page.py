# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages of HTML, the report among them: templates filled with autoescape, so that no name from a node becomes markup.

The page loads nothing: its Content-Security-Policy allows only its own style and its own script, by their digests.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._tables import PURPOSES
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from .accounting import SUMS
from .latency import BOTTOM, HEIGHT, LEFT, TOP
from .latency import WIDTH as CHART
from .map import CELL, LETTERS, WIDTH
from .view import STATES, mib

FOLDER = Path(__file__).with_name("templates")
SUM_TITLES = dict(
    zip(
        SUMS,
        (
            "Own CPUs",
            "Guests",
            "Nodes",
            "Shared vCPUs",
            "Memory",
            "Huge pages",
            "Ports",
            "Devices",
            "Interrupts",
        ),
    )
)


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def data_block(data: Any) -> Markup:
    """Return JSON for a place between script tags: nothing in it can end the block or begin another."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def render_page(view: Mapping[str, Any]) -> str:
    """Return the page of the report."""
    return render("page.html.j2", view)


def render(template: str, view: Mapping[str, Any]) -> str:
    """Return a page from one of the templates; all pages have the same style and script."""
    return _environment().get_template(template).render(view)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style, script = ((FOLDER / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    environment.filters.update(mib=mib, data_block=data_block)
    environment.globals.update(
        cell=CELL,
        map_width=WIDTH,
        letters=LETTERS,
        sets=PURPOSES,
        states=STATES,
        sum_titles=SUM_TITLES,
        chart={"width": CHART, "height": HEIGHT, "left": LEFT, "bottom": BOTTOM, "top": TOP},
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {_digest(script)}; "
        "base-uri 'none'; form-action 'none'",
    )
    return environment
