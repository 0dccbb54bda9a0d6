# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an entry is written as: values, text that is no template, and what belongs to a vault."""

from __future__ import annotations

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import EncryptedString, VaultLib, VaultSecret, VaultSecretsContext
from ansible.template import Templar, trust_as_template
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.templates import Worked
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.entries import kept_in, written_entries
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.model import PlacementError
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.plan_file import Kept, Unsafe, Vaulted

SECRETS = [("default", VaultSecret(b"x"))]


@pytest.fixture(name="secret")
def _secret(monkeypatch):
    monkeypatch.setattr(VaultSecretsContext, "_current", VaultSecretsContext(SECRETS))
    return EncryptedString(ciphertext=VaultLib(SECRETS).encrypt("hunter22").decode())


def written(raw, **variables):
    """Return a list as it is written; text is trusted as that of an inventory is."""
    variables = {"inventory_hostname": "kvm01", **variables}
    worker = Worked(lambda: Templar(loader=DataLoader(), variables=variables), variables)
    worked = Templar(loader=DataLoader(), variables=variables).template(raw)
    return written_entries("kvm01: realtime_guests", raw, worked, worker)


def of(text):
    return trust_as_template(text)


def test_templates_become_values_and_text_stays_text():
    raw = [{"name": "a", "memory_mib": of("{{ size }}"), "description": "{{ no_template }}", "xml": of("{{ text }}")}]
    (found,) = written(raw, size=64, text="#jinja2: x")
    assert found == {"name": "a", "memory_mib": 64, "description": "{{ no_template }}", "xml": "#jinja2: x"}
    assert {key for key, value in found.items() if isinstance(value, Unsafe)} == {"description", "xml"}


def test_what_comes_from_a_vault_stays_there(secret):
    raw = [{"name": "a", "own": secret, "named": of("{{ secret }}"), "beside": [of("is {{ secret }}")], "plain": 1}]
    (found,) = written(of("{{ guests }}"), guests=raw, secret=secret)
    assert isinstance(found["own"], Vaulted)
    assert isinstance(found["named"], Vaulted)
    assert found["plain"] == 1
    ((path, kept),) = kept_in(found)
    assert (path, kept, kept.value) == ("beside", "is {{ secret }}", "is hunter22")
    assert isinstance(kept, Kept)


def test_what_a_template_makes_with_a_vault_is_written_where_its_secrets_are_marked(secret):
    raw = [{"name": "a", "own": of("{{ secret }}")}]
    (found,) = written(of("{{ guests + [] }}"), guests=raw, secret=secret)
    assert isinstance(found["own"], Vaulted)
    for entry in (
        {"name": "a", "beside": of("is {{ secret }}")},
        {"name": "a", "own": of("{{ secret }}"), "beside": of("is {{ secret }}")},
    ):
        with pytest.raises(PlacementError, match="kvm01: realtime_guests is made by a template in which a vault is involved"):
            written(of("{{ guests + [] }}"), guests=[entry], secret=secret)
