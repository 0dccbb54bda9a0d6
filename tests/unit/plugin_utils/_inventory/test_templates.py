# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates and vaulted values."""

from __future__ import annotations

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import EncryptedString, VaultLib, VaultSecret, VaultSecretsContext
from ansible.template import Templar, trust_as_template
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.guests import Later
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.templates import Worked, is_plain

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
