# SPDX-License-Identifier: GPL-3.0-or-later
"""The program ``metrics``: reads the node once, and prints its metrics or writes them for node_exporter. Edge, and read-only but for that one file.

It starts every few seconds, so it loads little: no service is asked by another program where a socket does, and no module's code is loaded.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .._cpus.answers import plain, printed
from .._cpus.errors import HostError, RefusalError
from .._host.host import Host
from .._host.paths import KEPT
from .._metrics.look import Look
from .._metrics.output import write_metrics
from .._metrics.passes import take
from .._metrics.services import ANSWER_S

_USAGE = "usage: rtpart metrics [--write]\n"


def run(arguments: Sequence[str], host: Host, release: str = "") -> int:
    """Read the node; return the exit status."""
    if list(arguments) not in ([], ["--write"]):
        sys.stderr.write(_USAGE)
        return 2
    samples, reasons = take(Look(host, command, release))
    try:
        if arguments:
            write_metrics(host, samples.text())
            return 0
    except RefusalError as error:
        sys.stderr.write(f"rtpart metrics: {printed(str(error))}\n")
        return 1
    sys.stderr.writelines(f"rtpart metrics: {name}: {plain(reason)}\n" for name, reason in reasons.items())
    sys.stdout.write(samples.open_metrics())
    return 0


def command(words: Sequence[str]) -> tuple[int, str, str]:
    """Run a program that only answers; it is ended after ``ANSWER_S``."""
    import subprocess  # only a node whose clock is ours starts one

    try:
        done = subprocess.run(
            list(words),
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ANSWER_S,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
    except subprocess.TimeoutExpired:
        raise HostError(f"{words[0]} has not answered within {ANSWER_S:g} s") from None
    except OSError as error:
        raise HostError(f"{words[0]} cannot be started: {error.strerror}") from None
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def main(release: str = "") -> None:
    """Entry point of the archive."""
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    code = run(sys.argv[2:], Host(check_mode=True), release)
    _compile(release, writes=code == 0 and sys.argv[2:] == ["--write"])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a source that hangs must not keep the program


def _compile(release: str, *, writes: bool) -> None:
    """Keep the archive's programs compiled, once after it has changed: it starts every few seconds, and half of that time was for compiling."""
    archive = getattr(sys.modules[__name__].__loader__, "archive", "")
    if writes and os.path.dirname(archive) not in ("", KEPT):
        from .keep import keep_watch  # loaded in one start of thousands

        keep_watch(archive, release)
