# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A domain's XML: what is read of it, and which elements of two differ."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import (
    NAMESPACE,
    DomainError,
    clone,
    describe,
    differences,
    indented,
    kib,
    parse,
    pretty,
    secrets_of,
    to_text,
)
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Existing
from unit.domains import KEPT, changed, edited, made, merged

# -- reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<memory>1024</memory>", 1024),
        ("<memory unit='KiB'> 1024 </memory>", 1024),
        ("<memory unit='b'>2048</memory>", 2),
        ("<memory unit='KB'>1024</memory>", 1000),
        ("<memory unit='G'>1</memory>", 1 << 20),
        ("<memory unit='TiB'>1</memory>", 1 << 30),
        ("<memory unit='furlong'>1</memory>", 0),
        ("<memory>many</memory>", 0),
        ("<memory/>", 0),
    ],
)
def test_memory(text, value):
    assert kib(ET.fromstring(text)) == value
    assert kib(None) == 0


def test_what_a_domain_occupies():
    assert describe(made()) == Existing(
        name="plc1", ours=True, vcpus={vcpu: frozenset({4 + vcpu}) for vcpu in range(4)}, emulator=frozenset({0, 1}),
        io_threads=frozenset({0, 1}), memory_mib=256, hugepages="2M", nodes=(0,), realtime=True, vcpu_count=4,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("numatune", "nodes", "bound", "parts"),
    [
        ("", (), [(), ()], {}),
        ("<memory mode='strict' nodeset='1'/>", (1,), [(), ()], {1: 256}),
        ("<memory mode='strict' nodeset='1'/><memnode cellid='1' nodeset='0'/>", (1,), [(), (0,)], {0: 128, 1: 128}),
        ("<memnode cellid='0' nodeset='0'/><memnode cellid='1' nodeset='1'/>", (0, 1), [(0,), (1,)], {0: 128, 1: 128}),
        ("<memnode cellid='x' nodeset='0'/><memory placement='auto'/>", (), [(), ()], {}),
    ],
)
def test_the_nodes_of_cells_are_read(numatune, nodes, bound, parts):
    cells = "<numa><cell cpus='0-1' memory='131072'/><cell id='1' cpus='2,3' memory='128' unit='MiB'/></numa>"
    xml = f"<domain><name>a</name><memory unit='MiB'>256</memory><numatune>{numatune}</numatune><cpu>{cells}</cpu></domain>"
    existing = describe(parse(xml))
    assert existing.nodes == nodes
    assert [(set(cell.vcpus), cell.memory_mib) for cell in existing.cells.values()] == [({0, 1}, 128), ({2, 3}, 128)]
    assert [cell.nodes for cell in existing.cells.values()] == bound
    assert existing.memory_by_node() == parts


@pytest.mark.parametrize(
    ("xml", "cpus"),
    [
        ("<domain><name>x</name></domain>", set()),
        ("<domain><vcpu>2</vcpu></domain>", set()),
        ("<domain><vcpu cpuset='4-7,^6'>2</vcpu></domain>", {4, 5, 7}),
        ("<domain><vcpu>2</vcpu><cputune><vcpupin vcpu='1' cpuset='9'/></cputune></domain>", {9}),
        ("<domain><vcpu cpuset='4-5'>2</vcpu><cputune><vcpupin vcpu='1' cpuset='9'/></cputune></domain>", {4, 5, 9}),
        (
            "<domain><vcpu cpuset='4-5'>1</vcpu><cputune><vcpupin vcpu='0' cpuset='9'/><emulatorpin cpuset='1'/></cputune></domain>",
            {1, 9},
        ),
        ("<domain><cputune><iothreadpin iothread='1' cpuset='3'/><vcpupin vcpu='0' cpuset='junk'/></cputune></domain>", {3}),
    ],
)
def test_every_cpu_that_a_foreign_domain_may_use(xml, cpus):
    existing = describe(parse(xml), running=True)
    assert existing.cpus == cpus
    assert (existing.ours, existing.running) == (False, True)


