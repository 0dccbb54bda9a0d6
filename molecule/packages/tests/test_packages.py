# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages of a node: installed, removed with their configuration, and only tried."""

import pytest


@pytest.mark.parametrize(("package", "there"), [("hello", True), ("ed", False), ("figlet", False)])
def test_packages_are_as_asked_for(host, package, there):
    assert host.package(package).is_installed is there


def test_nothing_is_left_half_done(host):
    assert host.check_output("dpkg --audit") == ""
