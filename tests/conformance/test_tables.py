# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CPU list and mask tables of Nova, Kubernetes, tuned and partrt; differences on purpose are listed with the reason."""

from __future__ import annotations

import json

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import CpuListError, format_cpulist, parse_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.masks import format_hex, format_mask, mask_number, parse_mask
from captures import need

#: Kubernetes refuses empty items; the kernel and Nova skip them, and so do we.
EMPTY_ITEMS = {"0,": {0}, "0,,": {0}, ",3": {3}, ",,3": {3}, "0,,3": {0, 3}}

#: tuned drops the commas of a mask and joins the digits; for the kernel each group is 32 bits, however it is padded.
UNPADDED_MASKS = {"0x1,0000,0001": {0, 64}}

#: tuned's lists may hold masks and "!", and a wrong item empties the whole list; we refuse them by name.
TUNED_ONLY = {"4-8,^6,0xf00,,!10-11": "0xf00", "1,2,3-x": "3-x", "1,2,!3-x": "!3-x"}


def table(name):
    return json.loads(need("tables", f"{name}.json").read_text())


def test_nova_reads():
    for text, cpus in table("nova-cpu-spec")["valid"]:
        assert parse_cpulist(text) == set(cpus), text


def test_nova_refuses():
    for text in table("nova-cpu-spec")["invalid"]:
        with pytest.raises(CpuListError) as error:
            parse_cpulist(text)
        assert any(repr(token.strip()) in str(error.value) for token in text.split(",")), text


def test_nova_prints():
    """Without ranges (the third value false) is Nova's own; we always print ranges, and read both."""
    for cpus, text, with_ranges in table("nova-cpu-spec")["format"]:
        assert parse_cpulist(text) == set(cpus)
        assert (format_cpulist(cpus) == text) == (with_ranges or "," not in text)


def test_kubernetes_reads():
    for text, cpus in table("k8s-cpuset")["parse_valid"]:
        assert parse_cpulist(text) == set(cpus), text


def test_kubernetes_refuses():
    texts = table("k8s-cpuset")["parse_invalid"]
    assert set(EMPTY_ITEMS) < set(texts)
    for text, cpus in EMPTY_ITEMS.items():
        assert parse_cpulist(text) == cpus
    for text in set(texts) - set(EMPTY_ITEMS):
        with pytest.raises(CpuListError):
            parse_cpulist(text)


def test_tuned_masks():
    for text, cpus in table("tuned-cpulist")["hex2cpulist"]:
        assert parse_mask(text) == UNPADDED_MASKS.get(text, set(cpus)), text
    for text, mask in table("tuned-cpulist")["cpulist2hex"]:
        assert format_mask(parse_cpulist(text)) == mask
    for cpus, number in table("tuned-cpulist")["cpulist2bitmask"]:
        assert mask_number(cpus) == number


def test_tuned_lists():
    for text, _cpus in table("tuned-cpulist")["cpulist_unpack"]:
        with pytest.raises(CpuListError) as error:
            parse_cpulist(text)
        assert repr(TUNED_ONLY[text]) in str(error.value)
    for cpus, ranges in table("tuned-cpulist")["cpulist_pack"]:
        assert format_cpulist(cpus) == ",".join(ranges)


def test_partrt():
    facts = table("partrt-bitcalc")
    for text, digits in facts["list_to_hex"]:
        assert format_hex(parse_cpulist(text)) == f"0x{digits}"
    for text, digits in facts["mask_normalise"]:
        assert format_hex(parse_mask(text)) == f"0x{digits}"
    for text in facts["long_mask"]:
        assert parse_mask(text) == {0, 1}
    for text in facts["list_roundtrip"]:
        assert format_cpulist(parse_cpulist(text)) == text
