# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that only some guests need; Debian and the RHEL family have them at the same places. Pure."""

from __future__ import annotations

#: Makes and measures images (packages qemu-utils, qemu-img).
QEMU_IMG = "/usr/bin/qemu-img"
#: Makes seeds for cloud-init.
XORRISO = "/usr/bin/xorriso"
#: QEMU's TPM in software, which libvirt starts.
SWTPM = "/usr/bin/swtpm"
