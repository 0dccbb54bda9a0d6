# SPDX-License-Identifier: GPL-3.0-or-later
"""What kernel_arguments has written, kept on the node: the boot loader's files alone do not show whose a token is.

Pure. A running kernel may still have a token that an earlier run wrote and a later one took back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .._cpus.cmdline import canonical


@dataclass(frozen=True)
class Written:
    """The request of the last run, and tokens of earlier runs that the kernel running then had."""

    tokens: tuple[str, ...] = ()
    default_kernel: str | None = None
    former: tuple[str, ...] = ()

    @property
    def all(self) -> list[str]:
        """Every token that came from this collection."""
        return [*self.tokens, *self.former]

    def followed_by(self, tokens: Sequence[str], default_kernel: str | None, running: Iterable[str]) -> Written:
        """Return the next state; ``former`` changes only together with the tokens, so that a second run writes nothing."""
        if tuple(tokens) == self.tokens:
            return Written(self.tokens, default_kernel, self.former)
        now, wanted = {canonical(token) for token in running}, set(tokens)
        former = [token for token in dict.fromkeys(self.all) if token not in wanted and canonical(token) in now]
        return Written(tuple(tokens), default_kernel, tuple(former))

    def text(self) -> str:
        """Return the file's content."""
        content: dict[str, object] = {"tokens": list(self.tokens), "default_kernel": self.default_kernel}
        if self.former:
            content["former"] = list(self.former)
        return json.dumps(content, indent=1, sort_keys=True) + "\n"


def parse_written(text: str) -> Written:
    """Read the file; a damaged one counts as absent, since the next run writes it again."""
    try:
        content = json.loads(text)
        tokens, former = content["tokens"], content.get("former", [])
        known = all(isinstance(token, str) for token in [*tokens, *former])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Written()
    default = content.get("default_kernel")
    return Written(tuple(tokens), default if isinstance(default, str) else None, tuple(former)) if known else Written()
