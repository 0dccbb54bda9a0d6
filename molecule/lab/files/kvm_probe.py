"""Does KVM really work here?  kvm_probe.py QEMU  ->  exit status 0 and "kvm", or 1 and the reason.

A /dev/kvm that opens proves little: nested and emulated ones may refuse an ordinary CPU model, or run real-mode code so
slowly that a boot never ends. So a boot sector counts down (a fraction of a second on real KVM) and then powers off.
"""

import os
import subprocess
import sys
import tempfile

SECONDS = 10
# mov ecx, 50000000; 1: dec ecx; jnz 1b; mov al, 0x20; out 0xf4, al; hlt
BOOT_SECTOR = bytes.fromhex("66b980f0fa02 6649 75fc b020 e6f4 f4").ljust(510, b"\0") + b"\x55\xaa"
COUNTED_DOWN = 0x20 << 1 | 1  # what isa-debug-exit makes of 0x20


def reason_against_kvm(qemu):
    """Empty when KVM works."""
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError as error:
        return f"/dev/kvm: {error.strerror}"
    with tempfile.NamedTemporaryFile() as disk:
        disk.write(BOOT_SECTOR)
        disk.flush()
        command = [qemu, "-accel", "kvm", "-cpu", "host", "-machine", "pc", "-m", "16", "-nodefaults", "-display", "none"]
        command += ["-device", "isa-debug-exit,iobase=0xf4", "-drive", f"file={disk.name},format=raw,if=ide"]
        try:
            run = subprocess.run(command, timeout=SECONDS, capture_output=True, text=True, check=False)
        except subprocess.TimeoutExpired:
            return f"a boot sector did not come to its end in {SECONDS} s"
    if run.returncode != COUNTED_DOWN:
        lines = run.stderr.strip().splitlines() or [f"QEMU ended with status {run.returncode}"]
        return lines[0]
    return ""


if __name__ == "__main__":
    reason = reason_against_kvm(sys.argv[1])
    print(reason or "kvm")
    sys.exit(1 if reason else 0)
