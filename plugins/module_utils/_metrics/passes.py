# SPDX-License-Identifier: GPL-3.0-or-later
"""One pass over all sources of metrics: each is bounded, and fails alone. Edge, read-only."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping

from .._cpus.answers import UNREADABLE
from .._cpus.errors import RefusalError
from .._host.deadline import LateError, within
from .counters import frequency_samples, idle_samples, interrupt_samples, limit_samples, page_samples
from .guests import guest_samples, thread_samples
from .kept_samples import audit_samples, latency_samples, run_samples
from .look import Look
from .node import kernel_samples, owner_samples, partition_samples
from .programs import program_samples
from .samples import Samples
from .services import clock_samples, switch_samples

Source = Callable[[Look, Samples], None]
#: A source has so many seconds, and all of them together. A service has less than a source, so its own message comes first.
SOURCE_S, PASS_S = 3.0, 10.0
#: In the order in which they are asked: later ones use what earlier ones have found.
SOURCES: Mapping[str, Source] = {
    "partition": partition_samples,
    "kernel": kernel_samples,
    "guests": guest_samples,
    "owners": owner_samples,
    "threads": thread_samples,
    "interrupts": interrupt_samples,
    "limits": limit_samples,
    "frequency": frequency_samples,
    "idle": idle_samples,
    "pages": page_samples,
    "programs": program_samples,
    "audit": audit_samples,
    "runs": run_samples,
    "latency": latency_samples,
    "switch": switch_samples,
    "clock": clock_samples,
}


def take(look: Look, sources: Mapping[str, Source] | None = None) -> tuple[Samples, dict[str, str]]:
    """Return the samples of a pass, and by source why it did not answer.

    What a source has said before it was refused is true and stays; of one that is late, or fails in an unknown way, nothing is shown.
    """
    samples, reasons = Samples(), dict[str, str]()
    begun = time.monotonic()
    for name, source in (SOURCES if sources is None else sources).items():
        started = time.monotonic()
        seconds = min(SOURCE_S, PASS_S - (started - begun))
        found, reason = _ask(look, source, seconds) if seconds > 0 else (Samples(), f"the others took {PASS_S:g} s")
        samples.update(found)
        samples.add("source_up", not reason, name)
        samples.add("source_duration_seconds", round(time.monotonic() - started, 6), name)
        if reason:
            reasons[name] = reason
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    samples.add("pass_cpu_seconds", round(sum(part.ru_utime + part.ru_stime for part in used), 6))
    samples.add("pass_timestamp_seconds", round(time.time(), 3))
    return samples, reasons


def _ask(look: Look, source: Source, seconds: float) -> tuple[Samples, str]:
    found = Samples()
    try:
        within(seconds, lambda: source(look, found))
    except LateError as error:
        return Samples(), str(error)
    except RefusalError as error:
        return found, str(error) or "it was refused"
    except (OSError, *UNREADABLE) as error:
        return Samples(), f"unexpected {type(error).__name__}: {error}"
    return found, ""
