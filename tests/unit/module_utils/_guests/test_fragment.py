# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory's own XML: merged where it belongs, the same in a second run, refused where another key decides."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import canonical, differences, parse, to_text
from ansible_collections.realtime.kvm.plugins.module_utils._guests.fragment import read_fragment
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import GuestError
from unit.domains import at, changed, made, merged

HOSTDEV = (
    "<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0' bus='3' slot='0' function='1'/></source>"
    "<alias name='ua-nic'/></hostdev>"
)
QEMU = "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"


def domain(inner, attributes=""):
    return f"<domain {attributes}>{inner}</domain>"


def refused(inner, attributes=""):
    with pytest.raises(GuestError) as error:
        read_fragment(domain(inner, attributes), "realtime_guests: plc1")
    assert str(error.value).startswith("realtime_guests: plc1: xml ")
    return str(error.value)


TAKEN = {
    "cache": (
        "<cputune><cachetune vcpus='1-3'><cache id='0' level='3' type='both' size='3' unit='MiB'/></cachetune></cputune>",
        ["cputune"],
    ),
    "timer": ("<clock><timer name='hpet' present='yes'/><timer name='tsc' mode='native'/></clock>", ["clock"]),
    "feature": ("<cpu><feature policy='disable' name='vmx'/></cpu>", ["cpu"]),
    "kvm": ("<features><kvm><hidden state='on'/></kvm><ioapic driver='kvm'/></features>", ["features"]),
    "device": (f"<devices>{HOSTDEV}</devices>", ["metadata", "devices/hostdev"]),
    "emulator": ("<devices><emulator>/usr/local/bin/qemu</emulator></devices>", ["devices/emulator"]),
    "controller": ("<devices><controller type='scsi' index='0' model='virtio-scsi'/></devices>", ["devices/controller#2"]),
    "shares": ("<cputune><shares>2048</shares></cputune>", ["cputune"]),
    "security": ("<seclabel type='none'/>", ["seclabel"]),
    "slice": ("<resource><partition>/machine/rt</partition></resource>", ["resource"]),
    "comment": ("<!-- why --><pm><suspend-to-mem enabled='no'/></pm>", ["pm"]),
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_fragment_is_merged_once(name):
    inner, elements = TAKEN[name]
    before, xml = made(), domain(inner)
    after = merged(before, xml=xml)
    assert changed(before, after) == elements
    again = parse(to_text(after))
    assert changed(again, merged(again, xml=xml)) == []
    kept = parse(to_text(merged(before)))
    for found in differences(kept, after):
        assert found.after is not None, "nothing goes"


def test_what_the_fragment_does_not_name_stays():
    after = merged(made(), xml=domain("<clock><timer name='rtc' track='guest'/></clock>"))
    assert at(after, "clock") == {"offset": "utc"}
    assert at(after, "clock/timer[@name='rtc']") == {"name": "rtc", "tickpolicy": "catchup", "track": "guest"}
    assert at(after, "clock/timer[@name='hpet']") == {"name": "hpet", "present": "no"}


def test_arguments_of_qemu_are_one_list():
    first = domain("<qemu:commandline><qemu:arg value='-overcommit'/><qemu:arg value='cpu-pm=on'/></qemu:commandline>", QEMU)
    other = domain("<qemu:commandline><qemu:arg value='-overcommit'/><qemu:arg value='cpu-pm=off'/></qemu:commandline>", QEMU)
    after = merged(made(), xml=first)
    assert changed(after, merged(after, xml=first)) == []
    values = [item.get("value") for element in merged(after, xml=other) if "commandline" in element.tag for item in element]
    assert values == ["-overcommit", "cpu-pm=off"]


def test_a_device_goes_with_its_alias_and_an_element_stays():
    after = merged(made(), xml=domain(f"<devices>{HOSTDEV}</devices><pm><suspend-to-mem enabled='no'/></pm>"))
    without = merged(after)
    assert (without.find("devices/hostdev"), at(without, "pm/suspend-to-mem")) == (None, {"enabled": "no"})


def test_a_device_that_an_administrator_has_added_stays():
    before = parse(to_text(made()).replace("</devices>", f"{HOSTDEV}</devices>"))
    assert changed(before, merged(before)) == []


def test_a_device_keeps_what_libvirt_adds():
    xml = domain(f"<devices>{HOSTDEV}</devices>")
    after = parse(
        to_text(merged(made(), xml=xml)).replace("</hostdev>", "<address type='pci' bus='0x06' slot='0x00'/></hostdev>")
    )
    assert changed(after, merged(after, xml=xml)) == []


MANAGED = {
    "second vcpupin": ("<cputune><vcpupin vcpu='0' cpuset='1'/></cputune>", "cputune/vcpupin, which is not free"),
    "scheduler": ("<cputune><vcpusched vcpus='0' scheduler='fifo' priority='99'/></cputune>", "cputune/vcpusched"),
    "name": ("<name>x</name>", "the key name decides"),
    "uuid": ("<uuid>x</uuid>", "the key uuid decides"),
    "memory": ("<memory>1</memory>", "the key memory_mib decides"),
    "huge pages": ("<memoryBacking><hugepages/></memoryBacking>", "the key hugepages decides"),
    "numa": ("<numatune><memory nodeset='1'/></numatune>", "the key numa and numa_node decides"),
    "loader": ("<os><loader>/x</loader></os>", "the key firmware and secure_boot decides"),
    "firmware": ("<os firmware='efi'/>", "os with firmware=, which the key firmware decides"),
    "mode": ("<cpu mode='custom'/>", "cpu with mode=, which the key cpu_mode decides"),
    "invtsc": ("<cpu><feature name='invtsc' policy='require'/></cpu>", "the key invariant_tsc decides"),
    "clock": ("<clock offset='localtime'/>", "the key clock decides"),
    "metadata": ("<metadata><x/></metadata>", "the key owner, project and class decides"),
    "watchdog": ("<devices><watchdog model='itco'/></devices>", "the key watchdog decides"),
    "tpm": ("<devices><tpm model='tpm-tis'/></devices>", "the key tpm decides"),
    "balloon": ("<devices><memballoon model='virtio'/></devices>", "devices/memballoon"),
    "disk": ("<devices><disk type='file'><alias name='ua-a'/></disk></devices>", "a disk of type file; list it in disks"),
    "disk without a type": ("<devices><disk><alias name='ua-a'/></disk></devices>", "a disk without a type; list it in disks"),
    "timer": (
        "<cpu><feature name='tsc-deadline' policy='disable'/></cpu>",
        "cpu/feature tsc-deadline, which the key realtime_vcpus decides",
    ),
    "volume": (
        "<devices><disk type='volume'><source pool='p' volume='v'/><alias name='ua-v'/></disk></devices>",
        "a disk of type volume; list it in disks with its pool, or by its path; one on the network is a disk of type network",
    ),
    "timer twice": (
        "<clock><timer name='hpet'/><timer name='hpet'/></clock>",
        "two elements timer name=hpet in clock; keep one of them",
    ),
    "monitor twice": (
        "<cputune><monitor level='3' vcpus='0'/><monitor level='1' vcpus='0'/></cputune>",
        "two elements monitor vcpus=0 in cputune",
    ),
    "MAC": (
        "<devices><interface type='network'><mac address='01:00:00:00:00:00'/><alias name='ua-a'/></interface></devices>",
        "MAC '01:00:00:00:00:00', which is not a unicast address",
    ),
    "interface": ("<devices><interface type='bridge'/></devices>", "an interface of type bridge; list it in networks"),
    "agent": ("<devices><channel type='unix'><target name='org.qemu.guest_agent.0'/></channel></devices>", "set agent: true"),
    "no alias": ("<devices><hostdev mode='subsystem'/></devices>", "a device <hostdev> without an alias of its own"),
    "alias of libvirt": ("<devices><rng><alias name='rng0'/></rng></devices>", "without an alias of its own"),
    "alias twice": (f"<devices>{HOSTDEV}{HOSTDEV}</devices>", "two devices with one alias"),
}


@pytest.mark.parametrize("name", MANAGED)
def test_what_another_key_decides_is_refused_by_name(name):
    inner, said = MANAGED[name]
    assert said in refused(inner)


def test_the_kind_of_domain_is_not_free():
    assert "domain with type=, which the collection decides" in refused("", "type='qemu'")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!DOCTYPE d [<!ENTITY a 'b'>]><domain>&a;</domain>", "a document type, an entity or CDATA"),
        ("<domain><title><![CDATA[x]]></title></domain>", "a document type, an entity or CDATA"),
        ("<domain>&a;</domain>", "cannot be read: undefined entity"),
        ("<domain>", "cannot be read: no element found"),
        ("hugepages: 1", "cannot be read: syntax error"),
        ("<devices/>", "must be one <domain> element"),
        ("<domain>" + "<a>" * 200 + "</a>" * 200 + "</domain>", "nested more than 100 levels deep"),
        ("<domain><a></b></domain>", "mismatched tag"),
    ],
)
def test_what_is_no_fragment_is_refused(text, said):
    with pytest.raises(GuestError) as error:
        read_fragment(text, "realtime_guests: plc1")
    assert said in str(error.value)
    assert str(error.value).startswith("realtime_guests: plc1: xml ")


