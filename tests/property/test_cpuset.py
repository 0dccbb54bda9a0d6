# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every CPU set, whatever its text."""

from __future__ import annotations

import re

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import (
    MAX_CPU,
    CpuListError,
    format_cpulist,
    parse_cpulist,
)
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.masks import format_hex, format_mask, mask_number, parse_mask
from hypothesis import given, settings
from hypothesis import strategies as st

#: A busy machine is no wrong answer.
UNTIMED = settings(deadline=None)

cpusets = st.frozensets(st.one_of(st.integers(0, 200), st.integers(0, MAX_CPU)), max_size=60)


@given(cpusets)
@UNTIMED
def test_parse_undoes_format(cpus):
    assert parse_cpulist(format_cpulist(cpus)) == cpus
    assert parse_mask(format_mask(cpus)) == cpus
    assert parse_mask(format_hex(cpus)) == cpus


@given(cpusets)
@UNTIMED
def test_lists_are_canonical(cpus):
    """Ascending ranges that neither touch nor overlap, in the kernel's notation: the only such text."""
    text = format_cpulist(cpus)
    previous = -2
    for item in filter(None, text.split(",")):
        match = re.fullmatch(r"(0|[1-9][0-9]*)(?:-([1-9][0-9]*))?", item)
        assert match
        first, last = int(match[1]), int(match[2] or match[1])
        assert first > previous + 1
        assert match[2] is None or last > first
        previous = last
    assert format_cpulist(sorted(cpus, reverse=True)) == text


@given(cpusets)
@UNTIMED
def test_masks_are_the_kernels(cpus):
    text = format_mask(cpus)
    assert re.fullmatch(r"[0-9a-f]{8}(,[0-9a-f]{8})*", text)
    assert int(text.replace(",", ""), 16) == int(format_hex(cpus), 16) == mask_number(cpus) == sum(1 << cpu for cpu in cpus)
    assert text.count(",") == max(cpus, default=0) // 32


small = st.integers(0, 99)
blanks = st.sampled_from(["", " ", "\t", "  "])


@st.composite
def items(draw):
    """One item: its text, the CPUs it means, and whether it excludes them."""
    first, last = sorted((draw(small), draw(small)))
    group = draw(st.integers(1, 9))
    used = draw(st.integers(1, group))
    b = [draw(blanks) for _rest in range(6)]
    text, cpus = draw(
        st.sampled_from(
            [
                (f"{first}", {first}),
                (f"{first}{b[0]}-{b[1]}{last}", set(range(first, last + 1))),
                (
                    f"{first}{b[0]}-{b[1]}{last}{b[2]}:{b[3]}{used}{b[4]}/{b[5]}{group}",
                    {cpu for start in range(first, last + 1, group) for cpu in range(start, min(start + used, last + 1))},
                ),
                ("", set()),
            ]
        )
    )
    excluded = bool(text) and draw(st.booleans())
    return f"{b[2]}{'^' + b[3] if excluded else ''}{text}{b[4]}", cpus, excluded


@given(st.lists(items(), max_size=8))
@UNTIMED
def test_the_grammar_means_what_it_says(parts):
    included = {cpu for _rest, cpus, excluded in parts if not excluded for cpu in cpus}
    without = {cpu for _rest, cpus, excluded in parts if excluded for cpu in cpus}
    assert parse_cpulist(",".join(text for text, _rest, _rest in parts)) == included - without


def attempt(parse, text):
    """What the parser returns and None, or None and what it says against the text."""
    try:
        return parse(text), None
    except CpuListError as error:
        return None, str(error)


@given(st.text(alphabet="0123456789-,:/^ax \n\u0663", max_size=20))
@UNTIMED
def test_any_text_is_a_list_or_a_named_error(text):
    cpus, message = attempt(parse_cpulist, text)
    if message is None:
        assert all(0 <= cpu <= MAX_CPU for cpu in cpus)
    else:
        assert any(repr(token.strip()) in message for token in text.split(",") if token.strip())


@given(st.text(alphabet="0123456789abcdefxX, -_", max_size=30))
@UNTIMED
def test_any_text_is_a_mask_or_a_named_error(text):
    cpus, message = attempt(parse_mask, text)
    if message is None:
        assert parse_mask(format_mask(cpus)) == cpus
    else:
        assert repr(text) in message
