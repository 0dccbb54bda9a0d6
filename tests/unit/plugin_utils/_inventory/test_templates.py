# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates and vaulted values."""

from __future__ import annotations

import json

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import EncryptedString, VaultLib, VaultSecret, VaultSecretsContext
from ansible.template import Templar, trust_as_template
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.guests import Later
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.templates import Worked, is_plain, named_in

SECRETS = [("default", VaultSecret(b"open sesame"))]


def vaulted(text):
    return EncryptedString(ciphertext=VaultLib(SECRETS).encrypt(text).decode())


@pytest.fixture(name="vault")
def _vault(monkeypatch):
    monkeypatch.setattr(VaultSecretsContext, "_current", VaultSecretsContext(SECRETS))


def template(text):
    return trust_as_template(text)


def worked(**variables):
    return Worked(lambda: Templar(loader=DataLoader(), variables=variables), variables)


@pytest.mark.parametrize("value", [1, None, True, "", "a", "{", "a{b}", [], {}, {"a": ["b", {"c": 1}]}, ("{ {",)])
def test_plain(value):
    assert is_plain(value)


@pytest.mark.parametrize(
    "value", ["{{ x }}", "{% if x %}", "a{# x #}", ["{{ x }}"], {"a": [{"b": "{{ x }}"}]}, ("{{",), vaulted("x"), [vaulted("x")]]
)
def test_not_plain(value):
    assert not is_plain(value)


def test_no_templar_is_made_for_plain_values():
    plain = Worked(lambda: pytest.fail("no templar is needed"), {})
    guests = [{"name": "plc1"}]
    assert plain.value(guests) is guests
    assert plain.value(5) == 5


def test_templates_are_worked_out_with_the_hosts_variables():
    found = worked(where="/images", more=[{"name": "plc2"}])
    assert found.value([{"name": "plc1", "path": template("{{ where }}/plc1")}]) == [{"name": "plc1", "path": "/images/plc1"}]
    assert found.value(template("{{ more + more }}")) == [{"name": "plc2"}] * 2
    assert found.value([template("{{ more[0] }}")]) == [{"name": "plc2"}]


def test_what_nobody_trusts_is_no_template():
    assert worked(x=1).value(["{{ x }}"]) == ["{{ x }}"]


@pytest.mark.parametrize(
    "text",
    ["{{ ansible_facts.hostname }}", "{{ missing }}", "{{ 1 / 0 }}", "{{ lookup('ansible.builtin.no_such', 1) }}", "{{ x }}"],
)
def test_what_is_not_known_yet_stays_and_hides_only_its_item(text):
    variables = {"x": template("{{ x }}")}  # itself
    first, second = worked(**variables).value([{"name": template(text)}, {"name": "plc2"}])
    assert first == Later({"name": text})
    assert second == {"name": "plc2"}
    assert worked(**variables).value(template(text)) == Later(text)


def test_a_template_with_an_error_will_never_be_known():
    later = worked().value(template("{{ x }"))
    assert later.wrong.startswith("a template cannot be read: ")
    assert "\n" not in later.wrong


@pytest.mark.usefixtures("vault")
def test_what_comes_from_a_vault_is_worked_out_and_hidden():
    found = worked(vault_mac=vaulted("hunter2"))
    assert found.value([{"mac": vaulted("swordfish"), "owner": template("{{ vault_mac }}")}]) == [
        {"mac": "swordfish", "owner": "hunter2"}
    ]
    assert found.hide("mac 'swordfish' of hunter2 is none") == "mac '********' of ******** is none"


ODD = ["S3cr\\et", "Multi\nLineSecret", "Qu'o\"te", "MiXed'\t"]


@pytest.mark.usefixtures("vault")
@pytest.mark.parametrize("secret", ODD)
def test_a_secret_is_hidden_however_a_message_writes_it(secret):
    found = worked(vault_x=vaulted(secret))
    for text in (secret, repr(secret), json.dumps(secret), repr(f"{secret} '\" x"), repr({"a": [secret]}), f"{secret.lower()!r}"):
        shown = found.hide(text).lower()
        assert "********" in shown
        assert not [part for part in ("s3cr", "multi", "line", "qu'", "mixed", "te'") if part in shown]


@pytest.mark.usefixtures("vault")
def test_a_short_secret_is_hidden_where_it_is_a_word():
    assert (
        worked(x=vaulted("1")).hide("realtime_guests[1]: vcpus '1' is 10") == "realtime_guests[********]: vcpus '********' is 10"
    )


MADE = ["{{ vault_x }}", "{{ vault_x | b64encode }} x", "{{ vault_x[:6] }}", "{{ other | upper }}", "{{ hostvars.h2.vault_x }}"]


