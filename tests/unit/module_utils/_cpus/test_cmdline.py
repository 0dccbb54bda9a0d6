# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kernel command line: its tokens, quoted ones whole, and their keys."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cmdline import key_of, split_tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        (" \t\n", []),
        ("quiet", ["quiet"]),
        ("  ro\tquiet  root=UUID=0-1 \n", ["ro", "quiet", "root=UUID=0-1"]),
        ('dyndbg="file x.c +p" ro', ['dyndbg="file x.c +p"', "ro"]),
        ('"dyndbg=file x.c +p" ro', ['"dyndbg=file x.c +p"', "ro"]),
        ('a="b c"d e', ['a="b c"d', "e"]),
        ('a="never closed b', ['a="never closed b']),
        ("a b -- init args", ["a", "b", "--", "init", "args"]),
    ],
)
def test_split(text, tokens):
    assert split_tokens(text) == tokens


@pytest.mark.parametrize(
    ("token", "key"),
    [
        ("skew_tick=1", "skew_tick"),
        ("rcu-nocbs=1", "rcu_nocbs"),
        ("kvm-intel.ple-gap=0", "kvm_intel.ple_gap"),
        ("quiet", "quiet"),
        ("root=UUID=0-1", "root"),
        ('"dyndbg=file x"', "dyndbg"),
    ],
)
def test_key(token, key):
    assert key_of(token) == key
