# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""package_holds reads back what it has held; test_holds.py does the rest."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._module import package_holds
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import Edges, carry_out
from unit.trees import fill, writable


def test_a_hold_that_did_not_last_is_an_error(tmp_path):
    host = writable(fill(tmp_path, {"/usr/bin/apt-mark": "", "/var/lib/": None}), "package_holds")

    def runner(command):
        return 0, "qemu-system-x86\tinstall\tinstalled\n" if command[0] == "dpkg-query" else "", ""

    with pytest.raises(HostError, match=r"^package:qemu-system-x86: still not held"):
        carry_out(Edges(host, runner), package_holds.run, {"state": "present"})
