# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's tool as files on the node: command, manual page, completion. Pure."""

from __future__ import annotations

COMMAND = "/usr/local/sbin/rtpart"
MANUAL = "/usr/local/share/man/man8/rtpart.8"
COMPLETION = "/usr/local/share/bash-completion/completions/rtpart"

_COMPLETION = """\
# Written by realtime.kvm (module cpu_partition), which replaces this file as a whole.
_rtpart() {
    local verbs="list status metrics audit run move undo" sets="housekeeping dataplane realtime shared"
    local word=${COMP_WORDS[COMP_CWORD]}
    case ${COMP_WORDS[1]}:$COMP_CWORD in
        *:1) COMPREPLY=($(compgen -W "$verbs" -- "$word")) ;;
        run:2 | move:3) COMPREPLY=($(compgen -W "$sets" -- "$word")) ;;
        run:*) COMPREPLY=($(compgen -W "--cpu --fifo --rr --json --" -- "$word")) ;;
        metrics:*) COMPREPLY=($(compgen -W "--write" -- "$word")) ;;
        audit:*) ;;
        list:*) COMPREPLY=($(compgen -W "--seconds --json" -- "$word")) ;;
        *) COMPREPLY=($(compgen -W "--json" -- "$word")) ;;
    esac
}
complete -F _rtpart rtpart
"""

_MANUAL = r""".TH RTPART 8 "" "realtime.kvm" "System Administration"
.SH NAME
rtpart \- show and use the real-time CPU partition of this node
.SH SYNOPSIS
.B rtpart list
[\-\-seconds S] [\-\-json]
.br
.B rtpart status
[\-\-json]
.br
.B rtpart metrics
[\-\-write]
.br
.B rtpart audit
.br
.B rtpart run
SET [\-\-cpu N] [\-f PRIO | \-r PRIO] [\-\-json] \-\- COMMAND [ARGUMENT ...]
.br
.B rtpart move
PID SET [\-\-json]
.br
.B rtpart undo
[\-\-json]
.SH DESCRIPTION
The partition gives every CPU of the node to one set: housekeeping, dataplane, realtime or shared. It is described in
/etc/ansible/facts.d/realtime_partition.fact, which the Ansible module realtime.kvm.cpu_partition writes.
.SH COMMANDS
.TP
.B list
One line per CPU: its set, its owner (a guest's vCPU, a poll-mode thread, or the holder of free CPUs), interrupts of its
timer per second (counted for a second, or S seconds), and the programs that are bound to it with their scheduling policy.
Needs no root.
.TP
.B status
Compares the node with its partition file and the options of the roles. Exit status 1 if something differs. Needs no root.
Where the node audits itself, it also shows what that audit has found last, and how long ago.
.TP
.B metrics
Prints the metrics of the node as OpenMetrics text; what could not be read is named on standard error. \-\-write writes them
for the textfile collector of node_exporter instead, as realtime\-kvm\-metrics.timer does. Some metrics need root. The role
rt_metrics installs it.
.TP
.B audit
Audits the node now and keeps the findings, as realtime\-kvm\-audit.timer does. It changes nothing else. The role rt_metrics
installs it; status \-\-json then prints the findings for programs.
.TP
.B run
Runs COMMAND on the CPUs of SET. In an isolated set (realtime, dataplane) it gets the first CPU that no guest, poll-mode
thread or program uses, or CPU N; if that is in use, the message names its owner. \-f and \-r give COMMAND SCHED_FIFO or
SCHED_RR at PRIO.
.TP
.B move
Moves a running process with all its threads to the CPUs of SET, chosen as for run. A kernel thread that is bound to its
CPU is refused.
.TP
.B undo
Dissolves the partitions and restores every value that the partition has changed, from the journal. The node keeps running.
The roles make the partition again.
.SH EXIT STATUS
0 done; 1 refused, or (status) the node differs; 2 wrong command line. run ends with the status of its command.
.SH FILES
/etc/ansible/facts.d/realtime_partition.fact, /var/lib/realtime\-kvm/journal.json, /sys/fs/cgroup/realtime\-kvm.*,
/run/realtime\-kvm/audit.json, /etc/realtime\-kvm/rt_metrics.json
.SH SEE ALSO
cgroups(7), sched(7), taskset(1), chrt(1)
"""


def tool_files(archive: str) -> dict[str, tuple[str, int]]:
    """Return the tool's files on a node: path to text and mode."""
    command = (
        "#!/bin/sh\n# Written by realtime.kvm (module cpu_partition), which replaces this file as a whole.\n"
        f'exec /usr/bin/python3 -I {archive} rtpart "$@"\n'
    )
    return {COMMAND: (command, 0o755), MANUAL: (_MANUAL, 0o644), COMPLETION: (_COMPLETION, 0o644)}
