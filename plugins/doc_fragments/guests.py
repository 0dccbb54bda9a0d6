# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that describe guests and networks, for the modules that take them."""

from __future__ import annotations


class ModuleDocFragment:
    """See the module's docstring."""

    DOCUMENTATION = r"""
options:
  partition:
    description:
      - The partition to work from; the node's own partition file when not given.
      - A module that changes the node refuses one that is not that of the file, so that all parts of a node have the same partition.
        In check mode, or with O(fsroot), it may be any.
    type: dict
"""

    NETWORKS = r"""
options:
  networks:
    description: The networks that guests may be attached to.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: A name of at most 15 characters a-z, 0-9 and -, the first a letter.
        type: str
        required: true
      realtime:
        description:
          - V(true) is a bridge of the userspace (DPDK) switch, which guests reach by vhost-user, unless O(networks[].datapath) names another way.
          - V(false) is an existing ordinary bridge of the kernel; guests get a virtio interface on it.
        type: bool
        default: true
      datapath:
        description:
          - Who moves the packets. V(switch) is the DPDK switch, whose poll-mode threads keep cores of their own busy.
          - V(bridge) is an existing bridge of the kernel (O(networks[].bridge)), V(macvtap) an interface of the node that guests share
            (O(networks[].device)). With both, threads of the kernel (vhost) move each guest's packets; on a real-time network they have the place and the
            policy of the guest's C(vhost) and C(vhost_scheduler).
          - Unless given, V(switch) for a real-time network, else V(bridge).
        type: str
        choices: [switch, bridge, macvtap]
      bridge:
        description: The bridge; C(br-NAME) unless given. A network with O(networks[].datapath=macvtap) has none.
        type: str
      vlan:
        description: Access VLAN (1-4094) of the guests' ports.
        type: int
      device:
        description:
          - Physical port of a network on the switch, by interface name or PCI address. A network needs none to join the guests of a node.
          - With O(networks[].datapath=macvtap), the interface that guests share, by its name.
        type: str
      driver:
        description:
          - V(vfio-pci) takes the port from the kernel (with driverctl, so that it lasts).
          - V(keep) is for NICs whose kernel driver DPDK works through (mlx5_core, mlx4_core, mana); V(vfio-pci) is refused for these.
          - With both, a device is refused by which Ansible reached the node, or that has an address or a default route or is part of a bond or bridge.
        type: str
        choices: [vfio-pci, keep]
        default: vfio-pci
      mtu:
        description: Largest packet in bytes, without Ethernet header (68-9702).
        type: int
        default: 1500
      queues:
        description: Receive queues of the physical port.
        type: int
        default: 1
      physical_network:
        description:
          - The name under which Neutron knows this network, for nodes of an OpenStack cloud; such as V(rt0). At most 64 characters A-Z, a-z, 0-9,
            C(-), C(_) and C(.), the first a letter or digit.
          - Only a real-time network can have one, and a bridge only one, since Neutron's agent owns the VLANs of its bridge.
        type: str
      kbps:
        description: Bandwidth of the physical network in kbit/s, each way, which placement counts for ports with a minimum-bandwidth policy.
        type: int
        default: 1000000
      state:
        description: V(absent) removes only the network's ports, and its bridge if this collection has made it.
        type: str
        choices: [present, absent]
        default: present
"""

    SPECS = r"""
options:
  guests:
    description: The guests of this node. One that is not listed is left alone; O(guests[].state=absent) removes one.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Letters, digits, C(-), C(_) and C(.), at most 50.
        type: str
        required: true
      state:
        description:
          - V(running) defines and starts it, V(present) defines it and does not start or stop it, V(stopped) shuts it down.
          - V(absent) shuts it down and removes its definition; disks, UEFI variables and saved state stay unless O(guests[].remove_disks=true).
        type: str
        choices: [running, present, stopped, absent]
        default: running
      uuid:
        description: Its UUID; derived from the site and its name for a new guest, and that of its domain for an existing one, unless given. It never changes.
        type: str
      guest_os:
        description:
          - The system in the guest. V(linux) and V(windows) need an ordinary vCPU for their own housekeeping.
          - V(other), a real-time operating system or a soft PLC, may have one vCPU, or all of its vCPUs, real-time.
          - V(windows) gets C(hyperv), and a new guest the hardware clock in local time.
        type: str
        choices: [linux, windows, other]
        default: linux
      memory_mib:
        description: Memory in MiB. Needed unless the guest is absent.
        type: int
      hugepages:
        description:
          - Page size of its memory. Unless given, a domain that has huge pages keeps their size; else V(2M) for real-time guests and V(none) for others.
          - V(1G) needs a reboot of the node to reserve.
        type: str
        choices: ["2M", "1G", none]
      vcpus:
        description:
          - Number of vCPUs. Each vCPU of a real-time guest has its own realtime CPU.
          - V(1) for a new guest; unless given, an existing one keeps its number. Required where O(guests[].realtime_vcpus) is given beside O(guests[].adopt).
        type: int
      realtime_vcpus:
        description:
          - List of its real-time vCPUs, such as V(1-3). Empty for a guest that is not real-time. A list that begins with an exclusion means all others
            (V(^0), as in Nova's C(hw:cpu_realtime_mask)). A list that leaves no vCPU is refused.
          - At least one vCPU must stay ordinary, except with O(guests[].guest_os=other).
        type: str
        default: ""
      policy:
        description: Scheduling policy of real-time vCPUs; V(fifo) unless given.
        type: str
        choices: [fifo, rr]
      priority:
        description: Priority of real-time vCPUs; V(1) unless given. It must be below that of the kernel's ksoftirqd and ktimers threads.
        type: int
      vcpu_schedulers:
        description: Exceptions for single real-time vCPUs. A key is a list of vCPUs (V(2-3)), its value has C(policy), C(priority) or both.
        type: dict
      numa:
        description: V(strict) keeps CPUs and memory on one NUMA node of the host, or refuses; V(spread) lets it use several.
        type: str
        choices: [strict, spread]
        default: strict
      numa_node:
        description: The NUMA node of the host; chosen by free CPUs and memory unless given.
        type: int
      siblings:
        description:
          - What may run on the other threads of a real-time vCPU's core, on a node whose CPU sets have all threads of a core
            (C(cpu_partition_smt=together)).
          - V(idle) leaves them idle. V(realtime) uses them for this guest's other real-time vCPUs, whose numbers must then fill whole cores.
            V(any) uses them for all threads of this guest; its ordinary work then slows down its real-time vCPUs.
          - The guest is told that vCPUs share a core where each of its cores has the same number of them.
        type: str
        choices: [idle, realtime, any]
        default: idle
      emulator:
        description: Where QEMU's own threads run, V(housekeeping) CPUs or a realtime CPU of its V(own).
        type: str
        choices: [housekeeping, own]
        default: housekeeping
      emulator_scheduler:
        description: Real-time C(policy) and C(priority) of the emulator thread, for device emulation in a control loop. Needs O(guests[].emulator=own).
        type: dict
      io_threads:
        description:
          - Number of I/O threads; the virtio disks take turns on them.
          - Unless given, none for a new guest, and those of its domain for an existing one.
        type: int
      io_thread_scheduler:
        description: Real-time C(policy) and C(priority) of the I/O threads. Needs O(guests[].emulator=own).
        type: dict
      vhost:
        description:
          - The thread of the guest whose CPUs the kernel's vhost threads of it have, V(emulator) or its first ordinary vCPU (V(vcpu)). They follow it.
          - Unless given, V(vcpu) for a real-time guest on a real-time network with O(networks[].datapath=bridge) or V(macvtap), V(emulator) for others on
            such a network or without an ordinary vCPU. The vhost threads of all other guests are left where the kernel makes them, beside the emulator.
        type: str
        choices: [emulator, vcpu]
      vhost_scheduler:
        description:
          - Real-time C(policy) and C(priority) of the vhost threads. Needs O(guests[].vhost=vcpu), or O(guests[].emulator=own) beside V(emulator).
          - Unless given, C(fifo) and V(1) for guests on a real-time network with O(networks[].datapath=bridge) or V(macvtap) whose vhost threads have CPUs of
            the guest's own; beside the emulator that of O(guests[].emulator_scheduler), else none.
        type: dict
      disks:
        description:
          - Images and block devices. An image that exists is used as it is; with O(guests[].disks[].base) or O(guests[].disks[].size_gib), one that does not
            exist is made.
          - A disk without a path is known by its place in the list; add others behind it, or give it the path that it has.
        type: list
        elements: dict
        default: []
        suboptions:
          path:
            description:
              - Absolute path on the node; the name of a file with O(guests[].disks[].pool).
              - May be left out for a disk that is made. It is then C(NAME-TARGET.FORMAT) (C(plc1-vda.qcow2)) in the pool's folder or in the folder of images
                (C(rt_guest_image_folder)). An existing disk keeps its own.
            type: str
          pool:
            description: A storage pool of libvirt whose folder holds the image. Its type must be C(dir).
            type: str
          format:
            description:
              - V(raw) for block devices and for C(.raw), C(.img) and C(.iso) files, V(qcow2) for others unless given.
              - An image that the domain has keeps its own.
              - Another format for an image that the domain has is refused, and so is one that is raw by its name and begins like qcow2.
            type: str
            choices: [qcow2, raw]
          base:
            description:
              - Absolute path of an image on the node from which the disk is made, where it does not exist. It belongs to root, in a folder that only root
                can write; no guest writes it, and it has no base itself. It is never changed or removed.
              - An image that exists is never made again, whatever becomes of the base.
            type: str
          base_mode:
            description:
              - V(copy) (unless given) copies all that is in the base. The disk is independent of it from then on. It takes time and space for all of the
                data; what was a hole in the base is allocated when the guest first writes there.
              - V(overlay) keeps the differences from the base. It is made at once and small, but is lost with its base. Each first write to a cluster
                (64 KiB) reads it from the base and allocates it, so that write takes longer.
            type: str
            choices: [copy, overlay]
          base_format:
            description:
              - Format of the base; guessed by its name as that of the disk unless given. Never by what is in it, which whoever wrote it decides.
              - A base of another format is refused, and so is one that is raw by its name and begins like qcow2, as C(.img) files of many clouds do.
            type: str
            choices: [qcow2, raw]
          size_gib:
            description:
              - Size in GiB that the guest sees; that of the base unless given. Without a base, an image that does not exist is made empty.
              - A smaller disk is grown, while its guest runs too (libvirt's blockResize; the guest still has to grow its file system, as cloud-init does at
                a boot). A larger one is refused, never shrunk.
            type: int
          bus:
            description:
              - The bus on which the guest sees it. V(virtio) for a new disk.
              - An image that the domain has from somebody else keeps bus and place unless given, and another bus is refused.
            type: str
            choices: [virtio, scsi, sata]
          read_only:
            description: Whether the guest may not write it. V(false) for a new disk; unless given, an existing one keeps its own.
            type: bool
          cache:
            description:
              - How QEMU uses the host's page cache. A new disk has V(none), past it, since the kernel writes it back in bursts on housekeeping CPUs, and a
                host's crash then loses nothing that the guest has flushed. It needs a file system with O_DIRECT.
              - Unless given, an existing disk keeps its own.
            type: str
            choices: [none, writeback, writethrough, directsync, unsafe]
          io:
            description:
              - How QEMU submits requests. V(native) (Linux AIO) needs O(guests[].disks[].cache=none) or V(directsync); V(threads) uses threads on the
                emulator's CPUs.
              - A new block device has V(native), a new image QEMU's own choice, since V(native) blocks where the file has holes. Unless given, an existing disk
                keeps its own.
            type: str
            choices: [native, threads, io_uring]
          discard:
            description: Whether what the guest discards is freed in the image. A new disk has V(unmap); unless given, an existing one keeps its own.
            type: str
            choices: [unmap, ignore]
      seed:
        description: Path of an existing cloud-init seed image (label C(cidata)), attached as a CD-ROM. Not beside O(guests[].cloud_init).
        type: str
      cloud_init:
        description:
          - What cloud-init in the guest does at its first boot. A seed image (C(NAME-seed.iso), label C(cidata)) is made from it with xorriso in the folder
            of images, readable for root, and attached as the read-only virtio disk C(vdz), for Windows as a CD-ROM. An empty mapping gives the guest its name.
          - A change makes a new image, which the guest sees at its next start; cloud-init then acts on it only if C(instance-id) in C(meta_data) is another.
          - No result, difference or log shows what is in it.
        type: dict
        suboptions:
          user_data:
            description:
              - A mapping of C(#cloud-config), or a text that begins with C(#cloud-config) or another header that cloud-init knows (C(#!), C(#include), MIME).
            type: raw
          meta_data:
            description:
              - A mapping or YAML. Where a mapping does not give them, C(instance-id) is the guest's UUID and C(local-hostname) its name, with C(-) for C(_).
                A text must have an C(instance-id).
            type: raw
          network_config:
            description:
              - A mapping or YAML with C(version) 2 (netplan) or 1. Without it, cloud-init asks for an address by DHCP on one interface.
              - In a mapping of version 2, C(network) in C(match) below C(ethernets) names a network of the guest and stands for the MAC of its
                interface there. In a text it is refused.
            type: raw
      networks:
        description: The networks it is attached to.
        type: list
        elements: dict
        default: []
        suboptions:
          network:
            description: Name of a network in O(networks).
            type: str
            required: true
          mac:
            description:
              - Its address. Unless given, an existing interface on that network keeps its own, whoever added it, and a new one's is derived from the names of
                site, guest and network.
            type: str
          queues:
            description: Queue pairs of the interface. V(1) for a new one and on real-time networks; unless given, an existing one keeps its own.
            type: int
          rx_queue_size:
            description:
              - Length of each receive queue. A new interface on a real-time network has V(1024), QEMU's longest, which hold what arrives while the guest's
                cycle runs; others have QEMU's V(256). Unless given, an existing one keeps its own.
            type: int
            choices: [256, 512, 1024]
          tx_queue_size:
            description: Length of each transmit queue; as O(guests[].networks[].rx_queue_size), but only real-time networks take more than V(256).
            type: int
            choices: [256, 512, 1024]
      devices:
        description:
          - PCI functions of the node that the guest gets, by VFIO. An entry is a PCI address (V(0000:41:00.0)), or a mapping with C(address) or
            C(physical_function).
          - C(address) is a function as it is. C(physical_function), the name of an interface or a PCI address, is a virtual function of it (SR-IOV), which
            the guest keeps; C(kvm_host_virtual_functions) makes them. It may have C(mac) (derived unless given), C(vlan) (1-4094), C(trust), C(rate) (Mbit/s,
            V(0) is no limit) and C(spoof_check).
          - C(interrupts) is the number of the vCPU to whose CPU the device's interrupts go; the guest's first ordinary vCPU unless given.
          - A real-time guest goes to the NUMA node of its devices. A device that the node uses, or whose IOMMU group is not free, is refused.
        type: list
        elements: raw
        default: []
      agent:
        description:
          - Whether it has the channel of the QEMU guest agent, the virtio serial port C(org.qemu.guest_agent.0). The agent itself is
            installed and started in the guest.
          - V(false) removes a channel that V(true) has added before; a channel that another user has added stays.
        type: bool
        default: false
      serial_log:
        description: Whether virtlogd keeps what the guest writes to its first serial port, in C(/var/log/libvirt/qemu/NAME-serial.log), which it rotates.
        type: bool
        default: false
      watchdog:
        description:
          - Gives the guest a watchdog (i6300esb), and says what happens when its system has not fed it in time. No watchdog unless given; one that an
            administrator has added stays.
        type: str
        choices: [reset, poweroff, shutdown, pause, inject-nmi, none]
      tpm:
        description: Whether it has a TPM 2.0, emulated by C(swtpm) on the node. V(false) removes one that V(true) has added, not its state.
        type: bool
        default: false
      firmware:
        description: Its firmware. V(bios) for a new guest; unless given, an existing one keeps its own, with its variables.
        type: str
        choices: [bios, uefi]
      secure_boot:
        description:
          - Whether its UEFI firmware starts only what is signed, with Microsoft's keys enrolled; V(true) means O(guests[].firmware=uefi).
          - Chosen when the guest is made; a value that differs from its domain's is refused, since the variables of the firmware belong to it.
        type: bool
      machine:
        description: QEMU's machine type of a new guest; an existing one keeps its own.
        type: str
        default: q35
      cpu_mode:
        description: CPU model of the guest. V(host-passthrough) for a new guest; unless given, an existing one keeps its own.
        type: str
        choices: [host-passthrough, host-model]
      invariant_tsc:
        description:
          - V(true) requires the invariant TSC, by which the guest can keep time (C(tsc=) arguments), and refuses a node without one. V(false) hides it.
          - Unless given, a new real-time guest with O(guests[].cpu_mode=host-passthrough) sees that of its node (C(migratable='off')), and an existing
            guest keeps its own.
        type: bool
      dedicated_hint:
        description:
          - Whether the guest is told that its vCPUs are never preempted for long (C(hint-dedicated)), so that it spins where it would otherwise ask the host.
          - V(true) for a new real-time guest with O(guests[].cpu_mode=host-passthrough), each of whose vCPUs has its CPU; unless given, an existing one
            keeps its own, and loses it when it stops being real-time.
        type: bool
      hyperv:
        description:
          - Whether the guest sees Hyper-V's interfaces, which Windows uses in place of devices that cost exits. V(true) for O(guests[].guest_os=windows).
          - V(false) removes them; unless given, they stay.
        type: bool
      clock:
        description: What its hardware clock shows. A new guest has V(utc), or V(localtime) for Windows; unless given, an existing one keeps its own.
        type: str
        choices: [utc, localtime]
      on_crash:
        description: What libvirt does when the guest's system crashes, which a panic device then reports. libvirt's V(destroy) for a new guest unless given.
        type: str
        choices: [destroy, restart, preserve]
      xml:
        description:
          - One C(<domain>) element with libvirt XML that the other keys do not cover, such as C(cachetune), C(hostdev) or QEMU arguments. Each element is
            merged into that of the domain; what it does not name stays. A device needs an alias of its own (C(<alias name='ua-...'/>)), by
            which later runs know and remove it; that of another device is refused.
          - What other keys decide is refused by name. An element that is removed here, and is no device, stays in the domain.
        type: str
      autostart:
        description: Whether it starts with the node; V(true) for O(guests[].state=running) unless given.
        type: bool
      owner:
        description: The owner; kept in the domain's metadata.
        type: str
        default: ""
      project:
        description: Its project; kept in the domain's metadata.
        type: str
        default: ""
      class:
        description: Class of service, in your own words; kept in the domain's metadata.
        type: str
        default: ""
      description:
        description: Free text for libvirt's description.
        type: str
        default: ""
      adopt:
        description: Whether to take over a domain of this name that this collection did not make. Settings beside the options here stay.
        type: bool
        default: false
      remove_disks:
        description:
          - Whether O(guests[].state=absent) also deletes the writable image files that this collection gave the guest, its seed of O(guests[].cloud_init), UEFI
            variables, TPM state and saved state. A base stays, and so does an image that an adopted domain had.
          - An image that another domain uses, by any path or as a backing file, is refused, as is one whose users are not all known.
        type: bool
        default: false
"""
