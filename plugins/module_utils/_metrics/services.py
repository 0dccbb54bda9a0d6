# SPDX-License-Identifier: GPL-3.0-or-later
"""What services of the node answer: the switch and the clock. Edge, read-only.

The switch is asked by its sockets, which needs no other program. Its counts are those that it keeps: no poll-mode thread is interrupted.
"""

from __future__ import annotations

from .._cpus.answers import answering, decode, plain
from .._cpus.errors import HostError
from .._host.paths import config_path
from .._host.threads import SWITCH_PID
from .._switch.rows import DATABASE
from .._switch.rpc import ask, unreadable
from .._time.answers import chrony_state, ptp_state
from .look import Look
from .samples import Samples
from .switch_answers import COLUMNS, polling_samples, port_samples

FOLDER = "/run/openvswitch"
SOCKET = f"{FOLDER}/db.sock"
#: What the role time_sync keeps of itself, and its unit (``_time/wanted.py``, ``_time/texts.py``; the whole would be loaded for these).
CHRONY, PHC2SYS_UNIT = "chrony", "realtime-kvm-phc2sys.service"
#: What ovs-vswitchd says of a switch without userspace datapath (lib/dpif-netdev.c).
_NO_DATAPATH = "please specify an existing datapath"
#: What ovs-vswitchd says of a command that it lacks; Open vSwitch 4.0 shows these cycles as rounded percentages alone (pmd-perf-show).
_UNKNOWN = "is not a valid command"
#: A service answers in so many seconds, or not at all.
ANSWER_S = 2.0


def switch_samples(look: Look, out: Samples) -> None:
    """Ports and poll-mode threads; nothing where no switch has run since the boot."""
    if not look.host.exists(FOLDER):
        return
    _ports(look, out)
    _polling(look, out)


def _ports(look: Look, out: Samples) -> None:
    select = {"op": "select", "table": "Interface", "where": [], "columns": list(COLUMNS)}
    request = {"method": "transact", "params": [DATABASE, select], "id": 1}
    answer = ask(look.host.path(SOCKET), SOCKET, "ovsdb-server", request, ANSWER_S)
    if answer is None:
        raise HostError(f"ovsdb-server does not listen on {SOCKET}")
    with answering(lambda reason: unreadable("ovsdb-server", SOCKET, reason)):
        port_samples(answer["result"][0]["rows"], out)


def _polling(look: Look, out: Samples) -> None:
    pid = look.host.value(SWITCH_PID) or ""
    if not pid.isdecimal():
        raise HostError(f"ovs-vswitchd does not run: {SWITCH_PID} names no process")
    socket = f"{FOLDER}/ovs-vswitchd.{pid}.ctl"
    request = {"method": "dpif-netdev/pmd-stats-show", "params": [], "id": 1}
    answer = ask(look.host.path(socket), socket, "ovs-vswitchd", request, ANSWER_S)
    if answer is None:
        raise HostError(f"ovs-vswitchd does not listen on {socket}")
    error = answer.get("error")
    if isinstance(error, str) and (error.strip() == _NO_DATAPATH or _UNKNOWN in error):
        return
    if error is not None:
        raise HostError(f"ovs-vswitchd refused {request['method']}: {plain(str(error).strip(), 200)}")
    with answering(lambda reason: unreadable("ovs-vswitchd", socket, reason)):
        polling_samples(answer["result"].replace("\t", " "), out)


def clock_samples(look: Look, out: Samples) -> None:
    """How the clock follows its source, on a node where the role time_sync has set it up."""
    path = config_path("time_sync")
    text = look.host.read(path)
    if text is None:
        return
    with answering(lambda reason: HostError(f"{path} is damaged ({reason}); run the time_sync role to write it again")):
        wanted = decode(text, {"source": str, "domain": int})
    if wanted["source"] == CHRONY:
        state = chrony_state(_said(look, "chronyc", "-c", "-n", "-m", "tracking", "sources"))
    else:
        state = ptp_state(
            _said(look, "pmc", "-u", "-b", "0", "-d", str(wanted["domain"]), "GET TIME_STATUS_NP", "GET PORT_DATA_SET")
        )
    steered = wanted["source"] == CHRONY or look.serves(PHC2SYS_UNIT)
    out.add("clock_synchronised", state.synchronised and steered)
    if state.offset_us is not None:
        out.add("clock_offset_seconds", state.offset_us / 1e6)


def _said(look: Look, *command: str) -> str:
    code, out, err = look.runner(command)
    if code != 0 and not out.strip():
        raise HostError(f"{command[0]} failed with exit code {code}: {plain(err.strip()[-200:])}")
    return out
