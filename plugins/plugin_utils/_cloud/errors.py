# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user reads where the cloud cannot be told what is wanted. Pure."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError


class CloudError(RefusalError):
    """Something about the cloud cannot be done; the text names variable, cloud or call, and what would work."""


class SpecError(CloudError):
    """A guest or an extra spec has no meaning for Nova; the text names the key and what would work."""