def test_a_running_guest_is_not_held_against_what_it_shows_in_another_form():
    xml = domain(
        "<cpu><feature policy='disable' name='vmx'/></cpu><qemu:commandline><qemu:arg value='-x'/></qemu:commandline>", QEMU
    )
    live = made()
    assert changed(live, merged(live, live=True, xml=xml)) == []


# -- aliases of somebody else ----------------------------------------------------------------------

RNG = "<rng model='virtio'><backend model='random'>/dev/urandom</backend><alias name='ua-default'/></rng>"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("<interface type='ethernet'><mac address='52:54:00:00:00:07'/><alias name='ua-default'/></interface>", RNG),
        ("<disk type='network'><target dev='vdq'/><alias name='ua-default'/></disk>", RNG),
        (RNG, RNG),
        ("<hostdev><alias name='ua-default'/></hostdev>", "<hostdev managed='yes'><alias name='ua-default'/></hostdev>"),
    ],
)
def test_an_alias_of_somebody_elses_device_is_refused(theirs, ours):
    tree = parse(to_text(made()).replace("</devices>", f"{theirs}</devices>"))
    kind = theirs[1:].partition(" ")[0].partition(">")[0]
    with pytest.raises(
        GuestError,
        match=f"^realtime_guests: plc1: xml names alias ua-default, by which its domain has a device <{kind}> that xml did not add; choose",
    ):
        merged(tree, xml=domain(f"<devices>{ours}</devices>"))
    assert changed(tree, merged(tree)) == []


