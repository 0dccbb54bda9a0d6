# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which texts of a domain's XML are hidden, and what is left of them in messages."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import parse, pretty, secrets_of
from ansible_collections.realtime.kvm.plugins.module_utils._guests.hiding import HIDDEN, bare, clean

QEMU = "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"


def argument(text):
    return parse(
        f"<domain {QEMU}><name>a</name><qemu:commandline><qemu:arg value={quoteattr(text)}/></qemu:commandline></domain>"
    )


def metadata(element):
    return parse(f"<domain><name>a</name><metadata><x:app xmlns:x='urn:x'>{element}</x:app></metadata></domain>")


@pytest.mark.parametrize(
    "text",
    [
        "file=rbd:pool/image:id=vm:key=pl4nted==:auth_supported=cephx",
        "file.key=pl4nted",
        '{"driver":"rbd","pool":"p","key":"pl4nted"}',
        "type=11,value=io.systemd.credential.binary:passwd.hashed-password.root=pl4nted",
        "type=11,value=io.systemd.credential.binary:ssh.ephemeral=pl4nted",
        "name=opt/io.systemd.credentials/passwd.plaintext-password.root,string=pl4nted",
        "opt/com.example/token,string=pl4nted",
        "file=iscsi://user%pl4nted@192.0.2.1/iqn/0",
        "file=https://us%40er:pl4nted@192.0.2.1/x",
        "luks.passphrase.root=pl4nted",
        '{"adminPass":"pl4nted"}',
        "root_pass=pl4nted",
        "rootpw=pl4nted",
        "user_pwd: pl4nted",
        "name=opt/com.example/root-pw,string=pl4nted",
        "Authorization: Bearer pl4nted",
        '{"auths": {"h": {"auth": "pl4nted"}}}',
        "file=//user:pl4nted@host/share",
    ],
)
def test_secrets_in_qemus_arguments(text):
    tree = argument(text)
    assert "pl4nted" not in pretty(tree)
    assert "pl4nted" not in clean(f"kvm: {text}: Invalid parameter", secrets_of(tree))
    assert "pl4nted" not in clean(f"kvm: {text}: Invalid parameter"), "also without the definition"


@pytest.mark.parametrize(
    "text",
    [
        "root=/dev/vda rd.luks.key=shown quiet",
        "console=ttyS0 psk=shown",
        "bypass=shown",
        "cpu-passthrough=shown",
        "keyid=shown,serial=shown",
        "name=opt/com.example/config,string=shown",
        "https://host/shown@2x",
        "if=none,file=/keys/shown.img",
    ],
)
def test_what_is_no_secret_stays(text):
    assert "shown" in pretty(argument(text))
    assert HIDDEN not in pretty(argument(text))


@pytest.mark.parametrize(
    "element",
    [
        '{"adminPass": "pl4nted"}',
        "<![CDATA[<password>pl4nted</password>]]>",
        "<![CDATA[<password><value>pl4nted</value></password>]]>",
        "<![CDATA[<item name='password'>pl4nted</item>]]>",
        "<!-- <password>pl4nted</password> -->",
        "<!-- <a:adminPass type='str'>pl4nted -->",
        "<x:password><x:value>pl4nted</x:value></x:password>",
        "ssh_private_key: |\n  pl4nted\n\n  pl4nted\nnext: shown",
        "users:\n  - passwords:\n      - pl4nted\n      - pl4nted\n    name: shown",
        "passwords:\n- pl4nted\n- pl4nted\nname: shown",
        "-----BEGIN OPENSSH PRIVATE KEY-----\npl4nted\npl4nted\n-----END OPENSSH PRIVATE KEY-----",
    ],
)
def test_secrets_in_metadata(element):
    tree = metadata(element)
    shown = pretty(tree)
    assert "pl4nted" not in shown
    assert ("shown" in element) == ("shown" in shown)
    assert any("pl4nted" in secret for secret in secrets_of(tree))


def test_oem_strings():
    entry = "<entry>io.systemd.credential.binary:passwd.plaintext-password.root=pl4nted</entry>"
    tree = parse(f"<domain><sysinfo type='smbios'><oemStrings>{entry}</oemStrings></sysinfo></domain>")
    assert "pl4nted" not in pretty(tree)


@pytest.mark.parametrize("secret", ["p&ss\"w0rd'x", "comma,w0rd", "two\nlines w0rd", "ümlaut\\w0rd"])
def test_a_secret_is_found_however_a_message_writes_it(secret):
    written = [
        secret.replace("&", "&amp;").replace('"', "&quot;").replace("'", "&apos;"),
        secret.replace("&", "&amp;").replace('"', "&#34;").replace("'", "&#39;"),
        secret.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("ü", "\\u00fc"),
        secret.replace(",", ",,"),
        secret.replace("\n", " "),
        secret.replace("'", "'\\''"),
    ]
    for text in [secret, *written]:
        assert "w0rd" not in clean(f"XML error: '{text}' is too long", [secret]), text


def test_a_secret_that_was_cut_is_hidden_as_far_as_it_is_there():
    secret = "hunter2hunter2hunter2"
    for size in range(1, len(secret)):
        text = clean(f"{'x' * 1000} '{secret}"[: 1002 + size], [secret])
        assert text == f"{'x' * 1000} '{HIDDEN}", size
        shown = clean(f"process exited while connecting to monitor: {secret[-size:]} is wrong", [secret])
        assert (HIDDEN in shown) is (size >= 4), size
    assert clean("libvirt could not find the hunt", [secret]).endswith(f"the {HIDDEN}")
    assert clean("no such thing", ["go"]) == "no such thing"


def test_a_short_secret_spoils_no_other_word():
    assert clean("1024 MiB of 1 are 10", ["1"]) == f"1024 MiB of {HIDDEN} are 10"


def test_the_reason_behind_a_hidden_value_stays():
    tree = argument("secret,id=s,data=pl4nted")
    assert clean("kvm: -object secret,id=s,data=pl4nted: Invalid parameter", secrets_of(tree)) == (
        f"kvm: -object secret,id=s,data={HIDDEN}: Invalid parameter"
    )


def test_secrets_count_without_quotes_and_line_by_line():
    assert bare(['"a,,b"', "first line\nsecond", "", " "]) == {'"a,,b"', "a,b", "first line\nsecond", "first line", "second"}


def test_cephs_key_in_the_name_of_an_image():
    tree = parse(
        "<domain><devices><disk type='network'><source protocol='rbd' name='pool/img:id=a:key=pl4nted=='/></disk></devices></domain>"
    )
    assert "pl4nted" not in pretty(tree)
    assert "pool/img:id=a" in pretty(tree)
