# SPDX-License-Identifier: GPL-3.0-or-later
"""What time services say of themselves: chronyc, pmc and phc2sys. Pure.

chronyc(1): with ``-c`` the fields of tracking and sources are separated by commas. pmc(8) prints a name and a value a line.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from .._cpus.answers import counted, plain

#: Fields of a line of ``chronyc -c tracking`` and of ``sources``.
_TRACKING, _SOURCE = 14, 10
#: What tracking names as reference: nothing, and the machine's own clock (directive ``local``).
_NOTHING, _ITSELF = "00000000", "7F7F0101"
#: Of a line of phc2sys: offset in ns, and its servo's state (2 and 3: the clock is steered).
_PHC2SYS = re.compile(r"(?:phc|sys) offset\s+(-?\d{1,19}) s([0-3]) ")
_FIELD = re.compile(r"^\s+(\w+)\s+(\S+)\s*$", re.MULTILINE)
#: Of ptp4l's output, once a master answers: each offset or, where it sends several a second, a summary of them.
_HEARD = re.compile(r"master offset\s+-?\d{1,19} s[0-3] |rms\s+\d{1,19} max\s+\d{1,19} freq ")
#: Of ``chronyd -Q``.
_WRONG = re.compile(r"System clock wrong by (-?\d{1,19}(?:\.\d{1,12})?) seconds")


@dataclass(frozen=True)
class State:
    """What a clock follows, and how far it is off; ``synchronised`` only while it follows something."""

    synchronised: bool
    reference: str = ""
    stratum: int = 0
    offset_us: float | None = None
    why: str = ""  # it is not


@dataclass(frozen=True)
class Running:
    """A service that runs: its process, and the CPUs and the highest policy of its threads."""

    pid: int
    cpus: frozenset[int]
    fifo: int  # priority of SCHED_FIFO or SCHED_RR, 0 for neither
    words: tuple[str, ...]


def chrony_state(text: str) -> State:
    """Return the state by ``chronyc -c -n -m tracking sources``."""
    rows = [line.split(",") for line in text.splitlines()]
    tracking = next((row for row in rows if len(row) == _TRACKING), None)
    if tracking is None:
        return State(False, why="chronyc gives no answer that is known")
    sources = [row for row in rows if len(row) == _SOURCE]
    reachable = sum(1 for row in sources if row[5] not in ("0", ""))
    offset, stratum = _number(tracking[4]), _number(tracking[2])
    leap = tracking[13]
    reference = plain(tracking[1] or tracking[0], 80)
    if leap == "Not synchronised" or tracking[0] in (_NOTHING, _ITSELF):
        own = ", but its own clock (local in its configuration)" if tracking[0] == _ITSELF else ""
        return State(False, why=f"it follows none of {counted(len(sources), 'source')}, of which {reachable} answer{own}")
    # offset of the clock from what chrony makes of its sources; positive: the clock is slow
    return State(True, reference, int(stratum or 0), None if offset is None else offset * 1e6)


def ptp_state(text: str) -> State:
    """Return the state by pmc's TIME_STATUS_NP and PORT_DATA_SET."""
    found = dict(_FIELD.findall(text))
    if "portState" not in found:
        return State(False, why="ptp4l does not answer pmc")
    master = plain(found.get("gmIdentity", ""), 40) if found.get("gmPresent") == "true" else ""
    offset = _number(found.get("master_offset", ""))
    if found["portState"] != "SLAVE" or not master:
        heard = f"grandmaster {master}" if master else "no grandmaster is heard"
        return State(False, master, why=f"its port is {plain(found['portState'], 20)}, {heard}")
    return State(True, master, 0, None if offset is None else offset / 1000)


def phc_state(text: str) -> State:
    """Return how far the system's clock is from the NIC's, by the last line of phc2sys that says so."""
    found = _PHC2SYS.findall(text)
    if not found:
        return State(False, why="phc2sys has not compared the clocks yet")
    offset, servo = found[-1]
    return State(servo in "23", offset_us=int(offset) / 1000, why="" if servo in "23" else "phc2sys does not steer the clock yet")


def heard_master(text: str) -> bool:
    """Whether ptp4l has compared its clock with a master's."""
    return bool(_HEARD.search(text))


def heard_servers(text: str) -> float | None:
    """Return by how many seconds ``chronyd -Q`` says that the clock is wrong; None where no server has answered."""
    found = _WRONG.search(text)
    return float(found[1]) if found else None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
