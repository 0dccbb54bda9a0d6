# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real libvirtd makes of Nova's XML is read as Nova wrote it. No guest is started."""

from __future__ import annotations

import os
import re
import uuid

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import parse
from ansible_collections.realtime.kvm.plugins.module_utils._guests.nova import instance_cpus, read_instance
from conformance.libvirt_daemon import define, interpreter
from unit.instances import FILES

REASON = interpreter()[1]
pytestmark = pytest.mark.skipif(bool(REASON), reason=f"no libvirtd to ask: {REASON}")


def of_a_test(text):
    """The domain under a name and a UUID that no other has, and without what this machine may lack."""
    text = re.sub(r"<name>.*?</name>", f"<name>realtime-kvm-test-{os.getpid()}</name>", text, count=1)
    text = re.sub(r"<uuid>.*?</uuid>", f"<uuid>{uuid.uuid4()}</uuid>", text, count=1)
    return text.replace("pc-q35-10.0", "q35").replace("type='kvm'", "type='qemu'").replace("host-passthrough", "maximum")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_libvirt_keeps_what_is_read_of_an_instance(path):
    text = of_a_test(path.read_text(encoding="utf-8"))
    ((shown, refusal),) = define([(f"realtime-kvm-test-{os.getpid()}", text)])
    assert refusal == ""
    before, after = parse(text), parse(shown)
    if not path.name.startswith("10-"):  # whose name alone showed it
        assert read_instance(after) == read_instance(before)
    was, found = instance_cpus(before), instance_cpus(after)
    assert found.pins == was.pins
    assert (found.schedulers, found.hugepages, found.locked) == (was.schedulers, was.hugepages, was.locked)