def test_an_alias_of_ours_is_known_again():
    xml = domain(f"<devices>{RNG}</devices>")
    tree = merged(made(), xml=xml)
    assert changed(tree, merged(tree, xml=xml)) == []
    assert merged(tree).find("devices/rng") is None


# -- several elements of one name ------------------------------------------------------------------

SMBIOS = "<sysinfo type='smbios'><bios><entry name='vendor'>a</entry><entry name='version'>1</entry></bios></sysinfo>"
FWCFG = "<sysinfo type='fwcfg'><entry name='opt/a'>b</entry></sysinfo>"
DAC, APPARMOR = "<seclabel type='none' model='dac'/>", "<seclabel type='none' model='apparmor'/>"
STATIC = "<seclabel type='static' model='dac' relabel='yes'><label>+1:+1</label></seclabel>"
IO_A, IO_B = (
    f"<device><path>/dev/{name}</path><{what}>9</{what}></device>"
    for name, what in (("sda", "weight"), ("sdb", "read_bytes_sec"))
)
STRINGS = "<sysinfo type='smbios'><oemStrings>{}</oemStrings></sysinfo>"
ENTRY = "<entry>{}</entry>"
SEVERAL = {
    "both": ("", SMBIOS + FWCFG, SMBIOS + FWCFG),
    "one beside another": (SMBIOS, FWCFG, SMBIOS + FWCFG),
    "one entry": (
        SMBIOS,
        "<sysinfo type='smbios'><bios><entry name='version'>2</entry></bios></sysinfo>",
        SMBIOS.replace(">1<", ">2<"),
    ),
    "entries without a name": (
        STRINGS.format(ENTRY.format("a") + ENTRY.format("b")), STRINGS.format(ENTRY.format("c")), STRINGS.format(ENTRY.format("c")),
    ),
    "labels": ("", DAC + APPARMOR, DAC + APPARMOR),
    "a label beside another": (STATIC, APPARMOR, STATIC + APPARMOR),
    "a label without a model over one": (DAC, "<seclabel type='dynamic'/>", "<seclabel type='dynamic' model='dac'/>"),
    "a label without a model over two": (DAC + APPARMOR, "<seclabel type='none'/>", "<seclabel type='none'/>"),
    "one of a list over two": ("<keywrap><c n='1'/><c n='2'/></keywrap>", "<keywrap><c n='2'/></keywrap>", "<keywrap><c n='2'/></keywrap>"),
    "one over one": ("<keywrap><c n='1' m='1'/></keywrap>", "<keywrap><c n='2'/></keywrap>", "<keywrap><c n='2' m='1'/></keywrap>"),
    "two over one": ("<keywrap><c n='1'/></keywrap>", "<keywrap><c n='2'/><c n='3'/></keywrap>", "<keywrap><c n='2'/><c n='3'/></keywrap>"),
    "devices of blkiotune": (f"<blkiotune>{IO_A}</blkiotune>", f"<blkiotune>{IO_B}</blkiotune>", f"<blkiotune>{IO_B}</blkiotune>"),
    "two titles": ("<title>a</title>", "<title>b</title><title>c</title>", "<title>b</title><title>c</title>"),
}  # fmt: skip


