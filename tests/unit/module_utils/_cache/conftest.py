# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine with a resctrl that behaves like the real one."""

from __future__ import annotations

import os

import pytest
from unit.dividing import FILES
from unit.resctrls import Bandwidth, Resctrl
from unit.trees import fill


@pytest.fixture(name="root")
def _root(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # no power cut is tried here
    return fill(tmp_path, FILES)


@pytest.fixture(name="kernel")
def _kernel(root, monkeypatch):
    return Resctrl(root, monkeypatch, bandwidth=Bandwidth())


@pytest.fixture(name="mounted")
def _mounted(kernel):
    kernel.mount()
    kernel.commands.clear()
    return kernel
