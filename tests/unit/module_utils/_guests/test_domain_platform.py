# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Firmware, CPU, clock and features that the list names."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import DomainError, parse, to_text
from unit.domains import ORDINARY, at, changed, edited, made, merged

KEYS = {
    "clock": ({"clock": "localtime"}, ["clock"]),
    "crash": ({"on_crash": "preserve"}, ["metadata", "devices/panic", "on_crash"]),
    "tsc": ({"invariant_tsc": True}, ["cpu"]),
    "no tsc": ({"invariant_tsc": False}, ["cpu"]),
    "no hint": ({"dedicated_hint": False}, ["features"]),
    "hyperv": ({"hyperv": True}, ["features", "clock"]),
    "windows": ({"guest_os": "windows"}, ["features", "clock"]),
}


@pytest.mark.parametrize("name", KEYS)
def test_a_key_changes_its_element_once(name):
    more, elements = KEYS[name]
    before = made()
    after = parse(to_text(merged(before, **more)))
    assert changed(before, after) == elements
    assert changed(after, merged(after, **more)) == []
    if name != "crash":
        assert changed(after, merged(after)) == [], "no longer named: as it is"


def test_hyper_v_goes_when_it_is_refused():
    assert merged(made(hyperv=True), hyperv=False).find("features/hyperv") is None


def test_an_invariant_tsc_is_not_hidden():
    tree = parse(to_text(made()).replace('migratable="off"', 'migratable="on"'))
    after = merged(tree, invariant_tsc=True)
    assert (after.find("cpu").get("migratable"), at(after, "cpu/feature[@name='invtsc']")) == (
        "off",
        {"policy": "require", "name": "invtsc"},
    )


def test_a_uuid_never_changes():
    has = made().findtext("uuid")
    assert changed(made(), merged(made(), uuid=has.upper())) == []
    with pytest.raises(
        DomainError,
        match=f"realtime_guests: plc1: uuid 4a5c.* is not that of its domain, {has}, which libvirt never changes; give",
    ):
        merged(made(), uuid="4a5c2f0e-6b1d-4d0f-9b43-6f2d1f3c7a10")


UEFI = "<os><loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader><nvram>/var/x.fd</nvram>"
SECURE = UEFI.replace("type=", "secure='yes' type=")


@pytest.mark.parametrize("system", [UEFI, SECURE, "<os firmware='efi'>"])
def test_firmware_that_is_not_named_stays_with_its_variables(system):
    tree = parse(to_text(made()).replace("<os>", system))
    for more in ({}, {"firmware": "uefi"}):
        assert changed(tree, merged(tree, **more)) == []


@pytest.mark.parametrize(
    ("system", "wanted", "said"), [(UEFI, True, "lacks it"), (SECURE, False, "has it"), ("<os firmware='efi'>", True, "lacks it")]
)
def test_secure_boot_is_chosen_once(system, wanted, said):
    tree = parse(to_text(made()).replace("<os>", system))
    with pytest.raises(
        DomainError,
        match=f"realtime_guests: plc1: secure_boot {str(wanted).lower()}, but its domain {said}, .* leave the key out, or",
    ):
        merged(tree, secure_boot=wanted)
    assert changed(tree, merged(tree, secure_boot=not wanted))[:1] == ([] if wanted else ["features"])


def test_a_loader_of_another_kind_is_no_bios():
    tree = parse(to_text(made()).replace("<os>", "<os><loader>/usr/share/seabios/bios.bin</loader>"))
    assert changed(tree, merged(tree)) == []
    with pytest.raises(DomainError, match=r"firmware uefi, but its domain loads '/usr/share/seabios/bios.bin'"):
        merged(tree, firmware="uefi")


@pytest.mark.parametrize(
    ("policy", "after"), [("disable", "require"), ("optional", "require"), ("forbid", "require"), ("force", "force")]
)
def test_a_real_time_guest_has_the_timer_whatever_somebody_said(policy, after):
    tree = edited('policy="require" name="tsc-deadline"', f'policy="{policy}" name="tsc-deadline"')
    found = merged(tree)
    assert at(found, "cpu/feature") == {"policy": after, "name": "tsc-deadline"}
    assert changed(found, merged(found)) == []


def test_a_guest_that_stops_being_real_time_is_no_longer_told_that_its_vcpus_have_cpus():
    hint = '<hint-dedicated state="on" />'
    assert merged(made(), **ORDINARY).find("features/kvm") is None
    tree = edited(hint, f"{hint}<hidden state='on' />")
    after = merged(tree, **ORDINARY)
    assert [item.tag for item in after.find("features/kvm")] == ["hidden"]
    assert changed(after, merged(after, **ORDINARY)) == []
    assert at(merged(tree, **ORDINARY, dedicated_hint=True), "features/kvm/hint-dedicated") == {"state": "on"}, "named"
    never = edited("<acpi />", f"<acpi /><kvm>{hint}</kvm>", **ORDINARY)
    assert changed(never, merged(never, **ORDINARY)) == [], "an ordinary guest's own stays"