@pytest.mark.parametrize("name", SEVERAL)
def test_of_several_elements_of_one_name_each_is_known_or_all_are_replaced(name):
    before, inner, after = SEVERAL[name]
    tree = parse(to_text(made()).replace("</domain>", f"{before}</domain>"))
    found = merged(tree, xml=domain(inner))
    tags = {element.tag for element in parse(domain(after))}
    assert [canonical(item) for item in found if item.tag in tags] == [canonical(item) for item in parse(domain(after))]
    assert changed(found, merged(found, xml=domain(inner))) == []


def test_the_order_of_booting_is_replaced():
    tree = parse(to_text(made()).replace('<boot dev="hd" />', '<boot dev="hd" /><boot dev="network" />'))
    after = merged(tree, xml=domain("<os><boot dev='network'/></os>"))
    assert [item.get("dev") for item in after.findall("os/boot")] == ["network"]


@pytest.mark.parametrize(
    ("fragment", "which"),
    [
        ("<clock><timer name='hpet' present='no'/><timer name='hpet' present='yes'/></clock>", "timer name=hpet in clock"),
        (
            "<cputune><cachetune vcpus='0'><monitor level='3' vcpus='0'/><monitor level='2' vcpus='0'/></cachetune></cputune>",
            "monitor vcpus=0",
        ),
        ("<cpu><feature name='x' policy='require'/><feature name='x' policy='disable'/></cpu>", "feature name=x in cpu"),
        (
            "<sysinfo type='fwcfg'><entry name='opt/x'>1</entry><entry name='opt/x'>2</entry></sysinfo>",
            "entry name=opt/x in sysinfo",
        ),
        ("<devices><emulator>/a</emulator><emulator>/b</emulator></devices>", "emulator in devices"),
        (
            "<devices><controller type='scsi' index='1'/><controller type='scsi' index='1' model='x'/></devices>",
            "controller type=scsi index=1 in devices",
        ),
    ],
)
def test_two_elements_of_one_identity_are_refused(fragment, which):
    with pytest.raises(GuestError, match=f"xml has two elements {which}.*keep one of them"):
        read_fragment(domain(fragment), "realtime_guests: plc1")


def test_elements_without_an_identity_may_come_twice():
    read_fragment(domain("<sysinfo type='smbios'><oemStrings><entry>a</entry><entry>a</entry></oemStrings></sysinfo>"), "x")


ALIAS_RNG = "<rng model='virtio'><backend model='random'>/dev/urandom</backend>{}</rng>"
UA = '<alias name="ua-r" />'


def test_an_alias_that_somebody_gave_to_a_device_of_another_kind_is_theirs():
    mine = domain(f"<devices>{ALIAS_RNG.format(UA)}</devices>")
    tree = merged(made(), xml=mine)
    assert differences(tree, merged(tree, xml=mine)) == []
    text = to_text(tree)
    hostdev = f"<hostdev mode='subsystem' type='pci'><source><address bus='3'/></source>{UA}</hostdev>"
    theirs = parse(text.replace(UA, "").replace("</devices>", f"{hostdev}</devices>"))
    with pytest.raises(GuestError, match="xml names alias ua-r, by which its domain has a device <hostdev> that xml did not add"):
        merged(theirs, xml=mine)
    after = merged(theirs)
    assert [item.tag for item in after.findall("devices/*") if item.tag in ("rng", "hostdev")] == ["rng", "hostdev"]
    assert [item.tag for item in merged(tree).findall("devices/*") if item.tag == "rng"] == []


def test_the_list_may_make_another_device_of_its_alias():
    tree = merged(made(), xml=domain(f"<devices>{ALIAS_RNG.format(UA)}</devices>"))
    after = merged(tree, xml=domain(f"<devices><input type='tablet' bus='virtio'>{UA}</input></devices>"))
    assert [item.tag for item in after.findall("devices/*") if item.tag in ("rng", "input")] == ["input"]
    assert (
        differences(after, merged(after, xml=domain(f"<devices><input type='tablet' bus='virtio'>{UA}</input></devices>"))) == []
    )
