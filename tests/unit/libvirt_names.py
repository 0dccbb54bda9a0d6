# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-ins for libvirt's classes have methods with Python's names; libvirt's names are given to them here."""

from __future__ import annotations


def libvirt_names(**names):
    """Let a class answer to libvirt's names as well: ``@libvirt_names(isActive="is_active")``."""

    def rename(cls):
        for name, own in names.items():
            setattr(cls, name, cls.__dict__[own])
        return cls

    return rename
