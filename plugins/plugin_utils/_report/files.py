# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The accounting as plain data, for the files beside the report's page. Pure."""

from __future__ import annotations

from typing import Any

from ansible_collections.realtime.kvm.plugins.plugin_utils._natural import natural

from .accounting import SUMS_BY, Holding, sums
from .firmware import firmware_of
from .view import Books, Input, findings_of, state_of

FORMAT = 1


def accounting_document(given: Input, books: Books) -> dict[str, Any]:
    """Return the accounting as plain data: the JSON file."""
    nodes = {}
    for host in sorted(given.nodes, key=natural):
        node = given.nodes[host]
        account = books.accounts.get(host)
        state, reason = state_of(node, findings_of(node.get("verify")), books.broken.get(host, ""))
        firmware = firmware_of(node.get("firmware"))
        entry: dict[str, Any] = {
            "state": state,
            "reason": reason,
            "firmware": {key: firmware[key] for key in ("state", "outcome")},
        }
        if account is not None:
            entry.update(read=account.info.get("read", ""), capacity=account.capacity)
            entry["holdings"] = [_plain(row) for row in account.holdings]
        nodes[host] = entry
    holdings = books.holdings
    sums_by = {name: sums(holdings, key) for name, key in SUMS_BY.items()}
    return {"format": FORMAT, "generated": given.generated, **sums_by, "nodes": nodes}


def _plain(row: Holding) -> dict[str, Any]:
    """Return a row without the node, which is shown above it, and without empty values."""
    return {key: value for key, value in zip(Holding._fields[1:], row[1:]) if value != ""}


def csv_rows(books: Books) -> list[list[str]]:
    """Return the accounting as rows of text under a header: the CSV file."""
    return [list(Holding._fields), *([_cell(value) for value in row] for row in books.holdings)]


def _cell(value: Any) -> str:
    """Return a cell; a text that a spreadsheet would run as a formula gets an apostrophe before it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
