# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the captures of real machines are. They are third-party data; tests/fixtures/README.md names their origins and licences.

A few of them are in this repository. The whole collection is looked for first, in the folder that the environment variable
REALTIME_KVM_CAPTURES names, else in ``../shared/fixtures`` beside the repository. A case whose capture is in neither is skipped
with the reason ``ABSENT``, which the summary at the end of a run counts (tests/conftest.py).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
OWN = REPOSITORY / "tests" / "fixtures"
VARIABLE = "REALTIME_KVM_CAPTURES"
WHOLE = Path(os.environ.get(VARIABLE) or REPOSITORY.parent / "shared" / "fixtures")

ABSENT = "its capture is not in this repository"
absent = pytest.mark.skip(reason=ABSENT)


def folder(source: str) -> Path:
    """The folder with the captures of one source: of the whole collection, else the repository's own."""
    return WHOLE / source if is_whole(source) else OWN / source


def is_whole(source: str) -> bool:
    """Whether all captures of a source are here, not only the repository's own."""
    return (WHOLE / source).is_dir()


def need(source: str, name: str) -> Path:
    """A file of a source; the test is skipped if it is absent."""
    path = folder(source) / name
    if not path.is_file():
        pytest.skip(ABSENT)
    return path


def need_whole(source: str) -> None:
    """Skip a test that is about the whole of a source."""
    if not is_whole(source):
        pytest.skip(ABSENT)
