# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples, and the two texts that Prometheus reads. Pure.

node_exporter's textfile collector reads the text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/), in which a counter
has its suffix ``_total`` everywhere. OpenMetrics 1.0 (https://prometheus.io/docs/specs/om/open_metrics_spec/) names the family without it, knows
units and infos, and ends with ``# EOF``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from .._cpus.answers import plain
from .families import COUNTER, FAMILIES, GAUGE, INFO, Family

#: The most characters of a label's value; whose it is may have typed more.
MOST_LABEL = 200
#: Halves of characters that stand for no byte of a name; JSON can have them.
_NO_BYTES = re.compile("[\ud800-\udc7f\udd00-\udfff]")


class Samples:
    """Values of metrics, by the metric's short name and its labels; of two with the same labels the first stays."""

    def __init__(self) -> None:
        self._values: dict[str, dict[tuple[str, ...], float]] = {}

    def add(self, short: str, value: float, *labels: object) -> None:
        """Add a sample; a value that is no number is left out, and a count below zero."""
        family = FAMILIES[short]
        if len(labels) != len(family.labels):
            raise TypeError(f"{short} has the labels {family.labels}, not {labels}")
        if math.isfinite(value) and (value >= 0 or family.kind != COUNTER):
            self._values.setdefault(short, {}).setdefault(tuple(map(label_text, labels)), value)

    def update(self, other: Samples) -> None:
        """Add all samples of another."""
        for short, values in other._values.items():
            mine = self._values.setdefault(short, {})
            for labels, value in values.items():
                mine.setdefault(labels, value)

    def of(self, short: str) -> dict[tuple[str, ...], float]:
        """Return the samples of a metric, by their labels."""
        return dict(self._values.get(short, {}))

    def text(self) -> str:
        """Return the text format 0.0.4."""
        lines: list[str] = []
        for family in self._families():
            kind = GAUGE if family.kind == INFO else family.kind
            lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {kind}"]
            lines += self._lines(family)
        return "\n".join(lines) + "\n"

    def open_metrics(self) -> str:
        """Return OpenMetrics."""
        lines: list[str] = []
        for family in self._families():
            name = family.name.removesuffix("_total" if family.kind == COUNTER else "_info" if family.kind == INFO else "")
            lines += [f"# TYPE {name} {family.kind}"]
            lines += [f"# UNIT {name} {family.unit}"] if family.unit else []
            lines += [f"# HELP {name} {family.help}"]
            lines += self._lines(family)
        return "\n".join([*lines, "# EOF"]) + "\n"

    def _families(self) -> Iterator[Family]:
        return (family for short, family in FAMILIES.items() if self._values.get(short))

    def _lines(self, family: Family) -> Iterator[str]:
        for labels, value in self._values[family.short].items():
            named = ",".join(f'{name}="{_escaped(text)}"' for name, text in zip(family.labels, labels))
            yield f"{family.name}{{{named}}} {_number(value)}" if named else f"{family.name} {_number(value)}"


def label_text(value: object) -> str:
    """Return a label's value: names are data, so other control characters than a line end are written as codes, as on a terminal."""
    text = str(value)
    if not text.isprintable():
        text = _NO_BYTES.sub("\ufffd", text)
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")  # a file's name need not be UTF-8
        text = "\n".join(plain(line) for line in text.split("\n"))
    return text if len(text) <= MOST_LABEL else f"{text[: MOST_LABEL - 3]}..."


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1 << 53 else repr(float(value))
