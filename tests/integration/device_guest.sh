#!/usr/bin/env bash
# Runs on a node: makes a guest of kernel, igbvf, nvme and busybox, which pings 10.9.0.1 and .2 through its virtual function.
set -eu
images=/var/lib/libvirt/images
root=$images/device-guest
mkdir -p "$root/bin" "$root/modules"
if ! dpkg -s busybox-static >/dev/null 2>&1; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq busybox-static >/dev/null
fi
cp /bin/busybox "$root/bin/"
number=0
while read -r word path _; do
    name=${path##*/} name=${name%%.ko*}
    if [[ $word != insmod ]] || compgen -G "$root/modules/*-$name.ko" >/dev/null; then continue; fi
    number=$((number + 1)) target=$root/modules/$(printf %02d $number)-$name.ko
    case $path in
        *.xz) python3 -c "import lzma, sys; sys.stdout.buffer.write(lzma.open(sys.argv[1]).read())" "$path" >"$target" ;;
        *.zst) zstd -qdc "$path" >"$target" ;;
        *) cp "$path" "$target" ;;
    esac
done < <(for module in igbvf nvme; do modprobe --show-depends $module; done)
cat >"$root/init" <<'INIT'
#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc /sys /dev
$b mount -t proc p /proc
$b mount -t sysfs s /sys
$b mount -t devtmpfs d /dev
for module in /modules/*.ko; do $b insmod $module; done
$b sleep 2
n=$($b sed 's/.*node=\([0-9]*\).*/\1/' /proc/cmdline)
for name in /sys/class/net/eth*; do
    $b ip link set ${name##*/} up
    $b ip addr add 10.9.0.$n/24 dev ${name##*/}
done
$b ls /dev/nvme*
while :; do $b sleep 5; $b ping -c1 -W2 10.9.0.$((3 - n)); done
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc 2>/dev/null | gzip -1) >"$images/device-guest.img"
cp /boot/vmlinuz-*rt* "$images/device-guest.vmlinuz"
chmod 644 "$images"/device-guest.*
