# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drop-ins of a unit that are read after ours."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.module_utils._openstack.units import later_commands

NAME = "nova-compute.service"
VENDOR, ETC = "/usr/lib/systemd/system", "/etc/systemd/system"
TEXT = "[Service]\nExecStart=/bin/x\n"


def test_drop_ins_after_ours_that_say_how_it_is_started():
    ours = f"{ETC}/{NAME}.d/realtime-kvm.conf"
    texts = {
        f"{ETC}/{NAME}": TEXT,
        f"{ETC}/{NAME}.d/10.conf": TEXT,
        f"{ETC}/{NAME}.d/s.conf": "[Service]\nLimitNOFILE=1\n",
        f"{ETC}/{NAME}.d/zz.conf": "[Service]\nExecStart=\n",
        f"{ETC}/service.d/zzz.conf": "[Unit]\nExecStart=/x\n",
    }
    assert later_commands(texts, ours) == [f"{ETC}/{NAME}.d/zz.conf"]
