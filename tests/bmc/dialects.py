# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What BMCs do with ETags, as public reports have it: what they give, and what they want back."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

_CLOCK = itertools.count(1_700_000_000)


@dataclass(frozen=True)
class Etags:
    """One way: headers and ``@odata.etag`` for what changes with a document, and whether an ``If-Match`` fits it.

    ``header`` may give several headers; ``needed``: a PATCH without If-Match gets 428.
    """

    source: str
    header: Callable[[str], list[str]] = lambda tag: [f'"{tag}"']
    field: Callable[[str], str | None] = lambda _tag: None
    fits: Callable[[str, str], bool] = lambda sent, tag: sent == f'"{tag}"'
    needed: bool = True

    def given(self, tag: str) -> tuple[list[str], str | None]:
        return self.header(tag), self.field(tag)

    def verdict(self, sent: str | None, tag: str) -> int:
        """The status of a refusal, 0 where the request is taken."""
        if not sent:
            return 428 if self.needed else 0 if sent is None else 412
        return 0 if self.fits(sent, tag) else 412


def _none(_tag: str) -> list[str]:
    return []


STRONG = Etags("RFC 9110")
ETAGS = {
    "strong": STRONG,
    "quoted twice": Etags("community.general #3268", header=lambda tag: [f'""{tag}""'], field=lambda tag: f'"{tag}"'),
    "quoted twice, nothing in the document": Etags("community.general #3268", header=lambda tag: [f'""{tag}""']),
    "weak": Etags(
        "iLO 5: python-redfish-utility #56", header=lambda tag: [f'W/"{tag}"'], fits=lambda sent, tag: sent == f'W/"{tag}"'
    ),
    "weak, strong wanted": Etags("sushy, Connector._etag_handler", header=lambda tag: [f'W/"{tag}"']),
    "weak by a proxy": Etags(
        "sushy, do-not-offer-compression-encoding", header=lambda tag: [f'W/"{tag}"'], field=lambda tag: f'"{tag}"'
    ),
    "weak, bare wanted": Etags(
        "community.general #6434", header=_none, field=lambda tag: f'W/"{tag}"', fits=lambda sent, tag: sent == tag
    ),
    "bare": Etags("iLO 4: ilo-rest-api-docs, SettingsResult", header=lambda tag: [tag], fits=lambda sent, tag: sent == tag),
    "bare, quoted wanted": Etags("community.general strip_etag_quotes", header=lambda tag: [tag]),
    "gzip": Etags("Apache mod_deflate", header=lambda tag: [f'"{tag}-gzip"']),
    "gzip of Jetty": Etags("jetty #1416", header=lambda tag: [f'W/"{tag}--gzip"']),
    "twice": Etags("ibm-openbmc/bmcweb #832", header=lambda tag: [f'"{tag}"', f'"{tag}"']),
    "another in the document": Etags("DMTF DSP0266, @odata.etag", header=lambda _tag: ['"page"'], field=lambda tag: f'"{tag}"'),
    "only in the document": Etags(
        "ansible #56150", header=_none, field=lambda tag: f'W/"{tag}"', fits=lambda sent, tag: sent == f'W/"{tag}"'
    ),
    "empty": Etags("sushy, ignore-empty-string-etags", header=lambda _tag: [""], fits=lambda _sent, _tag: False, needed=False),
    "none": Etags("RFC 9110 (an ETag is optional)", header=_none, fits=lambda _sent, _tag: True, needed=False),
    "none, any wanted": Etags("gofish #171, AMI", header=_none, fits=lambda sent, _tag: sent == "*"),
    "of the moment": Etags(
        "AMI MegaRAC: Redfish-Tacklebox #55", header=lambda _tag: [f'W/"{next(_CLOCK)}"'], fits=lambda sent, _tag: sent == "*"
    ),
    "given, none taken": Etags("community.general #3268", fits=lambda _sent, _tag: False, needed=False),
}
