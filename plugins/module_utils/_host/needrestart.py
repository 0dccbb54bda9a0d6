# SPDX-License-Identifier: GPL-3.0-or-later
"""needrestart, which restarts services after an update of their libraries, leaves the switch and libvirt alone. Edge.

Debian and Ubuntu run it after every run of apt, Ubuntu also without asking (unattended upgrades). Its configuration is Perl: each file in conf.d is
evaluated after the defaults, and a unit whose name matches a key of ``override_rc`` with the value 0 is listed as deferred
(needrestart, ex/needrestart.conf).
"""

from __future__ import annotations

from .host import Host

FOLDER = "/etc/needrestart/conf.d"
FILE = f"{FOLDER}/realtime-kvm.conf"
_TEXT = """\
# Written by realtime.kvm (module kvm_host), which replaces this file as a whole.
# A restart of the switch cuts real-time networks off, one of libvirt stops the management of guests. They are listed as deferred;
# the playbook update restarts them with the node, when its guests are down.
$nrconf{override_rc}{qr(^(openvswitch|openvswitch-switch|ovs-vswitchd|ovsdb-server)\\.service$)} = 0;
$nrconf{override_rc}{qr(^(libvirtd|libvirt-guests|virt[a-z]+d)(-[a-z]+)?\\.(service|socket)$)} = 0;
$nrconf{override_rc}{qr(^machine-qemu)} = 0;
1;
"""


def plan_needrestart(host: Host) -> None:
    """Plan the file where needrestart is installed."""
    if host.exists(FOLDER):
        host.set_file(FILE, _TEXT.encode(), reason="no restart of the switch or libvirt after an update of a library")