@pytest.mark.usefixtures("vault")
@pytest.mark.parametrize("text", MADE)
def test_a_refusal_of_a_key_with_a_vault_shows_no_part_of_its_value(text):
    item = {"name": "plc1", "machine": template(text), "numa": "x", "cloud_init": template("{{ vault_x }}")}
    found = worked(vault_x=vaulted("swordfish"), other=template("{{ vault_x }}"), hostvars={"h2": {"vault_x": "swordfish"}})
    for lists in ([item], template("{{ made }}")):
        found = worked(
            vault_x=vaulted("swordfish"),
            other=template("{{ vault_x }}"),
            hostvars={"h2": {"vault_x": "swordfish"}},
            made=[item],
        )
        found.value(lists)
        assert found.hide("realtime_guests: plc1: machine 'sword' is none").startswith(
            "realtime_guests: plc1: machine is refused; a vault may be involved in its value"
        )
        assert "sword" not in found.hide("realtime_guests[0]: machine 'sword' is none")
        whole = next(iter(found._vaulted["plc1", "machine"]))
        assert (
            found.hide(f"realtime_guests: plc1: machine {whole!r} is none") == "realtime_guests: plc1: machine '********' is none"
        )
        assert "a vault may be involved" in found.hide(f"realtime_guests: plc1: machine {whole!r} begins with {whole[:4]}")
        for shown in (
            "realtime_guests: plc1: numa 'x' is not one of strict, spread",
            "realtime_guests: plc1: cloud_init: user_data does not begin as cloud-init knows it",
            "realtime_guests: plc2: machine 'x' is not a machine type",
            "realtime_guests[1]: machine 'x' is not a machine type",
            "realtime_guests: plc1: machine: unknown key a, did you mean b?",
        ):
            assert found.hide(shown) == shown


@pytest.mark.usefixtures("vault")
def test_what_a_template_makes_of_items_with_a_vault():
    found = worked(base={"name": "plc1", "owner": vaulted("swordfish")})
    found.value(template("{{ [base | combine({'machine': 'x y'})] }}"))
    assert found.hide("realtime_guests: plc1: machine 'x y' is none") == "realtime_guests: plc1: machine 'x y' is none"
    assert "a vault may be involved" in found.hide("realtime_guests: plc1: owner 'x' is none")
    found = worked(base=vaulted("swordfish"))
    found.value(template("{{ [{'name': 'plc1', 'owner': base | b64encode}] }}"))
    assert "a vault may be involved" in found.hide("realtime_guests: plc1: owner 'x' is none")


@pytest.mark.usefixtures("vault")
def test_the_longer_secret_is_hidden_first():
    found = worked()
    found.value([{"a": vaulted("fish"), "b": [vaulted("swordfish")], "c": vaulted("")}])
    assert found.hide("swordfish fish") == "******** ********"


@pytest.mark.usefixtures("vault")
def test_a_text_that_the_inventory_makes_of_a_secret_hides_it_too():
    found = worked(deep=[{"vault": vaulted("swordfish")}], groups={"all": ["kvm1"]})
    assert found.value(template("{{ deep[0].vault ~ '-1' }}")) == "swordfish-1"
    assert found.hide("'swordfish-1' on kvm1") == "'********-1' on kvm1"


def test_without_the_vaults_password_nothing_is_known(monkeypatch):
    monkeypatch.setattr(VaultSecretsContext, "_current", VaultSecretsContext([("default", VaultSecret(b"wrong"))]))
    raw = {"mac": vaulted("swordfish")}
    found = worked().value([raw])[0]
    assert isinstance(found, Later)
    assert found.raw is raw
    assert "swordfish" not in found.wrong
    assert worked(x=vaulted("swordfish")).hide("a swordfish") == "a swordfish", "which nobody could have made of it"


@pytest.mark.usefixtures("vault")
def test_an_item_whose_name_is_hidden_is_called_by_its_number():
    found = worked(pin=vaulted("swordfish"))
    found.value(template("{{ [{'name': 'd1', 'memory_mib': 64}, {'name': 'dd2', 'memory_mib': pin[:7], 'owner': pin[:7]}] }}"))
    assert found.hide("realtime_guests: dd2: vcpus 0 is not in 1-512").startswith("realtime_guests[1]")
    assert "dd2" not in found.hide("realtime_guests: dd2: vcpus 0 is not in 1-512")


@pytest.mark.usefixtures("vault")
def test_the_last_characters_of_a_longer_part_are_hidden_too():
    found = worked(pin=vaulted("swordfish"))
    found.value([{"name": "d1", "owner": template("{{ pin[:7] }}")}])
    assert found.hide("rt_guest_image_folder: 'x/swordfis' must be") == "rt_guest_image_folder: 'x/********' must be"
    assert found.hide("it is swordfish-like") == "it is ********-like"


def test_what_a_value_depends_on():
    variables = {"a": "{{ b }}", "b": 1, "c": "{{ d }}", "d": "{{ c }}", "e": 2}
    assert named_in([{"x": "{{ a }}", "y": "e"}, "{{ c }}"], variables) == {"a", "b", "c", "d"}
    assert "e" in named_in("{{ lookup('vars', 'e') }}", variables)
    assert named_in(["plain", 3], variables) == set()