@pytest.mark.parametrize(
    ("page", "size"),
    [("", "2M"), ("<page size='2048'/>", "2M"), ("<page size='1' unit='G'/>", "1G"), ("<page size='x'/>", "2M")],
)
def test_page_sizes(page, size):
    xml = f"<domain><memoryBacking><hugepages>{page}</hugepages></memoryBacking></domain>"
    assert describe(parse(xml)).hugepages == size


def test_xml_that_cannot_be_read():
    with pytest.raises(DomainError, match="libvirt gave XML that cannot be read"):
        parse("<domain>")


# -- comparing -------------------------------------------------------------------------------------


def test_our_namespace_keeps_its_prefix_whatever_a_person_calls_it():
    tree = parse(f'<domain><metadata><mine:guest xmlns:mine="{NAMESPACE}"/></metadata></domain>')
    assert f'<domain xmlns:realtime="{NAMESPACE}"><metadata><realtime:guest />' in to_text(tree)


def test_a_domain_that_is_not_there_differs_as_a_whole():
    (found,) = differences(None, made())
    assert (found.element, found.before, found.live) == ("domain", None, False)
    assert found.after.startswith(
        '<domain xmlns:realtime="https://github.com/realtime-kvm/realtime.kvm/guest" type="kvm">\n  <name>plc1</name>'
    )


def test_a_difference_shows_the_element_before_and_after():
    tree = edited('priority="1"', 'priority="7"')
    (found,) = differences(tree, merged(tree))
    assert '  <vcpusched vcpus="1" scheduler="fifo" priority="7" />\n' in found.before
    assert '  <vcpusched vcpus="1" scheduler="fifo" priority="1" />\n' in found.after


def test_white_space_is_no_difference():
    tree = made()
    assert differences(parse(pretty(tree)), tree) == []
    assert differences(tree, parse(pretty(tree))) == []


def test_elements_of_one_name_are_told_apart():
    old, new = KEPT["controller"]
    tree = edited(old, new)
    other = parse(to_text(tree).replace('model="virtio-scsi"', 'model="lsilogic"'))
    assert changed(tree, other) == ["devices/controller#2"]


# -- secrets ---------------------------------------------------------------------------------------

PLANTED = """<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>plc1</name>
<metadata><app:config xmlns:app='urn:x'><app:password>pl4nted</app:password></app:config></metadata>
<description>console password: pl4nted</description>
<devices><graphics type='vnc' passwd='pl4nted' passwdValidTo='2030-01-01T00:00:00' port='-1'/><graphics type='spice' passwd='pl4nted'/></devices>
<qemu:commandline><qemu:arg value='secret,id=sec0,data=pl4nted'/><qemu:arg value='user,password=pl4nted,x=1'/>
<qemu:env name='A' value='API_TOKEN=pl4nted'/></qemu:commandline></domain>"""


def test_people_see_no_password_and_libvirt_keeps_it():
    tree = parse(PLANTED)
    shown = pretty(tree)
    assert "pl4nted" not in shown
    assert shown.count("(hidden)") == 7
    assert "passwdValidTo=" in shown
    assert to_text(tree).count("pl4nted") == 7, "the definition itself is left alone"
    assert secrets_of(tree) == {"pl4nted"}


def in_qemu(argument):
    return f"<qemu:commandline>{argument}</qemu:commandline>"


def in_metadata(element):
    return f"<metadata><x xmlns='urn:x'>{element}</x></metadata>"


