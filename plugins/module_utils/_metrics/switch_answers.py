# SPDX-License-Identifier: GPL-3.0-or-later
"""What Open vSwitch says of its poll-mode threads and ports. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .families import MOST_PORTS
from .samples import Samples

#: Of ``dpif-netdev/pmd-stats-show`` (lib/dpif-netdev.c, pmd_info_show_stats); a thread that has not polled yet shows no cycles.
_THREAD = re.compile(r"pmd thread numa_id \d+ core_id (\d+):")
_CYCLES = re.compile(r"\s+(idle|processing) cycles:\s*(\d+)")
#: Interface types by what is at the other end; the first two have series before others do.
_KINDS = {"dpdk": "dpdk", "dpdkvhostuser": "vhostuser", "dpdkvhostuserclient": "vhostuser"}
OTHER = "other"
_ORDER = ("dpdk", "vhostuser", OTHER)
#: Metrics by the keys of an interface's statistics (ovs-vswitchd.conf.db(5)).
_STATISTICS = {"port_rx_dropped": "rx_dropped", "port_tx_dropped": "tx_dropped", "port_rx_missed": "rx_missed_errors"}
#: What is asked of the database.
COLUMNS = ("link_state", "name", "statistics", "type")


def polling_samples(text: str, out: Samples) -> None:
    """Add the cycles of poll-mode threads."""
    cpu = None
    for line in text.splitlines():
        if not line.startswith((" ", "\t")):
            thread = _THREAD.match(line)
            cpu = int(thread[1]) if thread else None
        elif cpu is not None and (cycles := _CYCLES.match(line)):
            out.add("pmd_busy_cycles" if cycles[1] == "processing" else "pmd_idle_cycles", int(cycles[2]), cpu)


def port_samples(rows: Iterable[Mapping[str, Any]], out: Samples) -> None:
    """Add the ports of the table Interface, whose sets and maps are written as RFC 7047 says; ``ValueError`` and the like for anything else."""
    ports = []
    for row in rows:
        kind = _KINDS.get(str(row["type"]), OTHER)
        ports.append((_ORDER.index(kind), str(row["name"]), kind, row["link_state"] == "up", dict(row["statistics"][1])))
    for _order, name, kind, is_up, counts in sorted(ports, key=lambda port: port[:2])[:MOST_PORTS]:
        out.add("port_up", is_up, name, kind)
        for short, key in _STATISTICS.items():
            if key in counts:
                out.add(short, int(counts[key]), name, kind)
    out.add("ports_omitted", max(len(ports) - MOST_PORTS, 0))