@pytest.mark.parametrize(
    "element",
    [
        in_qemu("""<qemu:arg value='{"qom-type":"secret","id":"s0","data":"pl4nted"}'/>"""),
        in_qemu("""<qemu:arg value='{"data":"pl4nted","qom-type":"secret"}'/>"""),
        in_qemu("<qemu:arg value='secret,data=pl4nted,id=s0'/>"),
        in_qemu("<qemu:arg value='secret,id=s0,data=a,,pl4nted'/>"),
        in_qemu("""<qemu:arg value='{"driver":"curl","password":"a\\"pl4nted"}'/>"""),
        in_qemu("""<qemu:arg value='{"driver":"curl","passwords":["x","pl4nted"]}'/>"""),
        in_qemu("<qemu:arg value='password=a pl4nted'/>"),
        in_qemu("<qemu:arg value='file.cookie=a;b=pl4nted'/>"),
        in_qemu("<qemu:env name='DB_PASSWORD' value='pl4nted'/>"),
        in_qemu("<qemu:env name='DB_PASS' value='pl4nted'/>"),
        in_metadata("<apikey>pl4nted</apikey>"),
        in_metadata("<adminPass>pl4nted</adminPass>"),
        in_metadata("<item name='admin_password' value='pl4nted'/>"),
        in_metadata("<item key='admin_password'>pl4nted</item>"),
        in_metadata("<item><key>admin_password</key><value>pl4nted</value></item>"),
        "<devices><disk><source protocol='https'><cookies><cookie name='session'>pl4nted</cookie></cookies></source></disk></devices>",
        "<devices><disk><source protocol='https' name='https://user:pl4nted@host/x'/></disk></devices>",
        """<sysinfo type='fwcfg'><entry name='opt/config'>{"users":[{"passwordHash":"pl4nted"}]}</entry></sysinfo>""",
    ],
)
def test_people_see_no_secret_wherever_it_is_and_messages_hide_it(element):
    tree = parse(f"<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>plc1</name>{element}</domain>")
    shown = pretty(tree)
    assert "pl4nted" not in shown
    assert "(hidden)" in shown
    assert any("pl4nted" in secret for secret in secrets_of(tree))
    assert "pl4nted" in to_text(tree)


def test_what_is_no_secret_is_shown():
    text = """<domain><name>passwordless-token</name><devices><disk><source file="/secrets/key.img" /><target dev="vda" /></disk>
<interface><mac address="52:54:00:00:00:01" /></interface></devices><cputune><vcpupin vcpu="0" cpuset="2" /></cputune></domain>"""
    assert "hidden" not in pretty(parse(text))
    assert secrets_of(parse(text)) == set()


def test_entities_are_not_expanded():
    bomb = '<!DOCTYPE d [<!ENTITY a "xxxxxxxxxx"><!ENTITY b "&a;&a;">]><domain><name>&b;</name></domain>'
    with pytest.raises(DomainError, match="it has a document type"):
        parse(bomb)


def test_a_changed_password_is_a_difference_that_shows_none():
    other = parse(PLANTED.replace("passwd='pl4nted' passwd", "passwd='0ther' passwd"))
    found = differences(parse(PLANTED), other)
    assert [item.element for item in found] == ["devices/graphics"]
    text = repr(found) + repr(differences(None, other))
    assert "pl4nted" not in text
    assert "0ther" not in text


# -- numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", ["1000000000", "9" * 5000, "many", "-1", ""])
def test_a_number_of_vcpus_that_no_machine_has_takes_no_memory(count):
    tree = parse(
        f"<domain><vcpu cpuset='4-5'>{count}</vcpu><cputune><vcpupin vcpu='1' cpuset='9'/><vcpupin vcpu='{count}' cpuset='8'/></cputune></domain>"
    )
    assert describe(tree).vcpus[1] == {9}
    assert len(describe(tree).vcpus) < 4


@pytest.mark.parametrize("threads", ["z", "9" * 5000, "-1", "1.5"])
def test_a_number_of_threads_that_is_none_is_refused_by_name(threads):
    tree = parse(f"<domain><name>odd</name><cpu><topology sockets='1' cores='4' threads='{threads}'/></cpu></domain>")
    with pytest.raises(
        DomainError, match=r"^domain odd: its element topology has threads='.{1,40}', which is no number; mend it with"
    ):
        describe(tree)


def test_a_definition_without_end_is_refused_by_name():
    deep = "<a>" * 3000 + "</a>" * 3000
    tree = parse(f"<domain><name>odd</name><metadata>{deep}</metadata></domain>")
    for act in (pretty, indented, clone, secrets_of, lambda tree: differences(None, tree), lambda tree: differences(tree, tree)):
        with pytest.raises(
            DomainError, match=r"^domain (odd|metadata): its XML is nested more than 100 levels deep; mend it with"
        ):
            act(tree)
    shallow = parse(f"<domain><name>odd</name><metadata>{'<a>' * 99}{'</a>' * 99}</metadata></domain>")
    assert differences(shallow, clone(shallow)) == []
